/** What becomes of the regions that there are, before others come: in their place, or beside them. */

import { button, h } from "./dom.js";
import { say } from "./texts.js";

export class Question {
	#then = null;

	constructor(editor) {
		this.editor = editor;
		this.count = h("strong");
		this.replace = button("split.replace", () => this.#then(true));
		const answers = h(
			".rag-presets",
			this.replace,
			button("split.add", () => this.#then(false)),
		);
		this.root = h(".rag-column", { hidden: true }, this.count, answers);
	}

	/** @param {(anew: boolean) => void} then Done at once where there is nothing to ask about. */
	ask(then) {
		const { length: count } = this.editor.model.regions;
		if (!count) return then(false);
		this.#then = then;
		this.count.textContent = say("split.ask", { count });
		this.root.hidden = false;
		this.replace.focus();
	}
}
