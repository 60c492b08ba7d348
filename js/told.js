/**
 * Keeps a run's warnings at our nodes until a run has none: ComfyUI's page shows the text that a node is sent, takes no
 * notice of an empty one, and newer pages take every text away when a run ends.
 */

import { api } from "../../scripts/api.js";
import { nodeAt, onRunEnd, TEXT } from "./canvas/page.js";

/** What our nodes were last told: node → { nodeId, text }. */
const told = new Map();

const textAt = (node) => node.widgets?.find(({ name }) => name === TEXT);

api.addEventListener("progress_text", ({ detail: { nodeId, text } }) => {
	const node = nodeAt(nodeId);
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

function showAgain() {
	for (const [node, detail] of told) {
		if (nodeAt(detail.nodeId) !== node) told.delete(node);
		else if (!textAt(node)) api.dispatchEvent(new CustomEvent("progress_text", { detail }));
	}
}

onRunEnd(() => setTimeout(showAgain)); // after the page's own listeners
