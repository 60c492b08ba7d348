"""What the live tests share: prompts on the demo model, results as arrays, and a workflow's check."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load

from demo.client import Output, Server
from demo.workflow import NOTES, Input, Prompt, inputs_of, widget_values

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
CONTROLS = ("fixed", "increment", "decrement", "randomize")


def loading(file: str) -> list[str]:
    """The templates, by name, that load a model file."""
    return sorted(
        path.stem for path in WORKFLOWS.glob("*.json") if f'"{file}"' in path.read_text(encoding="utf-8")
    )


class Live:
    """The running server, with prompts for the demo model."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._runs = 0

    def options(self, class_type: str, name: str) -> list[str]:
        """What a node's drop-down list offers."""
        return choices(next(i for i in inputs_of(self.server.object_info[class_type]) if i.name == name))

    def demo_file(self, class_type: str, name: str) -> str:
        """The demo model's file as a stock loader offers it."""
        found = [file for file in self.options(class_type, name) if "rag_demo" in file]
        assert found, f"{class_type} offers no rag_demo file, only {self.options(class_type, name)}"
        return found[0]

    def base(self, size: int = 128) -> Prompt:
        """The demo model, one text and an empty latent: nodes "model", "clip", "text" and "latent".

        Every call asks for another factor on the zeros of the latent: the same latent, but nodes that
        ComfyUI has not run yet. So it keeps the loaded MODEL and still has to run the sampler again.
        """
        self._runs += 1
        unet = self.demo_file("UNETLoader", "unet_name")
        return {
            "model": node("UNETLoader", unet_name=unet, weight_dtype="default"),
            "clip": node("RAGDemoCLIPLoader"),
            "text": node("CLIPTextEncode", clip=["clip", 0], text="a red circle above a blue square"),
            "zeros": node("EmptySD3LatentImage", width=size, height=size, batch_size=1),
            "latent": node("LatentMultiply", samples=["zeros", 0], multiplier=self._runs / 100),
        }

    def sampled(self, prompt: Prompt, sampler: str = "sampler", **following: Any) -> np.ndarray:
        """Run the prompt and return the latent of its node `sampler`."""
        prompt = prompt | {"save": node("SaveLatent", samples=[sampler, 0], filename_prefix="test")}
        outputs = [output for output in self.server.run(prompt, **following) if output.kind == "latents"]
        assert len(outputs) == 1, outputs
        return load(self.server.fetch(outputs[0]))["latent_tensor"]

    def picture(self, output: Output) -> np.ndarray:
        """An image as [height, width, 3], 0..255."""
        return np.asarray(Image.open(io.BytesIO(self.server.fetch(output))).convert("RGB"))


NEWER = {"CreateBoundingBoxes": "width", "TextGenerate": "audio"}
"""Core's nodes in our workflows that older ComfyUIs have not, or not with this input."""


def skip_if_absent(live: Live, workflow: Mapping[str, Any]) -> None:
    """Skip the test where the server's ComfyUI is too old for a node or a model of the workflow."""
    for name in NEWER.keys() & {entry["type"] for entry in workflow["nodes"]}:
        spec = live.server.object_info.get(name)
        if spec is None or NEWER[name] not in {given.name for given in inputs_of(spec)}:
            pytest.skip(f"this ComfyUI has no {name} with the input {NEWER[name]}")
    for entry in workflow["nodes"]:
        if entry["type"] == "CLIPLoader" and entry["widgets_values"][1] not in live.options(
            "CLIPLoader", "type"
        ):
            pytest.skip(f"this ComfyUI has no text encoder of the type {entry['widgets_values'][1]}")


def core_nodes(object_info: Mapping[str, Any]) -> dict[str, Any]:
    """The server's nodes and core's chat node, which the test server starts without, as all that speak to others."""
    from comfy_api_nodes.nodes_openai import OpenAIChatNode

    return {**object_info, "OpenAIChatNode": json.loads(json.dumps(OpenAIChatNode.GET_NODE_INFO_V1()))}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def sampler(class_type: str = "KSampler", **changes: Any) -> dict[str, Any]:
    """A sampler node on the base prompt: four steps of Euler."""
    stock = {
        "model": ["model", 0],
        "seed": 7,
        "steps": 4,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "positive": ["text", 0],
        "negative": ["text", 0],
        "latent_image": ["latent", 0],
        "denoise": 1.0,
    }
    return node(class_type, **stock | changes)


def defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a node's widgets have when it is put on the page."""
    return widget_values({}, spec)


def choices(entry: Input) -> list[str]:
    return entry.type if isinstance(entry.type, list) else list(entry.options.get("options") or [])


