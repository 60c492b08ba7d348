/** Elements with little writing, and the few icons of the editor. */

/**
 * An element: attributes, "on…" listeners and properties that are functions or booleans, then children.
 * @param {string} tag
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** The headings and paragraphs of a Markdown page that has nothing else but bold words. */
export function paragraphs(markdown) {
  const bold = (text) => text.split("**").map((part, index) => (index % 2 ? h("b", {}, part) : part));
  return markdown
    .trim()
    .split(/\n\n+/)
    .map((block) => (block.startsWith("#") ? h("strong", {}, block.replace(/^#+ /, "")) : h("p", {}, ...bold(block))));
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Strokes on a field of 16 × 16. */
const ICONS = {
  new: "M8 3v10M3 8h10",
  undo: "M6 3 3 6l3 3M3 6h6a4 4 0 0 1 0 8H6",
  redo: "M10 3l3 3-3 3M13 6H7a4 4 0 0 0 0 8h3",
  background: "M2 3h12v10H2zM2 11l4-4 3 3 2-2 3 3",
  help: "M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.7 8 9 8 10M8 12.5v.5",
  clear: "M3 3l10 10M13 3 3 13",
  show: "M1 8c2-4 12-4 14 0-2 4-12 4-14 0zM8 6v4M6 8h4",
  hide: "M1 8c2-4 12-4 14 0-2 4-12 4-14 0zM2 14 14 2",
  lock: "M4 7h8v6H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
  unlock: "M4 7h8v6H4zM5.5 7V5a2.5 2.5 0 0 1 5-.5",
  back: "M8 13V3M4 7l4-4 4 4",
  front: "M8 3v10M4 9l4 4 4-4",
  duplicate: "M3 3h7v7H3zM6 13h7V6",
  delete: "M3 4h10M6 4V2h4v2M4.5 4l.5 10h6l.5-10",
};

/** A button with an icon, named for the mouse and for screen readers. */
export function iconButton(icon, title, onclick) {
  const drawing = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path"));
  const button = h("button", { type: "button", class: "rag-icon", onclick }, drawing);
  setIcon(button, icon, title);
  return button;
}

export function setIcon(button, icon, title) {
  button.querySelector("path").setAttribute("d", ICONS[icon]);
  button.title = title;
  button.setAttribute("aria-label", title);
}

/** Give an element the place of a box, in percent of what it lies in. Writes only. */
export function place(element, { x, y, w, h: tall }) {
  element.style.left = `${100 * x}%`;
  element.style.top = `${100 * y}%`;
  element.style.width = `${100 * w}%`;
  element.style.height = `${100 * tall}%`;
}
