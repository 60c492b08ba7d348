/** The row of tools above the stage, and the panels that it opens over it: split, layouts, view and help. */

import { h, iconButton, setIcon } from "./dom.js";
import { LayoutsPanel } from "./layouts.js";
import { HelpPanel, ViewPanel } from "./panels.js";
import { SplitPanel } from "./split_panel.js";
import { say } from "./texts.js";

export class Toolbar {
	constructor(editor) {
		this.editor = editor;
		const { host } = editor;
		const close = () => this.close();
		this.panels = {
			split: new SplitPanel(editor, close),
			layouts: new LayoutsPanel(editor, close),
			view: new ViewPanel(editor),
			help: new HelpPanel(editor),
		};
		const opens = (name) => iconButton(`tool.${name}`, () => this.#toggle(name));
		const split = { title: say("tool.splitTitle"), onclick: () => this.#toggle("split") };
		this.buttons = {
			split: h("button", split, say("tool.split")),
			layouts: opens("layouts"),
			view: opens("view"),
			help: opens("help"),
		};
		this.trace = iconButton("tool.trace", () => editor.trace.toggle());
		this.full = iconButton("tool.full", () => host.toggleFull());
		const bar = h(
			".rag-bar",
			{ role: "toolbar", "aria-label": say("aria.toolbar") },
			iconButton("tool.new", () => editor.addRegion()),
			this.trace,
			this.buttons.split,
			this.buttons.layouts,
			iconButton("tool.undo", () => host.undo()),
			iconButton("tool.redo", () => host.redo()),
			iconButton("tool.background", () => host.toggleBackground()),
			this.buttons.view,
			iconButton("tool.clear", () => editor.clear()),
			this.buttons.help,
			this.full,
		);
		const onkeydown = (event) => {
			const open = Object.keys(this.panels).find((name) => !this.panels[name].root.hidden);
			if (event.key !== "Escape" || !open) return;
			event.stopPropagation();
			this.buttons[open].focus();
			this.close();
		};
		this.root = h(".rag-tools", { onkeydown }, bar, ...Object.values(this.panels).map((panel) => panel.root));
		this.#showOpen();
	}

	/** @param {Region[]} chosen The selected ones, and the number of the last. */
	render(chosen, number) {
		const several = chosen.length > 1 || chosen.some((region) => region.locked);
		this.buttons.split.disabled = several;
		if (several && !this.panels.split.root.hidden) this.#toggle(null);
		this.panels.split.render(chosen[0], number);
	}

	close() {
		if (Object.values(this.panels).some((panel) => !panel.root.hidden)) this.#toggle(null);
	}

	showTrace(on) {
		this.trace.setAttribute("aria-pressed", on);
	}

	showFull(full) {
		setIcon(this.full, full ? "tool.node" : "tool.full");
	}

	#toggle(name) {
		this.editor.finish();
		for (const [one, { root }] of Object.entries(this.panels)) root.hidden = one !== name || !root.hidden;
		this.#showOpen();
		const open = this.panels[name];
		if (open && !open.root.hidden) open.open?.();
		this.editor.render();
	}

	#showOpen() {
		for (const [name, { root }] of Object.entries(this.panels))
			this.buttons[name].setAttribute("aria-expanded", !root.hidden);
	}
}
