/** The drawing on the node: the picture's paper, the regions on it, handles, shading and hatching. */

import { inkOn } from "./color.js";
import { h, place, svg } from "./dom.js";
import { contains, HANDLES, labelSteps, overlap, TOKEN } from "./geometry.js";
import { bounds } from "./group.js";
import { carriedTo, clip, seat, within } from "./shape.js";
import { say } from "./texts.js";
import { extrasOf, numbersOf } from "./value.js";

let editors = 0;

/** Overlaps that are hatched at most: more cover everything, and would cost the frame. */
const MOST_PATCHES = 400;

export class Stage {
	#shown = new Map();
	/** @type {Region[]} Those drawn now. */
	#regions = [];
	#patches = new Map();
	#serial = 0;
	#cell = 0;

	constructor() {
		const mask = `rag-mask-${editors++}`;
		this.holes = svg("mask", { id: mask }, svg("rect", { width: 1, height: 1, fill: "white" }));
		const shade = svg("rect", { width: 1, height: 1, mask: `url(#${mask})` });
		this.image = h("img.rag-image", { alt: "", draggable: false, hidden: true });
		const box = { role: "listbox", "aria-multiselectable": "true", "aria-label": say("aria.regions") };
		this.regions = h(".rag-regions", { ...box });
		this.patches = h(".rag-patches");
		this.handles = h(".rag-handles", { hidden: true }, ...HANDLES.map(handle));
		this.trace = svg("polyline");
		this.cursor = h(".rag-cursor", { hidden: true });
		this.draft = h(".rag-draft", { hidden: true });
		this.empty = h(".rag-empty", say("empty"));
		const below = [this.image, unitSvg("rag-shade", this.holes, shade), this.regions, this.patches, h(".rag-guides")];
		const above = [this.handles, this.draft, unitSvg("rag-trace", this.trace), this.cursor, this.empty];
		this.paper = h(".rag-paper", { tabindex: 0, role: "group" }, ...below, ...above);
		this.root = h(".rag-stage", this.paper);
		this.zoom = 1;
		new ResizeObserver(([entry]) => this.#fitGrid(entry.contentRect.width)).observe(this.paper);
	}

	/** Draw everything anew: after a change, a selection or another size. */
	render({ model: { regions }, chosen, raised, size }) {
		this.#regions = regions;
		this.size = size;
		this.paper.style.setProperty("--rag-aspect", this.aspect);
		this.paper.setAttribute("aria-label", say("aria.stage", { ...size, count: regions.length }));
		this.empty.hidden = regions.length > 0;
		const numbers = numbersOf(regions);
		const picked = new Set(chosen);
		const seen = regions.filter((region) => region.enabled || picked.has(region.id));
		const ids = new Set(seen.map((region) => region.id));
		for (const id of this.#shown.keys()) if (!ids.has(id)) this.#drop(id);
		const steps = labelSteps(seen);
		for (const [index, region] of seen.entries()) {
			this.#draw(region, numbers.get(region.id), picked.has(region.id), steps[index], chosen.length === 1);
			this.#shown.get(region.id).box.classList.toggle("rag-raised", region.id === raised);
		}
		this.#order(seen);
		this.#frame(regions.filter((region) => picked.has(region.id) && !region.locked));
		this.#fitGrid();
		this.#patchAll(new Map(regions.map((region) => [region.id, region])));
	}

	/** Show regions at other places while they are dragged: writes a few styles, reads nothing. */
	placeAll(boxes) {
		this.#frame([...boxes.values()]);
		for (const [id, box] of boxes) {
			const { box: element, hole, extent } = this.#shown.get(id);
			place(element, box);
			punch(hole, box);
			if (boxes.size === 1) extent.textContent = pixels(box, this.size);
		}
		this.#patchAll(boxes);
	}

	/** The region at a point of the picture that is in front, and those behind it. */
	under(at, chosen, raised) {
		const stack = this.#regions
			.filter((one) => (one.enabled || chosen.includes(one.id)) && contains(one, at))
			.reverse();
		const front = stack.find((region) => region.id === raised);
		return front ? [front, ...stack.filter((region) => region !== front)] : stack;
	}

	#frame(boxes) {
		const around = bounds(boxes);
		this.handles.hidden = !around;
		if (around) place(this.handles, around);
	}

	/** Show the box that is being drawn, or, without a colour, what is being caught; null when it is done. */
	showDraft(box, color = "") {
		this.draft.hidden = !box;
		this.empty.hidden ||= Boolean(box);
		if (!box) return;
		this.draft.style.setProperty("--rag-tint", color || "#fff");
		this.draft.textContent = color ? pixels(box, this.size) : "";
		place(this.draft, box);
	}

	/** Show the line that is being drawn, and where the keys are, [x, y], if they draw. */
	showTrace(points, color, at) {
		this.cursor.hidden = !at;
		if (at) place(this.cursor, { x: at[0], y: at[1], w: 0, h: 0 });
		this.trace.style.setProperty("--rag-tint", color);
		this.trace.setAttribute("points", points.join(" "));
		this.empty.hidden ||= points.length > 0;
	}

	/**
	 * The picture stays until the next one is there.
	 * @param {string} url Of the picture behind the regions; empty for none.
	 * @param {number} slack By how much, as a share, its shape may differ from the layout's.
	 */
	showImage(url, slack) {
		const { image } = this;
		const show = () => {
			const aspect = image.naturalWidth / image.naturalHeight;
			image.hidden = !(Math.abs(aspect / this.aspect - 1) <= slack);
		};
		image.onload = image.onerror = show;
		if (!url) image.hidden = true;
		else if (image.getAttribute("src") !== url) image.src = url;
		else if (image.complete) show();
	}

	get aspect() {
		return this.size.width / this.size.height;
	}

	setZoom(zoom) {
		this.zoom = zoom;
		this.#fitGrid();
	}

	focus(id) {
		(this.#shown.get(id)?.box ?? this.paper).focus({ preventScroll: true });
	}

	#draw(region, number, selected, step, alone) {
		const shown = this.#shown.get(region.id) ?? this.#make(region.id);
		const { box, label, words, extent, hole } = shown;
		place(box, region);
		const corners = within(region, region).join(" ");
		for (const shape of [hole, box.querySelector("polygon")]) shape.setAttribute("points", corners);
		box.classList.toggle("rag-shaped", Boolean(region.points));
		const [left, top] = region.points ? seat(region) : [0, 0];
		punch(hole, region);
		hole.setAttribute("visibility", region.enabled ? "visible" : "hidden");
		const look = { tint: region.color, ink: inkOn(region.color), step, left: `${100 * left}%`, top: `${100 * top}%` };
		for (const [name, value] of Object.entries(look)) box.style.setProperty(`--rag-${name}`, value);
		box.classList.toggle("rag-off", !region.enabled);
		box.classList.toggle("rag-locked", Boolean(region.locked));
		box.setAttribute("aria-selected", selected);
		box.setAttribute("aria-label", described(region, number));
		label.firstChild.textContent = number ?? "–";
		label.lastChild.textContent = region.name ?? "";
		extent.textContent = selected && alone ? pixels(region, this.size) : "";
		words.textContent = region.prompt;
	}

	#make(id) {
		const label = h("span.rag-label", h("b"), h("span"));
		const extent = h("span.rag-size");
		const words = h("span.rag-words");
		const inside = h(".rag-inside", words);
		const shape = unitSvg("rag-shape", svg("polygon"));
		const role = { role: "option", tabindex: 0, "data-region": id };
		const box = h(".rag-region", role, shape, inside, label, extent);
		const hole = svg("polygon", { fill: "black", "fill-rule": "evenodd" });
		const shown = { box, label, words, extent, hole, serial: this.#serial++ };
		this.regions.append(box);
		this.holes.append(shown.hole);
		this.#shown.set(id, shown);
		return shown;
	}

	#drop(id) {
		const { box, hole, serial } = this.#shown.get(id);
		box.remove();
		hole.remove();
		for (const [key, element] of this.#patches) {
			if (key % PAIR !== serial && Math.floor(key / PAIR) !== serial) continue;
			element.remove();
			this.#patches.delete(key);
		}
		this.#shown.delete(id);
	}

