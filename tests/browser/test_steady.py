"""Region Canvas holds still: its paper keeps its place, and what is done there is done where the pointer is."""

from __future__ import annotations

import json
from itertools import product

import pytest
from test_drawing import LEFT, boxes, prompts, two_boxes

from demo.client import Server
from demo.page import Box, ComfyPage

QUARTERS = [Box(x, y, 0.5, 0.5) for y in (0, 0.5) for x in (0, 0.5)]


def fill(comfy: ComfyPage, canvas: str, *drawn: Box) -> None:
    """Boxes drawn by a script, nothing selected, as a step of undo."""
    regions = [vars(box) | {"prompt": ""} for box in drawn]
    comfy.set_widget(canvas, "regions", json.dumps({"version": 1, "regions": regions}))
    comfy.capture()


def split(comfy: ComfyPage, name: str) -> None:
    comfy.page.locator(".rag-canvas button", has_text="Split").first.click()
    comfy.page.locator(".rag-presets button:visible", has_text=name).click()
    comfy.settle()


def test_the_paper_keeps_its_place_whatever_is_selected_or_listed(comfy: ComfyPage, canvas: str):
    place = comfy.paper().bounding_box()

    def steady(why: str) -> None:
        assert comfy.paper().bounding_box() == place, why

    assert place["width"] >= 300  # of a node of 420 × 760
    comfy.draw(LEFT)
    steady("drawn")
    comfy.press("Escape")
    steady("deselected")
    split(comfy, "2 × 2")
    comfy.page.locator(".rag-presets button:visible", has_text="Replace").click()
    steady("split")
    comfy.press("Control+a")
    steady("all selected")
    fill(comfy, canvas, *(Box(x / 4, y / 4, 0.25, 0.25) for x, y in product(range(4), range(4))))
    steady("sixteen regions")
    comfy.click(0.1, 0.1)
    steady("one of sixteen selected")
    for panel in ("How the drawing", "Keys and hints"):
        comfy.button(panel).click()
        steady(panel)


def test_the_list_keeps_its_rows_in_place_while_its_strip_scrolls(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *QUARTERS)

    def places() -> list[float]:
        return [row.bounding_box()["y"] for row in comfy.page.locator(".rag-canvas .rag-row").all()]

    before = places()
    comfy.click(0.25, 0.25)
    assert places() == before
    comfy.page.locator(".rag-canvas .rag-text").nth(1).click()
    assert places() == before
    comfy.click(0.75, 0.75)  # the last one: its row comes into view
    strip = comfy.page.locator(".rag-canvas .rag-strip").bounding_box()
    assert places()[3] + 24 <= strip["y"] + strip["height"] + 1


def test_a_double_click_opens_the_region_of_its_first_press(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *QUARTERS)
    for number, (x, y) in enumerate([(0.25, 0.25), (0.75, 0.25), (0.25, 0.93), (0.75, 0.51)]):
        comfy.paper().focus()
        comfy.press("Escape", "Escape")
        comfy.type_prompt(x, y, f"thing {number}")
    assert prompts(comfy, canvas) == [f"thing {number}" for number in range(4)]


def test_what_is_typed_reaches_nobody_else(comfy: ComfyPage, canvas: str):
    """Right after the double click, at typing speed; each letter is a shortcut of the page."""
    fill(comfy, canvas, *QUARTERS)
    comfy.run("() => { window.ragHeard = []; addEventListener('keydown', (e) => ragHeard.push(e.key)); }")
    comfy.page.mouse.dblclick(*comfy.at(0.25, 0.75))
    comfy.page.keyboard.type("wrm .qf")
    assert comfy.run("() => ragHeard") == []
    assert comfy.page.get_by_role("dialog").count() == 0
    comfy.press("Escape")
    assert prompts(comfy, canvas) == ["", "", "wrm .qf", ""]


