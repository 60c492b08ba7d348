import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { say, setLanguage, TEXTS } from "../../js/canvas/texts.js";

TEXTS.zh = JSON.parse(readFileSync(new URL("../../js/canvas/zh.json", import.meta.url), "utf8"));

test("both languages say everything", () => {
	assert.deepEqual(Object.keys(TEXTS.zh), Object.keys(TEXTS.en));
});

test("both languages name the same values", () => {
	const values = (text) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();
	for (const [key, text] of Object.entries(TEXTS.en)) assert.deepEqual(values(TEXTS.zh[key]), values(text), key);
});

test("both languages list as many keys", () => {
	const listed = (texts) => {
		const page = new URL(`../../js/docs/${texts["help.keys"]}.md`, import.meta.url);
		return readFileSync(page, "utf8").match(/^#|\*\*/gm).length;
	};
	assert.equal(listed(TEXTS.zh), listed(TEXTS.en));
});

test("the page's language is taken where there is one", async () => {
	for (const [locale, word] of [
		["zh", "分割"],
		["zh-TW", "分割"],
		["fr", "Split"],
		[undefined, "Split"],
	]) {
		await setLanguage(locale);
		assert.equal(say("tool.split"), word);
	}
});
