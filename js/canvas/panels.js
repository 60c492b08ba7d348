/** The panels of view and help. */

import { h, paragraphs } from "./dom.js";
import { say } from "./texts.js";

/** How strong the boxes are, lines at the thirds, and the size of the picture behind. */
export class ViewPanel {
  constructor(editor) {
    const change = () => editor.changeView({ opacity: this.opacity.valueAsNumber });
    this.opacity = h("input", { type: "range", min: 0.1, max: 1, step: 0.05, value: 1, onchange: change });
    this.opacity.addEventListener("input", () =>
      editor.setView({ ...editor.view, opacity: this.opacity.valueAsNumber }),
    );
    this.guides = h("input", { type: "checkbox" });
    this.guides.addEventListener("change", () => editor.changeView({ guides: this.guides.checked }));
    this.size = h("button", { type: "button", hidden: true, onclick: () => editor.host.resize(this.picture) });
    this.root = h(
      "div",
      { class: "rag-panel", hidden: true },
      h("label", { class: "rag-line" }, say("view.opacity"), this.opacity),
      h("label", { class: "rag-line" }, this.guides, say("view.guides")),
      h("p", {}, say("view.peek")),
      this.size,
    );
  }

  show({ opacity = 1, guides = false }) {
    if (this.opacity.valueAsNumber !== opacity) this.opacity.value = opacity;
    this.guides.checked = guides;
  }

  /** @param {import("./geometry.js").Size | null} picture The size of the picture behind; it is taken unless linked. */
  offer(picture, linked) {
    this.picture = picture;
    this.size.hidden = !picture;
    this.size.disabled = linked;
    if (picture) this.size.textContent = say(linked ? "view.linked" : "view.size", picture);
  }
}

/** The keys, and what the words mean; the page on why things do not work is fetched when it is asked for. */
export class HelpPanel {
  constructor(editor) {
    const why = (event) => this.#explain(event.currentTarget);
    const page = (event) => {
      event.preventDefault();
      editor.toolbar.close();
      editor.host.help();
    };
    this.root = h(
      "div",
      { class: "rag-panel rag-help", hidden: true, "data-capture-wheel": "true", tabindex: 0 },
      h("button", { type: "button", onclick: why }, say("help.why")),
      h("p", {}, say("help.keys")),
      h("p", {}, say("help.hints")),
      h("a", { href: "#", onclick: page }, say("help.page")),
    );
  }

  async #explain(button) {
    const answer = await fetch(new URL(`../docs/${say("help.whyPage")}.md`, import.meta.url));
    if (!answer.ok) return;
    button.replaceWith(...paragraphs(await answer.text()));
    this.root.focus();
  }
}
