/** The row of tools above the stage, and the panels that it opens over it: split, layouts, view and help. */

import { h, iconButton, setIcon } from "./dom.js";
import { LayoutsPanel } from "./layouts.js";
import { HelpPanel, ViewPanel } from "./panels.js";
import { SplitPanel } from "./split_panel.js";
import { say } from "./texts.js";

export class Toolbar {
  /** @param {import("./editor.js").Editor} editor */
  constructor(editor) {
    this.editor = editor;
    const { host } = editor;
    const open = (name) => ({ "aria-expanded": "false", onclick: () => this.#toggle(name) });
    this.splitButton = h(
      "button",
      { type: "button", title: say("tool.splitTitle"), ...open("split") },
      say("tool.split"),
    );
    this.buttons = {
      split: this.splitButton,
      layouts: iconButton("layouts", say("tool.layouts"), () => this.#toggle("layouts")),
      view: iconButton("view", say("tool.view"), () => this.#toggle("view")),
      help: iconButton("help", say("tool.help"), () => this.#toggle("help")),
    };
    this.panels = {
      split: new SplitPanel(editor, () => this.close()),
      layouts: new LayoutsPanel(editor, () => this.close()),
      view: new ViewPanel(editor),
      help: new HelpPanel(editor),
    };
    this.trace = iconButton("trace", say("tool.trace"), () => editor.trace.toggle());
    this.full = iconButton("full", say("tool.full"), () => host.toggleFull());
    this.root = h(
      "div",
      { class: "rag-tools" },
      h(
        "div",
        { class: "rag-bar", role: "toolbar", "aria-label": say("aria.toolbar") },
        iconButton("new", say("tool.new"), () => editor.addRegion()),
        this.trace,
        this.splitButton,
        this.buttons.layouts,
        iconButton("undo", say("tool.undo"), () => host.undo()),
        iconButton("redo", say("tool.redo"), () => host.redo()),
        iconButton("background", say("tool.background"), () => host.toggleBackground()),
        this.buttons.view,
        iconButton("clear", say("tool.clear"), () => editor.clear()),
        this.buttons.help,
        this.full,
      ),
      ...Object.values(this.panels).map((panel) => panel.root),
    );
    this.root.addEventListener("keydown", (event) => {
      const open = Object.keys(this.panels).find((name) => !this.panels[name].root.hidden);
      if (event.key !== "Escape" || !open) return;
      event.stopPropagation();
      this.buttons[open].focus();
      this.close();
    });
  }

  /** @param {import("./value.js").Region[]} chosen The selected ones, and the number of the last. */
  render(chosen, number) {
    const several = chosen.length > 1 || chosen.some((region) => region.locked);
    this.splitButton.disabled = several;
    if (several && !this.panels.split.root.hidden) this.#toggle(null);
    this.panels.split.render(chosen[0], number);
  }

  close() {
    if (Object.values(this.panels).some((panel) => !panel.root.hidden)) this.#toggle(null);
  }

  showView(view) {
    this.panels.view.show(view);
  }

  showTrace(on) {
    this.trace.setAttribute("aria-pressed", on);
  }

  showFull(full) {
    setIcon(this.full, full ? "node" : "full", say(full ? "tool.node" : "tool.full"));
  }

  #toggle(name) {
    this.editor.finish();
    for (const [one, { root }] of Object.entries(this.panels)) {
      root.hidden = one !== name || !root.hidden;
      this.buttons[one].setAttribute("aria-expanded", !root.hidden);
    }
    if (!this.panels.layouts.root.hidden) this.panels.layouts.open();
    this.editor.render();
  }
}