	/** Bring the elements into the order of the list without touching those that are right: they may have focus. */
	#order(regions) {
		for (const [index, region] of regions.entries()) {
			const { box } = this.#shown.get(region.id);
			if (this.regions.children[index] !== box) this.regions.insertBefore(box, this.regions.children[index]);
		}
	}

	/** Hatch what regions share with others, for each pair with one that is at another place. */
	#patchAll(boxes) {
		const shown = this.#regions.filter((region) => this.#shown.has(region.id));
		const serials = shown.map((region) => this.#shown.get(region.id).serial);
		const moved = shown.map((region) => boxes.has(region.id));
		const placed = shown.map((region, index) => (moved[index] ? carriedTo(region, boxes.get(region.id)) : region));
		for (let one = 0; one < shown.length; one++)
			for (let two = one + 1; two < shown.length; two++)
				if (moved[one] || moved[two]) this.#patchPair(pairKey(serials[one], serials[two]), placed[one], placed[two]);
	}

	#patchPair(key, one, two) {
		const shared = one.enabled && two.enabled ? overlap(one, two) : null;
		let element = this.#patches.get(key);
		if (!shared) {
			element?.remove();
			this.#patches.delete(key);
			return;
		}
		if (!element && this.#patches.size >= MOST_PATCHES) return;
		if (!element) {
			element = h(".rag-patch", h("div"));
			this.#patches.set(key, element);
			this.patches.append(element);
		}
		place(element, shared);
		element.style.clipPath = clip(one, shared);
		element.firstChild.style.clipPath = clip(two, shared);
	}

	/** Lines every 1, 2, 4, ... tokens, so that they stay at least 8 pixels apart on the screen. */
	#fitGrid(width = this.#cell) {
		this.#cell = width;
		if (!this.size || !width) return;
		const tokens = this.size.width / TOKEN;
		let step = 1;
		while ((width / tokens) * step * this.zoom < 8 && step < tokens) step *= 2;
		this.paper.style.setProperty("--rag-grid-x", `${(100 * step) / tokens}%`);
		this.paper.style.setProperty("--rag-grid-y", `${(100 * step * TOKEN) / this.size.height}%`);
	}
}

