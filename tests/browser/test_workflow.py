"""Region Canvas in a workflow: reload, tabs, copies, subgraphs, runs, and what it learns from other nodes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_drawing import LEFT, RIGHT, TOKEN, boxes, prompts, two_boxes

from demo.page import Box, ComfyPage
from demo.workflow import read

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
QUICK_START = read(WORKFLOWS / "Draw a few regions, quick start.json")
CANVAS = {"type": "RAGRegionCanvas", "size": [420, 700]}


def of_type(comfy: ComfyPage, kind: str) -> list[str]:
    return comfy.run(
        "(kind) => app.graph.nodes.filter((one) => one.type === kind).map((one) => String(one.id))", kind
    )


def drawn(comfy: ComfyPage, canvas: str) -> tuple[list[Box], list[str]]:
    return boxes(comfy, canvas), prompts(comfy, canvas)


def two_regions(comfy: ComfyPage) -> None:
    two_boxes(comfy)
    comfy.type_prompt(0.2, 0.2, "a red circle")
    comfy.type_prompt(0.7, 0.7, "a blue square")


EXPECTED = ([LEFT, RIGHT], ["a red circle", "a blue square"])


def test_reloading_the_page_keeps_everything(comfy: ComfyPage, canvas: str):
    two_regions(comfy)
    comfy.settle(1500)  # the page keeps a draft of the workflow a little after a change
    comfy.page.reload()
    comfy.wait_until_ready()
    comfy.paper().wait_for()
    (canvas,) = of_type(comfy, "RAGRegionCanvas")
    assert drawn(comfy, canvas) == EXPECTED
    assert comfy.page.locator(".rag-canvas .rag-region").count() == 2


def test_saving_and_loading_keeps_everything(comfy: ComfyPage, canvas: str):
    two_regions(comfy)
    saved = comfy.run("() => app.graph.serialize()")
    assert json.loads(saved["nodes"][0]["widgets_values"][-1])["version"] == 1
    comfy.load(saved)
    assert drawn(comfy, canvas) == EXPECTED


def test_another_tab_and_back(comfy: ComfyPage, canvas: str):
    two_regions(comfy)
    comfy.command("Comfy.NewBlankWorkflow")
    assert comfy.page.locator(".rag-canvas .rag-paper:visible").count() == 0
    comfy.command("Workspace.PreviousOpenedWorkflow")
    comfy.settle(700)
    (canvas,) = of_type(comfy, "RAGRegionCanvas")
    assert drawn(comfy, canvas) == EXPECTED
    comfy.drag((0.2, 0.2), (0.2 + 1 / 16, 0.2))
    assert boxes(comfy, canvas)[0].x == LEFT.x + 1 / 16


def test_a_copied_node_has_a_drawing_of_its_own(comfy: ComfyPage, canvas: str):
    two_regions(comfy)
    comfy.select_node(canvas)
    comfy.run("() => { app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard(); }")
    comfy.settle(700)
    nodes = of_type(comfy, "RAGRegionCanvas")
    assert [drawn(comfy, node) for node in nodes] == [EXPECTED, EXPECTED]
    copy = next(node for node in nodes if node != canvas)
    comfy.run("(id) => { app.graph.getNodeById(id).pos = [560, 80]; app.canvas.setDirty(true, true); }", copy)
    comfy.settle()
    places = [comfy.paper(place).bounding_box() for place in range(2)]
    right = max(places, key=lambda place: place["x"])
    x, y = right["x"] + 0.2 * right["width"], right["y"] + 0.2 * right["height"]
    comfy.page.mouse.move(x, y)
    comfy.page.mouse.down()
    comfy.page.mouse.move(x, y + right["height"] / 4, steps=3)
    comfy.page.mouse.up()
    comfy.settle()
    assert boxes(comfy, canvas) == [LEFT, RIGHT]
    assert boxes(comfy, copy)[0].y > LEFT.y


def test_collapsing_and_opening_again(comfy: ComfyPage, canvas: str):
    two_boxes(comfy)
    collapse = "(id) => { app.graph.getNodeById(id).collapse(); app.canvas.setDirty(true, true); }"
    comfy.run(collapse, canvas)
    comfy.settle()
    assert comfy.page.locator(".rag-canvas .rag-paper:visible").count() == 0
    comfy.run(collapse, canvas)
    comfy.settle()
    comfy.drag((0.2, 0.2), (0.2 + 1 / 16, 0.2))
    assert boxes(comfy, canvas)[0].x == LEFT.x + 1 / 16


def test_in_a_subgraph_it_works_and_is_sent(comfy: ComfyPage, canvas: str):
    two_regions(comfy)
    comfy.run(
        "(id) => { app.canvas.deselectAll(); app.canvas.selectNode(app.graph.getNodeById(id)); }", canvas
    )
    comfy.command("Comfy.Graph.ConvertToSubgraph")
    comfy.settle(700)
    inside = "() => app.graph.nodes.find((one) => one.subgraph)"
    (key,) = [name for name, node in comfy.prompt().items() if node["class_type"] == "RAGRegionCanvas"]
    assert ":" in key
    sent = json.loads(comfy.prompt()[key]["inputs"]["regions"])
    assert [region["prompt"] for region in sent["regions"]] == EXPECTED[1]
    comfy.run(f"() => app.canvas.openSubgraph(({inside})().subgraph, ({inside})())")
    comfy.settle(1000)
    comfy.paper().wait_for()
    comfy.look_at(key.split(":")[-1])
    comfy.drag((0.2, 0.2), (0.2 + 1 / 16, 0.2))
    sent = json.loads(comfy.prompt()[key]["inputs"]["regions"])
    assert round(sent["regions"][0]["x"], 4) == LEFT.x + 1 / 16
    comfy.run("() => app.canvas.setGraph(app.rootGraph)")


def test_a_run_gets_what_was_drawn_and_its_picture_comes_back(comfy: ComfyPage):
    """The quick start, its regions drawn anew, on the demo model."""
    comfy.load(QUICK_START)
    (canvas,) = of_type(comfy, "RAGRegionCanvas")
    comfy.look_at(canvas)
    comfy.button("Delete all regions").click()
    two_regions(comfy)
    assert drawn(comfy, canvas) == EXPECTED
    text = comfy.value(canvas)
    entry = comfy.queue()
    assert entry["status"]["status_str"] == "success", entry["status"]
    received = entry["prompt"][2][canvas]["inputs"]["regions"]
    assert received == text
    pictures = {
        entry["prompt"][2][node]["class_type"]: image
        for node, output in entry["outputs"].items()
        for image in output.get("images", [])
    }
    made, layout = (fetched(comfy, pictures[kind]) for kind in ("SaveImage", "PreviewImage"))
    assert made.std() > 5
    colors = [region["color"] for region in json.loads(text)["regions"]]
    for box, color in zip(EXPECTED[0], colors, strict=True):
        x, y = round(box.x * 256), round((box.y + box.h) * 256) - 1
        assert "#{:02x}{:02x}{:02x}".format(*layout[y, x]) == color  # the frame, in the editor's colour
    shown = comfy.page.locator(".rag-canvas .rag-image:visible")
    assert pictures["SaveImage"]["filename"] in shown.get_attribute("src")


def test_what_a_run_warned_of_stands_at_the_canvas_until_it_is_mended(comfy: ComfyPage):
    comfy.load(QUICK_START)
    (canvas,) = of_type(comfy, "RAGRegionCanvas")
    drawing = json.loads(comfy.value(canvas))
    first, *others = drawing["regions"]
    wordless = {**drawing, "regions": [{**first, "prompt": ""}, *others]}
    comfy.set_widget(canvas, "regions", json.dumps(wordless))
    place = comfy.paper().bounding_box()
    comfy.queue()
    empty = f"the prompt of region 1 of {len(others) + 1} is empty"
    status = comfy.page.locator(".rag-status")
    assert empty in text_at(comfy, canvas)
    assert empty in status.inner_text()
    assert comfy.paper().bounding_box() == place
    comfy.set_widget(canvas, "regions", json.dumps(drawing))
    comfy.queue()
    assert text_at(comfy, canvas) is None
    assert empty not in status.inner_text()


def text_at(comfy: ComfyPage, node: str) -> str | None:
    """What ComfyUI shows as a node's text."""
    return comfy.run(
        "(id) => app.graph.getNodeById(id).widgets.find(({name}) => name.endsWith('node-text-preview'))?.value ?? null",
        node,
    )


