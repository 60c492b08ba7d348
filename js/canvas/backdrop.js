/** The picture behind the drawing: the linked one, else the run's live preview, else its last result. */

import { api } from "../../../scripts/api.js";
import { following, isLinked, linkedNode } from "./graph.js";
import { nodeAt } from "./page.js";

/** How far the shape of a result may be from the layout's, as a share; a preview is small, and rounded. */
const RESULT = 0.03;
const PREVIEW = 0.1;

export class Backdrop {
	#live = null;

	constructor(canvas) {
		this.canvas = canvas;
	}

	get off() {
		return this.canvas.node.properties.rag_background === "off";
	}

	show() {
		const { stage } = this.canvas.editor;
		const linked = this.off ? null : this.#linked();
		if (this.off) stage.showImage("", 0);
		else if (linked) stage.showImage(linked, Number.POSITIVE_INFINITY);
		else if (this.#live) stage.showImage(this.#live, PREVIEW);
		else stage.showImage(this.#lastResult() ?? "", RESULT);
	}

	/** @param {Blob} blob What the sampler has so far, of a node by its path. */
	preview(path, blob) {
		if (this.off || !this.#hasPartIn(path)) return;
		const before = this.#live;
		this.#live = URL.createObjectURL(blob);
		this.show();
		if (before) setTimeout(() => URL.revokeObjectURL(before), 1000); // it is shown until the next one is there
	}

	end() {
		if (!this.#live) return;
		URL.revokeObjectURL(this.#live);
		this.#live = null;
		this.show();
	}

	/** A picture came out of a run: if this layout had part in it, it may lie behind the drawing. */
	result(path, image) {
		const node = this.#hasPartIn(path);
		if (!node || node.type.startsWith("RAG")) return;
		// the page forgets the outputs of runs when it is loaded again; the session does not
		sessionStorage.setItem(`rag.result ${this.canvas.key}`, JSON.stringify(image));
		this.show();
	}

	#hasPartIn(path) {
		const node = nodeAt(path);
		return node && [...following(this.canvas.node)].includes(node) ? node : null;
	}

	#lastResult() {
		const kept = sessionStorage.getItem(`rag.result ${this.canvas.key}`);
		return kept ? viewUrl(JSON.parse(kept)) : null;
	}

	#linked() {
		const { node, told } = this.canvas;
		if (!isLinked(node, "background")) return null;
		const origin = linkedNode(node, "background");
		const file = origin?.widgets?.find((widget) => widget.name === "image" && typeof widget.value === "string");
		if (file && origin.type.startsWith("LoadImage")) return viewUrl(inputFile(file.value));
		return origin?.imgs?.[0]?.src ?? (told.background ? viewUrl(told.background) : null);
	}
}

/** The file that a Load Image node names: "folder/name.png [input]". */
function inputFile(value) {
	const [, path, type = "input"] = /^(.*?)(?: \[(\w+)\])?$/.exec(value);
	const cut = path.lastIndexOf("/");
	return { filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type };
}

function viewUrl({ filename, subfolder = "", type }) {
	return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}
