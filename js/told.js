/**
 * Takes a run's warnings from a node when the next run has none: ComfyUI's page shows the text that a node is sent, and
 * takes no notice of an empty one.
 */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

/** What ComfyUI's page calls the text at a node. */
const TEXT = "$$node-text-preview";

/** The node of an id of a run, "5:3" for number 3 in the subgraph of number 5. */
function nodeOf(id) {
  let graph = app.rootGraph ?? app.graph;
  const [last, ...outer] = id.split(":").reverse();
  for (const number of outer.reverse()) graph = graph?.getNodeById(Number(number))?.subgraph;
  return graph?.getNodeById(Number(last));
}

api.addEventListener("progress_text", ({ detail: { nodeId, text } }) => {
  const node = text === "" ? nodeOf(String(nodeId)) : undefined;
  const widget = node?.widgets?.find(({ name }) => name === TEXT);
  if (!widget) return;
  node.removeWidget(widget);
  node.setDirtyCanvas?.(true, true);
});
