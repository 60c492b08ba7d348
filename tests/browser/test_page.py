"""What else the pack brings to the page: previews in nodes, templates, help, Chinese."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from demo.browser import launch
from demo.client import pack_folder
from demo.page import ComfyPage

HERE = Path(__file__).resolve().parents[2]
TEMPLATES = sorted(path.stem for path in (HERE / "workflows").glob("*.json"))


def cells(comfy: ComfyPage) -> list[tuple[str, float, float, float, float]]:
    """Number and place, in percent, of every region in the node's preview."""
    return comfy.run(
        """() => [...document.querySelectorAll(".rag-still .rag-region:not([hidden])")].map((one) =>
          [one.querySelector("b").textContent, ...["left", "top", "width", "height"].map((side) => parseFloat(one.style[side]))])"""
    )


def test_split_ratio_layout_shows_its_cells_as_they_are_typed(comfy: ComfyPage):
    (node,) = comfy.new_graph({"type": "RAGSplitRatioLayout"})
    comfy.set_widget(node, "text", "a fox BREAK an owl")
    assert cells(comfy) == [["1", 0, 0, 50, 100], ["2", 50, 0, 50, 100]]
    comfy.set_widget(node, "split_ratio", "1; 3")
    assert cells(comfy) == [["1", 0, 0, 100, 25], ["2", 0, 25, 100, 75]]
    assert comfy.page.locator(".rag-still .rag-words").all_inner_texts() == ["a fox", "an owl"]


def test_split_ratio_layout_shows_an_error_at_its_place(comfy: ComfyPage):
    (node,) = comfy.new_graph({"type": "RAGSplitRatioLayout"})
    comfy.set_widget(node, "split_ratio", "1, 2; 3, oops")
    assert comfy.page.locator(".rag-still mark").inner_text() == "oops"
    assert '"oops" (character 10)' in comfy.page.locator(".rag-still .rag-reason").inner_text()
    assert cells(comfy) == []
    comfy.set_widget(node, "split_ratio", "1, 1, 1")
    assert "cells: 3, prompts: 1" in comfy.page.locator(".rag-still .rag-reason").inner_text()


def test_region_box_shows_its_box_and_those_before_on_the_pictures_shape(comfy: ComfyPage):
    first, second, preview = comfy.new_graph(
        {"type": "RAGRegionBox"},
        {"type": "RAGRegionBox", "pos": [520, 80]},
        {"type": "RAGLayoutPreview", "pos": [980, 80]},
    )
    comfy.connect(first, 0, second, "regions")
    comfy.connect(second, 0, preview, "regions")
    comfy.set_widget(preview, "width", 512)
    comfy.set_widget(preview, "height", 256)
    for name, value in {"x": 0.5, "y": 0.25, "width": 0.5, "height": 0.5}.items():
        comfy.set_widget(second, name, value)
    comfy.settle()
    assert ["2", 50, 25, 50, 50] in cells(comfy)
    assert len(cells(comfy)) == 3  # the first box in both nodes
    papers = [
        box
        for box in (one.bounding_box() for one in comfy.page.locator(".rag-still .rag-paper").all())
        if box
    ]
    assert all(abs(box["width"] / box["height"] - 2) < 0.1 for box in papers)
    comfy.set_widget(second, "width", 0.8)
    assert "The box leaves the picture" in comfy.page.locator(".rag-still .rag-reason").inner_text()


def test_previews_are_no_part_of_workflow_and_prompt(comfy: ComfyPage):
    (node,) = comfy.new_graph({"type": "RAGSplitRatioLayout"})
    assert comfy.run("(id) => app.graph.getNodeById(id).serialize().widgets_values", node) == [
        "0.5, 0.5",
        "",
        "",
    ]
    assert set(comfy.prompt()[node]["inputs"]) == {"split_ratio", "text", "style"}


def test_every_template_is_offered_with_its_thumbnail_and_opens(comfy: ComfyPage):
    pack = pack_folder(comfy.server.root)
    assert sorted(json.loads(comfy.server.get("/api/workflow_templates"))[pack]) == TEMPLATES
    for name in TEMPLATES:
        assert comfy.server.get(f"/api/workflow_templates/{pack}/{quote(name)}.jpg")[:2] == b"\xff\xd8"
    comfy.command("Comfy.BrowseTemplates")
    dialog = comfy.page.get_by_role("dialog")
    dialog.get_by_text(pack).first.click()
    template = dialog.get_by_text("Draw a few regions, quick start")
    template.first.scroll_into_view_if_needed()
    dialog.locator("img").first.wait_for()
    comfy.settle(700)
    loaded = dialog.locator("img").evaluate_all("(all) => all.map((image) => image.naturalWidth > 0)")
    assert loaded and all(loaded)
    template.first.click()
    dialog.wait_for(state="hidden")
    comfy.paper().wait_for()
    assert comfy.run("() => app.graph.nodes.filter((one) => one.type === 'RAGRegionCanvas').length") == 1


