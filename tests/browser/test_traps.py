"""What the page does to nodes, and the editor as large as the window."""

from __future__ import annotations

import json

import pytest
from test_drawing import LEFT, TOKEN, boxes, prompts, two_boxes
from test_steady import QUARTERS, fill, split

from demo.page import Box, ComfyPage

WIDTHS = """() => [...document.querySelectorAll(".rag-canvas, .rag-still")].map((one) => one.offsetWidth)"""


@pytest.mark.parametrize("kind", ["RAGRegionCanvas", "RAGSplitRatioLayout", "RAGRegionBox"])
def test_the_properties_panel_leaves_the_width_and_has_no_row_of_ours(comfy: ComfyPage, kind: str):
    (node,) = comfy.new_graph({"type": kind, "size": [420, 700]})
    toggle = comfy.page.get_by_label("Toggle properties panel")
    panel = comfy.page.get_by_test_id("properties-panel")
    if panel.is_visible():  # an earlier test looked at the help, which is shown there
        toggle.last.click()
    before = comfy.run(WIDTHS)
    comfy.select_node(node)
    toggle.first.click()
    panel.get_by_text("style" if kind != "RAGRegionBox" else "height").first.wait_for()
    assert panel.get_by_text("layout_preview").count() == 0
    assert panel.locator(".rag-canvas").count() == 0
    assert panel.get_by_text("regions", exact=True).count() == 0
    toggle.last.click()
    comfy.settle()
    assert comfy.run(WIDTHS) == before
    # the frontends that still give it a row write the row's width
    comfy.run(
        "(id) => { for (const one of app.graph.getNodeById(id).widgets) if (one.element) one.width = 258; }",
        node,
    )
    comfy.run("() => app.canvas.setDirty(true, true)")
    comfy.settle()
    assert comfy.run(WIDTHS) == before
    assert before[0] >= 380


def test_a_split_is_one_step_and_the_node_keeps_its_size(comfy: ComfyPage, canvas: str):
    size = "(id) => [...app.graph.getNodeById(id).size]"
    before, steps = comfy.run(size, canvas), comfy.steps()
    comfy.button("Keys and hints").click()
    comfy.settle()
    comfy.button("Keys and hints").click()
    split(comfy, "2 × 2")
    comfy.settle(800)
    assert comfy.steps() == steps + 1
    assert comfy.run(size, canvas) == before
    comfy.undo()
    assert boxes(comfy, canvas) == []


@pytest.mark.parametrize(("answer", "count"), [("Replace", 4), ("Add", 6)])
def test_a_split_of_a_picture_with_regions_asks(comfy: ComfyPage, canvas: str, answer: str, count: int):
    two_boxes(comfy)
    before, steps = boxes(comfy, canvas), comfy.steps()
    comfy.press("Escape")
    split(comfy, "2 × 2")
    assert boxes(comfy, canvas) == before
    comfy.page.locator(".rag-presets button:visible", has_text=answer).click()
    comfy.settle()
    assert boxes(comfy, canvas) == [*before, *QUARTERS][-count:]
    assert comfy.steps() == steps + 1
    comfy.undo()
    assert boxes(comfy, canvas) == before


