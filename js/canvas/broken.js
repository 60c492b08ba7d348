/** What stands in the editor's place for a text that is no drawing: why, and the text, to be put right. */

import { h } from "./dom.js";
import { say } from "./texts.js";

export class Broken {
  /** @param {import("./editor.js").Editor} editor */
  constructor(editor) {
    this.editor = editor;
    this.reason = h("div", { class: "rag-reason", role: "alert" });
    this.raw = h("textarea", { class: "rag-raw", "data-capture-wheel": "true", spellcheck: "false" });
    const { model } = editor;
    this.raw.addEventListener("input", () => {
      model.load(this.raw.value);
      if (model.error) editor.render();
      else editor.commit();
    });
    this.raw.addEventListener("change", () => editor.host.changed());
    const anew = () => {
      model.replace([]);
      editor.commit();
    };
    this.root = h(
      "div",
      { class: "rag-broken", hidden: true },
      h("strong", {}, say("error.title")),
      this.reason,
      this.raw,
      h("button", { type: "button", onclick: anew }, say("error.anew")),
    );
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
