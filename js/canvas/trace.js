/** The tool for regions that are no boxes: drawn with the pointer held, or corner by corner. */

import { TOKEN } from "./geometry.js";
import { around, simplified } from "./shape.js";
import { say } from "./texts.js";
import { freeColor } from "./value.js";

/** Pixels on the screen within which a click on the first corner closes the shape. */
const CLOSE = 10;

const inside = (part) => Math.min(Math.max(part, 0), 1);

export class Trace {
  on = false;
  /** What its user should know, in words. */
  hint = "";
  #corners = [];

  /** @param {import("./editor.js").Editor} editor */
  constructor(editor) {
    this.editor = editor;
  }

  toggle(on = !this.on) {
    const { editor } = this;
    this.on = on;
    if (on) editor.select(null);
    editor.root.classList.toggle("rag-tracing", on);
    editor.toolbar.showTrace(on);
    this.#start(on ? "trace" : "");
    editor.stage.focus(editor.selected);
  }

  /** Whether corners wait for more. */
  get open() {
    return this.#corners.length > 0;
  }

  /** @returns {boolean} Whether there was anything to give up. */
  stop() {
    const { on } = this;
    if (on) this.toggle(false);
    return on;
  }

  /** @returns {import("./pointer.js").Gesture} */
  gesture({ x, y }, { width, height }) {
    const corners = this.#corners;
    const { open } = this;
    const add = (dx, dy) => {
      corners.push([inside(x + dx), inside(y + dy)]);
      this.#show(corners);
    };
    const [firstX, firstY] = corners[0] ?? [];
    const closes = corners.length > 2 && Math.hypot((x - firstX) * width, (y - firstY) * height) < CLOSE;
    let dragged = false;
    return {
      drag: (dx, dy) => {
        if (!dragged) add(0, 0);
        dragged = true;
        add(dx, dy);
      },
      drop: () => open || this.close(),
      click: () => (closes ? this.close() : add(0, 0)),
    };
  }

  /** The pointer moves without a press: the next side would go there. */
  hover(at) {
    this.#show([...this.#corners, [at.x, at.y]]);
  }

  close() {
    const points = this.open ? simplified(this.#corners) : [];
    const box = around(points);
    const { width, height } = this.editor.size;
    if (points.length < 3 || Math.min(box.w * width, box.h * height) < TOKEN) return this.#start("trace.small");
    this.toggle(false);
    this.editor.addRegion({ ...box, points });
  }

  #start(hint) {
    this.#corners = [];
    this.#show([]);
    this.hint = hint && say(hint);
    this.editor.render();
    if (hint) this.editor.announce(hint);
  }

  #show(points) {
    this.editor.stage.showTrace(points, freeColor(this.editor.model.regions));
  }
}