const PAIR = 1e6;

/** The order of the list does not tell a pair. */
const pairKey = (one, two) => Math.min(one, two) * PAIR + Math.max(one, two);

const handle = (name) => h("i", { "data-handle": name, "aria-hidden": "true" });

const unitSvg = (name, ...inside) =>
	svg("svg", { class: name, viewBox: "0 0 1 1", preserveAspectRatio: "none" }, ...inside);

function punch(hole, { x, y, w, h: tall }) {
	hole.setAttribute("transform", `translate(${x} ${y}) scale(${w} ${tall})`);
}

const pixels = (box, size) => `${Math.round(box.w * size.width)} × ${Math.round(box.h * size.height)}`;

const percent = (fraction) => Math.round(100 * fraction);

export function described(region, number) {
	const state =
		(region.enabled ? "" : say("aria.hidden")) + (region.locked ? say("aria.locked") : "") + extrasOf(region, ", ");
	const words = region.prompt.trim() || say("aria.noPrompt");
	const prompt = region.name ? `${region.name}, ${words}` : words;
	return say("aria.region", { number: number ?? "–", prompt, ...inPercent(region), state });
}

export function inPercent(box) {
	return { left: percent(box.x), top: percent(box.y), width: percent(box.w), height: percent(box.h) };
}
