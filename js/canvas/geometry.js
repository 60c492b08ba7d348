/** Boxes on the grid of tokens. A token is 16 × 16 pixels; boxes are in fractions of the image, sizes in pixels. */

export const TOKEN = 16;

/** As rag_sampler/layout.py: tokens by which a box may miss a token edge. */
const SLACK = 1e-3;

export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The token edge nearest to a fraction of so many pixels; the image's own border counts as one. */
export function snap(fraction, pixels) {
	const tokens = pixels / TOKEN;
	const edge = Math.min(Math.round(fraction * tokens), Math.floor(tokens)) / tokens;
	return Math.abs(1 - fraction) < Math.abs(edge - fraction) ? 1 : Math.max(edge, 0);
}

/** The box between two points, each {x, y}: both edges on the grid unless free, and one token at least. */
export function boxBetween(from, to, { width, height }, free = false) {
	const [x, w] = stretch(from.x, to.x, width, free);
	const [y, h] = stretch(from.y, to.y, height, free);
	return { x, y, w, h };
}

function stretch(from, to, pixels, free) {
	const edge = (fraction) => (free ? clamp(fraction, 0, 1) : snap(clamp(fraction, 0, 1), pixels));
	const least = Math.min(TOKEN / pixels, 1);
	let [start, end] = [edge(Math.min(from, to)), edge(Math.max(from, to))];
	if (end - start < least - 1e-9) {
		// towards the pointer, away from the image's border
		if (to < from) start = end - least;
		start = clamp(start, 0, 1 - least);
		if (!free) start = clamp(Math.floor(start / least + 1e-6) * least, 0, 1 - least);
		end = start + least;
	}
	return [start, end - start];
}

/** The box moved by fractions of the image: its upper left corner on the grid unless free, inside the image. */
export function moved(box, dx, dy, { width, height }, free = false) {
	const place = (start, size, by, pixels) => {
		const to = clamp(start + by, 0, 1 - size);
		return free || by === 0 ? to : clamp(snap(to, pixels), 0, 1 - size);
	};
	return { ...box, x: place(box.x, box.w, dx, width), y: place(box.y, box.h, dy, height) };
}

/** The box with the edges of a handle ("nw", "e", ...) moved; it never turns over, and keeps one token at least. */
export function resized(box, handle, dx, dy, { width, height }, free = false) {
	const along = (start, size, by, pixels, low, high) => {
		const least = Math.min(TOKEN / pixels, 1);
		const edge = (fraction) => (free ? fraction : snap(fraction, pixels));
		let [from, to] = [start, start + size];
		if (low) from = clamp(edge(from + by), 0, Math.max(to - least, 0));
		if (high) to = clamp(edge(to + by), Math.min(from + least, 1), 1);
		return [from, to - from];
	};
	const [x, w] = along(box.x, box.w, dx, width, handle.includes("w"), handle.includes("e"));
	const [y, h] = along(box.y, box.h, dy, height, handle.includes("n"), handle.includes("s"));
	return { ...box, x, y, w, h };
}

/** A new box, a third of the image a side, where it covers least of the others; in the middle of an empty image. */
export function newBox(boxes, size) {
	const sixths = [2, 1, 3, 0, 4].map((part) => part / 6);
	let best = null;
	for (const y of sixths) {
		for (const x of sixths) {
			const box = boxBetween({ x, y }, { x: x + 1 / 3, y: y + 1 / 3 }, size);
			let covers = 0;
			for (const other of boxes) {
				const shared = overlap(box, other);
				covers += (shared ? shared.w * shared.h : 0) + (near(other.x, box.x) && near(other.y, box.y) ? 1 : 0);
			}
			if (!best || covers < best.covers - 1e-9) best = { box, covers };
		}
	}
	return best.box;
}

const near = (a, b) => Math.abs(a - b) < 1e-4;

export function overlap(a, b) {
	const x = Math.max(a.x, b.x);
	const y = Math.max(a.y, b.y);
	const w = Math.min(a.x + a.w, b.x + b.w) - x;
	const h = Math.min(a.y + a.h, b.y + b.h) - y;
	return w > 1e-6 && h > 1e-6 ? { x, y, w, h } : null;
}

/** The tokens that a box binds, as Python counts them: offset and size rounded down each on its own. */
export function boundTokens(box, { width, height }) {
	const [columns, rows] = [width / TOKEN, height / TOKEN];
	const x0 = Math.floor(box.x * columns + SLACK);
	const y0 = Math.floor(box.y * rows + SLACK);
	const x1 = Math.min(x0 + Math.floor(box.w * columns + SLACK), Math.ceil(columns));
	const y1 = Math.min(y0 + Math.floor(box.h * rows + SLACK), Math.ceil(rows));
	return { x0, y0, x1, y1 };
}

/** Whether a point {x, y} lies in a region: in its box, or in its polygon. */
export function contains({ x, y, w, h, points }, at) {
	if (at.x < x || at.x > x + w || at.y < y || at.y > y + h) return false;
	let inside = !points;
	for (const [index, [toX, toY]] of (points ?? []).entries()) {
		const [fromX, fromY] = points.at(index - 1);
		const crossed = fromY > at.y !== toY > at.y;
		if (crossed && at.x < toX + ((at.y - toY) / (fromY - toY)) * (fromX - toX)) inside = !inside;
	}
	return inside;
}

/** The tokens of a region by their numbers: those of its box, or those whose middle lies in its polygon. */
export function* tokensOf(region, size) {
	const [columns, rows] = [size.width / TOKEN, size.height / TOKEN];
	const whole = { x: 0, y: 0, w: 1, h: 1 };
	const { x0, y0, x1, y1 } = boundTokens(region.points ? whole : region, size);
	for (let row = y0; row < y1; row++)
		for (let column = x0; column < x1; column++)
			if (!region.points || contains(region, { x: (column + 0.5) / columns, y: (row + 0.5) / rows }))
				yield row * Math.ceil(columns) + column;
}

/** The share of the image's tokens that no region covers. */
export function uncovered(regions, size) {
	const [columns, rows] = [Math.ceil(size.width / TOKEN), Math.ceil(size.height / TOKEN)];
	const taken = new Uint8Array(columns * rows);
	for (const region of regions) for (const token of tokensOf(region, size)) taken[token] = 1;
	return taken.reduce((free, token) => free + (token ? 0 : 1), 0) / taken.length;
}

/** For each box, how many earlier ones start at the same corner: so far its label has to step aside. */
export function labelSteps(boxes) {
	return boxes.map(
		(box, index) => boxes.slice(0, index).filter((other) => near(other.x, box.x) && near(other.y, box.y)).length,
	);
}
