/** Elements with little writing, and the few icons of the editor. */

import { say } from "./texts.js";

/**
 * An element: "tag.class.class", a div where there is no tag; attributes, "on…" listeners and properties that are
 * booleans, which may be left out; then children. What is typed in keeps the wheel to itself.
 */
export function h(name, attributes, ...children) {
	const [tag, ...classes] = name.split(".");
	const element = document.createElement(tag || "div");
	if (classes.length) element.className = classes.join(" ");
	if (tag === "button") element.type = "button";
	if (tag === "textarea") keepsWheel(element);
	if (typeof attributes === "string" || attributes instanceof Node) children.unshift(attributes);
	else
		for (const [key, value] of Object.entries(attributes ?? {})) {
			if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
			else if (typeof value === "boolean") element[key] = value;
			else element.setAttribute(key, value);
		}
	element.append(...children);
	return element;
}

/** The wheel over it scrolls it, and does not zoom the graph. */
export function keepsWheel(element) {
	element.dataset.captureWheel = "true";
	return element;
}

/** Attributes that name an element for the mouse, and for screen readers. */
export const titled = (title) => ({ title, "aria-label": title });

/** Those that say in an empty field what it is for. */
export const asking = (key) => ({ placeholder: say(key), "aria-label": say(key) });

export const button = (key, onclick) => h("button", { onclick }, say(key));

/** Milliseconds after which the keys of a field count as done. */
const PAUSE = 800;

/** What a field is changed for, done once for arrow keys in a row: when its user pauses or goes on. Until then it waits. */
export function afterPause(field, commit) {
	let keyed = false;
	let timer = 0;
	const done = () => {
		clearTimeout(timer);
		const { waiting } = field;
		field.waiting = keyed = false; // what follows may show the field anew
		if (waiting) commit();
	};
	field.addEventListener("keydown", ({ key, ctrlKey, metaKey }) => {
		if (ctrlKey || metaKey) done();
		keyed = /^(Arrow|Page|Home|End)/.test(key);
		if (!keyed) clearTimeout(timer); // the number is not typed whole
	});
	field.addEventListener("change", () => {
		field.waiting = true;
		clearTimeout(timer);
		if (keyed) timer = setTimeout(done, PAUSE);
		else done();
	});
	field.addEventListener("blur", done);
}

/** Show a value in a field where none waits. */
export function show(field, value) {
	if (!field.waiting) field.value = value;
}

/** The headings and paragraphs of a Markdown page that has nothing else but bold words. */
export function paragraphs(markdown) {
	const bold = (text) => text.split("**").map((part, index) => (index % 2 ? h("b", part) : part));
	return markdown
		.trim()
		.split(/\n\n+/)
		.map((block) => (block.startsWith("#") ? h("strong", block.replace(/^#+ /, "")) : h("p", ...bold(block))));
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
	const element = document.createElementNS(SVG, tag);
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
	element.append(...children);
	return element;
}

/** Strokes on a field of 16 × 16, after what they do: the eye is open on the button that hides. */
const ICONS = {
	new: "M8 3v10M3 8h10",
	trace: "M3 13l1-3 7-7 2 2-7 7zM9 5l2 2",
	layouts: "M4 2h8v12l-4-3-4 3z",
	undo: "M6 3 3 6l3 3M3 6h6a4 4 0 0 1 0 8H6",
	redo: "M10 3l3 3-3 3M13 6H7a4 4 0 0 0 0 8h3",
	background: "M2 3h12v10H2zM2 11l4-4 3 3 2-2 3 3",
	help: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.7 8 9 8 10M8 12.5v.5",
	clear: "M3 3l10 10M13 3 3 13",
	hide: "M1 8c2-4 12-4 14 0-2 4-12 4-14 0zM8 6v4M6 8h4",
	show: "M1 8c2-4 12-4 14 0-2 4-12 4-14 0zM2 14 14 2",
	unlock: "M4 7h8v6H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
	lock: "M4 7h8v6H4zM5.5 7V5a2.5 2.5 0 0 1 5-.5",
	back: "M8 13V3M4 7l4-4 4 4",
	front: "M8 3v10M4 9l4 4 4-4",
	duplicate: "M3 3h7v7H3zM6 13h7V6",
	more: "M3 7.5v1M8 7.5v1M13 7.5v1",
	view: "M2 5h7M13 5h1M2 11h1M7 11h7M9 3h4v4H9zM3 9h4v4H3z",
	full: "M6 2H2v4M10 2h4v4M6 14H2v-4M10 14h4v-4",
	node: "M2 6h4V2M14 6h-4V2M2 10h4v4M14 10h-4v4",
	left: "M2 2v12M5 4h8v3H5zM5 9h5v3H5z",
	center: "M8 2v2M8 7v2M8 12v2M3 4h10v3H3zM5 9h6v3H5z",
	right: "M14 2v12M3 4h8v3H3zM6 9h5v3H6z",
	top: "M2 2h12M4 5v8h3V5zM9 5v5h3V5z",
	middle: "M2 8h2M7 8h2M12 8h2M4 3v10h3V3zM9 5v6h3V5z",
	bottom: "M2 14h12M4 3v8h3V3zM9 6v5h3V6z",
	x: "M2 2v12M14 2v12M6 4h4v8H6z",
	y: "M2 2h12M2 14h12M4 6v4h8V6z",
	delete: "M3 4h10M6 4V2h4v2M4.5 4l.5 10h6l.5-10",
};

/** A button with an icon, both after a key of texts.js. */
export function iconButton(key, onclick, title) {
	const drawing = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path"));
	const made = h("button.rag-icon", { onclick }, drawing);
	setIcon(made, key, title);
	return made;
}

export function setIcon(made, key, title = say(key)) {
	made.querySelector("path").setAttribute("d", ICONS[key.split(".")[1]]);
	made.title = title;
	made.setAttribute("aria-label", title);
}

/** Give an element the place of a box, in percent of what it lies in. Writes only. */
export function place(element, { x, y, w, h: tall }) {
	element.style.left = `${100 * x}%`;
	element.style.top = `${100 * y}%`;
	element.style.width = `${100 * w}%`;
	element.style.height = `${100 * tall}%`;
}
