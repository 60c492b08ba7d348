/** Drawing, moving, resizing and selecting with the mouse, a pen or a finger. */

import { boxBetween, moved, overlap, resized } from "./geometry.js";
import { bounds, carried } from "./group.js";
import { freeColor } from "./value.js";

/** Milliseconds, and pixels, beyond which a press is no second one: of a finger's first tap the mouse may hear nothing. */
const APART = 600;
const ASIDE = 24;
/** Pixels on the screen that a press may wander and still be a click. */
const CLICK = 4;

export function listenToPointer(editor) {
	const { stage } = editor;
	const { paper } = stage;
	let press = null;
	/** The region under the last press, and under the first one of a double click. */
	let pressed = null;
	let first = null;
	let last = { timeStamp: Number.NEGATIVE_INFINITY };

	paper.addEventListener("pointerdown", (event) => {
		if (event.button !== 0 || isField(event.target)) return;
		if (press && press.event.pointerId !== event.pointerId) return; // a second finger
		if (editor.root.contains(document.activeElement) && isField(document.activeElement)) document.activeElement.blur();
		editor.finish();
		editor.toolbar.close();
		const { from, width, height } = look(event); // the one look at the layout in a gesture
		pressed = null;
		const gesture = editor.trace.on ? editor.trace.gesture(from, { width, height }) : gestureOf(event, from);
		const aside = Math.hypot(event.clientX - last.clientX, event.clientY - last.clientY);
		if (event.timeStamp - last.timeStamp > APART || aside > ASIDE) first = pressed;
		last = event;
		press = { event, width, height, dragged: false, ...gesture };
		stage.focus(editor.selected);
	});

	paper.addEventListener("mousedown", (event) => {
		if (isField(event.target)) return;
		event.preventDefault(); // the focus is where the press put it, not on the element under it
		if (event.detail <= 1) first = pressed;
	});

	paper.addEventListener("pointermove", (event) => {
		if (!press && editor.trace.on) editor.trace.hover(look(event).from);
		if (event.pointerId !== press?.event.pointerId) return;
		if (!event.buttons) return editor.cancel(); // released outside, before the paper had captured the pointer
		const [dx, dy] = [event.clientX - press.event.clientX, event.clientY - press.event.clientY];
		if (!press.dragged && Math.hypot(dx, dy) < CLICK) return;
		if (!press.dragged) paper.setPointerCapture(event.pointerId);
		press.dragged = true;
		press.drag(dx / press.width, dy / press.height, event.altKey);
	});

	paper.addEventListener("pointerup", (event) => {
		if (event.pointerId !== press?.event.pointerId) return;
		const { dragged, drop, click } = press;
		press = null;
		stage.showDraft(null);
		if (dragged) drop();
		else click?.();
	});

	paper.addEventListener("pointercancel", () => editor.cancel());

	paper.addEventListener("dblclick", (event) => {
		if (editor.trace.on) return editor.trace.close();
		if (first && editor.model.find(first) && !isField(event.target) && !event.altKey && !event.shiftKey)
			editor.field.open(first, "prompt");
	});

	paper.addEventListener("contextmenu", (event) => {
		event.stopPropagation(); // the page would open the node's menu
		if (isField(event.target)) return;
		event.preventDefault();
		editor.cancel();
		editor.finish();
		const stack = stage.under(look(event).from, editor.chosen, editor.raised);
		if (!stack.some((region) => editor.chosen.includes(region.id))) editor.select(stack[0]?.id ?? null);
		editor.openMenu(event.clientX, event.clientY);
	});

	/** Give up the press: everything is again as it was. */
	editor.onCancel = () => {
		const traced = editor.trace.stop();
		if (!press) return traced;
		press = null;
		stage.showDraft(null);
		editor.render();
		return true;
	};

	/** Where on the picture an event is, and how large the paper is on the screen. */
	function look({ clientX, clientY }) {
		const { left, top, width, height } = paper.getBoundingClientRect();
		return { from: { x: (clientX - left) / width, y: (clientY - top) / height }, width, height };
	}

	function gestureOf(event, from) {
		const { handle } = event.target.dataset;
		const stack = stage.under(from, editor.chosen, editor.raised);
		const front = stack[0]?.id ?? null;
		const control = event.ctrlKey || event.metaKey;
		pressed = handle ? editor.selected : front;
		if (handle && !control) return shape((box, dx, dy, free) => resized(box, handle, dx, dy, editor.size, free));
		if (event.shiftKey) return { ...marquee(from), click: () => front && editor.toggle(front) };
		if (control && front) return { ...draw(from), click: () => editor.toggle(front) };
		if (!front) {
			editor.select(null);
			return draw(from);
		}
		if (!stack.some((region) => editor.chosen.includes(region.id))) editor.select(front);
		const move = shape((box, dx, dy, free) => moved(box, dx, dy, editor.size, free));
		return { ...move, click: () => (event.altKey ? reach(from) : editor.select(front, editor.raised)) };
	}

	/** All that is selected, and not locked, follows the box around it. */
	function shape(by) {
		const regions = editor.free;
		const around = bounds(regions);
		let boxes = new Map();
		return {
			drag(dx, dy, free) {
				if (!around) return;
				const to = by(around, dx, dy, free);
				boxes = new Map(carried(regions, around, to, editor.size, free).map((region) => [region.id, region]));
				stage.placeAll(boxes);
			},
			drop: () => editor.placeAll(boxes),
		};
	}

	function draw(from) {
		const color = freeColor(editor.model.regions);
		let box = null;
		return {
			drag(dx, dy, free) {
				box = boxBetween(from, { x: from.x + dx, y: from.y + dy }, editor.size, free);
				stage.showDraft(box, color);
			},
			drop: () => editor.addRegion(box),
		};
	}

	function marquee(from) {
		let box = null;
		return {
			drag(dx, dy) {
				const [x, y] = [Math.min(from.x, from.x + dx), Math.min(from.y, from.y + dy)];
				box = { x, y, w: Math.abs(dx), h: Math.abs(dy) };
				stage.showDraft(box);
			},
			drop() {
				const caught = editor.model.regions.filter((region) => region.enabled && overlap(region, box));
				editor.select([...new Set([...editor.chosen, ...caught.map((region) => region.id)])]);
				stage.focus(editor.selected);
			},
		};
	}

	/** Select what lies behind the selected one at a point; after the last the first again. */
	function reach(from) {
		const stack = stage.under(from, editor.chosen, null);
		const at = stack.findIndex((region) => region.id === editor.selected);
		const { id } = stack[(at + 1) % stack.length];
		editor.select(id, id);
	}
}

const isField = (element) => Boolean(element?.closest("input, textarea"));
