"""Saved workflows are for ever: what a released version's nodes take and give, every later version's do too.

tests/golden/node_schemas_VERSION.json says it for each version. ComfyUI saves a widget's value by its place, and a
link by the place of its output, so old inputs and outputs keep their order and new ones come behind them.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import comfy.samplers
import pytest
from rag_pack.nodes import RAGExtension
from tiny import GOLDEN, REPO

Schemas = dict[str, dict[str, list[dict[str, Any]]]]

KEPT = {
    "optional",
    "default",
    "min",
    "max",
    "step",
    "round",
    "options",
    "control_after_generate",
    "forceInput",
}
CORES = (comfy.samplers.KSampler.SAMPLERS, comfy.samplers.KSampler.SCHEDULERS)
"""ComfyUI's own options, which differ by its version."""
FILES = {("RAGRegionLora", "lora_name")}
"""Inputs whose options are the files that are installed."""
WRITTEN = sorted(GOLDEN.glob("node_schemas_*.json"))


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    """The pack's nodes as they are, in the form of the files."""
    nodes = [node.define_schema() for node in asyncio.run(RAGExtension().get_node_list())]
    found = {
        node.node_id: {"inputs": sockets(node.inputs), "outputs": sockets(node.outputs)} for node in nodes
    }
    for node, name in FILES:
        next(socket for socket in found[node]["inputs"] if socket["name"] == name).pop("options")
    return json.loads(json.dumps(found))


def sockets(entries: list) -> list[dict[str, Any]]:
    """Each input or output: name, type, and what its value may be."""
    found = []
    for entry in entries:
        name = entry.id or entry.display_name or entry.get_io_type()
        said = {key: value for key, value in entry.as_dict().items() if key in KEPT and value not in CORES}
        found.append({"name": name, "type": entry.get_io_type(), **said})
    return found


def broken(old: Schemas, new: Schemas) -> list[str]:
    """What a workflow saved with the old nodes would miss in the new ones."""
    found = [f"{node} is gone" for node in old if node not in new]
    for node, kind in ((node, kind) for node in old if node in new for kind in ("inputs", "outputs")):
        before, after = old[node][kind], new[node][kind]
        names, now = ([socket["name"] for socket in sockets] for sockets in (before, after))
        if now[: len(names)] != names:
            found.append(f"{node}: {kind} begin with {now[: len(names)]}, not with {names}")
            continue
        for was, socket in zip(before, after):
            changed = [
                key for key in sorted({*was, *socket}) if not holds(key, was.get(key), socket.get(key))
            ]
            found += [
                f"{node}.{was['name']}: {key} was {was.get(key)}, is {socket.get(key)}" for key in changed
            ]
        needed = [socket["name"] for socket in after[len(before) :] if not socket.get("optional")]
        found += [f"{node}.{name} is new and not optional" for name in needed if kind == "inputs"]
    return found


def holds(key: str, was: Any, now: Any) -> bool:
    """Limits may widen and options be added; all else stays."""
    if None in (was, now):
        return was == now
    if key == "options":
        return set(was) <= set(now)
    if key in ("min", "max"):
        return now <= was if key == "min" else now >= was
    return now == was


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_workflows_saved_with_a_version_still_fit(schemas: Schemas, path: Path):
    assert broken(json.loads(path.read_text(encoding="utf-8")), schemas) == []


def test_this_version_is_written_down(schemas: Schemas):
    """A missing file is made here, to be looked at and committed with the new version."""
    version = re.search(r'^version = "(\d+\.\d+)', (REPO / "pyproject.toml").read_text(), re.MULTILINE)[1]
    path = GOLDEN / f"node_schemas_{version}.json"
    if path not in WRITTEN:
        text = re.sub(
            r"\n {4,}|\n {3}(?=\})", " ", json.dumps(schemas, indent=1)
        )  # a line for each input and output
        path.write_text(text + "\n", encoding="utf-8")
    assert path in WRITTEN, f"{path.relative_to(REPO)} was missing and is written now: commit it"


MODEL = {"name": "model", "type": "MODEL", "optional": False}
STEPS = {"name": "steps", "type": "INT", "optional": False, "default": 20, "min": 1, "max": 100}
MODE = {"name": "mode", "type": "COMBO", "optional": False, "default": "a", "options": ["a", "b"]}
NEW = {"name": "new", "type": "INT", "optional": True, "default": 0}
IMAGE, MASK = {"name": "image", "type": "IMAGE"}, {"name": "mask", "type": "MASK"}


def node(*inputs: dict[str, Any], outputs=(IMAGE,)) -> Schemas:
    return {"Node": {"inputs": list(inputs), "outputs": list(outputs)}}


OLD = node(MODEL, STEPS, MODE)


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        OLD | {"Another": {"inputs": [], "outputs": []}},
        node(MODEL, STEPS, MODE, NEW),
        node(MODEL, STEPS, MODE, outputs=(IMAGE, MASK)),
        node(MODEL, STEPS | {"min": 0, "max": 200}, MODE),
        node(MODEL, STEPS, MODE | {"options": ["c", "b", "a"]}),
    ],
    ids=["nothing", "a node", "an input behind", "an output behind", "wider limits", "an option"],
)
def test_a_workflow_takes(new: Schemas):
    assert broken(OLD, new) == []


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ({}, "Node is gone"),
        (node(MODEL, STEPS | {"name": "step"}, MODE),
         "Node: inputs begin with ['model', 'step', 'mode'], not with ['model', 'steps', 'mode']"),
        (node(MODEL, NEW, STEPS, MODE),
         "Node: inputs begin with ['model', 'new', 'steps'], not with ['model', 'steps', 'mode']"),
        (node(MODEL, STEPS), "Node: inputs begin with ['model', 'steps'], not with ['model', 'steps', 'mode']"),
        (node(MODEL, STEPS, MODE, NEW | {"optional": False}), "Node.new is new and not optional"),
        (node(MODEL, STEPS | {"type": "FLOAT"}, MODE), "Node.steps: type was INT, is FLOAT"),
        (node(MODEL, STEPS | {"default": 30}, MODE), "Node.steps: default was 20, is 30"),
        (node(MODEL, STEPS | {"optional": True}, MODE), "Node.steps: optional was False, is True"),
        (node(MODEL, STEPS | {"min": 2}, MODE), "Node.steps: min was 1, is 2"),
        (node(MODEL, STEPS | {"max": 99}, MODE), "Node.steps: max was 100, is 99"),
        (node(MODEL, STEPS | {"control_after_generate": "fixed"}, MODE),
         "Node.steps: control_after_generate was None, is fixed"),
        (node(MODEL, STEPS, MODE | {"options": ["a"]}), "Node.mode: options was ['a', 'b'], is ['a']"),
        (node(MODEL, STEPS, MODE, outputs=(MASK, IMAGE)), "Node: outputs begin with ['mask'], not with ['image']"),
        (node(MODEL, STEPS, MODE, outputs=(IMAGE | {"type": "MASK"},)), "Node.image: type was IMAGE, is MASK"),
    ],
)  # fmt: skip
def test_a_workflow_breaks_on(new: Schemas, said: str):
    assert broken(OLD, new) == [said]
