/** The editor as large as the window: the same element, taken out of its node and put back. */

import { h } from "./dom.js";

export class Full {
	#place = document.createComment("the editor is shown as large as the window");

	constructor(editor) {
		this.editor = editor;
		this.root = h(".rag-full"); // not named a dialog: newer pages undo nothing while one is open
		// while it is open the page's keys are the editor's, but for those with Ctrl: undo, save, run
		this.root.addEventListener("keydown", (event) => {
			if (event.key === "Tab") this.#stay(event);
			if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
		});
		this.keys = (event) => {
			if (document.activeElement !== document.body) return;
			if (event.key === "Escape") this.toggle();
			else if (event.key === "Tab") this.#stay(event);
		};
	}

	#stay(event) {
		const stops = [...this.root.querySelectorAll("button, input, textarea, a, [tabindex]")].filter(
			(one) => !one.disabled && one.checkVisibility({ visibilityProperty: true }),
		);
		const [first, last] = [stops[0], stops.at(-1)];
		const [end, start] = event.shiftKey ? [first, last] : [last, first];
		if (document.activeElement !== end && this.root.contains(document.activeElement)) return;
		event.preventDefault();
		start.focus();
	}

	toggle(on = !this.editor.full) {
		const { editor, root } = this;
		if (on === editor.full) return;
		editor.finish();
		editor.full = on;
		if (on) {
			editor.root.replaceWith(this.#place);
			root.append(editor.root);
			document.body.append(root);
			document.addEventListener("keydown", this.keys);
		} else {
			this.#place.replaceWith(editor.root);
			root.remove();
			document.removeEventListener("keydown", this.keys);
		}
		editor.toolbar.showFull(on);
		editor.stage.focus(editor.selected);
	}
}
