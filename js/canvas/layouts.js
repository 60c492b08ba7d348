/** The panel of layouts: kept by name in ComfyUI's user data, or handed on as text. */

import { h, iconButton } from "./dom.js";
import { say } from "./texts.js";
import { DrawingError, parseDrawing, writeDrawing } from "./value.js";

export class LayoutsPanel {
  /** Texts by their names. */
  #kept = {};
  /** Regions that wait for the answer: in the place of those there are, or beside them. */
  #waiting = null;

  /**
   * @param {import("./editor.js").Editor} editor
   * @param {() => void} close
   */
  constructor(editor, close) {
    this.editor = editor;
    this.close = close;
    const button = (key, onclick) => h("button", { type: "button", onclick }, say(key));
    const named = (key) => ({ placeholder: say(key), "aria-label": say(key) });
    this.name = h("input", { type: "text", ...named("layouts.name"), oninput: () => this.#showSave() });
    this.save = h("button", { type: "submit" });
    this.list = h("div", { class: "rag-column" });
    this.text = h("textarea", { rows: 3, spellcheck: "false", "data-capture-wheel": "true", ...named("layouts.text") });
    const copy = () => {
      this.text.select();
      document.execCommand("copy");
    };
    this.offer = h(
      "div",
      { class: "rag-column" },
      h("div", { class: "rag-ratio-row" }, this.name, this.save),
      this.list,
      this.text,
      h(
        "div",
        { class: "rag-presets" },
        button("layouts.copy", copy),
        button("layouts.use", () => this.#take(this.text.value)),
      ),
    );
    this.count = h("strong");
    this.replace = button("split.replace", () => this.#load(true));
    const answers = h(
      "div",
      { class: "rag-presets" },
      this.replace,
      button("split.add", () => this.#load(false)),
    );
    this.question = h("div", { class: "rag-column" }, this.count, answers);
    this.problem = h("div", { class: "rag-reason", role: "alert" });
    const inside = [this.offer, this.question, this.problem];
    this.root = h("form", { class: "rag-panel", hidden: true, "data-capture-wheel": "true" }, ...inside);
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.name.value.trim();
      if (name) this.#keep((kept) => ({ ...kept, [name]: this.#drawn() }));
    });
  }

  open() {
    this.#ask(null);
    this.text.value = this.#drawn();
    this.#keep();
  }

  #drawn() {
    return writeDrawing({ version: 1, regions: this.editor.model.regions });
  }

  /** Change what is kept, as it is by now, and show it. */
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
    const load = h("button", { type: "button", onclick: () => this.#take(this.#kept[name]) }, name);
    const remove = iconButton("delete", say("layouts.delete", { name }), () => {
      if (window.confirm(`${say("layouts.delete", { name })}?`)) this.#keep(({ [name]: _, ...kept }) => kept);
    });
    return h("div", { class: "rag-layout" }, load, remove);
  }

  #showSave() {
    const taken = Object.hasOwn(this.#kept, this.name.value.trim());
    this.save.textContent = say(taken ? "layouts.again" : "layouts.save");
  }

  #take(text) {
    let regions;
    try {
      ({ regions } = parseDrawing(text, []));
    } catch (error) {
      if (!(error instanceof DrawingError)) throw error;
      this.problem.textContent = say(error.key, error.values);
      return;
    }
    this.#ask(regions);
    if (this.editor.model.regions.length) this.replace.focus();
    else this.#load(true);
  }

  #ask(regions) {
    this.#waiting = regions;
    this.problem.textContent = "";
    this.offer.hidden = Boolean(regions);
    this.question.hidden = !regions;
    this.count.textContent = say("split.ask", { count: this.editor.model.regions.length });
  }

  #load(anew) {
    const regions = this.#waiting;
    this.close();
    this.editor.insert(regions, anew);
  }
}
