/** Region Canvas in ComfyUI: the editor as a widget of its node, and what it learns from the graph and from runs. */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { Editor } from "./editor.js";
import { following, isLinked, linkedNode, sizeOf } from "./graph.js";
import { chain, forwardToGraph, healElement, isAlive, onGraphChange } from "./page.js";
import { setLanguage } from "./texts.js";

const MIN_HEIGHT = 420;
/** Milliseconds within which undo makes the node anew. */
const UNDO_TIME = 1000;

/** Undo makes the node anew; what the new editor has to know from the old one, by graph and node id. */
const memory = new Map();

/** @type {Set<Canvas>} Those that are on a graph. */
const canvases = new Set();

class Canvas {
  /** What the last run said: the true size, what had been guessed, and the picture linked as background. */
  #told = {};
  /** Graph and node id, kept: a graph that is cleared loses its own first. */
  #key = "";

  constructor(node, name) {
    this.node = node;
    this.editor = new Editor({
      changed: () => this.#capture(),
      undoing: () => this.#remember(performance.now()),
      undo: () => this.#execute("Comfy.Undo"),
      redo: () => this.#execute("Comfy.Redo"),
      toggleBackground: () => this.#toggleBackground(),
      selected: () => this.#remember(),
    });
    const { editor } = this;
    this.widget = node.addDOMWidget(name, "RAG_CANVAS", editor.root, {
      getValue: () => editor.text,
      setValue: (value) => {
        editor.text = asText(value);
      },
      getMinHeight: () => MIN_HEIGHT,
      hideOnZoom: false,
      socketless: true,
    });
    forwardToGraph(editor.root);
    chain(node, "onAdded", () => this.#added());
    chain(node, "onConfigure", () => this.#added());
    chain(node, "onConnectionsChange", () => setTimeout(() => this.refresh()));
    chain(node, "onExecuted", (message) => this.#executed(message));
    chain(node, "onRemoved", () => canvases.delete(this));
    for (const size of ["width", "height"]) {
      const widget = node.widgets.find((one) => one.name === size);
      if (widget) chain(widget, "callback", () => this.refresh());
    }
  }

  /** Read again what may have changed around the editor. */
  refresh() {
    const { node, editor } = this;
    if (!node.graph) return;
    const size = this.#size();
    editor.note = size ? null : "status.stale";
    if (isLinked(node, "bboxes") && !editor.model.drawing.linked) editor.note = "status.new";
    editor.setSize(size ?? editor.size);
    editor.setZoom(app.canvas?.ds?.scale ?? 1);
    this.#showBackground();
    editor.render();
    healElement(node, editor.root);
  }

  /**
   * A picture came out of a run: if this layout had part in it, it may lie behind the drawing.
   * @param {string} path Of the node that showed it: ids from the root graph down, with ":" between them.
   */
  result(path, image) {
    const { graph } = this.node;
    const ids = path.split(":");
    if (!graph || (ids.length === 1) !== (graph === (app.rootGraph ?? app.graph))) return;
    const node = graph.getNodeById(ids.at(-1));
    if (!node || node.type.startsWith("RAG") || ![...following(this.node)].includes(node)) return;
    this.#keepResult(image);
    this.#showBackground();
  }

  /** The picture's size; of a linked one, what the last run said, until the link says something else. */
  #size() {
    const guess = sizeOf(this.node);
    const linked = isLinked(this.node, "width") || isLinked(this.node, "height");
    return linked && this.#told.size && this.#told.guess === JSON.stringify(guess) ? this.#told.size : guess;
  }

  // --- the node's life ---

  #added() {
    if (!this.node.graph) return; // a copy on the clipboard
    canvases.add(this);
    this.#key = `${this.node.graph.id}:${this.node.id}`;
    const known = memory.get(this.#key);
    if (known) {
      this.#told = known.told;
      this.editor.model.linked = known.linked || this.editor.model.linked;
      if (this.editor.model.find(known.selected)) this.editor.selected = known.selected;
      if (performance.now() - known.undoing < UNDO_TIME)
        for (const wait of [60, 200, 400]) setTimeout(() => this.#focusAgain(), wait);
    }
    this.refresh();
  }

  /** The keys go on working after undo, unless the user has turned to something else. */
  #focusAgain() {
    const { editor } = this;
    if (document.activeElement === document.body) editor.stage.focus(editor.selected);
  }

  /** @param {number} undoing When undo was asked for here: the page takes the focus before the node hears of it. */
  #remember(undoing = Number.NEGATIVE_INFINITY) {
    if (!this.#key) return;
    const { selected, model } = this.editor;
    memory.set(this.#key, { selected, linked: model.linked, told: this.#told, undoing });
  }

  #execute(command) {
    this.#remember(performance.now());
    app.extensionManager.command.execute(command);
  }

  /** One step of undo. */
  #capture() {
    this.#remember();
    const tracker = app.extensionManager.workflow.activeWorkflow?.changeTracker;
    if (tracker?.captureCanvasState) tracker.captureCanvasState();
    else tracker?.checkState?.(); // its name before 1.45
  }

  #executed(message) {
    const shown = message?.rag_canvas?.[0];
    if (!shown) return;
    const { width, height, background, drawing, notes = [] } = shown;
    this.editor.told = notes;
    this.#told = { size: { width, height }, guess: JSON.stringify(sizeOf(this.node)), background };
    const news = drawing && isLinked(this.node, "bboxes"); // a run of another tab has nodes of the same ids
    if (news && JSON.parse(drawing).linked !== this.editor.model.drawing.linked) this.editor.adopt(drawing);
    this.#remember();
    this.refresh();
  }