def fetched(comfy: ComfyPage, image: dict) -> np.ndarray:
    query = "&".join(f"{key}={image[key]}" for key in ("filename", "subfolder", "type"))
    return np.asarray(Image.open(io.BytesIO(comfy.server.get(f"/view?{query}"))).convert("RGB"))


def test_a_linked_picture_lies_behind_the_drawing(comfy: ComfyPage):
    canvas, loader = comfy.new_graph(CANVAS, {"type": "LoadImage", "pos": [560, 80]})
    comfy.server.folder.joinpath("input", "ground.png").write_bytes(png((200, 60, 60)))
    comfy.set_widget(loader, "image", "ground.png")
    comfy.connect(loader, 0, canvas, "background")
    shown = comfy.page.locator(".rag-canvas .rag-image")
    shown.wait_for(state="visible")
    assert "ground.png" in shown.get_attribute("src")
    comfy.button("Show or hide the picture").click()
    shown.wait_for(state="hidden")


def png(color: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), color).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_linked_layout_is_shown_and_edits_hold_until_it_changes(comfy: ComfyPage):
    canvas, text, clip, preview = comfy.new_graph(
        CANVAS,
        {"type": "PrimitiveStringMultiline", "pos": [560, 80]},
        {"type": "RAGDemoCLIPLoader", "pos": [560, 320]},
        {"type": "PreviewImage", "pos": [560, 440]},
    )

    def plan(prompt: str) -> str:
        return json.dumps([{"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": prompt}])

    comfy.set_widget(text, "value", plan("first"))
    comfy.connect(text, 0, canvas, "bboxes")
    comfy.connect(clip, 0, canvas, "clip")
    comfy.connect(canvas, 1, preview, "images")
    comfy.queue()
    assert prompts(comfy, canvas) == ["first"]
    comfy.drag((0.2, 0.5), (0.2 + 1 / 16, 0.5))
    moved = boxes(comfy, canvas)
    comfy.queue()
    assert boxes(comfy, canvas) == moved
    comfy.set_widget(text, "value", plan("second"))
    comfy.queue()
    assert prompts(comfy, canvas) == ["second"]
    comfy.paper().focus()
    comfy.undo()
    assert prompts(comfy, canvas) == ["first"]


