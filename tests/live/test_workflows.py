"""The example workflows, as files against the server's nodes and as runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import families
import pytest
from live_comfyui import WORKFLOWS, Live, core_nodes, faults, loading, skip_if_absent
from PIL import Image, ImageDraw

from demo.workflow import Prompt, override, read, replace, to_prompt

FILES = sorted(WORKFLOWS.glob("*.json"))
DEMO, FLUX = loading("rag_demo_flux.safetensors"), loading("flux1-dev.safetensors")
OFFICIAL = sorted({*FLUX, *families.TEMPLATES})
RUN = [name for name in FLUX if not name.startswith("Plan ")]  # those with a planner run in test_planner.py
MODEL_LOADERS = {"UNETLoader", "DualCLIPLoader", "CLIPLoader", "VAELoader", "CheckpointLoaderSimple"}
MODEL_LOADERS |= {"LoraLoaderModelOnly", "RAGRegionLora", "ControlNetLoader"}
MODEL_LOADERS |= {"StyleModelLoader", "CLIPVisionLoader"}
DEMO_FILES = [
    ("UNETLoader", "unet_name"),
    ("VAELoader", "vae_name"),
    ("LoraLoaderModelOnly", "lora_name"),
    ("RAGRegionLora", "lora_name"),
    ("ControlNetLoader", "control_net_name"),
]
"""Loaders and their inputs for which the demo model has a file."""
STYLE_NODES = ("StyleModelLoader", "CLIPVisionLoader", "CLIPVisionEncode")
LARGEST, STEPS = 256, 3
ALL_LINES = 10**6
TEMPLATES_VERSION = "0.1.27"
"""Of comfyui-workflow-templates-json; what ComfyUI 0.30.0 asks for."""
SAMPLING = ("KSampler", "KSamplerAdvanced", "PrimitiveInt", "PrimitiveFloat")
OF_THE_TEMPLATE = ("CLIPTextEncode", "MarkdownNote", "RandomNoise", "SaveImage")
"""Stock nodes whose values are a template's own."""


def test_the_workflows_are_there():
    assert {"Draw a few regions, quick start", "LoRA per region, demo model"} <= set(DEMO)
    assert {"Draw regions (FLUX.1 dev)", "FLUX LoRA per region, two characters"} <= set(FLUX)
    assert len(DEMO) == 10 and len(FLUX) == 14
    assert {path.stem for path in FILES} == {*DEMO, *OFFICIAL}


def test_the_quick_start_is_first_by_the_alphabet():
    """In the order of bytes and in the page's; the page itself shows them as the file system lists them."""
    names = [path.stem for path in FILES]
    assert min(names) == min(names, key=str.casefold) == "Draw a few regions, quick start"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_canvas_sets_the_pictures_size(path):
    """Nothing that makes a latent has a size of its own, but where the first picture is there to be drawn on."""
    workflow = read(path)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    origins = {link[0]: (nodes[link[1]]["type"], link[2]) for link in workflow["links"]}
    if not widgets(workflow, "RAGRegionCanvas") or path.stem == "Regions with ControlNet, demo model":
        return
    for node in nodes.values():
        sized = {slot["name"]: origins.get(slot["link"]) for slot in node.get("inputs") or []}
        if node["type"].startswith("Empty") or node["type"] in ("Flux2Scheduler", "RAGRegionsToMask"):
            given = sized.get("width"), sized.get("height")
            assert given == (("RAGRegionCanvas", 2), ("RAGRegionCanvas", 3)), node["type"]


def test_there_is_one_folder_of_templates():
    """Of two such folders ComfyUI lists both and serves one."""
    names = ("example_workflows", "workflows", "workflow", "example", "examples")
    assert [name for name in names if (WORKFLOWS.parent / name).is_dir()] == ["workflows"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_explains_itself(path):
    """A note, groups with titles, and no two nodes on top of one another."""
    workflow = read(path)
    assert any(
        node["type"] == "MarkdownNote" and len(node["widgets_values"][0]) > 100 for node in workflow["nodes"]
    )
    assert len(workflow["groups"]) >= 3 and all(group["title"] for group in workflow["groups"])
    areas = [
        (*node["pos"], node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1])
        for node in workflow["nodes"]
    ]
    on_top = [
        (a["type"], b["type"])
        for i, (a, (x0, y0, x1, y1)) in enumerate(zip(workflow["nodes"], areas, strict=True))
        for b, (u0, v0, u1, v1) in zip(workflow["nodes"][:i], areas[:i], strict=True)
        if x0 < u1 and u0 < x1 and y0 - 30 < v1 and v0 - 30 < y1
    ]
    assert on_top == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_fits_the_nodes(live: Live, path):
    workflow = read(path)
    skip_if_absent(live, workflow)
    assert list(faults(workflow, core_nodes(live.server.object_info))) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_has_a_thumbnail(path):
    """ComfyUI's template browser shows the .jpg of the same name."""
    with Image.open(path.with_suffix(".jpg")) as thumbnail:
        assert thumbnail.format == "JPEG"


