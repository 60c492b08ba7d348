/** More about the selected region, above the list: buttons, colour and numbers. Always there, so that nothing jumps. */

import { h, iconButton } from "./dom.js";
import { moved, resized } from "./geometry.js";
import { openMenu } from "./menu.js";
import { say } from "./texts.js";

export class Details {
  constructor(editor) {
    this.editor = editor;
    const act = (icon, key, run) => iconButton(icon, say(key), (event) => run(this.region.id, event));
    this.color = h("input", { type: "color", title: say("region.color"), "aria-label": say("region.color") });
    this.color.addEventListener("change", () => editor.change(this.region.id, { color: this.color.value }));
    this.numbers = Object.fromEntries(["x", "y", "w", "h"].map((key) => [key, this.#number(key)]));
    const title = (key) => ({ title: say(key), "aria-label": say(key) });
    this.strength = h("input", { type: "range", min: 0, max: 1, step: 0.05, ...title("region.strength") });
    this.strength.addEventListener("input", () => this.#showShare());
    this.strength.addEventListener("change", () => {
      const share = this.strength.valueAsNumber;
      editor.change(this.region.id, { strength: share < 1 ? share : undefined });
    });
    this.share = h("span", { class: "rag-share" });
    this.lora = h("button", { type: "button", class: "rag-lora", onclick: () => this.pickLora() });
    this.weight = h("input", { type: "number", step: 0.05, ...title("lora.strength") });
    this.weight.addEventListener("change", () => {
      if (this.weight.value === "") editor.render();
      else this.#setLora(this.region.id, { strength: this.weight.valueAsNumber });
    });
    const fields = Object.entries(this.numbers).map(([key, field]) => h("label", {}, key, field));
    this.root = h(
      "div",
      { class: "rag-more" },
      h(
        "div",
        { class: "rag-buttons" },
        act("back", "region.back", (id) => editor.reorder(id, -1)),
        act("front", "region.front", (id) => editor.reorder(id, 1)),
        act("duplicate", "region.duplicate", () => editor.duplicate()),
        act("delete", "region.delete", () => editor.remove()),
        act("more", "region.more", (_, { clientX, clientY }) => editor.openMenu(clientX, clientY)),
        this.color,
      ),
      h("div", { class: "rag-numbers" }, ...fields),
      h("div", { class: "rag-own" }, this.strength, this.share, this.lora, this.weight),
    );
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      editor.stage.focus(editor.selected);
    });
  }

  /** @param {import("./value.js").Region | undefined} region */
  render(region, size) {
    this.region = region;
    for (const one of this.root.querySelectorAll("button, input")) one.disabled = !region;
    this.color.value = region?.color ?? "#808080";
    this.strength.value = region?.strength ?? 1;
    this.#showShare();
    const [lora] = region?.loras ?? [];
    this.lora.textContent = lora?.name ?? say("lora.none");
    this.lora.title = `${say("lora")} ${lora?.name ?? ""}`;
    this.weight.value = lora?.strength ?? "";
    this.weight.disabled = !lora;
    const shown = region ? inPixels(region, size) : {};
    for (const [key, field] of Object.entries(this.numbers)) {
      field.value = shown[key] ?? "";
      field.disabled = !region || Boolean(region.locked);
    }
  }

  #showShare() {
    this.share.textContent = `${Math.round(100 * this.strength.valueAsNumber)} %`;
  }

  /** A menu of the files that are installed. */
  async pickLora() {
    const { editor, region } = this;
    const back = document.activeElement;
    let names = [];
    let problem = say("lora.empty");
    try {
      names = await editor.host.loras();
    } catch (error) {
      problem = error.message;
    }
    const now = region.loras?.[0]?.name;
    const item = (name) => ({
      text: name || say("lora.none"),
      hint: name === now ? "✓" : "",
      run: () => this.#setLora(region.id, name && { name }),
    });
    const items = [item(), ...names.map(item)];
    if (!names.length) items.push({ text: problem, off: true });
    const { left, bottom } = this.lora.getBoundingClientRect();
    openMenu(items, left, bottom, () => back.focus(), say("lora.search"));
  }

  /** Change the first LoRA of a region; the others are kept. */
  #setLora(id, changes) {
    const [first, ...others] = this.editor.model.find(id)?.loras ?? [];
    const loras = changes ? [{ strength: 1, ...first, ...changes }, ...others] : others;
    this.editor.change(id, { loras: loras.length ? loras : undefined });
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
