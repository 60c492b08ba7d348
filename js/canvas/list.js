/** The list of regions: a row each with its number, prompt, hide and lock; rows are dragged into another order. */

import { inkOn } from "./color.js";
import { asking, h, iconButton, setIcon } from "./dom.js";
import { say } from "./texts.js";
import { extrasOf, numbersOf } from "./value.js";

/** Pixels on the screen that a press on a number may wander and still be a click. */
const CLICK = 4;

export class List {
	#rows = new Map();

	constructor(editor) {
		this.editor = editor;
		this.root = h(".rag-list", { role: "list", "aria-label": say("aria.list") });
	}

	render(regions, chosen) {
		const numbers = numbersOf(regions);
		const ids = new Set(regions.map((region) => region.id));
		for (const [id, { row }] of this.#rows) {
			if (ids.has(id)) continue;
			row.remove();
			this.#rows.delete(id);
		}
		const picked = new Set(chosen);
		for (const [index, region] of regions.entries()) {
			const shown = this.#rows.get(region.id) ?? this.#make(region.id);
			const { row } = shown;
			if (this.root.children[index] !== row) this.root.insertBefore(row, this.root.children[index]);
			this.#fill(shown, region, numbers.get(region.id) ?? "–", picked.has(region.id));
		}
	}

	row(id) {
		return this.#rows.get(id).row;
	}

	showPrompt(id, text) {
		const { prompt } = this.#rows.get(id);
		if (prompt.value !== text) prompt.value = text;
	}

	#make(id) {
		const { editor } = this;
		const chip = h("button.rag-chip", { title: say("region.drag") });
		this.#listenToChip(chip, id);
		let before = "";
		const onkeydown = (event) => {
			if (event.key === "Escape") {
				event.stopPropagation();
				editor.stage.focus(id);
			} else if (prompt.value === before) editor.undoInstead(event);
		};
		const onfocus = () => {
			editor.select(id);
			before = prompt.value;
		};
		const oninput = () => editor.typePrompt(id, prompt.value);
		const typing = { onfocus, oninput, onkeydown, onchange: () => editor.commit() };
		const prompt = h("textarea.rag-text", { rows: 1, ...asking("prompt"), ...typing });
		const flip = (key) => editor.change(id, (region) => ({ [key]: !region[key] }));
		const hide = iconButton("region.hide", () => flip("enabled"));
		const lock = iconButton("region.lock", () => flip("locked"));
		const extras = h("span.rag-extras");
		const row = h(".rag-row", { role: "listitem", "data-row": id }, chip, prompt, extras, hide, lock);
		row.addEventListener("contextmenu", (event) => {
			event.stopPropagation();
			if (event.target === prompt) return;
			event.preventDefault();
			if (!editor.chosen.includes(id)) editor.select(id);
			editor.openMenu(event.clientX, event.clientY);
		});
		const shown = { row, chip, prompt, extras, hide, lock };
		this.#rows.set(id, shown);
		return shown;
	}

	#fill({ row, chip, extras, hide, lock }, region, number, selected) {
		const { enabled, locked } = region;
		chip.textContent = number;
		chip.style.background = region.color;
		chip.style.color = inkOn(region.color);
		chip.setAttribute("aria-label", say("region.select", { number }));
		chip.setAttribute("aria-pressed", selected);
		extras.textContent = extrasOf(region, " ").trim();
		const missing = this.editor.loras.missing(region);
		extras.classList.toggle("rag-reason", missing.length > 0);
		extras.title = [...(region.loras ?? []).map((lora) => lora.name), ...missing].join("\n");
		row.classList.toggle("rag-chosen", selected);
		row.classList.toggle("rag-off", !enabled);
		const named = (key) => [key, selected ? say(key) : say("region.of", { number, what: say(key) })];
		setIcon(hide, ...named(enabled ? "region.hide" : "region.show"));
		setIcon(lock, ...named(locked ? "region.unlock" : "region.lock"));
		hide.classList.toggle("rag-set", !enabled);
		lock.classList.toggle("rag-set", Boolean(locked));
		this.showPrompt(region.id, region.prompt);
	}

	/** A click on a number selects its region; dragged, it takes the row to another place. */
	#listenToChip(chip, id) {
		const { editor } = this;
		let press = null;
		let dropped = false; // the click that follows is none
		const mark = (place) => {
			for (const [index, row] of [...this.root.children].entries()) {
				row.classList.toggle("rag-before", index === place);
				row.classList.toggle("rag-after", index === place - 1 && place === this.root.children.length);
			}
		};
		const end = () => {
			mark(null);
			press = null;
		};
		chip.addEventListener("pointerdown", (event) => {
			dropped = false;
			if (event.button !== 0) return;
			press = { y: event.clientY, place: null };
			chip.setPointerCapture(event.pointerId);
		});
		chip.addEventListener("pointermove", (event) => {
			if (!press || (press.place === null && Math.abs(event.clientY - press.y) < CLICK)) return;
			const middles = [...this.root.children].map((row) => {
				const { top, height } = row.getBoundingClientRect();
				return top + height / 2;
			});
			press.place = middles.filter((middle) => middle < event.clientY).length;
			mark(press.place);
		});
		chip.addEventListener("pointerup", () => {
			const place = press?.place ?? null;
			end();
			if (place === null) return;
			dropped = true;
			editor.moveTo(editor.chosen.includes(id) ? editor.chosen : [id], place);
		});
		chip.addEventListener("pointercancel", end);
		chip.addEventListener("click", (event) => {
			if (dropped) return;
			if (event.shiftKey || event.ctrlKey || event.metaKey) editor.toggle(id);
			else editor.select(id);
			editor.stage.focus(editor.selected);
		});
	}
}
