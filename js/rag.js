/** What this pack adds to ComfyUI's page: the editor of Region Canvas, and previews in the nodes that make layouts. */

import { app } from "../../scripts/app.js";
import { addStill, followStills } from "./canvas/still.js";
import { setLanguage } from "./canvas/texts.js";
import { followCanvases, forgetLoras, makeCanvas } from "./canvas/widget.js";

app.registerExtension({
	name: "RAG.Regions",
	getCustomWidgets: () => ({ RAG_CANVAS: makeCanvas }),
	/** Before there are nodes. */
	init: () => setLanguage(app.extensionManager?.setting?.get("Comfy.Locale")),
	nodeCreated: addStill,
	/** The user asks for the lists of files anew. */
	refreshComboInNodes: forgetLoras,
	setup() {
		followCanvases();
		followStills();
	},
});
