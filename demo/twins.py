"""What the gallery makes of a prompt with regions: the same without them, its layout, and the files that it needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from .workflow import Input, Prompt, WorkflowError, inputs_of

Info = Mapping[str, Any]  # the server's /object_info
MODEL_FILE = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
LAYOUT = "layout"  # id of the node that draws it

DEMO = {
    "unet_name": "rag_demo_flux.safetensors",
    "vae_name": "rag_demo_vae.safetensors",
    "lora_name": "rag_demo_stripes.safetensors",
    "control_net_name": "rag_demo_edges.safetensors",
}
"""A loader's input -> which file stands for FLUX.1's; its two text encoders become those of the demo model."""
LARGEST, STEPS = 256, 4


def to_picture(prompt: Prompt) -> tuple[Prompt, str]:
    """The nodes that make the one picture that is saved, and the id of the node that saves it."""
    saved = [key for key, node in prompt.items() if node["class_type"] == "SaveImage"]
    if len(saved) != 1:
        raise WorkflowError(f"it saves {len(saved)} pictures; the gallery shows workflows that save one")
    return behind(prompt, saved[0]), saved[0]


def behind(prompt: Prompt, key: str) -> Prompt:
    """A node and all that it depends on."""
    kept, left = set(), [key]
    while left:
        one = left.pop()
        if one not in kept:
            kept.add(one)
            left += [v[0] for v in prompt[one]["inputs"].values() if is_link(v)]
    return {one: copy.deepcopy(node) for one, node in prompt.items() if one in kept}


def is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def regions_of(prompt: Prompt, info: Info) -> list[tuple[str, str]]:
    """Where regions act: (node id, input) of the nodes that sample or change the MODEL; what is bound first."""
    found = [
        (key, given.name)
        for key, node in prompt.items()
        if {"MODEL", "LATENT"}
        & {kind for kind in info[node["class_type"]]["output"] if isinstance(kind, str)}
        for given in inputs_of(info[node["class_type"]])
        if given.type == "RAG_REGIONS" and given.name in node["inputs"]
    ]
    return sorted(found, key=lambda place: ("Binding" not in prompt[place[0]]["class_type"], place[1]))


def plain(prompt: Prompt, key: str, info: Info) -> Prompt | None:
    """The same prompt without regions: nodes that put them on the MODEL are bypassed, samplers lose them.

    None where there is nothing to compare: without regions, where several pictures are decoded that compare themselves, and
    where a node hands on more than the MODEL.
    """
    places = regions_of(prompt, info)
    if not places or sum(node["class_type"].startswith("VAEDecode") for node in prompt.values()) > 1:
        return None
    made = copy.deepcopy(prompt)
    for place, name in places:
        if "MODEL" not in info[made[place]["class_type"]]["output"]:
            del made[place]["inputs"][name]
            continue
        model = made.pop(place)["inputs"]["model"]
        for node in made.values():
            for given, value in node["inputs"].items():
                if is_link(value) and value[0] == place:
                    if value[1]:
                        return None
                    node["inputs"][given] = model
    return behind(made, key)


def layout(prompt: Prompt, info: Info, width: int, height: int) -> Prompt:
    """The prompt that draws the regions, as a picture of this size."""
    place, name = regions_of(prompt, info)[0]
    inputs = {"regions": prompt[place]["inputs"][name], "width": width, "height": height}
    return behind(prompt | {LAYOUT: {"class_type": "RAGLayoutPreview", "inputs": inputs}}, LAYOUT)


def files_of(prompt: Prompt, info: Info) -> Iterator[tuple[dict[str, Any], str, list[str]]]:
    """Inputs that name a model's file: of which node, the input, and the files that this ComfyUI has for it."""
    for node in prompt.values():
        for given in inputs_of(info[node["class_type"]]):
            value = node["inputs"].get(given.name)
            if isinstance(value, str) and value.endswith(MODEL_FILE) and is_choice(given):
                options = given.type if isinstance(given.type, list) else given.options.get("options") or []
                yield node["inputs"], given.name, options


def is_choice(given: Input) -> bool:
    return isinstance(given.type, list) or given.type == "COMBO"


def slashed(path: str) -> str:
    return path.replace("\\", "/")


def put_files(prompt: Prompt, info: Info, yours: Mapping[str, str]) -> list[str]:
    """Write every model's file as this ComfyUI lists it, in whichever folder below its own it lies, in place; returns
    those named whose file is missing. yours: file that a prompt names -> the one to take."""
    missing = []
    for inputs, name, options in files_of(prompt, info):
        wanted = slashed(yours.get(inputs[name], inputs[name]))
        there = [one for one in options if f"/{slashed(one)}".endswith(f"/{wanted}")]
        if there:
            inputs[name] = min(there, key=len)
        else:
            missing.append(inputs[name])
    return missing


def on_demo_model(prompt: Prompt) -> None:
    """Put the demo model in the place of FLUX.1, small and in few steps, in place; other models stay."""
    encoders = [
        n for n in prompt.values() if n["class_type"] == "DualCLIPLoader" and n["inputs"]["type"] == "flux"
    ]
    if not encoders:
        return
    for node in encoders:
        node |= {"class_type": "RAGDemoCLIPLoader", "inputs": {}}
    for node in prompt.values():
        inputs = node["inputs"]
        inputs |= {name: DEMO[name] for name in inputs.keys() & DEMO.keys()}
        if "weight_dtype" in inputs:
            inputs["weight_dtype"] = "default"
        for name, value in inputs.items():
            if name in ("width", "height") and isinstance(value, int) and value > LARGEST:
                inputs[name] = value // 64 * 16
            if name == "steps" and isinstance(value, int):
                inputs[name] = min(value, STEPS)
            if name == "repaint_bind_steps":
                inputs[name] = min(value, STEPS - 1)
