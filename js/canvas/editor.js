/** The editor of Region Canvas: toolbar, stage, list and hints around one drawing. Knows nothing of ComfyUI. */

import { Broken } from "./broken.js";
import { listenToClipboard } from "./clipboard.js";
import { h, keepsWheel } from "./dom.js";
import { Field } from "./field.js";
import { newBox } from "./geometry.js";
import { bounds, carried } from "./group.js";
import { listenToKeys } from "./keys.js";
import { Loras } from "./loras.js";
import { openMenu, regionItems } from "./menu.js";
import { Model } from "./model.js";
import { listenToPointer } from "./pointer.js";
import { inPercent, Stage } from "./stage.js";
import { Strip } from "./strip.js";
import { addStyle } from "./style.js";
import { say } from "./texts.js";
import { Toolbar } from "./toolbar.js";
import { Trace } from "./trace.js";
import { numbersOf } from "./value.js";

export class Editor {
	/** @type {string[]} Ids of the regions that are selected; details are those of the last one. */
	chosen = [];
	/** A covered region that Alt+click has reached: in front as long as it is selected. */
	raised = null;
	size = { width: 1024, height: 1024 };
	/** What the page has to say besides, in words; and what an empty paper says. */
	note = "";
	warning = "";
	hint = "";
	view = {};
	full = false;

	/** What the last run said of the linked layout. */
	told = [];
	/** What the keys move: where the regions were, and the box around them now. */
	#nudged = null;

	constructor(host) {
		addStyle();
		this.host = host;
		this.model = new Model();
		this.loras = new Loras(this);
		this.stage = new Stage();
		this.trace = new Trace(this);
		this.toolbar = new Toolbar(this);
		this.strip = new Strip(this);
		this.broken = new Broken(this);
		this.field = new Field(this);
		this.status = keepsWheel(h(".rag-status"));
		this.speaker = h(".rag-speaker", { role: "status", "aria-live": "polite" });
		this.parts = [this.toolbar.root, this.stage.root, this.strip.splitter, this.strip.root, this.status];
		this.root = h(".rag-canvas", this.broken.root, ...this.parts, this.speaker);
		listenToPointer(this);
		listenToKeys(this);
		listenToClipboard(this);
		this.render();
	}

	get text() {
		return this.model.text;
	}

	set text(text) {
		if (text === this.model.text) return;
		this.field.close();
		this.onCancel?.();
		this.#nudged = null;
		this.model.load(text);
		this.render();
	}

	/** The region whose details are shown: its id, or null. */
	get selected() {
		return this.chosen.at(-1) ?? null;
	}

	get chosenRegions() {
		return this.model.regions.filter((region) => this.chosen.includes(region.id));
	}

	/** Those that may be moved and removed. */
	get free() {
		return this.chosenRegions.filter((region) => !region.locked);
	}

	/** The graph is shown at another zoom: labels and handles keep their size on the screen. */
	setZoom(zoom) {
		this.root.style.setProperty("--rag-up", Math.min(Math.max(1 / zoom, 1), 4));
		this.stage.setZoom(zoom);
	}

	/** @param {View} view What is not said is as it is for a new node. */
	setView(view) {
		this.view = view;
		const { style, classList } = this.root;
		if (view.strip > 0) style.setProperty("--rag-strip", `${view.strip}px`);
		else style.removeProperty("--rag-strip");
		style.setProperty("--rag-opacity", view.opacity ?? 1);
		classList.toggle("rag-thirds", Boolean(view.guides));
		this.toolbar.panels.view.show(view);
	}

	changeView(changes) {
		this.setView({ ...this.view, ...changes });
		this.host.viewed(this.view);
	}

	render() {
		const { model } = this;
		this.chosen = this.chosen.filter((id) => model.find(id));
		if (!this.chosen.includes(this.raised)) this.raised = null;
		const broken = this.broken.render();
		for (const part of this.parts) part.hidden = broken;
		this.stage.empty.textContent = this.hint || say("empty");
		this.stage.render(this);
		this.strip.render(this);
		this.toolbar.render(this.chosenRegions, numbersOf(model.regions).get(this.selected));
		this.#showStatus();
	}

	/** One action is done: show it, and make it a step of undo. */
	commit() {
		this.render();
		this.host.changed();
	}

	// --- selection ---

	select(ids, raised = null) {
		const chosen = [ids ?? []].flat();
		if (raised === this.raised && chosen.join() === this.chosen.join()) return;
		this.finish();
		this.chosen = chosen;
		this.raised = raised;
		this.render();
		this.host.selected();
		if (chosen.length === 1) this.announce("say.selected", { number: this.number(chosen[0]) });
		else if (chosen.length) this.announce("say.chosen", { count: chosen.length });
	}

	toggle(id) {
		this.select(this.chosen.includes(id) ? this.chosen.filter((other) => other !== id) : [...this.chosen, id]);
	}

	// --- actions ---