def test_the_large_editor_and_back(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    small = comfy.paper().bounding_box()
    comfy.button("Large editor").click()
    comfy.settle()
    assert comfy.paper().bounding_box()["height"] > 800
    comfy.draw(Box(0.5, 0.5, 0.25, 0.25))
    comfy.type_prompt(0.6, 0.6, "a fox")
    assert prompts(comfy, canvas) == ["", "a fox"]
    comfy.undo()
    comfy.undo()
    assert boxes(comfy, canvas) == [LEFT]
    assert comfy.paper().bounding_box()["height"] > 800  # undo makes the node anew
    comfy.redo()
    comfy.click(0.6, 0.6)
    comfy.press("ArrowRight")
    assert boxes(comfy, canvas)[1].x == 0.5 + TOKEN
    comfy.press("Escape")
    comfy.settle()
    assert comfy.page.locator(".rag-full").count() == 0
    assert comfy.paper().bounding_box() == small
    comfy.drag((0.2, 0.2), (0.2 + TOKEN, 0.2))
    assert boxes(comfy, canvas)[0].x == LEFT.x + TOKEN


def test_boxes_are_hidden_while_h_is_held_and_can_be_faint(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    box = comfy.page.locator(".rag-canvas .rag-region")
    comfy.page.keyboard.down("h")
    assert not box.is_visible()
    comfy.page.keyboard.up("h")
    assert box.is_visible()
    comfy.button("How the drawing").click()
    comfy.page.locator(".rag-panel input[type=range]").fill("0.3")
    comfy.page.locator(".rag-canvas input[type=checkbox]").check()
    saved = comfy.run("() => app.graph.serialize()")
    assert (
        saved["nodes"][0]["properties"] | {"rag_opacity": 0.3, "rag_guides": True}
        == saved["nodes"][0]["properties"]
    )
    comfy.load(saved)
    faint = comfy.run("() => getComputedStyle(document.querySelector('.rag-canvas .rag-regions')).opacity")
    assert float(faint) == pytest.approx(0.3)
    assert comfy.page.locator(".rag-canvas .rag-guides").is_visible()


def test_labels_and_handles_leave_a_small_region_visible(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, Box(0.25, 0.25, 0.125, 0.125))
    comfy.look_at(canvas, 0.4)
    comfy.click(0.3, 0.3)
    box = comfy.page.locator(".rag-canvas .rag-region").bounding_box()
    for part in (".rag-label", ".rag-size", ".rag-handles i"):
        shown = comfy.page.locator(f".rag-canvas {part}").first.bounding_box()
        assert shown["width"] <= box["width"], part
        assert shown["height"] <= box["height"] / 2, part
    comfy.look_at(canvas)


def test_a_box_that_leaves_the_picture_is_shown_cut_and_named(comfy: ComfyPage, canvas: str):
    text = json.dumps(
        [{"x": 0, "y": 0, "w": 0.5, "h": 1}, {"x": 0.75, "y": 0, "w": 0.5, "h": 1, "prompt": "a fox"}]
    )
    comfy.set_widget(canvas, "regions", text)
    assert comfy.value(canvas) == text
    assert "2 left the picture" in comfy.page.locator(".rag-canvas .rag-status").inner_text()
    comfy.click(0.2, 0.5)
    comfy.press("ArrowRight")
    assert boxes(comfy, canvas)[1] == Box(0.75, 0, 0.25, 1)


def test_a_linked_canvas_says_where_its_drawing_comes_from(comfy: ComfyPage, canvas: str):
    (canvas, text) = comfy.new_graph(
        {"type": "RAGRegionCanvas", "size": [420, 700]},
        {"type": "PrimitiveStringMultiline", "pos": [560, 80]},
    )
    title = comfy.run("(id) => app.graph.getNodeById(id).title = 'My plan'", text)
    comfy.connect(text, 0, canvas, "bboxes")
    assert title in comfy.page.locator(".rag-canvas .rag-empty").inner_text()
    assert title in comfy.page.locator(".rag-canvas .rag-status").inner_text()


def test_a_new_split_ratio_layout_is_not_wrong_yet(comfy: ComfyPage):
    comfy.new_graph({"type": "RAGSplitRatioLayout"})
    assert comfy.page.locator(".rag-still .rag-reason").count() == 0
    assert "2 prompts" in comfy.page.locator(".rag-still .rag-fault").inner_text()


def test_the_editors_help_leads_to_the_nodes_page(comfy: ComfyPage, canvas: str):
    comfy.button("Keys and hints").click()
    comfy.page.locator(".rag-help a").click()
    comfy.page.locator(".node-help-content").get_by_role("heading", name="Region Canvas").wait_for()
    comfy.page.get_by_label("Toggle properties panel").last.click()


def test_a_picture_behind_keeps_its_shape(comfy: ComfyPage, canvas: str):
    fit = comfy.run("() => getComputedStyle(document.querySelector('.rag-canvas .rag-image')).objectFit")
    assert fit == "contain"


PREVIEW = """async (sampler) => {
  const picture = document.createElement("canvas");
  picture.width = picture.height = 32;
  picture.getContext("2d").fillRect(0, 0, 32, 32);
  const blob = await new Promise((done) => picture.toBlob(done));
  const { api } = window.comfyAPI?.api ?? await import("/scripts/api.js");
  api.dispatchCustomEvent("b_preview_with_metadata", {blob, nodeId: sampler, displayNodeId: sampler, realNodeId: sampler});
}"""


def test_the_runs_preview_lies_behind_the_drawing(comfy: ComfyPage):
    canvas, sampler, other = comfy.new_graph(
        {"type": "RAGRegionCanvas", "size": [420, 700]},
        {"type": "RAGHardBindingSampler", "pos": [560, 80]},
        {"type": "KSampler", "pos": [960, 80]},
    )
    comfy.connect(canvas, 0, sampler, "binding_regions")
    shown = comfy.page.locator(".rag-canvas .rag-image")
    comfy.run(PREVIEW, other)
    comfy.settle()
    assert not shown.is_visible()
    comfy.run(PREVIEW, sampler)
    shown.wait_for(state="visible")
    assert shown.get_attribute("src").startswith("blob:")
    comfy.run(
        "async () => (await import('/scripts/api.js')).api.dispatchCustomEvent('execution_success', {})"
    )
    shown.wait_for(state="hidden")