def faults(workflow: Mapping[str, Any], object_info: Mapping[str, Any]) -> Iterator[str]:
    """Everything in a workflow file that does not fit the server's nodes: classes, links, widgets."""
    nodes = {entry["id"]: entry for entry in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    real = [entry for entry in nodes.values() if entry["type"] not in NOTES | {"Reroute", "PrimitiveNode"}]
    for entry in real:
        where = f"{entry['type']} (node {entry['id']})"
        if entry["type"] not in object_info:
            yield f"{where}: no such class"
            continue
        spec = object_info[entry["type"]]
        yield from (f"{where}: {fault}" for fault in _widget_faults(entry, spec))
        known = {given.name: given for given in inputs_of(spec)}
        linked = {slot["name"] for slot in entry.get("inputs") or [] if slot.get("link") is not None}
        for slot in entry.get("inputs") or []:
            if slot["name"] not in known:
                yield f"{where}: no input {slot['name']}"
            elif slot.get("link") is not None and slot["link"] not in links:
                yield f"{where}: input {slot['name']} has link {slot['link']}, which does not exist"
        for given in known.values():
            if given.required and not given.is_widget and given.name not in linked:
                yield f"{where}: required input {given.name} is not connected"
    for link_id, origin, output, target, slot, kind in links.values():
        yield from (
            f"link {link_id}: {fault}"
            for fault in _link_faults(nodes, object_info, link_id, (origin, output), (target, slot), kind)
        )


def _widget_faults(entry: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[str]:
    widgets = [given for given in inputs_of(spec) if given.is_widget]
    saved = entry.get("widgets_values") or []
    buttons = sum(bool(given.options.get("image_upload")) for given in widgets)  # saved behind the rest
    wanted = sum(1 + given.has_control for given in widgets) + buttons
    if len(saved) != wanted:
        yield f"{len(saved)} widget values, the class has {wanted}"
        return
    left = list(saved)
    for given in widgets:
        value = left.pop(0)
        if given.has_control and (control := left.pop(0)) not in CONTROLS:
            yield f"{given.name} is followed by {control!r}, not by one of {CONTROLS}"
        if isinstance(given.type, list) or given.type == "COMBO":
            is_file = str(value).endswith((".safetensors", ".sft", ".gguf", ".png", ".jpg"))
            if value not in choices(given) and not is_file:
                yield f"{given.name} is {value!r}, not one of {choices(given)}"
        elif given.type in ("INT", "FLOAT"):
            low, high = given.options.get("min", value), given.options.get("max", value)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                yield f"{given.name} is {value!r}, not a number from {low} to {high}"
        elif given.type == "BOOLEAN" and not isinstance(value, bool):
            yield f"{given.name} is {value!r}, not true or false"
        elif given.type == "STRING" and not isinstance(value, str):
            yield f"{given.name} is {value!r}, not a text"


def _link_faults(
    nodes: Mapping[int, Any],
    object_info: Mapping[str, Any],
    link_id: int,
    start: tuple[int, int],
    end: tuple[int, int],
    kind: str,
) -> Iterator[str]:
    """Both ends of a link exist, know it, and agree on what it carries."""
    if start[0] not in nodes or end[0] not in nodes:
        yield f"from node {start[0]} to node {end[0]}, one of which does not exist"
        return
    source, target = nodes[start[0]], nodes[end[0]]
    slots = target.get("inputs") or []
    if end[1] >= len(slots) or slots[end[1]].get("link") != link_id:
        yield f"input {end[1]} of {target['type']} does not know it"
        return
    if link_id not in ((source.get("outputs") or [])[start[1]].get("links") or []):
        yield f"output {start[1]} of {source['type']} does not know it"
    if source["type"] in object_info:
        produced = object_info[source["type"]]["output"]
        if start[1] >= len(produced) or not fits(produced[start[1]], kind):
            yield f"carries {kind}, but {source['type']} puts out {produced}"
    if target["type"] in object_info:
        known = {given.name: given for given in inputs_of(object_info[target["type"]])}
        given = known.get(slots[end[1]]["name"])
        if given and not fits(kind, given.type):
            yield f"carries {kind} to {target['type']}.{given.name}, which takes {given.type}"


def fits(carried: Any, taken: Any) -> bool:
    """Whether a link's type is one that an input takes; "*" is any, commas list several."""
    if isinstance(carried, list) or isinstance(taken, list):
        return carried == taken or "COMBO" in (carried, taken)
    kinds = set(carried.split(",")), set(taken.split(","))
    dynamic = any(name.startswith("COMFY_") for name in kinds[0] | kinds[1])
    return "*" in kinds[0] | kinds[1] or dynamic or bool(kinds[0] & kinds[1])
