/**
 * The drawing as JSON: what Region Canvas saves in a workflow and sends to the server.
 *
 *     {"version": 1, "regions": [{"id", "x", "y", "w", "h", "prompt", "enabled", "color", ...}, ...]}
 *
 * x, y, w and h are fractions of the image. The list alone is read too, and keys that are not known are kept.
 * rag_sampler/drawing.py reads it by the same rules; tests/canvas_vectors.json holds both to them.
 */

import { colorOf } from "./color.js";

export const VERSION = 1;

/** As rag_sampler/layout.py: rounded decimals may reach so far over the border. */
export const BORDER_SLACK = 2e-3;

/** A text that is no drawing; the message is a key of texts.js with its values. */
export class DrawingError extends Error {
	constructor(key, values = {}) {
		super(key);
		this.key = key;
		this.values = values;
	}
}

/**
 * The drawing in a text, empty for an empty text.
 * @param {number[]} [mended] Takes the numbers of regions that leave the picture, which are cut; else they are errors.
 * @throws {DrawingError}
 */
export function parseDrawing(text, mended) {
	let data = [];
	if (text.trim()) {
		try {
			data = JSON.parse(text);
		} catch (error) {
			throw new DrawingError("error.json", { reason: error.message });
		}
	}
	if (Array.isArray(data)) data = { version: VERSION, regions: data };
	if (!isObject(data) || !Array.isArray(data.regions)) throw new DrawingError("error.shape");
	if ((data.version ?? VERSION) !== VERSION || data.version === null)
		throw new DrawingError("error.version", { found: JSON.stringify(data.version), known: VERSION });
	const regions = mended ? data.regions.map((region, index) => inside(region, index, mended)) : data.regions;
	regions.forEach(check);
	return { ...data, version: VERSION, regions: complete(regions) };
}

export function writeDrawing(drawing) {
	const regions = drawing.regions.map((region) => {
		const points = region.points?.map((corner) => corner.map(six));
		return { ...region, ...rounded(region), points };
	});
	return JSON.stringify({ ...drawing, regions });
}

export function freeId(regions) {
	const taken = new Set(regions.map((region) => region.id));
	for (let number = 1; ; number++) if (!taken.has(`r${number}`)) return `r${number}`;
}

export function freeColor(regions) {
	const taken = new Set(regions.map((region) => region.color));
	for (let index = 0; ; index++) if (!taken.has(colorOf(index))) return colorOf(index);
}

/** The number that each region has on the canvas, in messages and in previews; hidden regions have none. */
export function numbersOf(regions) {
	return new Map(regions.filter((region) => region.enabled).map((region, index) => [region.id, index + 1]));
}

/** What a region has besides its prompt, in short, each with a text before it. */
export function extrasOf({ strength = 1, loras = [] }, before) {
	const lora = loras.length ? [`LoRA ×${loras.map((one) => one.strength).join(", ×")}`] : [];
	const share = strength < 1 ? [`${Math.round(100 * strength)} %`] : [];
	return [...lora, ...share].map((text) => before + text).join("");
}

/** A box with six decimals: finer than a pixel, and short to read. */
export function rounded({ x, y, w, h }) {
	return { x: six(x), y: six(y), w: six(w), h: six(h) };
}

const six = (number) => Math.round(number * 1e6) / 1e6;
const isNumber = Number.isFinite;
const isObject = (data) => typeof data === "object" && data !== null && !Array.isArray(data);

/** The part of a region that lies in the picture; as it is where it has none, or is no box. */
function inside(region, index, mended) {
	const { x, y, w, h } = region ?? {};
	const cut = (edge) => Math.min(Math.max(edge, 0), 1);
	const [left, top, right, bottom] = [x, y, x + w, y + h].map(cut);
	const out = x < 0 || y < 0 || Math.max(x + w, y + h) > 1 + BORDER_SLACK;
	if (!out || !(w > 0 && h > 0 && right > left && bottom > top)) return region;
	mended.push(index + 1);
	const box = { x: left, y: top, w: right - left, h: bottom - top };
	const points = region.points?.every?.(Array.isArray) && region.points.map((corner) => corner.map(cut));
	return { ...region, ...box, ...(points && { points }) };
}

const isShare = (value) => isNumber(value) && value >= 0 && value <= 1;
const isLora = (one) => isObject(one) && typeof one.name === "string" && one.name && isNumber(one.strength);
const isCorner = (one) => Array.isArray(one) && one.length === 2 && one.every(isShare);

/** What may be left out: what it has to be, and how that is said. */
const OPTIONAL = {
	prompt: [(value) => typeof value === "string", '"…"'],
	enabled: [(value) => typeof value === "boolean", "true / false"],
	strength: [isShare, "0 … 1"],
	loras: [(all) => Array.isArray(all) && all.every(isLora), '[{"name": "…", "strength": 1}]'],
	points: [(all) => Array.isArray(all) && all.length > 2 && all.every(isCorner), "[[0 … 1, 0 … 1], …], ≥ 3"],
	color: [(value) => value === null || (typeof value === "string" && /^(#[0-9a-f]{6})?$/i.test(value)), '"#3cb44b"'],
};

function check(region, index) {
	const fail = (key, found, right) => {
		const shown = found === undefined ? "undefined" : JSON.stringify(found).slice(0, 40);
		throw new DrawingError("error.field", { number: index + 1, key, found: shown, right });
	};
	if (!isObject(region)) fail("region", region, "{x, y, w, h}");
	for (const key of ["x", "y", "w", "h"]) if (!isNumber(region[key])) fail(key, region[key], "0 … 1");
	for (const [start, size] of ["xw", "yh"]) {
		if (region[size] <= 0) fail(size, region[size], "> 0");
		if (region[start] < 0) fail(start, region[start], "≥ 0");
		const end = region[start] + region[size];
		if (end > 1 + BORDER_SLACK) fail(`${start} + ${size}`, end, "≤ 1");
	}
	for (const [key, [fits, right]] of Object.entries(OPTIONAL))
		if (region[key] !== undefined && !fits(region[key])) fail(key, region[key], right);
}

/** Regions with everything that may be left out: an id of their own, a prompt, a colour. */
function complete(regions) {
	const done = [];
	let shown = 0;
	for (const region of regions) {
		const enabled = region.enabled ?? true;
		const known = typeof region.id === "string" && region.id && !done.some((other) => other.id === region.id);
		done.push({
			...region,
			id: known ? region.id : freeId([...regions, ...done]),
			prompt: region.prompt ?? "",
			enabled,
			color: region.color || colorOf(enabled ? shown : done.length),
		});
		if (enabled) shown++;
	}
	return done;
}
