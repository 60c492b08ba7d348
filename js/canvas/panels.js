/** The panels of view and help. */

import { afterPause, button, h, keepsWheel, paragraphs } from "./dom.js";
import { say } from "./texts.js";

export class ViewPanel {
	constructor(editor) {
		const opacity = () => ({ opacity: this.opacity.valueAsNumber });
		const oninput = () => editor.setView({ ...editor.view, ...opacity() });
		this.opacity = h("input", { type: "range", min: 0.1, max: 1, step: 0.05, value: 1, oninput });
		afterPause(this.opacity, () => editor.changeView(opacity()));
		this.guides = h("input", { type: "checkbox", onchange: () => editor.changeView({ guides: this.guides.checked }) });
		this.size = h("button", { hidden: true, onclick: () => editor.host.resize(this.picture) });
		this.root = h(
			".rag-panel",
			{ hidden: true },
			h("label.rag-line", say("view.opacity"), this.opacity),
			h("label.rag-line", this.guides, say("view.guides")),
			h("p", say("view.peek")),
			this.size,
		);
	}

	show({ opacity = 1, guides = false }) {
		if (this.opacity.valueAsNumber !== opacity) this.opacity.value = opacity;
		this.guides.checked = guides;
	}

	/** @param {Size | null} picture The size of the picture behind; it is taken unless linked. */
	offer(picture, linked) {
		this.picture = picture;
		this.size.hidden = !picture;
		this.size.disabled = linked;
		if (picture) this.size.textContent = say(linked ? "view.linked" : "view.size", picture);
	}
}

/** The keys, and what the words mean; or why things do not work. The texts are fetched when they are asked for. */
export class HelpPanel {
	constructor(editor) {
		const page = (event) => {
			event.preventDefault();
			editor.toolbar.close();
			editor.host.help();
		};
		const why = button("help.why", () => this.#show(say("help.whyPage")));
		const link = h("a", { href: "#", onclick: page }, say("help.page"));
		this.text = h(".rag-column");
		this.root = keepsWheel(h(".rag-panel.rag-help", { hidden: true, tabindex: 0 }, why, this.text, link));
	}

	open() {
		this.#show(say("help.keys"));
	}

	async #show(name) {
		this.root.focus();
		let shown = [];
		try {
			const answer = await fetch(new URL(`../docs/${name}.md`, import.meta.url));
			if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
			shown = paragraphs(await answer.text());
		} catch (error) {
			shown = [say("help.failed", { reason: error.message })];
		}
		this.text.replaceChildren(...shown);
	}
}