def on_screen(comfy: ComfyPage, selector: str) -> tuple[float, float, float, float]:
    box = comfy.page.locator(f".rag-canvas {selector}").last.bounding_box()
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def test_the_draft_and_the_moved_box_are_under_the_pointer(comfy: ComfyPage, canvas: str):
    for zoom in (1, 0.7):
        comfy.look_at(canvas, zoom)
        fill(comfy, canvas, *QUARTERS)
        mouse = comfy.page.mouse
        from_x, from_y = comfy.at(0.25, 0.25)
        to_x, to_y = comfy.at(0.75, 0.625)
        mouse.move(from_x, from_y)
        comfy.page.keyboard.down("Control")
        mouse.down()
        mouse.move(to_x, to_y, steps=3)
        assert on_screen(comfy, ".rag-draft") == pytest.approx((from_x, from_y, to_x, to_y), abs=1.5)
        mouse.up()
        comfy.page.keyboard.up("Control")
        comfy.settle(150)
        assert boxes(comfy, canvas)[4] == Box(0.25, 0.25, 0.5, 0.375)
        comfy.press("Escape")
        left, top, right, bottom = on_screen(comfy, ".rag-region")
        assert (left, top) == pytest.approx((from_x, from_y), abs=1.5)
        mouse.move(left + 20, top + 20)
        mouse.down()
        mouse.move(*comfy.at(0.5, 0.5), steps=3)
        x, y = comfy.at(0.5, 0.5)
        assert on_screen(comfy, ".rag-region")[:2] == pytest.approx((x - 20, y - 20), abs=16 * zoom)
        mouse.up()
        comfy.settle(150)
    comfy.look_at(canvas)


def test_a_finger_draws_and_taps_twice(comfy: ComfyPage, canvas: str):
    session = comfy.context.new_cdp_session(comfy.page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def touch(*points: tuple[float, float]) -> None:
        for number, (x, y) in enumerate(comfy.at(*point) for point in points):
            kind = "touchMove" if number else "touchStart"
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    touch((0.0625, 0.0625), (0.25, 0.25), (0.4375, 0.5625))
    comfy.settle(150)
    assert boxes(comfy, canvas) == [LEFT]
    touch((0.2, 0.2))
    touch((0.2, 0.2))
    comfy.page.locator(".rag-prompt").wait_for()
    comfy.page.keyboard.type("a fox")
    comfy.press("Escape")
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert prompts(comfy, canvas) == ["a fox"]


def drag_splitter(comfy: ComfyPage, by: float) -> None:
    box = comfy.page.locator(".rag-canvas .rag-splitter").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    comfy.page.mouse.move(x, y)
    comfy.page.mouse.down()
    comfy.page.mouse.move(x, y + by, steps=3)
    comfy.page.mouse.up()
    comfy.settle()


def test_the_splitter_is_remembered_in_the_node_and_not_in_the_drawing(comfy: ComfyPage, canvas: str):
    two_boxes(comfy)
    text, high = comfy.value(canvas), comfy.paper().bounding_box()["height"]
    drag_splitter(comfy, 60)
    place = comfy.paper().bounding_box()
    assert place["height"] > high + 20
    assert comfy.value(canvas) == text
    saved = comfy.run("() => app.graph.serialize()")
    comfy.load(saved)
    assert comfy.paper().bounding_box()["height"] == pytest.approx(place["height"], abs=1)
    comfy.page.locator(".rag-canvas .rag-splitter").dblclick()
    comfy.settle()
    assert comfy.paper().bounding_box()["height"] == pytest.approx(high, abs=1)


@pytest.mark.parametrize("size", [(230, 620), (420, 560), (900, 700)])
def test_nothing_leaves_the_node_at_any_size(comfy: ComfyPage, canvas: str, size: tuple[int, int]):
    fill(comfy, canvas, *QUARTERS * 3)
    comfy.run(
        "([id, size]) => { app.graph.getNodeById(id).setSize(size); app.canvas.setDirty(true, true); }",
        [canvas, size],
    )
    comfy.click(0.25, 0.25)
    comfy.press("Control+a")
    comfy.settle()
    over = comfy.run(
        """() => {
          const root = document.querySelector(".rag-canvas");
          const edge = root.getBoundingClientRect();
          const strip = root.querySelector(".rag-strip");
          const parts = [...root.querySelectorAll("*")].filter((one) => one.offsetParent && (one === strip || !strip.contains(one)));
          return Math.max(...parts.map((one) => one.getBoundingClientRect()).flatMap((one) => [one.right - edge.right, one.bottom - edge.bottom]));
        }"""
    )
    assert over <= 6  # a handle on the border


def test_drawing_is_right_on_a_dense_screen(browser, server: Server, renderer: str):
    comfy = ComfyPage(browser, server, renderer, density=1.5)
    try:
        (canvas,) = comfy.new_graph({"type": "RAGRegionCanvas", "size": [420, 700]})
        comfy.set_widget(canvas, "width", 256)
        comfy.set_widget(canvas, "height", 256)
        comfy.look_at(canvas, 1.3)
        comfy.draw(LEFT)
        assert boxes(comfy, canvas) == [LEFT]
    finally:
        comfy.close()