  // --- the picture behind the drawing: the linked one, else the last result ---

  #showBackground() {
    const off = this.node.properties.rag_background === "off";
    const linked = off ? null : this.#linkedPicture();
    const url = off ? "" : (linked ?? this.#lastResult() ?? "");
    this.editor.stage.showImage(url, Boolean(linked));
  }

  #toggleBackground() {
    const off = this.node.properties.rag_background === "off";
    this.node.setProperty("rag_background", off ? "on" : "off");
    this.#showBackground();
    this.#capture();
  }

  #linkedPicture() {
    if (!isLinked(this.node, "background")) return null;
    const origin = linkedNode(this.node, "background");
    const file = origin?.widgets?.find((widget) => widget.name === "image" && typeof widget.value === "string");
    if (file && origin.type.startsWith("LoadImage")) return viewUrl(inputFile(file.value));
    return origin?.imgs?.[0]?.src ?? (this.#told.background ? viewUrl(this.#told.background) : null);
  }

  // The page forgets the outputs of runs when it is loaded again; the session does not.

  #keepResult(image) {
    sessionStorage.setItem(`rag.result ${this.#key}`, JSON.stringify(image));
  }

  #lastResult() {
    const kept = sessionStorage.getItem(`rag.result ${this.#key}`);
    return kept ? viewUrl(JSON.parse(kept)) : null;
  }
}

/** A saved value as text: anything but a text was written by something else, and is kept as JSON. */
function asText(value) {
  if (typeof value === "string") return value;
  return value === null || value === undefined ? "" : JSON.stringify(value);
}

/** The file that a Load Image node names: "folder/name.png [input]". */
function inputFile(value) {
  const [, path, type = "input"] = /^(.*?)(?: \[(\w+)\])?$/.exec(value);
  const cut = path.lastIndexOf("/");
  return { filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type };
}

function viewUrl({ filename, subfolder = "", type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** What ComfyUI calls for an input of the widget type RAG_CANVAS. */
export function makeCanvas(node, name) {
  setLanguage(app.extensionManager?.setting?.get("Comfy.Locale"));
  const { widget } = new Canvas(node, name);
  return { widget, minWidth: 400, minHeight: 640 };
}

/** Once, when the page is set up: follow the graph, its zoom, and the pictures of runs. */
export function followCanvases() {
  onGraphChange(() => {
    for (const canvas of canvases) {
      if (isAlive(canvas.node)) canvas.refresh();
      else canvases.delete(canvas);
    }
  });
  let zoom = 1;
  chain(app.canvas, "onDrawForeground", () => {
    if (zoom === app.canvas.ds.scale) return;
    zoom = app.canvas.ds.scale;
    for (const { editor } of canvases) editor.setZoom(zoom);
  });
  api.addEventListener("executed", ({ detail }) => {
    const image = detail.output?.images?.at(-1);
    if (!image) return;
    for (const canvas of canvases) canvas.result(String(detail.display_node ?? detail.node), image);
  });
}
