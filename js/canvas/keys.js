/** The editor by keyboard. Every key that is handled stays here; the others go on to the page. */

import { moved, resized, TOKEN } from "./geometry.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TURNS = { "]": 1, "[": -1 };
const STEP = 1;
const LARGE_STEP = 4; // tokens

/** @param {import("./editor.js").Editor} editor */
export function listenToKeys(editor) {
  const { paper } = editor.stage;

  editor.root.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea")) return;
    const control = event.ctrlKey || event.metaKey;
    // Without this the browser would also undo in the field that was typed in last. The page's own undo goes on.
    if (control && /^[zy]$/i.test(event.key)) {
      editor.host.undoing();
      return event.preventDefault();
    }
    if (!paper.contains(event.target)) {
      // on a button the page would delete the node
      if (event.key === "Delete" || event.key === "Backspace") event.stopPropagation();
      return;
    }
    // on many keyboards brackets need AltGr, which counts as Ctrl and Alt
    const turns = event.key in TURNS && (event.altKey || !control);
    const done = turns ? cycle(TURNS[event.key]) : control ? withControl(event) : alone(event);
    if (!done) return;
    event.preventDefault();
    event.stopPropagation();
  });

  editor.root.addEventListener("keyup", (event) => {
    if (event.key in ARROWS && !event.target.closest("input, textarea")) editor.finish();
  });

  paper.addEventListener("focusin", (event) => {
    const id = event.target.closest("[data-region]")?.dataset.region;
    if (id) editor.select(id);
  });

  paper.addEventListener("focusout", (event) => {
    if (!event.target.closest("textarea")) editor.finish();
  });

  function withControl(event) {
    if (event.key.toLowerCase() !== "d" || !editor.selected) return false;
    editor.duplicate(editor.selected);
    return true;
  }

  function alone(event) {
    const { key } = event;
    const id = editor.selected;
    if (key in ARROWS) return id !== null && arrow(id, event);
    if (event.altKey) return false;
    if (key.toLowerCase() === "n") editor.addRegion();
    else if (key === "Escape") leave();
    else if (key === "Delete" || key === "Backspace")
      editor.remove(id); // with nothing selected, too: the page would delete the node
    else if (!id) return false;
    else if (key === "Enter") editor.editPrompt(id);
    else return false;
    return true;
  }

  function arrow(id, event) {
    const step = event.shiftKey ? LARGE_STEP : STEP;
    const [right, down] = ARROWS[event.key];
    const dx = (right * step * TOKEN) / editor.size.width;
    const dy = (down * step * TOKEN) / editor.size.height;
    if (event.altKey) {
      const edge = right ? "e" : "s";
      editor.nudge(id, (box) => resized(box, edge, dx, dy, editor.size));
    } else editor.nudge(id, (box) => moved(box, dx, dy, editor.size));
    return true;
  }

  function cycle(by) {
    const { regions } = editor.model;
    if (!regions.length) return true;
    const from = regions.findIndex((region) => region.id === editor.selected);
    const next = from < 0 ? (by > 0 ? 0 : regions.length - 1) : (from + by + regions.length) % regions.length;
    editor.select(regions[next].id);
    editor.stage.focus(regions[next].id);
    return true;
  }

  /** One thing at a time: the drag, the selection, the editor. */
  function leave() {
    if (editor.cancel()) return;
    if (editor.selected) {
      editor.select(null);
      editor.stage.focus(null);
    } else document.activeElement?.blur();
  }
}