@pytest.mark.feature("workflow {name}", "as in the file")
@pytest.mark.parametrize("name", DEMO)
def test_demo_workflow_makes_pictures(live: Live, name):
    workflow = read(WORKFLOWS / f"{name}.json")
    skip_if_absent(live, workflow)
    assert_pictures(live, to_prompt(workflow, live.server.object_info))


@pytest.mark.feature("workflow {name}", "as in the file")
@pytest.mark.parametrize("name", RUN)
def test_flux_workflow_runs_on_the_demo_model(live: Live, name):
    """Queued as it is, but for the loaders and a size and number of steps that a processor can do."""
    prompt = to_prompt(read(WORKFLOWS / f"{name}.json"), live.server.object_info)
    on_demo_model(live, prompt)
    put_example_picture(live)
    assert_pictures(live, prompt)


def test_two_characters_wear_a_lora_each(live: Live):
    """Of another strength: of two nodes that are the same ComfyUI runs one, and here both have the demo's file."""
    prompt = to_prompt(read(WORKFLOWS / "FLUX LoRA per region, two characters.json"), live.server.object_info)
    on_demo_model(live, prompt)
    override(prompt, {("RAGHardBindingSampler", "seed"): 2})
    next(n for n in prompt.values() if n["class_type"] == "RAGRegionLora")["inputs"]["strength"] = 0.5
    before = live.server.log(ALL_LINES)
    assert_pictures(live, prompt)
    report = live.server.log(ALL_LINES)[len(before) :]
    assert "regions wear 2 LoRAs in" in report, report


def put_example_picture(live: Live) -> None:
    """A picture with outlines by the name of the one in every ComfyUI's input folder; the test server's is empty."""
    picture = Image.new("RGB", (96, 96), "skyblue")
    ImageDraw.Draw(picture).ellipse((24, 24, 72, 72), fill="darkred")
    picture.save(live.server.folder / "input" / "example.png")


def on_demo_model(live: Live, prompt: Prompt) -> None:
    """Put the demo model in the place of FLUX, in place."""
    there = {node["class_type"] for node in prompt.values()}
    files = {loader: live.demo_file(*loader) for loader in DEMO_FILES if loader[0] in there}
    override(prompt, files | {("UNETLoader", "weight_dtype"): "default"})
    replace(prompt, "DualCLIPLoader", "RAGDemoCLIPLoader")
    lengthen_styled_texts(prompt)
    shrink(prompt)


def lengthen_styled_texts(prompt: Prompt) -> None:
    """Put stock ConditioningConcat in the place of Apply Style Model, in place: a longer text, as Redux makes it.
    The stock loader builds Redux for a text width of 4096 alone, which the demo model has not."""
    for node in prompt.values():
        if node["class_type"] == "StyleModelApply":
            text = node["inputs"]["conditioning"]
            node |= {
                "class_type": "ConditioningConcat",
                "inputs": {"conditioning_to": text, "conditioning_from": text},
            }
    for key in [key for key, node in prompt.items() if node["class_type"] in STYLE_NODES]:
        del prompt[key]


@pytest.mark.feature("workflow {name}", "as in the file")
@pytest.mark.parametrize("name", families.TEMPLATES)
def test_a_familys_workflow_runs_on_its_tiny_network(live: Live, name):
    """Queued as it is, but for a size and number of steps that a processor can do; the log says what regions did."""
    workflow = read(WORKFLOWS / f"{name}.json")
    skip_if_absent(live, workflow)
    prompt, before = to_prompt(workflow, live.server.object_info), live.server.log(ALL_LINES)
    shrink(prompt)
    assert_pictures(live, prompt)
    report = live.server.log(ALL_LINES)[len(before) :]
    assert re.search(r"RAG: .* in (\d+) of \1 blocks", report), report
    for bind_steps, _ in widgets(workflow, "RAGHardBinding"):
        features = "without" if LACKS in report else "with"
        assert f"bound at {min(bind_steps, STEPS)} of {STEPS} steps {features} features" in report


