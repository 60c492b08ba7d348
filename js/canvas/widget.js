/** Region Canvas in ComfyUI: the editor as a widget of its node, and what it learns from the graph and from runs. */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { Backdrop } from "./backdrop.js";
import { Editor } from "./editor.js";
import { Full } from "./full.js";
import { TOKEN } from "./geometry.js";
import { isLinked, linkedNode, sizeOf, widgetOf } from "./graph.js";
import { addElement, chain, healElement, isAlive, keepWheel, nodeAt, onGraphChange, onRunEnd, TEXT } from "./page.js";
import { say, setLanguage } from "./texts.js";

const MIN_HEIGHT = 420;
/** Where layouts are kept by name, in the user data of ComfyUI. */
const LAYOUTS = "rag_layouts.json";
/** Milliseconds within which undo makes the node anew. */
const UNDO_TIME = 1000;
/** The editor's view -> the node's properties that keep it. */
const VIEW = { strip: "rag_list_height", opacity: "rag_opacity", guides: "rag_guides" };

/** Undo makes the node anew; what the new editor has to know from the old one, by graph and node id. */
const memory = new Map();

/** @type {Set<Canvas>} Those that are on a graph. */
const canvases = new Set();

/** The editor's Host (types.d.ts). */
export class Canvas {
	/** What the last run said: the true size, what had been guessed, and the picture linked as background. */
	told = {};
	/** Graph and node id, kept: a graph that is cleared loses its own first. */
	key = "";

	constructor(node, name) {
		this.node = node;
		this.editor = new Editor(this);
		const { editor } = this;
		this.full = new Full(editor);
		this.backdrop = new Backdrop(this);
		this.widget = addElement(this, name, "RAG_CANVAS", editor.root, {
			getValue: () => editor.text,
			setValue: (value) => {
				editor.text = asText(value);
			},
			getMinHeight: () => MIN_HEIGHT,
		});
		chain(node, "onExecuted", (message) => this.#executed(message));
		for (const size of ["width", "height"]) {
			const widget = widgetOf(node, size);
			if (widget) chain(widget, "callback", () => this.refresh());
		}
	}

	/** Read again what may have changed around the editor. */
	refresh() {
		const { node, editor } = this;
		if (!node.graph) return;
		const size = this.#size();
		const from = isLinked(node, "bboxes") ? (linkedNode(node, "bboxes")?.title ?? "bboxes") : null;
		const { linked } = editor.model.drawing;
		const notes = from ? [say(linked ? "status.linked" : "status.new", { from })] : [];
		if (!size) notes.push(say("status.stale"));
		const picture = isLinked(node, "background") ? this.told.picture : null;
		editor.toolbar.panels.view.offer(picture, this.#sizeLinked);
		const { width, height } = size ?? editor.size;
		if (picture && (picture.width !== width || picture.height !== height)) notes.push(say("status.picture", picture));
		editor.note = notes.join(" · ");
		editor.warning = this.told.warning ?? "";
		editor.hint = from ? say("empty.linked", { from }) : "";
		editor.size = { width, height };
		editor.setZoom(editor.full ? 1 : (app.canvas?.ds?.scale ?? 1));
		this.backdrop.show();
		editor.render();
		if (!editor.full) healElement(node, editor.root);
	}

	/** What a run warns of stands below the list: the page's own line for it would take its room from the paper. */
	warned(text) {
		this.told.warning = text;
		const line = widgetOf(this.node, TEXT);
		if (line) line.hidden = line.options.hidden = true;
		this.#remember();
		this.refresh();
	}

	/** The picture's size; of a linked one, what the last run said, until the link says something else. */
	#size() {
		const guess = sizeOf(this.node);
		return this.#sizeLinked && this.told.size && this.told.guess === JSON.stringify(guess) ? this.told.size : guess;
	}

	get #sizeLinked() {
		return isLinked(this.node, "width") || isLinked(this.node, "height");
	}

	// --- the node's life ---

	added() {
		canvases.add(this);
		this.key = `${this.node.graph.id}:${this.node.id}`;
		const { editor, node } = this;
		editor.setView(Object.fromEntries(Object.entries(VIEW).map(([name, key]) => [name, node.properties[key]])));
		const known = memory.get(this.key);
		if (known) {
			this.told = known.told;
			editor.model.linked = known.linked || editor.model.linked;
			editor.chosen = known.chosen;
			if (performance.now() - known.undoing < UNDO_TIME) {
				if (known.full) setTimeout(() => this.toggleFull(true), 60);
				for (const wait of [60, 200, 400]) setTimeout(() => this.#focusAgain(), wait);
			}
		}
		this.refresh();
	}

	removed() {
		this.full.toggle(false);
		canvases.delete(this);
	}

	/** The keys go on working after undo, unless the user has turned to something else. */
	#focusAgain() {
		const { editor } = this;
		if (document.activeElement === document.body) editor.stage.focus(editor.selected);
	}

