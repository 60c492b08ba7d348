/**
 * Keeps a run's warnings at our nodes until a run has none: ComfyUI's page shows the text that a node is sent, takes no
 * notice of an empty one, and newer pages take every text away when a run ends.
 */

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

/** What ComfyUI's page calls the text at a node. */
const TEXT = "$$node-text-preview";
const ENDS = ["execution_success", "execution_error", "execution_interrupted"];

/** What our nodes were last told: node → { nodeId, text }. */
const told = new Map();

/** The node of an id of a run, "5:3" for number 3 in the subgraph of number 5. */
function nodeOf(id) {
	let graph = app.rootGraph ?? app.graph;
	const [last, ...outer] = id.split(":").reverse();
	for (const number of outer.reverse()) graph = graph?.getNodeById(Number(number))?.subgraph;
	return graph?.getNodeById(Number(last));
}

const textAt = (node) => node.widgets?.find(({ name }) => name === TEXT);

api.addEventListener("progress_text", ({ detail: { nodeId, text } }) => {
	const node = nodeOf(String(nodeId));
	if (!node?.type?.startsWith("RAG")) return;
	if (text) {
		told.set(node, { nodeId, text });
		return;
	}
	told.delete(node);
	const widget = textAt(node);
	if (!widget) return;
	node.removeWidget(widget);
	node.setDirtyCanvas?.(true, true);
});

/** After the page's own listeners. */
function showAgain() {
	for (const [node, detail] of told) {
		if (nodeOf(String(detail.nodeId)) !== node) told.delete(node);
		else if (!textAt(node)) api.dispatchEvent(new CustomEvent("progress_text", { detail }));
	}
}

for (const end of ENDS) api.addEventListener(end, () => setTimeout(showAgain));
