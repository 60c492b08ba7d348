/** Drawing, moving and resizing with the mouse, a pen or a finger. */

import { boxBetween, moved, resized } from "./geometry.js";
import { freeColor } from "./value.js";

/** Pixels on the screen that a press may wander and still be a click. */
const CLICK = 4;

/**
 * What a gesture does: `at(dx, dy, free)` is the box after the pointer moved by fractions of the image.
 * @typedef {{id?: string, at: (dx: number, dy: number, free: boolean) => import("./value.js").Box}} Gesture
 */

/** @param {import("./editor.js").Editor} editor */
export function listenToPointer(editor) {
  const { stage } = editor;
  const { paper } = stage;
  /** The press under way: where it began, what it does, and the last box; the box is null while it is a click. */
  let press = null;

  paper.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("textarea")) return;
    if (press && press.event.pointerId !== event.pointerId) return; // a second finger
    if (editor.list.root.contains(document.activeElement)) document.activeElement.blur(); // a number being typed
    editor.finish();
    const paperOnScreen = paper.getBoundingClientRect(); // the one look at the layout in a gesture
    const from = {
      x: (event.clientX - paperOnScreen.left) / paperOnScreen.width,
      y: (event.clientY - paperOnScreen.top) / paperOnScreen.height,
    };
    press = { ...gestureOf(event, from), event, wide: paperOnScreen.width, high: paperOnScreen.height, box: null };
    if (!press.id) editor.select(null);
    else if (press.id !== editor.selected) editor.select(press.id);
  });

  paper.addEventListener("pointermove", (event) => {
    if (event.pointerId !== press?.event.pointerId) return;
    if (!event.buttons) return editor.cancel(); // released outside, before the paper had captured the pointer
    const [dx, dy] = [event.clientX - press.event.clientX, event.clientY - press.event.clientY];
    if (!press.box && Math.hypot(dx, dy) < CLICK) return;
    if (!press.box) paper.setPointerCapture(event.pointerId);
    press.box = press.at(dx / press.wide, dy / press.high, event.altKey);
    if (press.id) stage.place(press.id, press.box);
    else stage.showDraft(press.box, press.color);
  });

  paper.addEventListener("pointerup", (event) => {
    if (event.pointerId !== press?.event.pointerId) return;
    const { id, box } = press;
    press = null;
    stage.showDraft(null);
    if (!box) return;
    if (id) editor.placeRegion(id, box);
    else editor.addRegion(box);
  });

  paper.addEventListener("pointercancel", () => editor.cancel());

  paper.addEventListener("dblclick", (event) => {
    const id = event.target.closest("[data-region]")?.dataset.region ?? editor.selected;
    if (id && !event.target.closest("textarea")) editor.editPrompt(id);
  });

  /** Give up the press: everything is again as it was. */
  editor.onCancel = () => {
    if (!press) return false;
    press = null;
    stage.showDraft(null);
    editor.render();
    return true;
  };

  /** @returns {Gesture} */
  function gestureOf(event, from) {
    const { handle } = event.target.dataset;
    const id = handle ? editor.selected : event.target.closest("[data-region]")?.dataset.region;
    const region = editor.model.find(id);
    if (!region || event.ctrlKey || event.metaKey) {
      const color = freeColor(editor.model.regions);
      const to = (dx, dy) => ({ x: from.x + dx, y: from.y + dy });
      return { color, at: (dx, dy, free) => boxBetween(from, to(dx, dy), editor.size, free) };
    }
    if (region.locked) return { id, at: () => region };
    if (handle) return { id, at: (dx, dy, free) => resized(region, handle, dx, dy, editor.size, free) };
    return { id, at: (dx, dy, free) => moved(region, dx, dy, editor.size, free) };
  }
}
