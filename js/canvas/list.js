/** The list below the stage: every region with its prompt; for the selected one, everything else. */

import { inkOn } from "./color.js";
import { h, iconButton, setIcon } from "./dom.js";
import { moved, resized } from "./geometry.js";
import { say } from "./texts.js";
import { numbersOf } from "./value.js";

export class List {
  /** @type {Map<string, {row: HTMLElement, chip: HTMLElement, prompt: HTMLTextAreaElement}>} */
  #rows = new Map();
  #last = null;

  /** @param {import("./editor.js").Editor} editor */
  constructor(editor) {
    this.editor = editor;
    this.details = new Details(editor);
    const label = { role: "list", "aria-label": say("aria.list") };
    this.root = h("div", { class: "rag-list", "data-capture-wheel": "true", ...label });
  }

  render(regions, selected, size) {
    const numbers = numbersOf(regions);
    for (const [id, { row }] of this.#rows) {
      if (regions.some((region) => region.id === id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    for (const [index, region] of regions.entries()) {
      const shown = this.#rows.get(region.id) ?? this.#make(region.id);
      const { row } = shown;
      if (this.root.children[index] !== row) this.root.insertBefore(row, this.root.children[index]);
      this.#fill(shown, region, numbers.get(region.id) ?? "–", region.id === selected);
      if (region.id === selected) this.details.show(row, region, size);
    }
    if (!selected) this.details.root.remove();
    else if (selected !== this.#last) this.#rows.get(selected).row.scrollIntoView?.({ block: "nearest" });
    this.#last = selected;
  }

  /** Show a prompt that is typed elsewhere. */
  showPrompt(id, text) {
    const { prompt } = this.#rows.get(id);
    if (prompt.value !== text) prompt.value = text;
  }

  #make(id) {
    const { editor } = this;
    const choose = () => {
      editor.select(id);
      editor.stage.focus(id);
    };
    const chip = h("button", { type: "button", class: "rag-chip", onclick: choose });
    const label = { placeholder: say("prompt"), "aria-label": say("prompt") };
    const prompt = h("textarea", { class: "rag-text", rows: 1, "data-capture-wheel": "true", ...label });
    let before = "";
    prompt.addEventListener("focus", () => {
      editor.select(id);
      before = prompt.value;
    });
    prompt.addEventListener("input", () => editor.typePrompt(id, prompt.value));
    prompt.addEventListener("change", () => editor.commit());
    prompt.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        editor.stage.focus(id);
      } else if (prompt.value === before) editor.undoInstead(event);
    });
    const row = h("div", { class: "rag-row", role: "listitem", "data-row": id }, chip, prompt);
    const shown = { row, chip, prompt };
    this.#rows.set(id, shown);
    return shown;
  }

  #fill({ row, chip }, region, number, selected) {
    chip.textContent = number;
    chip.style.background = region.color;
    chip.style.color = inkOn(region.color);
    chip.setAttribute("aria-label", say("region.select", { number }));
    chip.setAttribute("aria-pressed", selected);
    row.classList.toggle("rag-chosen", selected);
    row.classList.toggle("rag-off", !region.enabled);
    this.showPrompt(region.id, region.prompt);
  }
}

/** Buttons and numbers for the selected region. One for the list: it moves to the row that is chosen. */
class Details {
  constructor(editor) {
    this.editor = editor;
    const act = (icon, key, run) => iconButton(icon, say(key), () => run(this.region.id));
    this.hide = act("show", "region.hide", (id) => editor.change(id, { enabled: !this.region.enabled }));
    this.lock = act("unlock", "region.lock", (id) => editor.change(id, { locked: !this.region.locked }));
    this.color = h("input", { type: "color", title: say("region.color"), "aria-label": say("region.color") });
    this.color.addEventListener("change", () => editor.change(this.region.id, { color: this.color.value }));
    this.numbers = Object.fromEntries(["x", "y", "w", "h"].map((key) => [key, this.#number(key)]));
    this.root = h(
      "div",
      { class: "rag-more" },
      h(
        "div",
        { class: "rag-buttons" },
        this.hide,
        this.lock,
        act("back", "region.back", (id) => editor.reorder(id, -1)),
        act("front", "region.front", (id) => editor.reorder(id, 1)),
        act("duplicate", "region.duplicate", (id) => editor.duplicate(id)),
        act("delete", "region.delete", (id) => editor.remove(id)),
        this.color,
      ),
      h(
        "div",
        { class: "rag-numbers" },
        ...Object.entries(this.numbers).map(([key, field]) => h("label", {}, key, field)),
      ),
    );
  }

  show(row, region, size) {
    this.region = region;
    const { enabled, locked } = region;
    setIcon(this.hide, enabled ? "show" : "hide", say(enabled ? "region.hide" : "region.show"));
    setIcon(this.lock, locked ? "lock" : "unlock", say(locked ? "region.unlock" : "region.lock"));
    this.color.value = region.color;
    for (const [key, value] of Object.entries(inPixels(region, size))) {
      this.numbers[key].value = value;
      this.numbers[key].disabled = Boolean(locked);
    }
    if (this.root.parentElement !== row) row.append(this.root);
  }

  #number(key) {
    const label = say(`region.${key}`);
    const field = h("input", { type: "number", step: 16, min: 0, title: label, "aria-label": label });
    field.addEventListener("change", () => {
      const { region, editor } = this;
      if (field.value === "") editor.render();
      else editor.placeRegion(region.id, withNumber(region, key, field.valueAsNumber, editor.size));
    });
    return field;
  }
}

function inPixels(box, { width, height }) {
  const [x, w] = [box.x, box.w].map((part) => Math.round(part * width));
  const [y, tall] = [box.y, box.h].map((part) => Math.round(part * height));
  return { x, y, w, h: tall };
}

/** The box with one number, in pixels, changed: that edge on the grid and inside the image, the others as they are. */
function withNumber(box, key, pixels, size) {
  if (key === "x") return moved(box, pixels / size.width - box.x, 0, size);
  if (key === "y") return moved(box, 0, pixels / size.height - box.y, size);
  if (key === "w") return resized(box, "e", pixels / size.width - box.w, 0, size);
  return resized(box, "s", 0, pixels / size.height - box.h, size);
}
