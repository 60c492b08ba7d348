/** A menu at the pointer: for a region, for several, or for the empty paper. */

import { copiedRegions } from "./clipboard.js";
import { h } from "./dom.js";
import { say } from "./texts.js";

export function regionItems(editor) {
	const { chosen, chosenRegions, free, model, selected } = editor;
	const region = model.find(selected);
	const item = (key, run, hint = "", off = false) => ({ text: say(`menu.${key}`), run, hint, off });
	const ids = model.regions.map(({ id }) => id);
	const copied = copiedRegions();
	const paste = item("paste", () => editor.insert(copied), "Ctrl+V", !copied.length);
	const all = item("all", () => editor.select(ids), "Ctrl+A", !ids.length);
	if (!region) return [item("new", () => editor.addRegion(), "N"), paste, all];
	const hide = chosenRegions.some((one) => one.enabled);
	const lock = chosenRegions.some((one) => !one.locked);
	const [several, fixed] = [chosen.length > 1, !free.length];
	const whole = () => editor.placeAll(new Map(free.map(({ id }) => [id, { x: 0, y: 0, w: 1, h: 1 }])));
	const number = editor.number(selected);
	return [
		item("prompt", () => editor.field.open(selected, "prompt"), "Enter", several),
		item("rename", () => editor.field.open(selected, "name"), "F2", several),
		null,
		item("duplicate", () => editor.duplicate(), "Ctrl+D"),
		item("cut", () => fromPage(editor, "cut"), "Ctrl+X", fixed),
		item("copy", () => fromPage(editor, "copy"), "Ctrl+C"),
		paste,
		all,
		null,
		item("front", () => editor.moveTo(chosen, ids.length)),
		item("back", () => editor.moveTo(chosen, 0)),
		item(hide ? "hide" : "show", () => editor.change(chosen, { enabled: !hide })),
		item(lock ? "lock" : "unlock", () => editor.change(chosen, { locked: lock })),
		item("whole", whole, "", several || fixed),
		item("mask", () => editor.host.makeMask(number), "", several || number === "–"),
		null,
		item("remove", () => editor.remove(), "Del", fixed),
	];
}

/** Copy as the keys do: the page's own command sends the event that clipboard.js waits for. */
function fromPage(editor, command) {
	editor.stage.focus(editor.selected);
	document.execCommand(command);
}

let close = () => {};

/**
 * @param {() => void} done The focus comes back.
 * @param {string} search The name of a field that picks lines by what is typed; empty for none.
 * @returns {(items: Item[]) => void} Shows other lines.
 */
export function openMenu(items, x, y, done, search = "") {
	close();
	const field = h("input", { type: "search", placeholder: search, "aria-label": search, hidden: !search });
	const menu = h(".rag-menu", { role: "menu" }, field);
	let buttons = [];

	const shown = () => [field, ...buttons].filter((one) => !one.hidden);
	const pick = () => {
		const word = field.value.toLowerCase();
		for (const one of buttons) one.hidden = !one.textContent.toLowerCase().includes(word);
	};
	field.addEventListener("input", pick);

	function fill(lines) {
		for (const one of [...menu.children]) if (one !== field) one.remove();
		menu.append(...lines.map((item) => (item ? line(item) : h("hr"))));
		buttons = [...menu.querySelectorAll("button:enabled")];
		pick();
		const { width, height } = menu.getBoundingClientRect();
		menu.style.left = `${Math.max(0, Math.min(x, window.innerWidth - width - 4))}px`;
		menu.style.top = `${Math.max(0, Math.min(y, window.innerHeight - height - 4))}px`;
	}

	function line({ text, run, hint = "", off = false }) {
		const act = () => {
			close();
			done();
			run();
		};
		return h("button", { role: "menuitem", disabled: off, onclick: act }, h("span", text), h("kbd", hint));
	}

	const outside = (event) => {
		if (!menu.contains(event.target)) close();
	};
	close = () => {
		menu.remove();
		for (const name of ["pointerdown", "wheel"]) window.removeEventListener(name, outside, true);
		close = () => {};
	};
	for (const name of ["pointerdown", "wheel"]) window.addEventListener(name, outside, true);
	menu.addEventListener("contextmenu", (event) => event.preventDefault());
	menu.addEventListener("keydown", (event) => {
		event.stopPropagation();
		const stops = shown();
		const at = stops.indexOf(document.activeElement);
		const step = { ArrowDown: 1, ArrowUp: -1, Tab: event.shiftKey ? -1 : 1 }[event.key];
		if (step) stops.at((at + step) % stops.length)?.focus();
		else if (event.key === "Enter" && event.target === field) field.value && stops[1]?.click();
		else if (event.key === "Escape") {
			close();
			done();
		} else return;
		event.preventDefault();
	});
	document.body.append(menu);
	fill(items);
	shown()[0]?.focus({ preventScroll: true });
	return fill;
}