def test_templates_are_found_by_what_people_type(comfy: ComfyPage):
    """A title is its file's name, and that is all that the search has."""
    comfy.command("Comfy.BrowseTemplates")
    comfy.settle(1500)
    dialog = comfy.page.get_by_role("dialog")
    dialog.get_by_text(pack_folder(comfy.server.root)).first.click()
    for typed, found in {
        "quick start": "Draw a few regions, quick start",
        "LoRA per region": "FLUX LoRA per region, two characters",
        "flux region": "FLUX regions with ControlNet",
        "regional": "Draw regions (FLUX.1 dev)",
        "region": "Draw regions (FLUX.1 dev)",
    }.items():
        dialog.get_by_placeholder("Search").first.fill("nothing is called so")
        dialog.get_by_role("heading", name=found).first.wait_for(state="hidden")
        dialog.get_by_placeholder("Search").first.fill(typed)
        dialog.get_by_role("heading", name=found).first.wait_for()
    comfy.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def test_a_link_to_a_template_of_01_opens_it(comfy: ComfyPage):
    place = f"http://127.0.0.1:{comfy.server.port}/"
    comfy.page.goto(f"{place}?template=rag_flux_dev_two_regions&source={pack_folder(comfy.server.root)}")
    comfy.wait_until_ready()
    comfy.page.wait_for_function("() => app.graph.nodes.some((one) => one.type === 'RAGRegionBox')")
    comfy.page.goto(place)
    comfy.wait_until_ready()


def test_templates_open_with_nodes_beside_one_another_and_inside_their_groups(comfy: ComfyPage):
    """As large as the page draws them."""
    for name in TEMPLATES:
        comfy.load(json.loads((HERE / "workflows" / f"{name}.json").read_text(encoding="utf-8")))
        comfy.settle(300)
        on_top = comfy.run(
            """() => {
              const areas = app.graph.nodes.map((one) => [one.type, ...one.boundingRect]);
              return areas.flatMap(([a, x, y, w, h], i) => areas.slice(0, i)
                .filter(([, u, v, s, t]) => x < u + s && u < x + w && y < v + t && v < y + h)
                .map(([b]) => `${a} on ${b}`));
            }"""
        )
        assert on_top == [], name
        outside = comfy.run(
            """() => app.graph.nodes.flatMap((one) => {
              const [x, y, w, h] = one.boundingRect;
              const within = ([left, top, wide, high], right, bottom) => right <= left + wide && bottom <= top + high;
              const group = app.graph.groups.map((group) => [...group.boundingRect])
                .find((edges) => x >= edges[0] && y >= edges[1] && within(edges, x + 1, y + 1));
              return group && !within(group, x + w, y + h) ? [one.type] : [];
            })"""
        )
        assert outside == [], name


def test_help_shows_the_page_and_its_picture(comfy: ComfyPage, canvas: str):
    comfy.select_node(canvas)
    comfy.page.get_by_label("Node Info").first.click()
    page = comfy.page.locator(".node-help-content")
    page.get_by_role("heading", name="Region Canvas").wait_for()
    picture = page.locator("img").first
    picture.wait_for()
    comfy.settle()
    assert picture.evaluate("(image) => image.naturalWidth") > 100
    comfy.page.keyboard.press("Escape")


def test_the_editor_says_why_something_did_not_work(comfy: ComfyPage, canvas: str):
    comfy.button("Keys and hints").click()
    panel = comfy.page.locator(".rag-help")
    panel.get_by_text("With keys alone").wait_for()
    panel.get_by_role("button").click()
    panel.get_by_text("A thing is missing").wait_for()
    assert "8 tokens (128 pixels)" in panel.inner_text()


def test_a_missing_browser_gets_one_sentence(monkeypatch):
    from demo import browser as tools

    class Nothing:
        class chromium:
            @staticmethod
            def launch(**_):
                raise tools.Error("none")

    monkeypatch.setattr(tools, "download_browser", lambda: False)
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    monkeypatch.setattr(tools, "MAC", HERE / "none")
    with pytest.raises(tools.Missing, match="apt-get install chromium"):
        launch(Nothing)
