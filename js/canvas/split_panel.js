/** The panel that divides the picture or a region: ready-made splits, a ratio, prompts for the parts. */

import { asking, button, h } from "./dom.js";
import { Question } from "./question.js";
import { parseRatio, SPLITS, splitPrompts } from "./split.js";
import { say } from "./texts.js";

export class SplitPanel {
	constructor(editor, close) {
		this.editor = editor;
		this.close = close;
		this.target = h("strong");
		this.ratio = h("input", { type: "text", ...asking("split.ratio") });
		this.prompts = h("textarea", { rows: 2, ...asking("split.prompts") });
		this.problem = h(".rag-reason", { role: "alert" });
		this.question = new Question(editor);
		const presets = SPLITS.map(([key, ratio]) => button(key, () => this.#apply(ratio)));
		this.offer = h(
			".rag-column",
			this.target,
			h(".rag-presets", ...presets),
			h(".rag-ratio-row", this.ratio, h("button", { type: "submit" }, say("split.go"))),
			this.prompts,
		);
		const onsubmit = (event) => {
			event.preventDefault();
			this.#apply(this.ratio.value);
		};
		this.root = h("form.rag-panel", { hidden: true, onsubmit }, this.offer, this.question.root, this.problem);
	}

	/** @param {Region | undefined} region The selected one, and its number. */
	render(region, number) {
		if (this.root.hidden || region) this.question.root.hidden = true;
		this.offer.hidden = !this.question.root.hidden;
		this.target.textContent = region ? say("split.region", { number: number ?? "–" }) : say("split.picture");
	}

	/** Divide the selected region, or the picture; where that has regions, ask what becomes of them. */
	#apply(ratio) {
		let cells = [];
		this.problem.textContent = "";
		try {
			cells = parseRatio(ratio);
		} catch (error) {
			this.problem.textContent = ratioFault(error);
			return;
		}
		const prompts = this.prompts.value.trim() ? splitPrompts(this.prompts.value, cells.length) : [];
		if (prompts.length && prompts.length !== cells.length)
			this.problem.textContent = say("split.count", { cells: cells.length, prompts: prompts.length });
		else if (this.editor.chosen.length) this.#split(cells, prompts, false);
		else this.question.ask((anew) => this.#split(cells, prompts, anew));
		this.offer.hidden = !this.question.root.hidden;
	}

	#split(cells, prompts, anew) {
		const { editor } = this;
		this.question.root.hidden = true;
		this.problem.textContent = editor.split(cells, prompts, anew) ? "" : say("split.small");
		this.render(editor.chosenRegions[0], editor.number(editor.selected));
		if (this.problem.textContent) return;
		this.prompts.value = "";
		this.ratio.value = "";
		this.close();
	}
}

/** What is wrong with a ratio, in words, with the place. Anything but a RatioError goes on. */
export function ratioFault(error) {
	if (!error.key) throw error;
	return say(error.key, { word: error.word, place: error.start + 1 });
}