	#made(regions) {
		this.chosen = regions.map((region) => region.id);
		this.commit();
		this.host.selected();
		this.stage.focus(this.selected);
		this.announce("say.added", { number: regions.map((region) => this.number(region.id)).join(", ") });
	}

	addRegion(box = newBox(this.model.regions, this.size)) {
		this.finish();
		this.#made([this.model.add(box)]);
	}

	/**
	 * @param {Region[]} regions Of the clipboard, or of another layout.
	 * @param {boolean} anew In the place of all that are not locked.
	 */
	insert(regions, anew = false) {
		this.finish();
		if (anew) this.#clear();
		this.#made(this.model.insert(regions, this.size));
	}

	duplicate(ids = this.chosen) {
		this.finish();
		if (ids.length) this.#made(ids.map((id) => this.model.duplicate(id, this.size)));
	}

	placeRegion(id, box) {
		this.placeAll(new Map([[id, box]]));
	}

	placeAll(boxes) {
		const differs = (region, box) => ["x", "y", "w", "h"].some((key) => Math.abs(region[key] - box[key]) >= 1e-7);
		const moved = [...boxes].filter(([id, box]) => this.model.find(id) && differs(this.model.find(id), box));
		if (!moved.length) return this.render();
		for (const [id, { x, y, w, h: tall }] of moved) this.model.set(id, { x, y, w, h: tall });
		this.commit();
		const [id, box] = moved[0];
		if (moved.length === 1) this.announce("say.placed", { number: this.number(id), ...inPercent(box) });
	}

	/** Change what regions say about themselves: hidden, locked, colour, strength. */
	change(ids, changes) {
		this.finish();
		for (const region of [ids].flat().flatMap((id) => this.model.find(id) ?? []))
			this.model.set(region.id, typeof changes === "function" ? changes(region) : changes);
		this.commit();
	}

	remove() {
		this.finish();
		const going = this.free;
		if (!going.length) return;
		const place = this.model.regions.indexOf(going[0]);
		for (const { id } of going) this.model.remove(id);
		const next = this.model.regions[Math.min(place, this.model.regions.length - 1)]?.id ?? null;
		this.chosen = next ? [next] : [];
		this.commit();
		this.host.selected();
		this.stage.focus(next);
		this.announce("say.deleted", { count: this.model.regions.length });
	}

	clear() {
		this.finish();
		this.#clear();
		this.chosen = [];
		this.commit();
		this.announce("say.deleted", { count: this.model.regions.length });
	}

	#clear() {
		this.model.replace(this.model.regions.filter((region) => region.locked));
	}

	reorder(id, by) {
		this.finish();
		if (this.model.reorder(id, by)) this.commit();
	}

	/** @param {number} place In the list as it is; 0 is the back. */
	moveTo(ids, place) {
		this.finish();
		if (this.model.moveTo(ids, place)) this.commit();
	}

	/** @returns {boolean} False if a part would be smaller than a token. */
	split(cells, prompts, anew) {
		this.finish();
		const first = this.model.split(this.selected, cells, prompts, this.size, anew);
		if (!first) return false;
		this.chosen = [first.id];
		this.commit();
		this.stage.focus(first.id);
		return true;
	}

	adopt(text) {
		this.text = text;
		this.commit();
		this.announce("say.linked", { count: this.model.regions.length });
	}

	openMenu(x, y) {
		openMenu(regionItems(this), x, y, () => this.stage.focus(this.selected));
	}

	// --- nudging with the keys: one step of undo from the first key to its release ---

	/** @param {(box: Box) => Box} by What happens to the box around all. */
	nudge(by) {
		const from = this.#nudged?.from ?? this.free;
		if (!from.length) return;
		const around = bounds(from);
		const to = by(this.#nudged?.to ?? around);
		const boxes = new Map(carried(from, around, to, this.size).map((region) => [region.id, region]));
		this.#nudged = { from, to, boxes };
		this.stage.placeAll(boxes);
	}

	/** End what is under way: a nudge, a prompt that is being typed. */
	finish() {
		const nudged = this.#nudged;
		this.#nudged = null;
		if (nudged) this.placeAll(nudged.boxes);
		this.field.close();
	}

	cancel() {
		this.#nudged = null;
		return this.onCancel?.() ?? false;
	}

	// --- prompts ---

	/** The prompt as it is typed: saved at once, one step of undo when the field is left. */
	typePrompt(id, prompt) {
		this.model.set(id, { prompt });
		this.stage.render(this);
		this.strip.list.showPrompt(id, prompt);
		this.#showStatus();
	}

	/** Ctrl+Z in a field where nothing was typed means the step before. */
	undoInstead(event) {
		if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key.toLowerCase() !== "z") return;
		event.preventDefault();
		event.stopPropagation();
		this.stage.focus(this.selected);
		this.field.close();
		this.host.undo();
	}

	// --- saying things ---

	number(id) {
		return numbersOf(this.model.regions).get(id) ?? "–";
	}

	announce(key, values) {
		this.speaker.textContent = say(key, values);
	}

	#showStatus() {
		const { free, empty, overlapping, small } = this.model.findings(this.size);
		const parts = [this.trace.hint, this.note].filter(Boolean);
		if (!this.model.regions.length) parts.push(say("status.none"));
		else if (free > 0) parts.push(say("status.free", { percent: Math.max(1, Math.round(100 * free)) }));
		else parts.push(say("status.full"));
		for (const [key, numbers] of Object.entries({ outside: this.model.mended, empty, overlap: overlapping, small }))
			if (numbers.length) parts.push(say(`status.${key}`, { numbers: numbers.join(", ") }));
		const text = [...parts, ...this.told].join(" · ");
		const all = [this.warning, text].filter(Boolean).join("\n");
		if (this.status.title === all) return;
		this.status.title = all;
		this.status.replaceChildren(h(".rag-reason", this.warning), text);
	}
}
