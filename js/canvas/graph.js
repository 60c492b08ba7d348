/** What can be read off ComfyUI's graph: what is linked to an input, how large the picture is, which regions come. */

import { colorOf } from "./color.js";
import { parseRatio, splitPrompts } from "./split.js";
import { parseDrawing } from "./value.js";

const inputOf = (node, name) => node.inputs?.findIndex((input) => input.name === name) ?? -1;

export function isLinked(node, name) {
	return node.inputs?.[inputOf(node, name)]?.link != null;
}

/** The node whose output is linked to an input; null without a link, or where it comes from outside a subgraph. */
export function linkedNode(node, name) {
	return isLinked(node, name) ? (node.getInputNode(inputOf(node, name)) ?? null) : null;
}

export function widgetOf(node, name) {
	return node.widgets?.find((widget) => widget.name === name);
}

/**
 * The value of a widget, or of the node that is linked to it where that has but one; undefined if it is not known
 * before a run.
 */
export function widgetValue(node, name) {
	if (!isLinked(node, name)) return widgetOf(node, name)?.value;
	const origin = linkedNode(node, name);
	const named = origin && (widgetOf(origin, name) ?? widgetOf(origin, "value"));
	return named?.value ?? (origin?.widgets?.length === 1 ? origin.widgets[0].value : undefined);
}

export function sizeOf(node) {
	const [width, height] = [widgetValue(node, "width"), widgetValue(node, "height")];
	return Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0 ? { width, height } : null;
}

/** The nodes behind a node, the nearest first; not what looks at the picture that a node of ours makes of a layout. */
export function* following(node) {
	const seen = new Set([node]);
	const queue = [node];
	while (queue.length) {
		const { outputs, graph, type } = queue.shift();
		const open = (outputs ?? []).filter((output) => !(type.startsWith("RAG") && output.type === "IMAGE"));
		for (const link of open.flatMap((output) => output.links ?? [])) {
			const target = graph?.getNodeById(graph.getLink(link)?.target_id);
			if (!target || seen.has(target)) continue;
			seen.add(target);
			queue.push(target);
			yield target;
		}
	}
}

/** The size of the picture that a node's regions are for: that of a node behind it, or of its empty latent. */
export function pictureSize(node) {
	for (const target of following(node)) {
		const found = target.inputs?.map((input) => linkedNode(target, input.name)) ?? [];
		for (const one of [target, ...found]) {
			const size = one && one.type !== node.type ? sizeOf(one) : null;
			if (size) return size;
		}
	}
	return null;
}

/** The regions that a node hands on, as far as its widgets tell: boxes with colours; a mask's box is null. */
export function regionsOf(node, depth = 0) {
	if (!node || depth > 100) return [];
	const before = regionsOf(linkedNode(node, "regions"), depth + 1);
	return [...before, ...ownRegions(node)].map((region, index) => ({
		...region,
		color: region.color || colorOf(index),
	}));
}

function ownRegions(node) {
	try {
		return READERS[node.type]?.(node) ?? [];
	} catch (error) {
		if (!error.key) throw error; // a text that is no layout: its own node says so
		return [];
	}
}

const READERS = {
	RAGRegionBox: (node) => {
		const [x, y, w, h] = ["x", "y", "width", "height"].map((name) => widgetValue(node, name));
		const prompt = String(widgetValue(node, "text") ?? "");
		const box = [x, y, w, h].every((part) => typeof part === "number") ? { x, y, w, h } : null;
		return [{ box, prompt }];
	},
	RAGRegionMask: () => [{ box: null, prompt: "" }],
	RAGSplitRatioLayout: (node) => {
		const prompts = splitPrompts(String(widgetValue(node, "text") ?? ""));
		const cells = parseRatio(String(widgetValue(node, "split_ratio") ?? ""));
		return cells.map((box, index) => ({ box, prompt: prompts[index] ?? "" }));
	},
	RAGRegionCanvas: (node) => {
		const { regions } = parseDrawing(widgetOf(node, "regions").value);
		return regions.filter((one) => one.enabled).map((box) => ({ box, prompt: box.prompt, color: box.color }));
	},
};
