/** Below the stage: the list of regions with what concerns the selected ones, as high as its user wants it. */

import { Details } from "./details.js";
import { h, iconButton, keepsWheel, titled } from "./dom.js";
import { ALIGNMENTS, aligned, distributed } from "./group.js";
import { List } from "./list.js";
import { Own } from "./own.js";
import { say } from "./texts.js";

const LEAST = 28;
/** What the stage keeps, in CSS pixels. */
const STAGE = 190;
const STEP = 16;

export class Strip {
	#last = null;

	constructor(editor) {
		this.editor = editor;
		this.list = new List(editor);
		this.details = new Details(editor);
		this.group = new Group(editor);
		this.own = new Own(editor);
		const onkeydown = (event) => {
			if (event.key !== "Escape") return;
			event.stopPropagation();
			editor.stage.focus(editor.selected);
		};
		this.head = h(".rag-head", { onkeydown }, this.details.root, this.group.root, this.own.root);
		this.root = keepsWheel(h(".rag-strip", this.head, this.list.root));
		const role = { role: "separator", tabindex: 0, "aria-orientation": "horizontal", ...titled(say("splitter")) };
		this.splitter = h(".rag-splitter", role);
		this.#listen();
	}

	render({ model, chosen, chosenRegions, selected, size }) {
		this.group.render(chosen);
		this.details.root.hidden = chosen.length > 1;
		this.details.render(model.find(selected), size);
		this.own.render(chosenRegions);
		this.list.render(model.regions, chosen);
		const place = selected && `${selected} ${model.regions.findIndex((region) => region.id === selected)}`;
		if (place && place !== this.#last) this.#show(this.list.row(selected));
		this.#last = place;
	}

	/** Scroll to a row, this strip alone: scrollIntoView would move the page as well. */
	#show(row) {
		const { root } = this;
		const above = row.offsetTop - this.head.offsetHeight;
		const below = row.offsetTop + row.offsetHeight - root.clientHeight;
		if (above < root.scrollTop) root.scrollTop = above;
		else if (below > root.scrollTop) root.scrollTop = below;
	}

	#listen() {
		const { splitter, editor } = this;
		let press = null;
		splitter.addEventListener("pointerdown", (event) => {
			if (event.button !== 0) return;
			splitter.setPointerCapture(event.pointerId);
			const scale = splitter.getBoundingClientRect().height / splitter.offsetHeight;
			press = { y: event.clientY, scale, ...this.#heights() };
		});
		splitter.addEventListener("pointermove", (event) => {
			if (!press) return;
			press.to = clamped(press.now + (press.y - event.clientY) / press.scale, press.most);
			editor.setView({ ...editor.view, strip: press.to });
		});
		const end = () => {
			if (press?.to) editor.changeView({ strip: press.to });
			press = null;
		};
		splitter.addEventListener("pointerup", end);
		splitter.addEventListener("pointercancel", end);
		splitter.addEventListener("dblclick", () => editor.changeView({ strip: undefined }));
		splitter.addEventListener("keydown", (event) => {
			const by = { ArrowUp: STEP, ArrowDown: -STEP }[event.key];
			if (!by) return;
			event.preventDefault();
			event.stopPropagation();
			const { now, most } = this.#heights();
			editor.setView({ ...editor.view, strip: clamped(now + by, most) });
		});
		splitter.addEventListener("keyup", () => editor.changeView({}));
	}

	#heights() {
		const now = this.root.offsetHeight;
		return { now, most: now + this.editor.stage.root.offsetHeight - STAGE };
	}
}

const clamped = (height, most) => Math.round(Math.max(LEAST, Math.min(height, Math.max(most, LEAST))));

class Group {
	constructor(editor) {
		const spread = (axis) => this.#place((boxes) => distributed(boxes, axis, editor.size));
		const align = (way) => this.#place((boxes) => aligned(boxes, way, editor.size));
		this.editor = editor;
		this.count = h("strong");
		this.spread = ["x", "y"].map((axis) => iconButton(`spread.${axis}`, () => spread(axis)));
		const ways = Object.keys(ALIGNMENTS).map((way) => iconButton(`align.${way}`, () => align(way)));
		this.root = h(".rag-group", { hidden: true }, this.count, ...ways, ...this.spread);
	}

	render(chosen) {
		this.root.hidden = chosen.length < 2;
		this.count.textContent = say("group.count", { count: chosen.length });
		for (const button of this.spread) button.disabled = chosen.length < 3;
	}

	#place(by) {
		const { editor } = this;
		editor.finish();
		const boxes = editor.free;
		if (boxes.length > 1) editor.placeAll(new Map(by(boxes).map((box) => [box.id, box])));
	}
}
