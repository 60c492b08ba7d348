import assert from "node:assert/strict";
import { test } from "node:test";
import { colorOf, inkOn } from "../../js/canvas/color.js";
import { DrawingError, freeColor, numbersOf, parseDrawing, writeDrawing } from "../../js/canvas/value.js";
import { vectors } from "./vectors.js";

const BOX = { x: 0, y: 0, w: 0.5, h: 1 };

for (const { text, drawn } of vectors.values)
	test(`reads as Python does: ${text}`, () => {
		if (!drawn) return assert.throws(() => parseDrawing(text), DrawingError);
		const shown = parseDrawing(text).regions.filter((region) => region.enabled);
		assert.deepEqual(
			shown.map(({ x, y, w, h, prompt }) => [x, y, w, h, prompt]),
			drawn,
		);
	});

test("colours are Python's", () => {
	assert.deepEqual(
		vectors.colors.map((_, index) => colorOf(index)),
		vectors.colors,
	);
});

test("ink is what can be read on a colour", () => {
	assert.deepEqual(["#ffff00", "#2040c0", "#ffffff"].map(inkOn), ["#000000", "#ffffff", "#000000"]);
});

test("what is left out is filled in: an id of its own, a colour, a prompt", () => {
	const { regions } = parseDrawing(JSON.stringify([BOX, { ...BOX, id: "r1" }, { ...BOX, id: "r1", color: "#112233" }]));
	assert.equal(new Set(regions.map((region) => region.id)).size, 3);
	assert.deepEqual(
		regions.map((region) => region.color),
		[colorOf(0), colorOf(1), "#112233"],
	);
	assert.equal(regions[0].prompt, "");
});

test("a hidden region takes no number and no colour of the others", () => {
	const { regions } = parseDrawing(JSON.stringify([BOX, { ...BOX, enabled: false }, BOX]));
	assert.deepEqual([...numbersOf(regions).values()], [1, 2]);
	assert.equal(regions[2].color, colorOf(1));
});

test("keys that are not known survive", () => {
	const text = JSON.stringify({ version: 1, regions: [{ ...BOX, id: "a", strength: 0.5 }], author: { name: "x" } });
	const written = JSON.parse(writeDrawing(parseDrawing(text)));
	assert.equal(written.regions[0].strength, 0.5);
	assert.deepEqual(written.author, { name: "x" });
});

test("numbers are written with six decimals", () => {
	const drawing = parseDrawing(JSON.stringify([{ x: 1 / 3, y: 0, w: 2 / 3, h: 1 }]));
	assert.match(writeDrawing(drawing), /"x":0.333333,"y":0,"w":0.666667,"h":1/);
});

test("an error says which region, what was found, and what would be right", () => {
	const text = JSON.stringify([BOX, { ...BOX, x: "a" }]);
	assert.throws(
		() => parseDrawing(text),
		(error) => error.key === "error.field" && error.values.number === 2 && error.values.found === '"a"',
	);
});

test("a new region gets the first colour that is free", () => {
	const taken = [0, 1, 3].map((index) => ({ color: colorOf(index) }));
	assert.equal(freeColor(taken), colorOf(2));
});
