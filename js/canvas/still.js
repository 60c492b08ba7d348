/** A layout to look at, in the node that makes it: cells of a split ratio, or a box among the ones before it. */

import { app } from "../../../scripts/app.js";
import { inkOn } from "./color.js";
import { h, place } from "./dom.js";
import { isLinked, pictureSize, regionsOf, widgetOf, widgetValue } from "./graph.js";
import { addElement, chain, healElement, isAlive, onGraphChange } from "./page.js";
import { parseRatio, splitPrompts } from "./split.js";
import { ratioFault } from "./split_panel.js";
import { addStyle } from "./style.js";
import { say, setLanguage } from "./texts.js";
import { BORDER_SLACK } from "./value.js";

const HEIGHT = 110;

/** @type {Set<Still>} Those that are on a graph. */
const stills = new Set();

/** Nodes that get a preview -> their widgets that it follows. */
const FOLLOWED = {
	RAGSplitRatioLayout: ["split_ratio", "text"],
	RAGRegionBox: ["x", "y", "width", "height", "text"],
};

class Still {
	constructor(node) {
		this.node = node;
		this.fresh = widgetOf(node, "split_ratio")?.value;
		this.paper = h(".rag-paper");
		this.fault = h(".rag-fault");
		this.root = h(".rag-still", h(".rag-stage", this.paper), this.fault);
		const options = { serialize: false, getMinHeight: () => HEIGHT, getValue: () => "" };
		const widget = addElement(this, "layout_preview", "RAG_STILL", this.root, options);
		widget.serialize = false; // not in the workflow; the option keeps it out of the prompt
		for (const name of FOLLOWED[node.comfyClass]) {
			const followed = widgetOf(node, name);
			if (followed) chain(followed, "callback", () => refreshAll());
		}
	}

	removed() {
		stills.delete(this);
	}

	added() {
		stills.add(this);
		this.refresh();
	}

	refresh() {
		const { node } = this;
		if (!node.graph) return;
		const size = pictureSize(node) ?? { width: 1, height: 1 };
		this.paper.style.setProperty("--rag-aspect", size.width / size.height);
		this.fault.replaceChildren(...faultsOf(node, this.fresh));
		const regions = regionsOf(node);
		const box = node.comfyClass === "RAGRegionBox"; // its own words stand above it, those before it are outlines
		this.paper.replaceChildren(
			...regions.map((region, index) => still(region, index + 1, !box || index === regions.length - 1, !box)),
		);
		healElement(node, this.root);
	}
}

function still({ box, prompt, color }, number, own, spoken) {
	const words = h(".rag-inside", h("span.rag-words", spoken ? prompt : ""));
	const label = h("span.rag-label", h("b", `${number}`));
	const element = h("div", { class: own ? "rag-region" : "rag-region rag-off" }, words, label);
	element.style.setProperty("--rag-tint", color);
	element.style.setProperty("--rag-ink", inkOn(color));
	element.hidden = !box;
	if (box) place(element, box);
	return element;
}

/**
 * What is wrong with a node's layout, where it stands.
 * @param {string | undefined} fresh The split ratio of a new node.
 */
function* faultsOf(node, fresh) {
	if (FOLLOWED[node.comfyClass].some((name) => isLinked(node, name) && widgetValue(node, name) === undefined)) {
		yield h("div", say("still.linked"));
		return;
	}
	if (node.comfyClass === "RAGRegionBox") {
		const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => widgetValue(node, name));
		const outside = Math.max(x + width, y + height) > 1 + BORDER_SLACK;
		if (outside) yield h(".rag-reason", say("still.outside"));
		return;
	}
	const ratio = String(widgetValue(node, "split_ratio"));
	let cells;
	try {
		cells = parseRatio(ratio).length;
	} catch (error) {
		yield h(".rag-reason", ratioFault(error));
		const bad = ratio.slice(error.start, error.end) || " ";
		yield h(".rag-ratio", ratio.slice(0, error.start), h("mark", bad), ratio.slice(error.end));
		return;
	}
	const text = String(widgetValue(node, "text") ?? "");
	if (!text.trim() && ratio === fresh) {
		yield h("div", say("still.empty", { cells })); // nothing was typed yet: a new node is not wrong
		return;
	}
	const prompts = splitPrompts(text, cells).length;
	if (prompts !== cells) yield h(".rag-reason", say("still.count", { cells, prompts }));
}

function refreshAll() {
	for (const one of stills) {
		if (isAlive(one.node)) one.refresh();
		else stills.delete(one);
	}
}

export function addStill(node) {
	if (!(node.comfyClass in FOLLOWED)) return;
	setLanguage(app.extensionManager?.setting?.get("Comfy.Locale"));
	addStyle();
	new Still(node);
	node.setSize([node.size[0], node.size[1] + HEIGHT]);
}

export function followStills() {
	onGraphChange(refreshAll);
}
