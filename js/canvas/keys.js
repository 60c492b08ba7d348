/** The editor by keyboard. Every key that is handled stays here; the others go on to the page. */

import { ARROWS, moved, resized, TOKEN } from "./geometry.js";

const TURNS = { "]": 1, "[": -1 };
const STEP = 1;
const LARGE_STEP = 4; // tokens

export function listenToKeys(editor) {
	const { paper } = editor.stage;
	const { own } = editor.strip;

	editor.root.addEventListener("keydown", (event) => {
		const control = event.ctrlKey || event.metaKey;
		if (event.target.closest("input, textarea")) {
			// what is typed is nobody else's; AltGr counts as Ctrl and Alt
			if (!control || event.altKey) event.stopPropagation();
			return;
		}
		// Without this the browser would also undo in the field that was typed in last. The page's own undo goes on.
		if (control && /^[zy]$/i.test(event.key)) {
			editor.host.undoing();
			return event.preventDefault();
		}
		// buttons have keys of their own; the rest is the editor's wherever the focus is, else the page would delete the node
		const general = control || ["Delete", "Backspace", "Escape"].includes(event.key);
		if (!general && !paper.contains(event.target)) return;
		// on many keyboards brackets need AltGr, which counts as Ctrl and Alt
		if (control && !event.altKey && /^[cxv]$/i.test(event.key)) return event.stopPropagation(); // clipboard.js
		const turns = event.key in TURNS && (event.altKey || !control);
		const done = turns ? cycle(TURNS[event.key]) : control ? withControl(event) : alone(event);
		if (!done) return;
		event.preventDefault();
		event.stopPropagation();
	});

	editor.root.addEventListener("keyup", (event) => {
		if (event.key.toLowerCase() === "h" && editor.root.classList.contains("rag-peek")) {
			peek(false);
			editor.stage.focus(editor.selected);
		}
		if (event.target.closest("input, textarea")) event.stopPropagation();
		else if (event.key in ARROWS) editor.finish();
	});

	for (const name of ["keypress", "dblclick"]) editor.root.addEventListener(name, (event) => event.stopPropagation());

	/** Hide the boxes, or show them again. What is hidden cannot have the focus. */
	function peek(on) {
		const { classList } = editor.root;
		if (classList.contains("rag-peek") === on) return;
		if (on) editor.stage.focus(null);
		classList.toggle("rag-peek", on);
	}

	paper.addEventListener("focusin", (event) => {
		const id = event.target.closest("[data-region]")?.dataset.region;
		if (id && !editor.chosen.includes(id)) editor.select(id);
	});

	paper.addEventListener("focusout", (event) => {
		if (!paper.contains(event.relatedTarget)) peek(false);
		if (!event.target.closest("input, textarea")) editor.finish();
	});

	function withControl(event) {
		const key = event.key.toLowerCase();
		if (key === "d") editor.duplicate();
		else if (key === "a") editor.select(editor.model.regions.map((region) => region.id));
		else if (key in TURNS && editor.selected) {
			editor.reorder(editor.selected, TURNS[key]);
			editor.stage.focus(editor.selected); // the element has moved, and lost it
		} else return false;
		return true;
	}

	const anywhere = {
		h: () => peek(true),
		n: () => editor.addRegion(),
		f: () => editor.host.toggleFull(),
		p: () => editor.trace.toggle(),
		m: menuHere,
		Escape: leave,
		Delete: () => editor.remove(), // with nothing selected, too: the page would delete the node
		Backspace: () => editor.remove(),
	};
	const onRegion = {
		Enter: () => editor.field.open(editor.selected, "prompt"),
		F2: () => editor.field.open(editor.selected, "name"),
		s: () => own.strength.focus(),
		l: () => own.pickLora(),
	};

	function alone(event) {
		const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
		if (editor.trace.on && editor.trace.key(event)) return true;
		if (key in ARROWS) return editor.selected !== null && arrow(event);
		const act = anywhere[key] ?? (editor.selected && onRegion[key]);
		if (event.altKey || !act) return false;
		act();
		return true;
	}

	function menuHere() {
		const { left, top, width, height } = document.activeElement.getBoundingClientRect();
		editor.openMenu(left + width / 2, top + height / 2);
	}

	function arrow(event) {
		const step = event.shiftKey ? LARGE_STEP : STEP;
		const [right, down] = ARROWS[event.key];
		const dx = (right * step * TOKEN) / editor.size.width;
		const dy = (down * step * TOKEN) / editor.size.height;
		if (event.altKey) {
			const edge = right ? "e" : "s";
			editor.nudge((box) => resized(box, edge, dx, dy, editor.size));
		} else editor.nudge((box) => moved(box, dx, dy, editor.size));
		return true;
	}

	function cycle(by) {
		const { regions } = editor.model;
		if (!regions.length) return true;
		const from = regions.findIndex((region) => region.id === editor.selected);
		const next = from < 0 ? (by > 0 ? 0 : regions.length - 1) : (from + by + regions.length) % regions.length;
		editor.select(regions[next].id);
		editor.stage.focus(regions[next].id);
		return true;
	}

	/** One thing at a time: the drag, the large editor, the selection, the editor. */
	function leave() {
		if (editor.cancel()) return;
		if (editor.full) editor.host.toggleFull();
		else if (editor.selected) {
			editor.select(null);
			editor.stage.focus(null);
		} else document.activeElement?.blur();
	}
}
