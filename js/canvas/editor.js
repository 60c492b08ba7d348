/** The editor of Region Canvas: toolbar, stage, list and hints around one drawing. Knows nothing of ComfyUI. */

import { h, place } from "./dom.js";
import { newBox } from "./geometry.js";
import { listenToKeys } from "./keys.js";
import { List } from "./list.js";
import { Model } from "./model.js";
import { listenToPointer } from "./pointer.js";
import { inPercent, Stage } from "./stage.js";
import { addStyle } from "./style.js";
import { say } from "./texts.js";
import { Toolbar } from "./toolbar.js";
import { numbersOf } from "./value.js";

/**
 * What the editor asks of the page it lives in.
 * @typedef {object} Host
 * @property {() => void} changed One action is done: a step of undo.
 * @property {() => void} undoing The keys of undo or redo were pressed here.
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {() => void} toggleBackground
 * @property {(id: string | null) => void} selected
 */

export class Editor {
  /** The region that is selected: its id, or null. */
  selected = null;
  size = { width: 1024, height: 1024 };
  /** What the page has to say besides: a key of texts.js, or null. */
  note = null;

  /** What the last run said of the linked layout. */
  told = [];
  #nudged = null;

  /** @param {Host} host */
  constructor(host) {
    addStyle();
    this.host = host;
    this.model = new Model();
    this.stage = new Stage();
    this.toolbar = new Toolbar(this);
    this.list = new List(this);
    this.status = h("div", { class: "rag-status" });
    this.speaker = h("div", { class: "rag-speaker", role: "status", "aria-live": "polite" });
    this.broken = h("div", { class: "rag-broken", hidden: true });
    this.root = h(
      "div",
      { class: "rag-canvas" },
      this.toolbar.root,
      this.broken,
      this.stage.root,
      this.list.root,
      this.status,
      this.speaker,
    );
    listenToPointer(this);
    listenToKeys(this);
    this.render();
  }

  /** The value of the widget. */
  get text() {
    return this.model.text;
  }

  set text(text) {
    if (text === this.model.text) return;
    this.#close();
    this.onCancel?.();
    this.#nudged = null;
    this.model.load(text);
    if (!this.model.find(this.selected)) this.selected = null;
    this.render();
  }

  /** The graph is shown at another zoom: labels and handles keep their size on the screen. */
  setZoom(zoom) {
    this.root.style.setProperty("--rag-up", Math.min(Math.max(1 / zoom, 1), 4));
    this.stage.setZoom(zoom);
  }

  setSize(size) {
    if (size.width === this.size.width && size.height === this.size.height) return;
    this.size = size;
    this.render();
  }

  render() {
    const { model, selected, size } = this;
    this.#showError();
    this.stage.render(model.regions, selected, size);
    this.list.render(model.regions, selected, size);
    this.toolbar.render(model.find(selected), numbersOf(model.regions).get(selected));
    this.#showStatus();
  }

  /** One action is done: show it, and make it a step of undo. */
  commit() {
    this.render();
    this.host.changed();
  }

  // --- actions ---

  select(id) {
    if (id === this.selected) return;
    this.finish();
    this.selected = id;
    this.render();
    this.host.selected(id);
    if (id) this.announce("say.selected", { number: this.number(id) });
  }

  addRegion(box = newBox(this.model.regions, this.size)) {
    this.finish();
    const region = this.model.add(box);
    this.selected = region.id;
    this.commit();
    this.host.selected(region.id);
    this.stage.focus(region.id);
    this.announce("say.added", { number: this.number(region.id) });
  }

  placeRegion(id, box) {
    const region = this.model.find(id);
    const same = region && ["x", "y", "w", "h"].every((key) => Math.abs(region[key] - box[key]) < 1e-7);
    if (!region || same) return this.render();
    const { x, y, w, h: tall } = box;
    this.model.set(id, { x, y, w, h: tall });
    this.commit();
    this.announce("say.placed", { number: this.number(id), ...inPercent(box) });
  }

  /** Change what a region says about itself: hidden, locked, colour. */
  change(id, changes) {
    this.finish();
    this.model.set(id, changes);
    this.commit();
  }

  remove(id) {
    this.finish();
    if (!this.model.find(id) || this.model.find(id).locked) return;
    const place = this.model.regions.findIndex((region) => region.id === id);
    this.model.remove(id);
    const next = this.model.regions[Math.min(place, this.model.regions.length - 1)]?.id ?? null;
    this.selected = next;
    this.commit();
    this.stage.focus(next);
    this.announce("say.deleted", { count: this.model.regions.length });
  }

  clear() {
    this.finish();
    this.model.replace(this.model.regions.filter((region) => region.locked));
    this.selected = null;
    this.commit();
    this.announce("say.deleted", { count: this.model.regions.length });
  }

  duplicate(id) {
    this.finish();
    this.selected = this.model.duplicate(id, this.size).id;
    this.commit();
    this.stage.focus(this.selected);
    this.announce("say.added", { number: this.number(this.selected) });
  }

  reorder(id, by) {
    this.finish();
    if (this.model.reorder(id, by)) this.commit();
  }

