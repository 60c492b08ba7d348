import assert from "node:assert/strict";
import { test } from "node:test";
import { contains, uncovered } from "../../js/canvas/geometry.js";
import { Model } from "../../js/canvas/model.js";
import { around, carriedTo, clip, seat, simplified } from "../../js/canvas/shape.js";
import { parseDrawing, writeDrawing } from "../../js/canvas/value.js";
import { vectors } from "./vectors.js";

const SIZE = { width: 256, height: 256 };
const BOX = { x: 0, y: 0, w: 0.5, h: 0.5 };
/** The upper left half of its box. */
const HALF = [
	[0, 0],
	[0.5, 0],
	[0, 0.5],
];

for (const { text, drawn, points } of vectors.cut ?? [])
	test(`cuts as Python does: ${text}`, () => {
		const [region] = parseDrawing(text, []).regions;
		assert.deepEqual([region.x, region.y, region.w, region.h], drawn);
		assert.deepEqual(region.points, points);
	});

for (const { text, strength, loras, points } of vectors.extras ?? [])
	test(`reads the rest as Python does: ${text}`, () => {
		const [region] = parseDrawing(text).regions;
		assert.equal(region.strength ?? 1, strength);
		assert.deepEqual(
			(region.loras ?? []).map((lora) => [lora.name, lora.strength]),
			loras,
		);
		assert.deepEqual(region.points ?? [], points);
	});

test("a shape is where an odd number of its sides lie to one side", () => {
	assert.ok(contains({ ...BOX, points: HALF }, { x: 0.1, y: 0.1 }));
	assert.ok(!contains({ ...BOX, points: HALF }, { x: 0.4, y: 0.4 }));
	assert.ok(contains(BOX, { x: 0.4, y: 0.4 }));
	const twice = [...HALF, ...HALF];
	assert.ok(!contains({ ...BOX, points: twice }, { x: 0.1, y: 0.1 }));
});

test("a shape covers the tokens whose middle lies in it", () => {
	const half = uncovered([{ ...BOX, points: HALF }], SIZE);
	const covered = (8 * 7) / 2; // of 8 × 8 tokens; middles on the slope are outside
	assert.equal(half, 1 - covered / 256);
});

test("a line keeps its corners, and sixty at most", () => {
	const straight = Array.from({ length: 50 }, (_, at) => [at / 100, at / 100]);
	assert.deepEqual(simplified([...straight, [0.5, 0], [0.25, 0]]), [
		[0, 0],
		[0.49, 0.49],
		[0.5, 0],
		[0.25, 0],
	]);
	const bent = (by) =>
		simplified([
			[0, 0],
			[0.25, by],
			[0.5, 0],
		]).length;
	assert.deepEqual([bent(0.001), bent(0.01)], [2, 3]);
	const wild = Array.from({ length: 400 }, (_, at) => [at / 400, (at % 2) / 2]);
	assert.ok(simplified(wild).length <= 60);
});

test("a shape goes with its box: moved, resized, duplicated, written", () => {
	const model = new Model(JSON.stringify([{ ...BOX, points: HALF }]));
	const [{ id }] = model.regions;
	model.set(id, { x: 0.5, y: 0, w: 0.25, h: 0.5 });
	const moved = [
		[0.5, 0],
		[0.75, 0],
		[0.5, 0.5],
	];
	assert.deepEqual(model.regions[0].points, moved);
	model.set(id, { prompt: "a fox" });
	assert.deepEqual(model.regions[0].points, moved);
	const copy = model.duplicate(id, SIZE);
	const { x, y, w, h } = copy;
	assert.deepEqual(around(copy.points), { x, y, w, h });
	const [written] = JSON.parse(
		writeDrawing({ regions: [carriedTo(model.regions[0], { x: 0, y: 0, w: 1 / 3, h: 1 })] }),
	).regions;
	assert.deepEqual(written.points[1], [0.333333, 0]);
});

test("shapes overlap where they share a token, not where their boxes do", () => {
	const other = [
		[0.5, 0.1],
		[0.5, 0.5],
		[0.1, 0.5],
	];
	const around = { x: 0.1, y: 0.1, w: 0.4, h: 0.4 };
	const found = (points) => {
		const model = new Model(
			JSON.stringify([
				{ ...BOX, points: HALF },
				{ ...around, points },
			]),
		);
		return model.findings(SIZE).overlapping;
	};
	assert.deepEqual(found(other), []);
	assert.deepEqual(found([[0.1, 0.1], ...other]), [1, 2]);
});

test("a style cuts to a shape, and not to a box", () => {
	assert.equal(clip(BOX, BOX), "");
	assert.equal(clip({ ...BOX, points: HALF }, BOX), "polygon(evenodd, 0% 0%,100% 0%,0% 100%)");
});

test("a label stands on its shape, where that is wide in one piece", () => {
	const at = (points) => {
		const region = { ...around(points), points };
		const [left, top] = seat(region);
		const place = { x: region.x + left * region.w, y: region.y + top * region.h };
		assert.ok(contains(region, place), JSON.stringify(place));
		return place;
	};
	const horseshoe = [
		[0, 0],
		[0.1, 0],
		[0.1, 0.8],
		[0.9, 0.8],
		[0.9, 0],
		[1, 0],
		[1, 1],
		[0, 1],
	];
	assert.ok(at(horseshoe).y > 0.8);
	assert.ok(
		at([
			[0.5, 0],
			[1, 1],
			[0, 1],
		]).y >= 0.5,
	);
	const flat = { ...BOX, points: HALF.map(([x]) => [x, 0]) }; // a text by hand: no line crosses it
	assert.deepEqual(seat(flat), [0, 0]);
});