@pytest.mark.parametrize("name", [name for name in families.TEMPLATES if "SDXL" not in name])
def test_as_much_is_bound_as_2_of_20_steps(name):
    workflow = read(WORKFLOWS / f"{name}.json")
    steps = [values[2] for values in widgets(workflow, "KSampler")]
    steps += [values[0] for values in widgets(workflow, "Flux2Scheduler")]
    ((bind_steps, _),) = widgets(workflow, "RAGHardBinding")
    assert [bind_steps] == [max(1, round(each * 2 / 20)) for each in steps]


@pytest.mark.parametrize("name", families.TEMPLATES)
def test_files_and_settings_are_those_of_comfyuis_template(name):
    templates = pytest.importorskip("comfyui_workflow_templates_json").__path__[0]
    if version("comfyui-workflow-templates-json") != TEMPLATES_VERSION:
        pytest.skip(f"ours have files and settings from {TEMPLATES_VERSION}")
    core = read(Path(templates) / "templates" / f"{families.TEMPLATES[name][1]}.json")
    parts = [core, *core.get("definitions", {}).get("subgraphs", ())]
    theirs = [node for part in parts for node in part["nodes"]]
    sampling = [node["widgets_values"] for node in theirs if node["type"] in SAMPLING]
    for node in read(WORKFLOWS / f"{name}.json")["nodes"]:
        if node["type"] == "KSampler":  # theirs has steps and cfg from nodes that switch a LoRA
            assert {*node["widgets_values"][2:6]} <= {value for values in sampling for value in values}
        elif not node["type"].startswith("RAG") and node["type"] not in OF_THE_TEMPLATE:
            assert stock(node) in map(stock, theirs), node["type"]


def widgets(workflow: Mapping[str, Any], class_type: str) -> list[list]:
    """The widgets' values of every node of a class."""
    return [node["widgets_values"] for node in workflow["nodes"] if node["type"] == class_type]


def stock(node: Mapping[str, Any]) -> tuple:
    """What makes a node of a template the same as another: class, values and downloads."""
    values = [
        round(value, 6) if isinstance(value, float) else value for value in node.get("widgets_values") or ()
    ]
    return node["type"], values, node["properties"].get("models")


@pytest.mark.parametrize("name", OFFICIAL)
def test_workflow_names_its_downloads(name):
    """ComfyUI's missing-model dialog offers what a loader's properties.models say."""
    for node in read(WORKFLOWS / f"{name}.json")["nodes"]:
        if node["type"] in MODEL_LOADERS:
            models = node["properties"]["models"]
            files = [value for value in node["widgets_values"] if str(value).endswith(".safetensors")]
            assert [model["name"] for model in models] == files
            assert all(model["url"].startswith("https://") and model["directory"] for model in models)


LACKS = "features are not bound: there is no place for them"
"""What is told of Anima before ComfyUI 0.30."""


def shrink(prompt: Prompt) -> None:
    """Every size in pixels scaled to at most LARGEST, every number of steps to at most STEPS, in place. Binding may take a
    quarter of a template's steps, beyond which large networks are warned of."""
    small = any("rag_demo" in str(node["inputs"]) for node in prompt.values())
    steps = [value for node in prompt.values() for name, value in node["inputs"].items() if name == "steps"]
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if name in ("width", "height") and isinstance(value, int) and value > LARGEST:
                node["inputs"][name] = value // 64 * 16
            if name == "steps" and isinstance(value, int):
                node["inputs"][name] = min(value, STEPS)
            if name == "bind_steps":
                assert small or value <= max(1, min(steps) // 4)
                node["inputs"][name] = min(value, STEPS)
            if name == "repaint_bind_steps":
                node["inputs"][name] = min(value, STEPS - 1)


def assert_pictures(live: Live, prompt: Prompt) -> None:
    """Every node that shows an image wrote one, none of them is one flat colour, and nothing was warned of."""
    shows = {key for key, node in prompt.items() if node["class_type"] in ("SaveImage", "PreviewImage")}
    outputs = [output for output in live.server.run(prompt) if output.kind == "images"]
    warned = {node: text for node, text in live.server.told.items() if text and not text.startswith(LACKS)}
    assert warned == {}
    assert shows and shows <= {output.node for output in outputs}
    for output in outputs:
        assert live.picture(output).std() > 5, f"node {output.node} shows a flat picture"
