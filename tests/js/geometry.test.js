import assert from "node:assert/strict";
import { test } from "node:test";
import {
	boundTokens,
	boxBetween,
	HANDLES,
	labelSteps,
	moved,
	newBox,
	overlap,
	resized,
	snap,
	uncovered,
} from "../../js/canvas/geometry.js";
import { vectors } from "./vectors.js";

const SIZE = { width: 256, height: 128 }; // 16 × 8 tokens
const ODD = { width: 200, height: 136 }; // 12.5 × 8.5 tokens

const box = (x, y, w, h) => ({ x, y, w, h });

/** A box in tokens of a size, to four decimals. */
function tokens({ x, y, w, h }, { width, height } = SIZE) {
	const four = (number) => Math.round(number * 1e4) / 1e4;
	return [x * width, y * height, w * width, h * height].map((pixels) => four(pixels / 16));
}

const at = (x, y) => ({ x: (x * 16) / SIZE.width, y: (y * 16) / SIZE.height });

test("the tokens of a box are Python's", () => {
	for (const { size, box: edges, tokens: expected } of vectors.tokens) {
		const found = boundTokens(box(...edges), { width: size[0], height: size[1] });
		assert.deepEqual([found.x0, found.y0, found.x1, found.y1], expected, JSON.stringify(edges));
	}
});

test("an edge snaps to the nearest token, the border included", () => {
	assert.equal(snap(0.26, 256), 0.25);
	assert.equal(snap(-0.1, 256), 0);
	assert.equal(snap(1.2, 256), 1);
	assert.equal(snap(0.99, 200), 1); // 12.375 of 12.5 tokens
	assert.equal(snap(0.965, 200), 0.96); // 12.06 tokens
});

test("a drawn box has both edges on the grid, whichever way it was drawn", () => {
	assert.deepEqual(tokens(boxBetween(at(1.4, 1.4), at(5.6, 4.4), SIZE)), [1, 1, 5, 3]);
	assert.deepEqual(tokens(boxBetween(at(5.6, 4.4), at(1.4, 1.4), SIZE)), [1, 1, 5, 3]);
});

test("a drawn box has one token at least", () => {
	assert.deepEqual(tokens(boxBetween(at(3.1, 3.1), at(3.2, 3.2), SIZE)), [3, 3, 1, 1]);
	assert.deepEqual(tokens(boxBetween(at(3.2, 3.2), at(3.1, 3.1), SIZE)), [2, 2, 1, 1]);
	assert.deepEqual(tokens(boxBetween(at(16, 8), at(16, 8), SIZE)), [15, 7, 1, 1]);
	assert.deepEqual(tokens(boxBetween({ x: 1, y: 1 }, { x: 1, y: 1 }, ODD), ODD), [11, 7, 1, 1]);
});

test("Alt frees a box from the grid, but keeps it inside and above one token", () => {
	assert.deepEqual(tokens(boxBetween(at(1.4, 1.4), at(5.6, 4.4), SIZE, true)), [1.4, 1.4, 4.2, 3]);
	assert.deepEqual(tokens(boxBetween(at(15.5, 1), at(20, 1.2), SIZE, true)), [15, 1, 1, 1]);
});

test("a box moves in tokens, keeps its size and stays inside", () => {
	const start = box(...Object.values(at(2, 2)), 4 / 16, 2 / 8);
	assert.deepEqual(tokens(moved(start, 1.4 / 16, 0, SIZE)), [3, 2, 4, 2]);
	assert.deepEqual(tokens(moved(start, 1.4 / 16, 0, SIZE, true)), [3.4, 2, 4, 2]);
	assert.deepEqual(tokens(moved(start, 9, -9, SIZE)), [12, 0, 4, 2]);
});

test("a handle moves its own edges alone", () => {
	const start = box(...Object.values(at(4, 2)), 4 / 16, 4 / 8);
	const by = [2.2 / 16, 1.2 / 8];
	const results = Object.fromEntries(HANDLES.map((name) => [name, tokens(resized(start, name, ...by, SIZE))]));
	assert.deepEqual(results, {
		nw: [6, 3, 2, 3],
		n: [4, 3, 4, 3],
		ne: [4, 3, 6, 3],
		e: [4, 2, 6, 4],
		se: [4, 2, 6, 5],
		s: [4, 2, 4, 5],
		sw: [6, 2, 2, 5],
		w: [6, 2, 2, 4],
	});
});

test("a box never turns over and never leaves the image", () => {
	const start = box(...Object.values(at(4, 2)), 4 / 16, 4 / 8);
	assert.deepEqual(tokens(resized(start, "e", -1, 0, SIZE)), [4, 2, 1, 4]);
	assert.deepEqual(tokens(resized(start, "w", 1, 0, SIZE)), [7, 2, 1, 4]);
	assert.deepEqual(tokens(resized(start, "nw", -1, -1, SIZE)), [0, 0, 8, 6]);
	assert.deepEqual(tokens(resized(start, "se", 1, 1, SIZE)), [4, 2, 12, 6]);
});

test("new boxes do not lie on one another", () => {
	const boxes = [];
	for (let count = 0; count < 10; count++) boxes.push(newBox(boxes, SIZE));
	assert.equal(new Set(boxes.map((one) => JSON.stringify(tokens(one)))).size, 10);
	for (const one of boxes) assert.ok(one.x + one.w <= 1 + 1e-9 && one.y + one.h <= 1 + 1e-9);
});

test("boxes that touch do not overlap", () => {
	assert.equal(overlap(box(0, 0, 0.5, 1), box(0.5, 0, 0.5, 1)), null);
	assert.deepEqual(overlap(box(0, 0, 0.5, 1), box(0.25, 0.5, 0.5, 0.5)), box(0.25, 0.5, 0.25, 0.5));
});

test("what no box covers", () => {
	assert.equal(uncovered([], SIZE), 1);
	assert.equal(uncovered([box(0, 0, 0.5, 1), box(0.25, 0, 0.5, 1)], SIZE), 0.25);
	assert.equal(uncovered([box(0, 0, 1, 1)], SIZE), 0);
});

test("labels at one corner step aside", () => {
	assert.deepEqual(
		labelSteps([box(0, 0, 1, 1), box(0, 0, 0.5, 0.5), box(0.5, 0, 0.5, 1), box(0, 0, 1, 0.5)]),
		[0, 1, 0, 2],
	);
});
