import assert from "node:assert/strict";
import { test } from "node:test";
import { aligned, bounds, carried, distributed } from "../../js/canvas/group.js";

const SIZE = { width: 256, height: 256 }; // 16 × 16 tokens

/** Boxes in tokens. */
const box = (x, y, w, h) => ({ x: x / 16, y: y / 16, w: w / 16, h: h / 16 });
const tokens = (boxes) => boxes.map(({ x, y, w, h }) => [x, y, w, h].map((part) => Math.round(part * 16e4) / 1e4));

const THREE = [box(0, 0, 4, 4), box(6, 2, 4, 4), box(12, 8, 2, 4)];

test("what lies around boxes", () => {
	assert.deepEqual(tokens([bounds(THREE)]), [[0, 0, 14, 12]]);
	assert.equal(bounds([]), null);
});

test("a moved group keeps every size and distance, off the grid too", () => {
	const odd = [box(0.3, 0, 4, 4), box(6, 2.2, 4, 4)];
	const around = bounds(odd);
	const moved = carried(odd, around, { ...around, x: around.x + 2 / 16, y: around.y + 1 / 16 }, SIZE);
	assert.deepEqual(tokens(moved), [
		[2.3, 1, 4, 4],
		[8, 3.2, 4, 4],
	]);
});

test("a resized group keeps its outer edges where they were put, and the inner ones on the grid", () => {
	const narrow = carried(THREE, bounds(THREE), box(0, 0, 9, 12), SIZE);
	assert.deepEqual(tokens(narrow), [
		[0, 0, 3, 4],
		[4, 2, 2, 4],
		[8, 8, 1, 4],
	]);
	const free = carried(THREE, bounds(THREE), box(0, 0, 7, 6), SIZE, true);
	assert.deepEqual(tokens(free)[1], [3, 1, 2, 2]);
});

test("no box of a group falls under one token, or leaves it", () => {
	const small = carried(THREE, bounds(THREE), box(2, 2, 2, 1), SIZE);
	for (const [x, y, w, h] of tokens(small)) {
		assert.ok(w >= 1 && h >= 1, `${w} × ${h}`);
		assert.ok(x >= 2 && y >= 2 && x + w <= 4 && y + h <= 3, `${x}, ${y}`);
	}
});

test("boxes are aligned to the edges and the middles of the box around them", () => {
	const along = (way, part) => tokens(aligned(THREE, way, SIZE)).map((one) => one[part]);
	assert.deepEqual(along("left", 0), [0, 0, 0]);
	assert.deepEqual(along("right", 0), [10, 10, 12]);
	assert.deepEqual(along("center", 0), [5, 5, 6]);
	assert.deepEqual(along("bottom", 1), [8, 8, 8]);
	assert.deepEqual(along("bottom", 0), [0, 6, 12]);
});

test("boxes are spread with the same gap between the outer ones", () => {
	const four = [box(13, 0, 3, 1), box(0, 0, 2, 1), box(3, 0, 2, 1), box(4, 0, 3, 1)];
	assert.deepEqual(
		tokens(distributed(four, "x", SIZE)).map(([x]) => x),
		[13, 0, 4, 8],
	);
});
