import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRatio, RatioError, SPLITS, splitBox, splitPrompts } from "../../js/canvas/split.js";
import { vectors } from "./vectors.js";

const SIZE = { width: 256, height: 256 };

for (const { ratio, cells, at } of vectors.ratios)
	test(`splits as Python does: ${JSON.stringify(ratio)}`, () => {
		if (!cells) {
			const place = (error) => error instanceof RatioError && (at === null || error.start === at - 1);
			return assert.throws(() => parseRatio(ratio), place);
		}
		const edges = parseRatio(ratio).map(({ x, y, w, h }) => [x, y, x + w, y + h]);
		assert.equal(edges.length, cells.length);
		for (const [index, cell] of cells.entries())
			for (const [side, edge] of cell.entries()) assert.ok(Math.abs(edge - edges[index][side]) < 1e-12);
	});

test("an error marks the word that is wrong", () => {
	const ratio = "1, 2; 3,  oops ,1";
	assert.throws(
		() => parseRatio(ratio),
		(error) => ratio.slice(error.start, error.end) === "oops" && error.word === "oops",
	);
});

test("prompts stand between words BREAK", () => {
	assert.deepEqual(splitPrompts(" a fox\nBREAK an owl BREAK BREAKFAST"), ["a fox", "an owl", "BREAKFAST"]);
	assert.deepEqual(splitPrompts("a fox, BREAK， an owl,"), ["a fox", "an owl,"]);
	assert.deepEqual(splitPrompts("a fox BREAK an owl BREAK", 2), ["a fox", "an owl"]);
	assert.deepEqual(splitPrompts("a fox BREAK", 2), ["a fox", ""]);
});

test("parts lie on the grid, meet, and fill the box", () => {
	const thirds = splitBox({ x: 0, y: 0, w: 1, h: 1 }, parseRatio("1, 1, 1"), SIZE);
	const columns = thirds.map(({ x, w }) => [x * 16, (x + w) * 16]);
	assert.deepEqual(columns, [
		[0, 5],
		[5, 11],
		[11, 16],
	]);
});

test("parts under one token are refused", () => {
	assert.equal(splitBox({ x: 0, y: 0, w: 1 / 16, h: 1 }, parseRatio("1, 1"), SIZE), null);
});

test("every ratio of the menu can be read", () => {
	assert.deepEqual(
		SPLITS.map(([, ratio]) => parseRatio(ratio).length),
		[2, 3, 2, 3, 4, 9],
	);
});
