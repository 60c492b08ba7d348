/** The drawing being edited: what it holds, and every way to change it. Knows no page. */

import { boundTokens, moved, overlap, TOKEN, tokensOf, uncovered } from "./geometry.js";
import { carriedTo } from "./shape.js";
import { splitBox } from "./split.js";
import { DrawingError, freeColor, freeId, numbersOf, parseDrawing, VERSION, writeDrawing } from "./value.js";

const aside = (region, size) =>
	carriedTo(region, moved(region, (2 * TOKEN) / size.width, (2 * TOKEN) / size.height, size));

/** New regions among others, with ids and colours of their own. */
function fresh(regions, others) {
	const made = [];
	for (const region of regions) {
		const all = [...others, ...made];
		made.push({ prompt: "", enabled: true, ...region, id: freeId(all), color: freeColor(all) });
	}
	return made;
}

/** Regions under so many tokens a side often do not come out. */
const SMALL = 8;

export class Model {
	#raw = "";
	#edited = false;

	/** Numbers of the regions that left the picture, and are shown cut. */
	mended = [];

	/** The fingerprint of the linked layout that was last shown: edits hold until it changes. */
	linked = "";

	constructor(text = "") {
		this.load(text);
	}

	/** Take over a text as it is; one that cannot be read stays, and `error` says why. */
	load(text) {
		this.#raw = text;
		this.#edited = false;
		this.error = null;
		this.drawing = { version: VERSION, regions: [] };
		this.mended = [];
		try {
			this.drawing = parseDrawing(text, this.mended);
		} catch (error) {
			if (!(error instanceof DrawingError)) throw error;
			this.error = error;
		}
		this.linked = this.drawing.linked || this.linked;
	}

	/** What the workflow saves: the text as it came, until something is changed. */
	get text() {
		if (this.#edited) {
			this.#raw = writeDrawing(this.drawing);
			this.#edited = false;
		}
		return this.#raw;
	}

	/** @returns {Region[]} In the order of the list; the last one is in front. */
	get regions() {
		return this.drawing.regions;
	}

	find(id) {
		return this.regions.find((region) => region.id === id);
	}

	replace(regions) {
		this.drawing = { ...this.drawing, regions };
		if (this.linked) this.drawing.linked = this.linked;
		this.error = null;
		this.mended = [];
		this.#edited = true;
	}

	set(id, changes) {
		const changed = (region) => ({ ...("w" in changes ? carriedTo(region, changes) : region), ...changes });
		this.replace(this.regions.map((region) => (region.id === id ? changed(region) : region)));
	}

	add(box, prompt = "") {
		const [region] = fresh([{ ...box, prompt }], this.regions);
		this.replace([...this.regions, region]);
		return region;
	}

	remove(id) {
		this.replace(this.regions.filter((region) => region.id !== id));
	}

	/** A copy of a region right in front of it, two tokens aside. */
	duplicate(id, size) {
		const [copy] = fresh([{ ...aside(this.find(id), size), locked: false }], this.regions);
		this.replace(this.regions.flatMap((other) => (other.id === id ? [other, copy] : [other])));
		return copy;
	}

	/** Move a region in the list: 1 is one to the front, -1 one back. False at the end of the list. */
	reorder(id, by) {
		const from = this.regions.findIndex((region) => region.id === id);
		return this.moveTo([id], Math.max(from + (by > 0 ? by + 1 : by), 0));
	}

	/** Put regions at a place of the list, in the order they have there: 0 is the back. False if nothing moves. */
	moveTo(ids, place) {
		const going = this.regions.filter((region) => ids.includes(region.id));
		const before = this.regions.slice(0, place).filter((region) => !ids.includes(region.id));
		const after = this.regions.slice(place).filter((region) => !ids.includes(region.id));
		const regions = [...before, ...going, ...after];
		if (regions.every((region, index) => region === this.regions[index])) return false;
		this.replace(regions);
		return true;
	}

	/** Put copies of regions of any drawing in front, a step aside where one lies at its very place. */
	insert(regions, size) {
		const same = (one, other) => ["x", "y", "w", "h"].every((key) => Math.abs(one[key] - other[key]) < 1e-4);
		const made = [];
		for (const region of regions) {
			const others = [...this.regions, ...made];
			const color = others.every((other) => other.color !== region.color) && region.color;
			const box = others.some((other) => same(other, region)) ? aside(region, size) : region;
			made.push({ ...fresh([box], others)[0], ...(color && { color }), locked: false });
		}
		this.replace([...this.regions, ...made]);
		return made;
	}

	/**
	 * Divide a region, whose first part keeps its name and prompt, or the whole picture if there is no id.
	 * @param {string[]} prompts One for each cell, or none at all.
	 * @param {boolean} anew Without an id: in the place of all regions that are not locked.
	 * @returns {Region | null} The first part; null if a part would be too small.
	 */
	split(id, cells, prompts, size, anew = false) {
		const whole = this.find(id);
		const kept = anew && !whole ? this.regions.filter((region) => region.locked) : this.regions;
		const boxes = splitBox(whole ?? { x: 0, y: 0, w: 1, h: 1 }, cells, size);
		if (!boxes) return null;
		const parts = fresh(
			boxes.map((box, index) => ({ ...box, prompt: prompts[index] ?? "" })),
			kept,
		);
		if (whole) parts[0] = { ...whole, ...boxes[0], prompt: prompts[0] || whole.prompt, points: undefined };
		const replaced = (region) => (region.id === id ? parts : [region]);
		this.replace(whole ? kept.flatMap(replaced) : [...kept, ...parts]);
		return parts[0];
	}

	/** What a person should know about the drawing: numbers of regions, as shown on the canvas. */
	findings(size) {
		const shown = this.regions.filter((region) => region.enabled);
		const numbers = numbersOf(this.regions);
		const small = ({ x0, y0, x1, y1 }) => x1 - x0 < SMALL || y1 - y0 < SMALL;
		const pairs = shown.flatMap((region, index) =>
			shown.slice(index + 1).flatMap((other) => (meet(region, other, size) ? [region, other] : [])),
		);
		const listed = (regions) => [...new Set(regions.map((region) => numbers.get(region.id)))].sort((a, b) => a - b);
		return {
			free: uncovered(shown, size),
			empty: listed(shown.filter((region) => !region.prompt.trim())),
			overlapping: listed(pairs),
			small: listed(shown.filter((region) => small(boundTokens(region, size)))),
		};
	}
}

function meet(one, two, size) {
	if (!overlap(one, two) || !(one.points || two.points)) return overlap(one, two);
	const taken = new Set(tokensOf(one, size));
	return [...tokensOf(two, size)].some((token) => taken.has(token));
}
