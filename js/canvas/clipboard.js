/** Regions on the clipboard, as the JSON of a drawing: into this canvas, another one, or a text. */

import { parseDrawing, writeDrawing } from "./value.js";

/** What was copied last on this page: a menu may not read the system's clipboard. */
let last = [];

export const copiedRegions = () => last;

export function listenToClipboard(editor) {
	const { root } = editor;
	for (const name of ["copy", "cut", "paste"])
		root.addEventListener(name, (event) => {
			if (event.target.closest("input, textarea")) event.stopPropagation();
			else if (name === "paste") paste(event);
			else copy(event);
		});

	function copy(event) {
		event.preventDefault();
		event.stopPropagation(); // the page would copy the node
		const chosen = editor.chosenRegions;
		if (!chosen.length) return;
		last = chosen;
		event.clipboardData.setData("text/plain", writeDrawing({ version: 1, regions: chosen }));
		editor.announce("say.copied", { count: chosen.length });
		if (event.type === "cut") editor.remove();
	}

	function paste(event) {
		const regions = regionsIn(event.clipboardData.getData("text/plain"));
		if (!regions.length) return; // something for the page: a picture, a node
		event.preventDefault();
		event.stopPropagation();
		editor.insert(regions);
	}
}

function regionsIn(text) {
	try {
		return /^\s*[[{]/.test(text) ? parseDrawing(text).regions : [];
	} catch {
		return [];
	}
}
