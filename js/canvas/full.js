/** The editor as large as the window: the same element, taken out of its node and put back. */

import { h } from "./dom.js";

export class Full {
  #place = document.createComment("the editor is shown as large as the window");

  /** @param {import("./editor.js").Editor} editor */
  constructor(editor) {
    this.editor = editor;
    this.root = h("div", { class: "rag-full" }); // not named a dialog: newer pages undo nothing while one is open
    // while it is open the page's keys are the editor's, but for those with Ctrl: undo, save, run
    this.root.addEventListener("keydown", (event) => {
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
    });
    this.escape = (event) => {
      if (event.key === "Escape" && document.activeElement === document.body) this.toggle();
    };
  }

  toggle(on = !this.editor.full) {
    const { editor, root } = this;
    if (on === editor.full) return;
    editor.finish();
    editor.full = on;
    if (on) {
      editor.root.replaceWith(this.#place);
      root.append(editor.root);
      document.body.append(root);
      document.addEventListener("keydown", this.escape);
    } else {
      this.#place.replaceWith(editor.root);
      root.remove();
      document.removeEventListener("keydown", this.escape);
    }
    editor.toolbar.showFull(on);
    editor.stage.focus(editor.selected);
  }
}