def test_a_plan_is_corrected_with_the_mouse_before_sampling(comfy: ComfyPage):
    """The template that links Plan to Regions to Region Canvas."""
    comfy.load(read(WORKFLOWS / "Plan regions and edit them, demo model.json"))
    (canvas,), (answer,) = of_type(comfy, "RAGRegionCanvas"), of_type(comfy, "PrimitiveStringMultiline")
    (sampler,) = of_type(comfy, "RAGHardBindingSampler")
    for name, value in {"steps": 4, "bind_steps": 1}.items():
        comfy.set_widget(sampler, name, value)
    comfy.queue()
    planned = drawn(comfy, canvas)
    assert planned[1] == ["a yellow star on a black background"] * 2 + ["a blue circle on a black background"]
    comfy.look_at(canvas)
    box = planned[0][2]
    middle = (box.x + box.w / 2, box.y + box.h / 2)
    comfy.drag(middle, (middle[0], middle[1] - 2 * TOKEN))
    moved = boxes(comfy, canvas)
    assert moved[:2] == planned[0][:2]
    assert moved[2].y == box.y - 2 * TOKEN
    assert received(comfy.queue(), canvas) == (moved, planned[1])
    assert drawn(comfy, canvas) == (moved, planned[1])
    comfy.set_widget(answer, "value", comfy.value(answer, "value").replace("a blue circle", "a red heart"))
    comfy.queue()
    assert drawn(comfy, canvas) == (planned[0], [*planned[1][:2], "a red heart on a black background"])


def received(entry: dict, canvas: str) -> tuple[list[Box], list[str]]:
    """The boxes and prompts that the server got."""
    assert entry["status"]["status_str"] == "success", entry["status"]
    regions = json.loads(entry["prompt"][2][canvas]["inputs"]["regions"])["regions"]
    return [Box(*(round(one[key], 4) for key in "xywh")) for one in regions], [
        one["prompt"] for one in regions
    ]


@pytest.mark.parametrize("background", ["light", "dark"])
def test_both_themes_can_be_read(comfy: ComfyPage, canvas: str, background: str):
    """The text of a list field stands out from its ground."""
    comfy.run("(name) => app.extensionManager.setting.set('Comfy.ColorPalette', name)", background)
    comfy.settle(600)
    comfy.draw(LEFT)
    ink, ground = comfy.run(
        """() => {
          const style = getComputedStyle(document.querySelector(".rag-canvas .rag-text"));
          return [style.color, style.backgroundColor].map((color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number));
        }"""
    )
    comfy.run("() => app.extensionManager.setting.set('Comfy.ColorPalette', 'dark')")
    assert abs(sum(ink) / 3 - sum(ground) / 3) > 90
