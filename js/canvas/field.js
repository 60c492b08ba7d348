/** Typing on the paper: a region's prompt, or its name, in a field on top of it. */

import { asking, h, place } from "./dom.js";

export class Field {
	#open = null;

	constructor(editor) {
		this.editor = editor;
	}

	/** @param {"prompt" | "name"} key What is typed. */
	open(id, key) {
		const { editor } = this;
		editor.select(id);
		this.close();
		const region = editor.model.find(id);
		const before = region[key] ?? "";
		const field =
			key === "name" ? h("input.rag-name", asking("region.name")) : h("textarea.rag-prompt", asking("prompt"));
		field.value = before;
		place(field, region);
		field.addEventListener("input", () => {
			if (key === "prompt") editor.typePrompt(id, field.value);
		});
		field.addEventListener("blur", () => {
			// the window lost the focus, not the field: it comes back with it
			if (document.activeElement !== field) this.close();
		});
		field.addEventListener("keydown", (event) => {
			const done = event.key === "Escape" || (key === "name" && event.key === "Enter" && !event.isComposing);
			if (!done && field.value === before) return editor.undoInstead(event);
			if (!done) return;
			event.preventDefault();
			event.stopPropagation();
			this.close();
			editor.stage.focus(id);
		});
		editor.stage.paper.append(field);
		field.focus({ preventScroll: true }); // takes the focus from the region, which ends what is under way
		this.#open = { field, id, key, before };
		field.select();
	}

	close() {
		const open = this.#open;
		if (!open) return;
		this.#open = null; // first: removing the field makes it lose focus, which comes here again
		const { editor } = this;
		const { field, id, key, before } = open;
		const typed = field.value;
		field.remove();
		if (typed === before || !editor.model.find(id)) return;
		editor.model.set(id, { [key]: key === "name" ? typed.trim() : typed });
		editor.commit();
	}
}
