/** The panel of layouts: kept by name in ComfyUI's user data, or handed on as text. */

import { asking, button, h, iconButton, keepsWheel } from "./dom.js";
import { Question } from "./question.js";
import { say } from "./texts.js";
import { DrawingError, parseDrawing, writeDrawing } from "./value.js";

export class LayoutsPanel {
	#kept = {};

	constructor(editor, close) {
		this.editor = editor;
		this.close = close;
		this.name = h("input", { type: "text", ...asking("layouts.name"), oninput: () => this.#showSave() });
		this.save = h("button", { type: "submit" });
		this.list = h(".rag-column");
		this.text = h("textarea", { rows: 3, spellcheck: "false", ...asking("layouts.text") });
		const copy = () => {
			this.text.select();
			document.execCommand("copy");
		};
		const use = button("layouts.use", () => this.#take(this.text.value));
		this.offer = h(
			".rag-column",
			h(".rag-ratio-row", this.name, this.save),
			this.list,
			this.text,
			h(".rag-presets", button("layouts.copy", copy), use),
		);
		this.question = new Question(editor);
		this.problem = h(".rag-reason", { role: "alert" });
		const onsubmit = (event) => {
			event.preventDefault();
			const name = this.name.value.trim();
			if (name) this.#keep((kept) => ({ ...kept, [name]: this.#drawn() }));
		};
		this.root = h("form.rag-panel", { hidden: true, onsubmit }, this.offer, this.question.root, this.problem);
		keepsWheel(this.root);
	}

	open() {
		this.offer.hidden = false;
		this.question.root.hidden = true;
		this.text.value = this.#drawn();
		this.#keep();
	}

	#drawn() {
		return writeDrawing({ version: 1, regions: this.editor.model.regions });
	}

	async #keep(change) {
		this.problem.textContent = "";
		const { layouts } = this.editor.host;
		try {
			this.#kept = await layouts();
			if (change) {
				this.#kept = change(this.#kept);
				await layouts(this.#kept);
			}
		} catch (error) {
			this.problem.textContent = say("layouts.failed", { reason: error.message });
		}
		const names = Object.keys(this.#kept).sort((a, b) => a.localeCompare(b));
		this.list.replaceChildren(...names.map((name) => this.#row(name)));
		this.#showSave();
	}

	#row(name) {
		const load = h("button", { onclick: () => this.#take(this.#kept[name]) }, name);
		const title = say("layouts.delete", { name });
		const remove = () => {
			if (window.confirm(`${title}?`)) this.#keep(({ [name]: _, ...kept }) => kept);
		};
		return h(".rag-layout", load, iconButton("layouts.delete", remove, title));
	}

	#showSave() {
		const taken = Object.hasOwn(this.#kept, this.name.value.trim());
		this.save.textContent = say(taken ? "layouts.again" : "layouts.save");
	}

	#take(text) {
		let regions = [];
		this.problem.textContent = "";
		try {
			({ regions } = parseDrawing(text, []));
		} catch (error) {
			if (!(error instanceof DrawingError)) throw error;
			this.problem.textContent = say(error.key, error.values);
			return;
		}
		this.offer.hidden = true;
		this.question.ask((anew) => {
			this.close();
			this.editor.insert(regions, anew);
		});
	}
}
