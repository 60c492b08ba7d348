/** A menu at the pointer: for a region, for several, or for the empty paper. */

import { copiedRegions } from "./clipboard.js";
import { h } from "./dom.js";
import { say } from "./texts.js";

/**
 * @typedef {{key?: string, text?: string, run: () => void, hint?: string, off?: boolean} | null} Item A line; null is a rule.
 * @param {import("./editor.js").Editor} editor
 * @returns {Item[]}
 */
export function regionItems(editor) {
  const { chosen, chosenRegions, free, model, selected } = editor;
  const region = model.find(selected);
  const all = {
    key: "menu.all",
    hint: "Ctrl+A",
    run: () => editor.select(model.regions.map(({ id }) => id)),
    off: !model.regions.length,
  };
  const copied = copiedRegions();
  const paste = { key: "menu.paste", hint: "Ctrl+V", run: () => editor.insert(copied), off: !copied.length };
  if (!region) return [{ key: "menu.new", hint: "N", run: () => editor.addRegion() }, paste, all];
  const ends = [0, model.regions.length];
  const hide = chosenRegions.some((one) => one.enabled);
  const lock = chosenRegions.some((one) => !one.locked);
  const alone = chosen.length === 1;
  const whole = () => editor.placeAll(new Map(free.map(({ id }) => [id, { x: 0, y: 0, w: 1, h: 1 }])));
  const number = editor.number(selected);
  return [
    { key: "menu.prompt", hint: "Enter", run: () => editor.field.open(selected, "prompt"), off: !alone },
    { key: "menu.rename", hint: "F2", run: () => editor.field.open(selected, "name"), off: !alone },
    null,
    { key: "menu.duplicate", hint: "Ctrl+D", run: () => editor.duplicate() },
    { key: "menu.cut", hint: "Ctrl+X", run: () => fromPage(editor, "cut"), off: !free.length },
    { key: "menu.copy", hint: "Ctrl+C", run: () => fromPage(editor, "copy") },
    paste,
    all,
    null,
    { key: "menu.front", run: () => editor.moveTo(chosen, ends[1]) },
    { key: "menu.back", run: () => editor.moveTo(chosen, ends[0]) },
    { key: hide ? "menu.hide" : "menu.show", run: () => editor.change(chosen, { enabled: !hide }) },
    { key: lock ? "menu.lock" : "menu.unlock", run: () => editor.change(chosen, { locked: lock }) },
    { key: "menu.whole", run: whole, off: !alone || !free.length },
    { key: "menu.mask", run: () => editor.host.makeMask(number), off: !alone || number === "–" },
    null,
    { key: "menu.remove", hint: "Del", run: () => editor.remove(), off: !free.length },
  ];
}

/** Copy as the keys do: the page's own command sends the event that clipboard.js waits for. */
function fromPage(editor, command) {
  editor.stage.focus(editor.selected);
  document.execCommand(command);
}

let close = () => {};

/**
 * @param {Item[]} items
 * @param {() => void} done The focus comes back.
 * @param {string} search The name of a field that picks lines by what is typed; empty for none.
 */
export function openMenu(items, x, y, done, search = "") {
  close();
  const lines = items.map((item) => (item ? line(item) : h("hr")));
  const field = h("input", { type: "search", placeholder: search, "aria-label": search, hidden: !search });
  const menu = h("div", { class: "rag-menu", role: "menu" }, field, ...lines);
  const buttons = lines.filter((one) => one instanceof HTMLButtonElement && !one.disabled);

  const shown = () => [field, ...buttons].filter((one) => !one.hidden);
  field.addEventListener("input", () => {
    const word = field.value.toLowerCase();
    for (const one of buttons) one.hidden = !one.textContent.toLowerCase().includes(word);
  });

  function line({ key, text, run, hint = "", off = false }) {
    const act = () => {
      close();
      done();
      run();
    };
    const words = [h("span", {}, text ?? say(key)), h("kbd", {}, hint)];
    return h("button", { type: "button", role: "menuitem", disabled: off, onclick: act }, ...words);
  }

  const outside = (event) => {
    if (!menu.contains(event.target)) close();
  };
  close = () => {
    menu.remove();
    for (const name of ["pointerdown", "wheel"]) window.removeEventListener(name, outside, true);
    close = () => {};
  };
  for (const name of ["pointerdown", "wheel"]) window.addEventListener(name, outside, true);
  menu.addEventListener("contextmenu", (event) => event.preventDefault());
  menu.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const stops = shown();
    const at = stops.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1, Tab: event.shiftKey ? -1 : 1 }[event.key];
    if (step) stops.at((at + step) % stops.length)?.focus();
    else if (event.key === "Enter" && event.target === field) stops[1]?.click();
    else if (event.key === "Escape") {
      close();
      done();
    } else return;
    event.preventDefault();
  });
  document.body.append(menu);
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(0, Math.min(x, window.innerWidth - width - 4))}px`;
  menu.style.top = `${Math.max(0, Math.min(y, window.innerHeight - height - 4))}px`;
  shown()[0]?.focus({ preventScroll: true });
}
