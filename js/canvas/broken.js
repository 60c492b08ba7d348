/** What stands in the editor's place for a text that is no drawing: why, and the text, to be put right. */

import { button, h } from "./dom.js";
import { say } from "./texts.js";

export class Broken {
	constructor(editor) {
		this.editor = editor;
		const { model } = editor;
		const mend = () => {
			model.load(this.raw.value);
			if (model.error) editor.render();
			else editor.commit();
		};
		const anew = () => {
			model.replace([]);
			editor.commit();
		};
		this.reason = h(".rag-reason", { role: "alert" });
		const done = () => editor.host.changed();
		this.raw = h("textarea.rag-raw", { spellcheck: "false", oninput: mend, onchange: done });
		const title = h("strong", say("error.title"));
		this.root = h(".rag-broken", { hidden: true }, title, this.reason, this.raw, button("error.anew", anew));
	}

	/** @returns {boolean} Whether the text is no drawing. */
	render() {
		const { error, text } = this.editor.model;
		this.root.hidden = !error;
		if (!error) return false;
		this.reason.textContent = say(error.key, error.values);
		if (this.raw.value !== text) this.raw.value = text;
		return true;
	}
}
