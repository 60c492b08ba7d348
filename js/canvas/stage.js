/** The drawing on the node: the picture's paper, the regions on it, handles, shading and hatching. */

import { inkOn } from "./color.js";
import { h, place, svg } from "./dom.js";
import { HANDLES, labelSteps, overlap, TOKEN } from "./geometry.js";
import { say } from "./texts.js";
import { numbersOf } from "./value.js";

let editors = 0;

/** @typedef {import("./value.js").Region} Region */

export class Stage {
  /** @type {Map<string, {box: HTMLElement, label: HTMLElement, words: HTMLElement, extent: HTMLElement, hole: SVGElement}>} */
  #shown = new Map();
  /** @type {Region[]} Those drawn now. */
  #regions = [];
  /** Patches of two regions that overlap: "id id" -> element. */
  #patches = new Map();
  #cell = 0;

  constructor() {
    const mask = `rag-mask-${editors++}`;
    this.holes = svg("mask", { id: mask }, svg("rect", { width: 1, height: 1, fill: "white" }));
    const shade = svg("rect", { width: 1, height: 1, mask: `url(#${mask})` });
    this.image = h("img", { class: "rag-image", alt: "", draggable: false, hidden: true });
    this.regions = h("div", { class: "rag-regions", role: "listbox", "aria-label": say("aria.regions") });
    this.patches = h("div", { class: "rag-patches" });
    this.handles = h("div", { class: "rag-handles", hidden: true }, ...HANDLES.map(handle));
    this.draft = h("div", { class: "rag-draft", hidden: true });
    this.empty = h("div", { class: "rag-empty" }, say("empty"));
    this.paper = h(
      "div",
      { class: "rag-paper", tabindex: 0, role: "group" },
      this.image,
      svg("svg", { class: "rag-shade", viewBox: "0 0 1 1", preserveAspectRatio: "none" }, this.holes, shade),
      this.regions,
      this.patches,
      this.handles,
      this.draft,
      this.empty,
    );
    this.root = h("div", { class: "rag-stage" }, this.paper);
    this.zoom = 1;
    new ResizeObserver(([entry]) => this.#fitGrid(entry.contentRect.width)).observe(this.paper);
  }

  /** Draw everything anew: after a change, a selection or another size. */
  render(regions, selected, size) {
    this.#regions = regions;
    this.size = size;
    this.paper.style.setProperty("--rag-aspect", this.aspect);
    this.paper.setAttribute("aria-label", say("aria.stage", { ...size, count: regions.length }));
    this.empty.hidden = regions.length > 0;
    const numbers = numbersOf(regions);
    const seen = regions.filter((region) => region.enabled || region.id === selected);
    for (const id of this.#shown.keys()) if (!seen.some((region) => region.id === id)) this.#drop(id);
    const steps = labelSteps(seen);
    for (const [index, region] of seen.entries()) {
      this.#draw(region, numbers.get(region.id), region.id === selected, steps[index]);
    }
    this.#order(seen);
    const chosen = regions.find((region) => region.id === selected);
    this.handles.hidden = !chosen || Boolean(chosen.locked);
    if (chosen) place(this.handles, chosen);
    this.#fitGrid();
    this.#patch(regions);
  }

  /** Show a region at another place while it is dragged: writes a few styles, reads nothing. */
  place(id, box) {
    const { box: element, hole, extent } = this.#shown.get(id);
    place(element, box);
    place(this.handles, box);
    punch(hole, box);
    extent.textContent = pixels(box, this.size);
    const region = this.#regions.find((other) => other.id === id);
    for (const other of this.#regions) if (other.id !== id) this.#patchPair(region, other, { ...region, ...box });
  }

  /** Show the box that is being drawn; null when it is done. */
  showDraft(box, color = "") {
    this.draft.hidden = !box;
    this.empty.hidden ||= Boolean(box);
    if (!box) return;
    this.draft.style.setProperty("--rag-tint", color);
    this.draft.textContent = pixels(box, this.size);
    place(this.draft, box);
  }

  /**
   * @param {string} url Of the picture behind the regions; empty for none.
   * @param {boolean} stretched Show it in whatever shape it is; else only in the shape of the layout.
   */
  showImage(url, stretched) {
    const { image } = this;
    const fits = () => stretched || Math.abs(image.naturalWidth / image.naturalHeight / this.aspect - 1) < 0.03;
    const loaded = () => image.complete && image.naturalWidth > 0 && fits();
    image.onload = image.onerror = () => {
      image.hidden = !loaded();
    };
    if (url && image.getAttribute("src") !== url) image.src = url;
    image.hidden = !url || !loaded();
  }

  get aspect() {
    return this.size.width / this.size.height;
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.#fitGrid();
  }

  focus(id) {
    (this.#shown.get(id)?.box ?? this.paper).focus({ preventScroll: true });
  }

  #draw(region, number, selected, step) {
    const shown = this.#shown.get(region.id) ?? this.#make(region.id);
    const { box, label, words, extent, hole } = shown;
    place(box, region);
    punch(hole, region);
    hole.setAttribute("visibility", region.enabled ? "visible" : "hidden");
    box.style.setProperty("--rag-tint", region.color);
    box.style.setProperty("--rag-ink", inkOn(region.color));
    box.style.setProperty("--rag-step", step);
    box.classList.toggle("rag-off", !region.enabled);
    box.classList.toggle("rag-locked", Boolean(region.locked));
    box.setAttribute("aria-selected", selected);
    box.setAttribute("aria-label", described(region, number));
    label.firstChild.textContent = number ?? "–";
    extent.textContent = selected ? pixels(region, this.size) : "";
    words.textContent = region.prompt;
  }

  #make(id) {
    const label = h("span", { class: "rag-label" }, h("b"));
    const extent = h("span", { class: "rag-size" });
    const words = h("span", { class: "rag-words" });
    const inside = h("div", { class: "rag-inside" }, words);
    const box = h(
      "div",
      { class: "rag-region", role: "option", tabindex: 0, "data-region": id },
      inside,
      label,
      extent,
    );
    const shown = { box, label, words, extent, hole: svg("rect", { fill: "black" }) };
    this.regions.append(box);
    this.holes.append(shown.hole);
    this.#shown.set(id, shown);
    return shown;
  }

  #drop(id) {
    const { box, hole } = this.#shown.get(id);
    box.remove();
    hole.remove();
    this.#shown.delete(id);
  }

  /** Bring the elements into the order of the list without touching those that are right: they may have focus. */
  #order(regions) {
    for (const [index, region] of regions.entries()) {
      const { box } = this.#shown.get(region.id);
      if (this.regions.children[index] !== box) this.regions.insertBefore(box, this.regions.children[index]);
    }
  }

