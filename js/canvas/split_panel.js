/** The panel that divides the picture or a region: ready-made splits, a ratio, prompts for the parts. */

import { h } from "./dom.js";
import { parseRatio, SPLITS, splitPrompts } from "./split.js";
import { say } from "./texts.js";

export class SplitPanel {
  /** What waits for the answer: in the place of the regions there are, or beside them. */
  #waiting = null;

  /**
   * @param {import("./editor.js").Editor} editor
   * @param {() => void} close
   */
  constructor(editor, close) {
    this.editor = editor;
    this.close = close;
    this.target = h("strong");
    this.ratio = h("input", { type: "text", placeholder: say("split.ratio"), "aria-label": say("split.ratio") });
    this.prompts = h("textarea", { rows: 2, placeholder: say("split.prompts"), "aria-label": say("split.prompts") });
    this.problem = h("div", { class: "rag-reason", role: "alert" });
    const button = (key, onclick) => h("button", { type: "button", onclick }, say(key));
    this.offer = h(
      "div",
      { class: "rag-column" },
      h("div", { class: "rag-presets" }, ...SPLITS.map(([key, ratio]) => button(key, () => this.#apply(ratio)))),
      h("div", { class: "rag-ratio-row" }, this.ratio, h("button", { type: "submit" }, say("split.go"))),
      this.prompts,
    );
    this.replace = button("split.replace", () => this.#split(true));
    this.question = h(
      "div",
      { class: "rag-presets" },
      this.replace,
      button("split.add", () => this.#split(false)),
    );
    this.root = h("form", { class: "rag-panel", hidden: true }, this.target, this.offer, this.question, this.problem);
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#apply(this.ratio.value);
    });
  }

  /** @param {import("./value.js").Region | undefined} region The selected one, and its number. */
  render(region, number) {
    if (this.root.hidden || region) this.#waiting = null;
    this.offer.hidden = Boolean(this.#waiting);
    this.question.hidden = !this.#waiting;
    const { length: count } = this.editor.model.regions;
    if (this.#waiting) this.target.textContent = say("split.ask", { count });
    else this.target.textContent = region ? say("split.region", { number: number ?? "–" }) : say("split.picture");
  }

  /** Divide the selected region, or the picture; where that has regions, ask what becomes of them. */
  #apply(ratio) {
    const { chosen, model } = this.editor;
    this.problem.textContent = this.#fault(ratio);
    if (this.problem.textContent) return;
    if (chosen.length || !model.regions.length) return this.#split(false);
    this.render();
    this.replace.focus();
  }

  #split(anew) {
    const { cells, prompts } = this.#waiting;
    this.#waiting = null;
    this.problem.textContent = this.editor.split(cells, prompts, anew) ? "" : say("split.small");
    this.render(this.editor.chosenRegions[0], this.editor.number(this.editor.selected));
    if (this.problem.textContent) return;
    this.prompts.value = "";
    this.ratio.value = "";
    this.close();
  }

  /** What is wrong, in words; else the split is ready. */
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
    this.#waiting = { cells, prompts };
    return "";
  }
}

/** What is wrong with a ratio, in words, with the place. Anything but a RatioError goes on. */
export function ratioFault(error) {
  if (!error.key) throw error;
  return say(error.key, { word: error.word, place: error.start + 1 });
}
