"""The example workflows, as files against the server's nodes and as runs."""

from __future__ import annotations

import pytest
from live_comfyui import WORKFLOWS, Live, core_nodes, faults, skip_if_absent
from PIL import Image, ImageDraw

from demo.workflow import Prompt, override, read, replace, to_prompt

FILES = sorted(WORKFLOWS.glob("*.json"))
DEMO = sorted(path.stem for path in WORKFLOWS.glob("rag_shapes_*.json"))
FLUX = sorted(path.stem for path in WORKFLOWS.glob("rag_flux_*.json"))
RUN = [name for name in FLUX if "planner" not in name]  # those with a planner run in test_planner.py
MODEL_LOADERS = {"UNETLoader": 1, "DualCLIPLoader": 2, "CLIPLoader": 1, "VAELoader": 1}  # class -> files
MODEL_LOADERS |= {"LoraLoaderModelOnly": 1, "CreateHookLora": 1, "ControlNetLoader": 1}
MODEL_LOADERS |= {"StyleModelLoader": 1, "CLIPVisionLoader": 1}
DEMO_FILES = [
    ("UNETLoader", "unet_name"),
    ("VAELoader", "vae_name"),
    ("LoraLoaderModelOnly", "lora_name"),
    ("CreateHookLora", "lora_name"),
    ("ControlNetLoader", "control_net_name"),
]
"""Loaders and their inputs for which the demo model has a file."""
STYLE_NODES = ("StyleModelLoader", "CLIPVisionLoader", "CLIPVisionEncode")
LARGEST, STEPS = 256, 3


def test_the_workflows_are_there():
    assert {"rag_shapes_any_sampler", "rag_shapes_bounding_boxes", "rag_shapes_four_regions"} <= set(DEMO)
    assert {"rag_shapes_region_canvas", "rag_shapes_repaint"} <= set(DEMO)
    assert {"rag_shapes_lora", "rag_shapes_controlnet"} <= set(DEMO)
    assert {"rag_flux_dev_lora", "rag_flux_dev_lora_8_steps"} <= set(FLUX)
    assert {"rag_flux_dev_controlnet", "rag_flux_dev_redux"} <= set(FLUX)
    assert {path.stem for path in FILES} == {*DEMO, *FLUX}
    assert len(FLUX) >= 2


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


@pytest.mark.parametrize("name", FLUX)
def test_flux_workflow_names_its_downloads(name):
    """ComfyUI's missing-model dialog offers what a loader's properties.models say."""
    for node in read(WORKFLOWS / f"{name}.json")["nodes"]:
        if node["type"] in MODEL_LOADERS:
            models = node["properties"]["models"]
            files = node["widgets_values"][: MODEL_LOADERS[node["type"]]]
            assert [model["name"] for model in models] == files
            assert all(model["url"].startswith("https://") and model["directory"] for model in models)


def shrink(prompt: Prompt) -> None:
    """Every size in pixels scaled to at most LARGEST, every number of steps to at most STEPS."""
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if name in ("width", "height") and isinstance(value, int) and value > LARGEST:
                node["inputs"][name] = value // 4
            if name == "steps" and isinstance(value, int):
                node["inputs"][name] = min(value, STEPS)
            if name == "repaint_bind_steps":
                node["inputs"][name] = min(value, STEPS - 1)


def assert_pictures(live: Live, prompt: Prompt) -> None:
    """Every node that shows an image wrote one, and none of them is one flat colour."""
    shows = {key for key, node in prompt.items() if node["class_type"] in ("SaveImage", "PreviewImage")}
    outputs = [output for output in live.server.run(prompt) if output.kind == "images"]
    assert shows and shows <= {output.node for output in outputs}
    for output in outputs:
        assert live.picture(output).std() > 5, f"node {output.node} shows a flat picture"