  #patch(regions) {
    for (const element of this.#patches.values()) element.remove();
    this.#patches.clear();
    for (const [index, region] of regions.entries())
      for (const other of regions.slice(index + 1)) this.#patchPair(region, other, region);
  }

  /** Hatch what a region, now at `box`, shares with another one. */
  #patchPair(region, other, box) {
    const key = [region.id, other.id].sort().join(" ");
    const shared = region.enabled && other.enabled ? overlap(box, other) : null;
    let element = this.#patches.get(key);
    if (!shared) {
      element?.remove();
      this.#patches.delete(key);
      return;
    }
    if (!element) {
      element = h("div", { class: "rag-patch" });
      this.#patches.set(key, element);
      this.patches.append(element);
    }
    place(element, shared);
  }

  /** Lines every 1, 2, 4, ... tokens, so that they stay at least 8 pixels apart on the screen. */
  #fitGrid(width = this.#cell) {
    this.#cell = width;
    if (!this.size || !width) return;
    const tokens = this.size.width / TOKEN;
    let step = 1;
    while ((width / tokens) * step * this.zoom < 8 && step < tokens) step *= 2;
    this.paper.style.setProperty("--rag-grid-x", `${(100 * step) / tokens}%`);
    this.paper.style.setProperty("--rag-grid-y", `${(100 * step * TOKEN) / this.size.height}%`);
  }
}

const handle = (name) => h("i", { "data-handle": name, "aria-hidden": "true" });

function punch(hole, box) {
  hole.setAttribute("x", box.x);
  hole.setAttribute("y", box.y);
  hole.setAttribute("width", box.w);
  hole.setAttribute("height", box.h);
}

const pixels = (box, size) => `${Math.round(box.w * size.width)} × ${Math.round(box.h * size.height)}`;

const percent = (fraction) => Math.round(100 * fraction);

/** A region in words, for screen readers. */
export function described(region, number) {
  const state = (region.enabled ? "" : say("aria.hidden")) + (region.locked ? say("aria.locked") : "");
  const prompt = region.prompt.trim() || say("aria.noPrompt");
  return say("aria.region", { number: number ?? "–", prompt, ...inPercent(region), state });
}

export function inPercent(box) {
  return { left: percent(box.x), top: percent(box.y), width: percent(box.w), height: percent(box.h) };
}
