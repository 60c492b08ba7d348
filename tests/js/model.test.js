import assert from "node:assert/strict";
import { test } from "node:test";
import { Model } from "../../js/canvas/model.js";
import { parseRatio } from "../../js/canvas/split.js";

const SIZE = { width: 256, height: 256 };
const HALF = { x: 0, y: 0, w: 0.5, h: 1 };

function withRegions(...prompts) {
	const model = new Model();
	for (const [index, prompt] of prompts.entries()) model.add({ x: index / 4, y: 0, w: 0.25, h: 1 }, prompt);
	return model;
}

const prompts = (model) => model.regions.map((region) => region.prompt);

test("a text stays as it came until something is changed", () => {
	const text = ' [ {"x":0,"y":0,"w":0.50,"h":1} ] ';
	const model = new Model(text);
	assert.equal(model.text, text);
	model.set(model.regions[0].id, { prompt: "a fox" });
	assert.equal(JSON.parse(model.text).regions[0].prompt, "a fox");
});

test("a text that cannot be read is kept, with the reason", () => {
	const model = new Model("{ half a drawing");
	assert.equal(model.error.key, "error.json");
	assert.equal(model.text, "{ half a drawing");
	model.replace([]);
	assert.equal(model.error, null);
	assert.equal(model.text, '{"version":1,"regions":[]}');
});

test("the order of the list is changed one by one, to its ends", () => {
	const model = withRegions("a", "b", "c");
	const [a] = model.regions;
	assert.ok(model.reorder(a.id, 1));
	assert.deepEqual(prompts(model), ["b", "a", "c"]);
	assert.ok(model.reorder(a.id, 1));
	assert.ok(!model.reorder(a.id, 1));
	assert.deepEqual(prompts(model), ["b", "c", "a"]);
});

test("a copy lies in front of its original, aside of it, with a name and colour of its own", () => {
	const model = withRegions("a", "b");
	const copy = model.duplicate(model.regions[0].id, SIZE);
	assert.deepEqual(prompts(model), ["a", "a", "b"]);
	assert.equal(new Set(model.regions.map((region) => region.id)).size, 3);
	assert.equal(new Set(model.regions.map((region) => region.color)).size, 3);
	assert.notEqual(copy.x, model.regions[0].x);
});

test("a divided region keeps its prompt in its first part, and its place in the list", () => {
	const model = withRegions("a", "b");
	model.split(model.regions[0].id, parseRatio("1; 1"), [], SIZE);
	assert.deepEqual(prompts(model), ["a", "", "b"]);
	assert.deepEqual(
		model.regions.map(({ y, h }) => [y, h]),
		[
			[0, 0.5],
			[0.5, 0.5],
			[0, 1],
		],
	);
});

test("a divided picture becomes regions with their prompts", () => {
	const model = new Model();
	model.split(null, parseRatio("1,1,1; 1,1,1"), ["a", "b", "c", "d"], SIZE);
	assert.deepEqual(prompts(model), ["a", "b", "c", "d"]);
	assert.deepEqual(model.findings(SIZE), { free: 0, empty: [], overlapping: [], small: [] });
});

test("findings: what is free, without a prompt, overlapping or small", () => {
	const model = new Model();
	model.add(HALF, "a fox");
	model.add({ x: 0.25, y: 0, w: 0.25, h: 0.5 });
	model.add({ x: 0.75, y: 0, w: 0.25, h: 1 }, "hidden");
	model.set(model.regions[2].id, { enabled: false });
	assert.deepEqual(model.findings(SIZE), { free: 0.5, empty: [2], overlapping: [1, 2], small: [2] });
});

test("edits remember the linked layout that they were made on", () => {
	const model = new Model('{"version":1,"regions":[],"linked":"abc"}');
	model.load("[]"); // undone
	model.add(HALF);
	assert.equal(JSON.parse(model.text).linked, "abc");
});

test("regions are moved to a place of the list as it is", () => {
	const model = withRegions("a", "b", "c", "d");
	const [a, b, , d] = model.regions.map((region) => region.id);
	assert.equal(model.moveTo([a], 4), true);
	assert.deepEqual(prompts(model), ["b", "c", "d", "a"]);
	model.moveTo([b, d], 0);
	assert.deepEqual(prompts(model), ["b", "d", "c", "a"]);
	assert.equal(model.moveTo([b], 1), false);
});

test("pasted regions have ids of their own, and step aside from what they were copied from", () => {
	const model = withRegions("a");
	const [made] = model.insert([{ ...model.regions[0], locked: true }], SIZE);
	assert.equal(new Set(model.regions.map((region) => region.id)).size, 2);
	assert.deepEqual([made.x, made.y, made.prompt, made.locked], [2 / 16, 0, "a", false]); // as high as the picture
	assert.notEqual(made.color, model.regions[0].color);
});

test("a picture divided anew keeps what is locked", () => {
	const model = withRegions("a", "b");
	model.set(model.regions[0].id, { locked: true });
	model.split(null, parseRatio("1, 1"), [], SIZE, true);
	assert.deepEqual(prompts(model), ["a", "", ""]);
	model.split(null, parseRatio("1, 1"), [], SIZE);
	assert.equal(model.regions.length, 5);
});

test("a region that leaves the picture is cut, named, and its text kept until something changes", () => {
	const text = JSON.stringify([HALF, { x: 0.75, y: -0.25, w: 0.5, h: 0.5 }]);
	const model = new Model(text);
	assert.deepEqual(model.mended, [2]);
	assert.equal(model.text, text);
	const { x, y, w, h } = model.regions[1];
	assert.deepEqual([x, y, w, h], [0.75, 0, 0.25, 0.25]);
	model.set(model.regions[0].id, { prompt: "a fox" });
	assert.deepEqual(model.mended, []);
	assert.equal(new Model('[{"x": 1.5, "y": 0, "w": 0.5, "h": 1}]').error.key, "error.field"); // nothing of it is inside
});
