/** The row of tools above the stage, and the panels that it opens: split, and help. */

import { h, iconButton, paragraphs } from "./dom.js";
import { parseRatio, SPLITS, splitPrompts } from "./split.js";
import { say } from "./texts.js";

const WHY = new URL("../docs/why_it_did_not_work.md", import.meta.url);

export class Toolbar {
  /** @param {import("./editor.js").Editor} editor */
  constructor(editor) {
    this.editor = editor;
    const { host } = editor;
    this.splitButton = h(
      "button",
      { type: "button", title: say("tool.splitTitle"), "aria-expanded": "false", onclick: () => this.#toggle("split") },
      say("tool.split"),
    );
    this.background = iconButton("background", say("tool.background"), () => host.toggleBackground());
    this.split = this.#splitPanel();
    this.helpButton = iconButton("help", say("tool.help"), () => this.#toggle("help"));
    this.help = h(
      "div",
      { class: "rag-panel rag-help", hidden: true, "data-capture-wheel": "true", tabindex: 0 },
      h("p", {}, say("help.keys")),
      h("p", {}, say("help.hints")),
      h("button", { type: "button", onclick: (event) => this.#explain(event.currentTarget) }, say("help.why")),
    );
    this.root = h(
      "div",
      { class: "rag-tools" },
      h(
        "div",
        { class: "rag-bar", role: "toolbar", "aria-label": say("aria.toolbar") },
        iconButton("new", say("tool.new"), () => editor.addRegion()),
        this.splitButton,
        iconButton("undo", say("tool.undo"), () => host.undo()),
        iconButton("redo", say("tool.redo"), () => host.redo()),
        this.background,
        iconButton("clear", say("tool.clear"), () => editor.clear()),
        this.helpButton,
      ),
      this.split,
      this.help,
    );
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || (this.split.hidden && this.help.hidden)) return;
      event.stopPropagation();
      (this.help.hidden ? this.splitButton : this.helpButton).focus();
      this.#toggle(null);
    });
  }

  /** @param {import("./value.js").Region | undefined} region The selected one, and its number. */
  render(region, number) {
    const locked = Boolean(region?.locked);
    this.splitButton.disabled = locked;
    this.split.hidden ||= locked;
    this.target.textContent = region ? say("split.region", { number: number ?? "–" }) : say("split.picture");
  }

  #toggle(name) {
    this.editor.finish();
    this.split.hidden = name !== "split" || !this.split.hidden;
    this.help.hidden = name !== "help" || !this.help.hidden;
    this.splitButton.setAttribute("aria-expanded", !this.split.hidden);
  }

  /** Put the page on why things do not work into the place of the button that asks for it. */
  async #explain(button) {
    const answer = await fetch(WHY);
    if (!answer.ok) return;
    button.replaceWith(...paragraphs(await answer.text()));
    this.help.focus();
  }

  #splitPanel() {
    this.target = h("strong");
    this.ratio = h("input", { type: "text", placeholder: say("split.ratio"), "aria-label": say("split.ratio") });
    this.prompts = h("textarea", { rows: 2, placeholder: say("split.prompts"), "aria-label": say("split.prompts") });
    this.problem = h("div", { class: "rag-reason", role: "alert" });
    const presets = SPLITS.map(([key, ratio]) =>
      h("button", { type: "button", onclick: () => this.#apply(ratio) }, say(key)),
    );
    const form = h(
      "form",
      { class: "rag-panel", hidden: true },
      this.target,
      h("div", { class: "rag-presets" }, ...presets),
      h("div", { class: "rag-ratio-row" }, this.ratio, h("button", { type: "submit" }, say("split.go"))),
      this.prompts,
      this.problem,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply(this.ratio.value);
    });
    return form;
  }

  /** Divide the selected region, or the picture, and close the panel; or say what is wrong. */
  #apply(ratio) {
    this.problem.textContent = this.#fault(ratio);
    if (this.problem.textContent) return;
    this.prompts.value = "";
    this.ratio.value = "";
    this.#toggle(null);
  }

  #fault(ratio) {
    let cells;
    try {
      cells = parseRatio(ratio);
    } catch (error) {
      return ratioFault(error);
    }
    const prompts = this.prompts.value.trim() ? splitPrompts(this.prompts.value, cells.length) : [];
    if (prompts.length && prompts.length !== cells.length)
      return say("split.count", { cells: cells.length, prompts: prompts.length });
    return this.editor.split(cells, prompts) ? "" : say("split.small");
  }
}

/** What is wrong with a ratio, in words, with the place. Anything but a RatioError goes on. */
export function ratioFault(error) {
  if (!error.key) throw error;
  return say(error.key, { word: error.word, place: error.start + 1 });
}
