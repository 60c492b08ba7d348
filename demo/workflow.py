"""From a workflow file, as ComfyUI's page saves it, to the prompt that ComfyUI's API takes.

The page does this conversion in the browser; here it is for programs that have no browser. What a node's
inputs are, and in which order the page writes their widgets, comes from the server's /object_info.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Prompt = dict[str, dict[str, Any]]  # node id -> {"class_type", "inputs", "_meta"}

MUTED, BYPASSED = 2, 4
NOTES = {"Note", "MarkdownNote"}
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", "BOUNDING_BOXES", DYNAMIC_COMBO}


class WorkflowError(Exception):
    """A workflow that cannot be turned into a prompt, or an override that would change nothing."""


@dataclass(frozen=True)
class Input:
    """One input of a node class, as /object_info describes it."""

    name: str
    type: Any  # a type's name, or a list of options
    options: Mapping[str, Any]
    required: bool

    @property
    def is_widget(self) -> bool:
        """Whether the page draws a widget, and so writes a value, rather than a bare socket."""
        known = isinstance(self.type, list) or self.type in WIDGET_TYPES or "widgetType" in self.options
        return known and not self.options.get("forceInput")

    @property
    def has_control(self) -> bool:
        """Whether the page adds its own "control after generate" widget behind this one."""
        seeds = self.type == "INT" and self.name in ("seed", "noise_seed")
        return bool(self.options.get("control_after_generate", seeds))


def inputs_of(spec: Mapping[str, Any]) -> Iterator[Input]:
    """The inputs of one /object_info entry, in the page's order."""
    for group in ("required", "optional"):
        given = spec["input"].get(group) or {}
        for name in (spec.get("input_order") or {}).get(group) or given:
            kind, *options = given[name]
            yield Input(name, kind, options[0] if options else {}, group == "required")


def read(path: Path) -> dict[str, Any]:
    """The workflow in a file in the page's format."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    if "nodes" not in workflow or "links" not in workflow:
        raise WorkflowError(f"{path.name} has no nodes and links: save it with Save, not with Export (API).")
    return workflow


def to_prompt(workflow: Mapping[str, Any], object_info: Mapping[str, Any]) -> Prompt:
    """The workflow's nodes as an API prompt: notes and muted nodes left out, reroutes, primitives and
    bypassed nodes resolved to what they stand for."""
    graph = _Graph(workflow, object_info)
    real = [node for node in graph.nodes.values() if graph.is_real(node)]
    bypassed = [
        node for node in graph.nodes.values() if node.get("mode") == BYPASSED and graph.is_class(node)
    ]
    if unknown := sorted({node["type"] for node in (*real, *bypassed)} - set(object_info)):
        raise WorkflowError(f"this ComfyUI does not have the nodes {', '.join(unknown)}")
    prompt = {}
    for node in real:
        inputs = widget_values(node, object_info[node["type"]])
        for slot in node.get("inputs") or []:
            if slot.get("link") is not None:
                found = graph.source(slot["link"], slot["type"])
                if found is not None:
                    inputs[slot["name"]] = found
                elif "widget" not in slot:
                    inputs.pop(slot["name"], None)
        title = node.get("title") or object_info[node["type"]].get("display_name") or node["type"]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}
    return prompt


def widget_values(node: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Input name -> value of a node's widgets. The file has a list in the order of the inputs, with one
    value more behind every seed for the page's own control widget; or a mapping."""
    saved = node.get("widgets_values") or []
    if isinstance(saved, Mapping):
        names = {entry.name for entry in inputs_of(spec) if entry.is_widget}
        return {name: _wrapped(value) for name, value in saved.items() if name in names}
    values, left = {}, list(saved)

    def take(entries: Iterable[Input], prefix: str) -> None:
        for entry in (entry for entry in entries if entry.is_widget):
            if not left and "default" not in entry.options:
                continue
            value = left.pop(0) if left else entry.options["default"]
            values[prefix + entry.name] = _wrapped(value)
            if entry.has_control and left:
                left.pop(0)
            if entry.type == DYNAMIC_COMBO:  # the chosen option brings inputs of its own
                for option in entry.options["options"]:
                    if option["key"] == value:
                        take(inputs_of({"input": option["inputs"]}), f"{prefix}{entry.name}.")

    take(inputs_of(spec), "")
    return values


def _wrapped(value: Any) -> Any:
    """A value as the API takes it: a bare list would be read as a link."""
    return {"__value__": value} if isinstance(value, list) else value


