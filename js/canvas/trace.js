/** The tool for regions that are no boxes: drawn with the pointer held, or corner by corner, with keys as well. */

import { ARROWS, snap, TOKEN, tokensOf } from "./geometry.js";
import { around, simplified } from "./shape.js";
import { say } from "./texts.js";
import { freeColor } from "./value.js";

/** Pixels on the screen within which a click on the first corner closes the shape. */
const CLOSE = 10;

const inside = (part) => Math.min(Math.max(part, 0), 1);
const same = (one, other) => Boolean(one && other) && one.every((part, axis) => Math.abs(part - other[axis]) < 1e-6);

export class Trace {
	on = false;
	hint = "";
	#corners = [];
	/** Where the keys are, [x, y]; null while the pointer draws. */
	#at = null;

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

	/** @returns {boolean} Whether there was anything to give up. */
	stop() {
		const { on } = this;
		if (on) this.toggle(false);
		return on;
	}

	gesture({ x, y }, { width, height }) {
		const corners = this.#corners;
		const open = corners.length > 0;
		this.#at = null;
		const add = (dx, dy) => this.#put([inside(x + dx), inside(y + dy)]);
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
		this.#at = null;
		this.#show(this.#corners.length ? [at.x, at.y] : undefined);
	}

	/** @returns {boolean} Whether a key is one of this tool's. */
	key(event) {
		if (event.key in ARROWS) this.#go(event);
		else if (event.key === "Backspace" || event.key === "Delete") this.#corners.pop();
		else if (event.key === "Enter") this.#enter();
		else if (event.key === " ") this.#corner();
		else return false;
		if (this.on) this.#show(this.#at);
		return true;
	}

	#go({ key, shiftKey, altKey }) {
		const step = altKey ? 0.25 : shiftKey ? 4 : 1;
		const { width, height } = this.editor.size;
		const from = this.#at ?? this.#corners.at(-1) ?? [0.5, 0.5];
		this.#at = [width, height].map((pixels, axis) => {
			const to = inside(from[axis] + (ARROWS[key][axis] * step * TOKEN) / pixels);
			return altKey || !ARROWS[key][axis] ? to : snap(to, pixels);
		});
		this.#tell();
	}

	/** A corner here; on the first or the last one the shape is done. */
	#enter() {
		const [first, last] = [this.#corners[0], this.#corners.at(-1)];
		const done = this.#at ? this.#corners.length > 2 && (same(this.#at, first) || same(this.#at, last)) : first;
		if (done) this.close();
		else this.#corner();
	}

	#corner() {
		this.#at ??= [0.5, 0.5];
		if (!same(this.#at, this.#corners.at(-1))) this.#put(this.#at);
		this.#tell();
	}

	#tell() {
		const { width, height } = this.editor.size;
		const [x, y] = [this.#at[0] * width, this.#at[1] * height].map(Math.round);
		this.editor.announce("say.corner", { x, y, count: this.#corners.length });
	}

	#put(corner) {
		this.#corners.push(corner);
		this.#show();
	}

	close() {
		const points = this.#corners.length ? simplified(this.#corners) : [];
		const shape = { ...around(points), points };
		if (points.length < 3 || tokensOf(shape, this.editor.size).next().done) return this.#start("trace.small");
		this.toggle(false);
		this.editor.addRegion(shape);
	}

	#start(hint) {
		this.#corners = [];
		this.#at = hint ? [0.5, 0.5] : null;
		this.hint = hint && say(hint);
		this.editor.render();
		this.#show(this.#at);
		if (hint) this.editor.announce(hint);
	}

	/** @param {[number, number]} [next] Where the next corner would be. */
	#show(next) {
		const line = next && this.#corners.length ? [...this.#corners, next] : this.#corners;
		this.editor.stage.showTrace(line, freeColor(this.editor.model.regions), this.#at);
	}
}