  /** @returns {boolean} False if a part would be smaller than a token. */
  split(cells, prompts) {
    this.finish();
    const first = this.model.split(this.selected, cells, prompts, this.size);
    if (!first) return false;
    this.selected = first.id;
    this.commit();
    this.stage.focus(first.id);
    return true;
  }

  /** Show a linked layout in place of the drawing. */
  adopt(text) {
    this.text = text;
    this.commit();
    this.announce("say.linked", { count: this.model.regions.length });
  }

  // --- nudging with the keys: one step of undo from the first key to its release ---

  nudge(id, by) {
    const region = this.model.find(id);
    if (region.locked) return;
    if (this.#nudged && this.#nudged.id !== id) this.finish();
    this.#nudged = { id, box: by(this.#nudged?.box ?? region) };
    this.stage.place(id, this.#nudged.box);
  }

  /** End what is under way: a nudge, a prompt that is being typed. */
  finish() {
    const nudged = this.#nudged;
    this.#nudged = null;
    if (nudged) this.placeRegion(nudged.id, nudged.box);
    this.#close();
  }

  cancel() {
    this.#nudged = null;
    return this.onCancel?.() ?? false;
  }

  // --- prompts ---

  /** The prompt as it is typed: saved at once, one step of undo when the field is left. */
  typePrompt(id, prompt) {
    this.model.set(id, { prompt });
    this.stage.render(this.model.regions, this.selected, this.size);
    this.#showStatus();
  }

  /** Type a region's prompt in place, on top of it. */
  editPrompt(id) {
    this.select(id);
    this.#close();
    const region = this.model.find(id);
    const before = region.prompt;
    const label = { placeholder: say("prompt"), "aria-label": say("prompt") };
    const field = h("textarea", { class: "rag-prompt", "data-capture-wheel": "true", ...label });
    field.value = before;
    place(field, region);
    field.addEventListener("input", () => {
      this.typePrompt(id, field.value);
      this.list.showPrompt(id, field.value);
    });
    field.addEventListener("blur", () => this.#close());
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#close();
        this.stage.focus(id);
      } else if (field.value === before) this.undoInstead(event);
    });
    this.stage.paper.append(field);
    field.focus({ preventScroll: true }); // takes the focus from the region, which ends what is under way
    this.#field = { field, id, before };
    field.select();
  }

  /** Ctrl+Z in a field where nothing was typed means the step before. */
  undoInstead(event) {
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key.toLowerCase() !== "z") return;
    event.preventDefault();
    event.stopPropagation();
    this.stage.focus(this.selected);
    this.#close();
    this.host.undo();
  }

  #field = null;

  #close() {
    const open = this.#field;
    if (!open) return;
    this.#field = null; // first: removing the field makes it lose focus, which comes here again
    open.field.remove();
    if (this.model.find(open.id) && this.model.find(open.id).prompt !== open.before) this.commit();
  }

  // --- saying things ---

  number(id) {
    return numbersOf(this.model.regions).get(id) ?? "–";
  }

  announce(key, values) {
    this.speaker.textContent = say(key, values);
  }

  #showStatus() {
    const { free, empty, overlapping, small } = this.model.findings(this.size);
    const parts = [];
    if (this.note) parts.push(say(this.note));
    if (!this.model.regions.length) parts.push(say("status.none"));
    else if (free > 0) parts.push(say("status.free", { percent: Math.max(1, Math.round(100 * free)) }));
    else parts.push(say("status.full"));
    for (const [key, numbers] of Object.entries({ empty, overlap: overlapping, small }))
      if (numbers.length) parts.push(say(`status.${key}`, { numbers: numbers.join(", ") }));
    this.status.textContent = [...parts, ...this.told].join(" · ");
    this.status.title = this.status.textContent;
  }

  #showError() {
    const { error } = this.model;
    this.broken.hidden = !error;
    for (const { root } of [this.toolbar, this.stage, this.list, { root: this.status }]) root.hidden = Boolean(error);
    if (!error) {
      this.broken.replaceChildren();
      return;
    }
    const [reason, raw] = this.broken.querySelectorAll(".rag-reason, .rag-raw");
    if (reason) {
      reason.textContent = say(error.key, error.values);
      if (raw.value !== this.model.text) raw.value = this.model.text;
      return;
    }
    this.broken.replaceChildren(...this.#repair(error));
  }

  /** What stands in the editor's place for a text that is no drawing: why, and the text, to be put right. */
  #repair(error) {
    const raw = h("textarea", { class: "rag-raw", "data-capture-wheel": "true", spellcheck: "false" });
    raw.value = this.model.text;
    raw.addEventListener("input", () => {
      this.model.load(raw.value);
      if (this.model.error) this.render();
      else this.commit();
    });
    raw.addEventListener("change", () => this.host.changed());
    const anew = () => {
      this.model.replace([]);
      this.commit();
    };
    return [
      h("strong", {}, say("error.title")),
      h("div", { class: "rag-reason", role: "alert" }, say(error.key, error.values)),
      raw,
      h("button", { type: "button", onclick: anew }, say("error.anew")),
    ];
  }
}
