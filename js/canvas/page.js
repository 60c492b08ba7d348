/** How widgets live in ComfyUI's page, in both of its renderers. */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

/** Run a function after a method of an object, whoever set that. */
export function chain(object, name, after) {
	const before = object[name];
	object[name] = function (...args) {
		const result = before?.apply(this, args);
		after.apply(this, args);
		return result;
	};
}

/** Whether nodes are drawn as elements ("Nodes 2.0") and not on the canvas. */
const drawnAsElements = () => Boolean(window.LiteGraph?.vueNodesMode);

/** Whether a node is still on a graph of the workflow: those in subgraphs are not told when the graph is cleared. */
export function isAlive({ graph }) {
	const root = app.rootGraph ?? app.graph;
	return Boolean(graph) && (graph === root || root.subgraphs?.get(graph.id) === graph);
}

/** The text that ComfyUI's page shows at a node, as a widget. */
export const TEXT = "$$node-text-preview";

/** The node of an id of a run, "5:3" for number 3 in the subgraph of number 5. */
export function nodeAt(path) {
	let node = { subgraph: app.rootGraph ?? app.graph };
	for (const id of String(path).split(":")) node = node?.subgraph?.getNodeById(id);
	return node;
}

/** Call back when a run has ended, well or not. */
export function onRunEnd(callback) {
	for (const end of ["success", "error", "interrupted"]) api.addEventListener(`execution_${end}`, callback);
}

/** Put an element into the node of its owner, as wide as the node, and tell the owner of the node's life. */
export function addElement(owner, name, type, element, options) {
	const { node } = owner;
	const added = () => {
		if (node.graph) owner.added(); // else a copy on the clipboard
	};
	chain(node, "onAdded", added);
	chain(node, "onConfigure", added);
	chain(node, "onConnectionsChange", () => setTimeout(() => owner.refresh()));
	chain(node, "onRemoved", () => owner.removed());
	const settings = { hideOnZoom: false, socketless: true, hideInPanel: true, ...options };
	const widget = node.addDOMWidget(name, type, element, settings);
	// the properties panel writes its own width there, which the classic canvas would then keep
	Object.defineProperty(widget, "width", { get: () => undefined, set: () => {}, configurable: true });
	forwardToGraph(element);
	return widget;
}

/** Call back when the graph has changed or another graph is shown, undo, redo and subgraphs included. */
export function onGraphChange(callback) {
	api.addEventListener("graphChanged", callback);
	app.canvas.canvas.addEventListener("litegraph:set-graph", () => setTimeout(callback));
}

/**
 * Keep presses on an element from dragging the node, and hand on to the graph what is meant for it: on the classic
 * canvas an element over it swallows the wheel and the middle button. Nodes 2.0 hands them on by itself.
 */
export function forwardToGraph(element) {
	/** Nothing to hand on: Nodes 2.0 does, or the editor is out of its node, as large as the window. */
	const apart = () => drawnAsElements() || Boolean(element.closest(".rag-full"));
	const scrolls = (event) => event.target.closest("[data-capture-wheel]")?.contains(document.activeElement);
	element.addEventListener(
		"wheel",
		(event) => {
			if (apart() || scrolls(event)) return;
			event.preventDefault();
			app.canvas.processMouseWheel(event);
		},
		{ passive: false },
	);
	for (const [type, process] of [
		["pointerdown", "processMouseDown"],
		["pointermove", "processMouseMove"],
		["pointerup", "processMouseUp"],
	]) {
		element.addEventListener(type, (event) => {
			const middle = type === "pointermove" ? event.buttons === 4 : event.button === 1;
			if (!middle) {
				if (type === "pointerdown") event.stopPropagation();
			} else if (!apart()) app.canvas[process](event);
		});
	}
}

/** Over what can be scrolled the wheel is not the graph's: Nodes 2.0 takes it before elements hear of it. */
export function keepWheel(selector) {
	const keep = (event) => {
		const area = event.target.closest?.(selector);
		if (area && !event.ctrlKey && area.scrollHeight > area.clientHeight) event.stopPropagation();
	};
	window.addEventListener("wheel", keep, true);
}

/**
 * After undo, Nodes 2.0 may go on showing the element of the node that is gone, and everything done there would be
 * lost. Put the living node's element in its place, now and when the page has settled.
 */
export function healElement(node, element) {
	for (const wait of [0, 60, 300]) setTimeout(() => healNow(node, element), wait);
}

function healNow(node, element) {
	if (!drawnAsElements() || element.isConnected) return;
	// A widget of a node that is gone must not take the place of the living one.
	if (app.canvas.graph?.getNodeById(node.id) !== node) return;
	const shown = document.querySelector(`[data-node-id="${node.id}"] .${element.classList[0]}`);
	if (shown && shown !== element) shown.replaceWith(element);
}