	/** @param {number} undoing When undo was asked for here: the page takes the focus before the node hears of it. */
	#remember(undoing = Number.NEGATIVE_INFINITY) {
		if (!this.key) return;
		const { chosen, model, full } = this.editor;
		memory.set(this.key, { chosen, linked: model.linked, told: this.told, full, undoing });
	}

	selected() {
		this.#remember();
	}

	undoing() {
		this.#remember(performance.now());
	}

	undo(command = "Comfy.Undo") {
		this.undoing();
		app.extensionManager.command.execute(command);
	}

	redo() {
		this.undo("Comfy.Redo");
	}

	changed() {
		this.#remember();
		const tracker = app.extensionManager.workflow.activeWorkflow?.changeTracker;
		if (tracker?.captureCanvasState) tracker.captureCanvasState();
		else tracker?.checkState?.(); // its name before 1.45
	}

	viewed(view) {
		for (const [name, key] of Object.entries(VIEW)) {
			if (view[name] === undefined) delete this.node.properties[key];
			else this.node.setProperty(key, view[name]);
		}
		this.changed();
	}

	#executed(message) {
		const shown = message?.rag_canvas?.[0];
		if (!shown) return;
		const { width, height, background, background_size, drawing, notes = [] } = shown;
		const whole = (pixels) => TOKEN * Math.max(1, Math.round(pixels / TOKEN));
		const picture = background_size && { width: whole(background_size[0]), height: whole(background_size[1]) };
		this.editor.told = notes;
		this.told = { size: { width, height }, guess: JSON.stringify(sizeOf(this.node)), background, picture };
		const news = drawing && isLinked(this.node, "bboxes"); // a run of another tab has nodes of the same ids
		if (news && JSON.parse(drawing).linked !== this.editor.model.drawing.linked) this.editor.adopt(drawing);
		this.#remember();
		this.refresh();
	}

	// --- what the tools ask for ---

	async loras() {
		return (await answered(api.fetchApi("/models/loras"))).json();
	}

	async layouts(kept) {
		const how = { overwrite: true, stringify: true, throwOnError: false };
		if (kept) return answered(api.storeUserData(LAYOUTS, kept, how));
		const answer = await api.getUserData(LAYOUTS);
		return answer.status === 404 ? {} : (await answered(answer)).json();
	}

	toggleBackground() {
		this.node.setProperty("rag_background", this.backdrop.off ? "on" : "off");
		this.backdrop.show();
		this.changed();
	}

	resize(size) {
		for (const name of ["width", "height"]) {
			const widget = widgetOf(this.node, name);
			widget.value = size[name];
			widget.callback?.(widget.value, app.canvas, this.node);
		}
		this.changed();
	}

	toggleFull(on) {
		this.full.toggle(on);
		this.refresh();
	}

	/** The page of help: ComfyUI opens it from the tools of a selected node. */
	help() {
		this.full.toggle(false);
		app.canvas.selectNode(this.node);
		setTimeout(() => document.querySelector("[data-testid='info-button']")?.click(), 100);
	}

	makeMask(number) {
		const { node } = this;
		const mask = window.LiteGraph.createNode("RAGRegionsToMask");
		node.graph.add(mask);
		mask.pos = [node.pos[0] + node.size[0] + 60, node.pos[1]];
		const { width, height } = this.editor.size;
		for (const [name, value] of Object.entries({ index: number, width, height })) widgetOf(mask, name).value = value;
		const input = mask.inputs.findIndex((one) => one.name === "regions");
		node.connect(0, mask, input);
		this.changed();
	}
}

async function answered(asked) {
	const answer = await asked;
	if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
	return answer;
}

/** A saved value as text: anything but a text was written by something else, and is kept as JSON. */
function asText(value) {
	if (typeof value === "string") return value;
	return value === null || value === undefined ? "" : JSON.stringify(value);
}

/** Read the installed LoRAs anew where they were read. */
export function forgetLoras() {
	for (const { editor } of canvases) editor.loras.forget();
}

/** What ComfyUI calls for an input of the widget type RAG_CANVAS. */
export function makeCanvas(node, name) {
	setLanguage(app.extensionManager?.setting?.get("Comfy.Locale"));
	const { widget } = new Canvas(node, name);
	return { widget, minWidth: 420, minHeight: 820 };
}

export function followCanvases() {
	onGraphChange(() => {
		for (const canvas of canvases) {
			if (isAlive(canvas.node)) canvas.refresh();
			else canvas.removed();
		}
	});
	keepWheel(".rag-strip, .rag-panel");
	let zoom = 1;
	chain(app.canvas, "onDrawForeground", () => {
		if (zoom === app.canvas.ds.scale) return;
		zoom = app.canvas.ds.scale;
		for (const { editor } of canvases) if (!editor.full) editor.setZoom(zoom);
	});
	api.addEventListener("executed", ({ detail }) => {
		const image = detail.output?.images?.at(-1);
		if (!image) return;
		for (const { backdrop } of canvases) backdrop.result(detail.display_node ?? detail.node, image);
	});
	api.addEventListener("b_preview_with_metadata", ({ detail }) => {
		for (const { backdrop } of canvases) backdrop.preview(detail.displayNodeId ?? detail.nodeId, detail.blob);
	});
	api.addEventListener("progress_text", ({ detail: { nodeId, text } }) => {
		for (const canvas of canvases) if (nodeAt(nodeId) === canvas.node) canvas.warned(text);
	});
	onRunEnd(() => {
		for (const { backdrop } of canvases) backdrop.end();
	});
}
