/** What this pack adds to ComfyUI's page: the editor of Region Canvas, and previews in the nodes that make layouts. */

import { app } from "../../scripts/app.js";
import { addStill, followStills } from "./canvas/still.js";
import { followCanvases, makeCanvas } from "./canvas/widget.js";

app.registerExtension({
  name: "RAG.Regions",
  getCustomWidgets: () => ({ RAG_CANVAS: makeCanvas }),
  nodeCreated: addStill,
  setup() {
    followCanvases();
    followStills();
  },
});
