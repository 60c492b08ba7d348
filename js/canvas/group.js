/** Several boxes as one: what lies around them, and all of them moved, resized, aligned or spread with it. */

import { moved, snap, TOKEN } from "./geometry.js";

export function bounds(boxes) {
	if (!boxes.length) return null;
	const x = Math.min(...boxes.map((box) => box.x));
	const y = Math.min(...boxes.map((box) => box.y));
	const w = Math.max(...boxes.map((box) => box.x + box.w)) - x;
	const h = Math.max(...boxes.map((box) => box.y + box.h)) - y;
	return { x, y, w, h };
}

/**
 * Boxes that lie in `around`, at their places in `to`. What is only moved keeps its size to the bit; else the edges
 * inside come on the grid unless free, and every box keeps one token at least.
 */
export function carried(boxes, around, to, { width, height }, free = false) {
	return boxes.map((box) => {
		const [x, w] = along(box.x, box.w, [around.x, around.w], [to.x, to.w], width, free);
		const [y, h] = along(box.y, box.h, [around.y, around.h], [to.y, to.h], height, free);
		return { ...box, x, y, w, h };
	});
}

function along(start, size, [from, span], [first, reach], pixels, free) {
	if (Math.abs(reach - span) < 1e-9) return [start + (first - from), size];
	const edge = (at) => {
		if (Math.abs(at - from) < 1e-9) return first; // the edges of the whole are where they were put
		if (Math.abs(at - from - span) < 1e-9) return first + reach;
		const there = first + ((at - from) / span) * reach;
		return free ? there : Math.min(Math.max(snap(there, pixels), first), first + reach);
	};
	const least = Math.min(TOKEN / pixels, reach);
	const low = Math.min(edge(start), first + reach - least);
	return [low, Math.max(edge(start + size) - low, least)];
}

/** Ways to align: the axis, and which part of the way between the ends (0 start, ½ middle, 1 end). */
export const ALIGNMENTS = {
	left: ["x", 0],
	center: ["x", 0.5],
	right: ["x", 1],
	top: ["y", 0],
	middle: ["y", 0.5],
	bottom: ["y", 1],
};

const SIZE_OF = { x: "w", y: "h" };

export function aligned(boxes, way, size) {
	const [axis, part] = ALIGNMENTS[way];
	const around = bounds(boxes);
	return boxes.map((box) => {
		const to = around[axis] + part * (around[SIZE_OF[axis]] - box[SIZE_OF[axis]]);
		return shifted(box, axis, to, size, part !== 0.5); // middles come on the grid, edges are on that of another box
	});
}

/** The same gap between boxes from the first to the last along an axis; those two stay. */
export function distributed(boxes, axis, size) {
	const side = SIZE_OF[axis];
	const sorted = [...boxes].sort((a, b) => a[axis] + a[side] / 2 - b[axis] - b[side] / 2);
	const [first, last] = [sorted[0], sorted.at(-1)];
	const between = sorted.slice(1, -1);
	const filled = between.reduce((sum, box) => sum + box[side], 0);
	const gap = (last[axis] - first[axis] - first[side] - filled) / (sorted.length - 1);
	let at = first[axis] + first[side] + gap;
	const places = new Map();
	for (const box of between) {
		places.set(box, shifted(box, axis, at, size));
		at += box[side] + gap;
	}
	return boxes.map((box) => places.get(box) ?? box);
}

function shifted(box, axis, to, size, free = false) {
	const by = to - box[axis];
	return axis === "x" ? moved(box, by, 0, size, free) : moved(box, 0, by, size, free);
}