class _Graph:
    """A workflow's nodes by id and links by id."""

    def __init__(self, workflow: Mapping[str, Any], object_info: Mapping[str, Any]) -> None:
        self.object_info = object_info
        self.nodes = {node["id"]: node for node in workflow["nodes"]}
        self.links: dict[int, tuple[Any, int]] = {}  # id -> origin's id, its output
        for link in workflow["links"]:
            if isinstance(link, Mapping):
                self.links[link["id"]] = (link["origin_id"], link["origin_slot"])
            else:
                self.links[link[0]] = (link[1], link[2])

    @staticmethod
    def is_class(node: Mapping[str, Any]) -> bool:
        """Whether the node is one of the server's, not one of the page's own."""
        return node["type"] not in NOTES | {"Reroute", "PrimitiveNode"}

    def is_real(self, node: Mapping[str, Any]) -> bool:
        """Whether the node goes into the prompt itself."""
        return self.is_class(node) and node.get("mode") not in (MUTED, BYPASSED)

    def source(self, link_id: int, kind: str) -> Any:
        """What arrives over a link at an input of this type: [node id, output], a primitive's value, or None
        from a muted node and where a bypassed one has nothing of the type."""
        seen = set()
        while link_id is not None and link_id not in seen:
            seen.add(link_id)
            if link_id not in self.links or self.links[link_id][0] not in self.nodes:
                raise WorkflowError(f"link {link_id} comes from no node of this workflow")
            origin_id, output = self.links[link_id]
            node = self.nodes[origin_id]
            if node.get("mode") == MUTED:
                return None
            if node["type"] == "PrimitiveNode":
                return _wrapped(node["widgets_values"][0])
            if self.is_real(node):
                return [str(origin_id), output]
            if node["type"] == "Reroute":
                link_id = node["inputs"][0].get("link")
            else:
                kind, link_id = self._bypassed(node, output, kind)
        return None

    def _bypassed(self, node: Mapping[str, Any], output: int, kind: str) -> tuple[str, int | None]:
        """Type and link of the input that stands for an output of a bypassed node where `kind` is asked for: as
        the page chooses it, the one at the same place, else the first of the type, else the first that fits."""
        slots = self._slots(node)
        if kind == "*":
            return slots[output] if output < len(slots) else slots[0]
        made = node["outputs"][output]["type"]
        fitting = [slot for slot in slots if _fits(slot[0], made) and _fits(slot[0], kind)]
        at_place = [slot for slot in slots[output : output + 1] if slot in fitting]
        exact = [slot for slot in slots if slot[0] == kind]
        return next(iter([*at_place, *exact, *fitting]), (kind, None))

    def _slots(self, node: Mapping[str, Any]) -> list[tuple[str, int | None]]:
        """Type and link of a node's inputs in the page's order: its sockets, then a socket for every widget,
        of which a file holds the connected ones alone."""
        saved = node.get("inputs") or []
        links = {slot["name"]: slot.get("link") for slot in saved}
        widgets = [entry for entry in inputs_of(self.object_info[node["type"]]) if entry.is_widget]
        return [
            *((slot["type"], slot.get("link")) for slot in saved if "widget" not in slot),
            *(("COMBO" if isinstance(w.type, list) else w.type, links.get(w.name)) for w in widgets),
        ]


def _fits(a: str, b: str) -> bool:
    """Whether the page connects two types; "*" is any, commas list several."""
    kinds = set(a.split(",")), set(b.split(","))
    return "*" in kinds[0] | kinds[1] or bool(kinds[0] & kinds[1])


def override(prompt: Prompt, changes: Mapping[tuple[str, str], Any]) -> None:
    """Set inputs in place: (node id or class, input name) -> value; None disconnects the input.

    A change that finds no such node, or no such input on it, is an error: it would silently do nothing.
    """
    for (where, name), value in changes.items():
        nodes = [node for key, node in prompt.items() if where in (key, node["class_type"])]
        if not nodes:
            classes = sorted({node["class_type"] for node in prompt.values()})
            raise WorkflowError(f"no node {where!r} to override; there are {', '.join(classes)}")
        for node in nodes:
            if name not in node["inputs"]:
                raise WorkflowError(f"{where} has no input {name!r}; it has {', '.join(node['inputs'])}")
            if value is None:
                del node["inputs"][name]
            else:
                node["inputs"][name] = _wrapped(value) if not _is_link(value, prompt) else value


def replace(prompt: Prompt, class_type: str, other: str, inputs: Mapping[str, Any] | None = None) -> None:
    """Put another class with the same outputs in the place of every node of a class, in place."""
    nodes = [node for node in prompt.values() if node["class_type"] == class_type]
    if not nodes:
        raise WorkflowError(f"no node {class_type!r} to replace")
    for node in nodes:
        node |= {"class_type": other, "inputs": dict(inputs or {})}


def _is_link(value: Any, prompt: Prompt) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] in prompt and isinstance(value[1], int)
