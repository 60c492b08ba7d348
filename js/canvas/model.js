/** The drawing being edited: what it holds, and every way to change it. Knows no page. */

import { boundTokens, moved, overlap, TOKEN, uncovered } from "./geometry.js";
import { splitBox } from "./split.js";
import { DrawingError, freeColor, freeId, numbersOf, parseDrawing, VERSION, writeDrawing } from "./value.js";

/** Regions under so many tokens a side often do not come out. */
const SMALL = 8;

export class Model {
  #raw = "";
  #edited = false;

  /** The fingerprint of the linked layout that was last shown: edits hold until it changes. */
  linked = "";

  constructor(text = "") {
    this.load(text);
  }

  /** Take over a text as it is; one that cannot be read stays, and `error` says why. */
  load(text) {
    this.#raw = text;
    this.#edited = false;
    this.error = null;
    this.drawing = { version: VERSION, regions: [] };
    try {
      this.drawing = parseDrawing(text);
    } catch (error) {
      if (!(error instanceof DrawingError)) throw error;
      this.error = error;
    }
    this.linked = this.drawing.linked || this.linked;
  }

  /** What the workflow saves: the text as it came, until something is changed. */
  get text() {
    if (this.#edited) {
      this.#raw = writeDrawing(this.drawing);
      this.#edited = false;
    }
    return this.#raw;
  }

  /** @returns {import("./value.js").Region[]} In the order of the list; the last one is in front. */
  get regions() {
    return this.drawing.regions;
  }

  find(id) {
    return this.regions.find((region) => region.id === id);
  }

  /** Put other regions in the place of all. */
  replace(regions) {
    this.drawing = { ...this.drawing, regions };
    if (this.linked) this.drawing.linked = this.linked;
    this.error = null;
    this.#edited = true;
  }

  set(id, changes) {
    this.replace(this.regions.map((region) => (region.id === id ? { ...region, ...changes } : region)));
  }

  add(box, prompt = "") {
    const region = { id: freeId(this.regions), ...box, prompt, enabled: true, color: freeColor(this.regions) };
    this.replace([...this.regions, region]);
    return region;
  }

  remove(id) {
    this.replace(this.regions.filter((region) => region.id !== id));
  }

  /** A copy of a region right in front of it, two tokens aside. */
  duplicate(id, size) {
    const region = this.find(id);
    const aside = moved(region, (2 * TOKEN) / size.width, (2 * TOKEN) / size.height, size);
    const copy = { ...aside, id: freeId(this.regions), color: freeColor(this.regions), locked: false };
    this.replace(this.regions.flatMap((other) => (other.id === id ? [other, copy] : [other])));
    return copy;
  }

  /** Move a region in the list: 1 is one to the front, -1 one back. False at the end of the list. */
  reorder(id, by) {
    const from = this.regions.findIndex((region) => region.id === id);
    const to = from + by;
    if (to < 0 || to >= this.regions.length) return false;
    const regions = [...this.regions];
    regions.splice(to, 0, ...regions.splice(from, 1));
    this.replace(regions);
    return true;
  }

  /**
   * Divide a region, whose first part keeps its name and prompt, or the whole picture if there is no id.
   * @param {string | null} id
   * @param {import("./value.js").Box[]} cells
   * @param {string[]} prompts One for each cell, or none at all.
   * @returns {import("./value.js").Region | null} The first part; null if a part would be too small.
   */
  split(id, cells, prompts, size) {
    const whole = this.find(id);
    const boxes = splitBox(whole ?? { x: 0, y: 0, w: 1, h: 1 }, cells, size);
    if (!boxes) return null;
    const parts = [];
    for (const [index, box] of boxes.entries()) {
      const others = [...this.regions, ...parts];
      const prompt = prompts[index] || (whole && index === 0 ? whole.prompt : "");
      const name = { id: freeId(others), color: freeColor(others), enabled: true };
      parts.push(whole && index === 0 ? { ...whole, ...box, prompt } : { ...name, ...box, prompt });
    }
    const replaced = (region) => (region.id === id ? parts : [region]);
    this.replace(whole ? this.regions.flatMap(replaced) : [...this.regions, ...parts]);
    return parts[0];
  }

  /** What a person should know about the drawing: numbers of regions, as shown on the canvas. */
  findings(size) {
    const shown = this.regions.filter((region) => region.enabled);
    const numbers = numbersOf(this.regions);
    const small = ({ x0, y0, x1, y1 }) => x1 - x0 < SMALL || y1 - y0 < SMALL;
    const pairs = shown.flatMap((region, index) =>
      shown.slice(index + 1).flatMap((other) => (overlap(region, other) ? [region, other] : [])),
    );
    const listed = (regions) => [...new Set(regions.map((region) => numbers.get(region.id)))].sort((a, b) => a - b);
    return {
      free: uncovered(shown, size),
      empty: listed(shown.filter((region) => !region.prompt.trim())),
      overlapping: listed(pairs),
      small: listed(shown.filter((region) => small(boundTokens(region, size)))),
    };
  }
}
