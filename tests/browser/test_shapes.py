"""Freehand regions and polygons on Region Canvas."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin
from typing import Any

import pytest
from test_drawing import TOKEN, boxes
from test_selection import chosen, item, right_click
from test_steady import fill

from demo.page import Box, ComfyPage

Point = tuple[float, float]
TRIANGLE: list[Point] = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75)]


def points(comfy: ComfyPage, canvas: str, place: int = -1) -> list[Point]:
    return [(round(x, 3), round(y, 3)) for x, y in comfy.regions(canvas)[place]["points"]]


def near(found: list[Point], expected: list[Point]) -> None:
    assert [part for point in found for part in point] == pytest.approx(
        [part for point in expected for part in point], abs=0.005
    )


def until(comfy: ComfyPage, found: Callable[[], Any], expected: Any) -> None:
    """Undo takes the page a while."""
    for _ in range(20):
        if found() == expected:
            break
        comfy.settle(150)
    assert found() == expected


def freehand(comfy: ComfyPage, line: list[Point]) -> None:
    comfy.settle()  # a new node takes its place on the page
    comfy.button("Freehand").click()
    comfy.page.mouse.move(*comfy.at(*line[0]))
    comfy.page.mouse.down()
    for point in line[1:]:
        comfy.page.mouse.move(*comfy.at(*point))
    comfy.page.mouse.up()
    comfy.settle(150)


def polygon(comfy: ComfyPage, corners: list[Point], key: str = "Enter") -> None:
    comfy.settle()
    comfy.paper().focus()
    comfy.press("p")
    for corner in corners:
        comfy.click(*corner)
    comfy.paper().focus()
    comfy.press(key)


def tool(comfy: ComfyPage) -> str | None:
    return comfy.button("Freehand").get_attribute("aria-pressed")


def test_a_freehand_line_becomes_a_region_in_one_step(comfy: ComfyPage, canvas: str):
    steps = comfy.steps()
    circle = [(0.5 + 0.3 * cos(t * pi / 40), 0.5 + 0.25 * sin(t * pi / 40)) for t in range(80)]
    freehand(comfy, circle)
    (region,) = comfy.regions(canvas)
    assert 12 <= len(region["points"]) <= 60
    xs, ys = zip(*region["points"], strict=True)
    around = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    assert [region[key] for key in "xywh"] == pytest.approx(around, abs=1e-5)
    assert around == pytest.approx([0.2, 0.25, 0.6, 0.5], abs=0.01)
    assert comfy.steps() == steps + 1
    assert tool(comfy) == "false"  # for one shape
    comfy.undo()
    until(comfy, lambda: comfy.regions(canvas), [])
    comfy.redo()
    until(comfy, lambda: comfy.regions(canvas), [region])


@pytest.mark.parametrize("end", ["double click", "Enter", "first corner"])
def test_corners_are_clicked(comfy: ComfyPage, canvas: str, end: str):
    comfy.settle()
    comfy.paper().focus()
    comfy.press("p")
    for corner in TRIANGLE:
        comfy.click(*corner)
        comfy.settle(650)  # no double click
    assert comfy.regions(canvas) == []
    if end == "Enter":
        comfy.paper().focus()
        comfy.press("Enter")
    elif end == "first corner":
        comfy.click(*TRIANGLE[0])
    else:
        comfy.page.mouse.dblclick(*comfy.at(0.26, 0.5))
    comfy.settle(150)
    near(points(comfy, canvas)[:3], TRIANGLE)
    assert chosen(comfy) == [0]
    assert comfy.page.locator(".rag-prompt").count() == 0


def test_a_shape_that_covers_no_token_is_none(comfy: ComfyPage, canvas: str):
    """There and back again: a large box, and nothing in it."""
    polygon(comfy, [(0.1, 0.13), (0.9, 0.93), (0.11, 0.13)])
    assert comfy.regions(canvas) == []
    comfy.press("Escape")


def test_corners_are_set_with_keys_alone(comfy: ComfyPage, canvas: str):
    steps = comfy.steps()
    comfy.settle()
    comfy.paper().focus()
    comfy.press("p", "Enter", "Shift+ArrowRight", "Enter", "Shift+ArrowDown", "Space", "ArrowDown", "Enter")
    comfy.press("Backspace", "ArrowUp", "Shift+ArrowLeft", "Enter", "Enter")  # on the last corner: done
    shape = [(0.5, 0.5), (0.75, 0.5), (0.75, 0.75), (0.5, 0.75)]
    assert points(comfy, canvas) == shape
    assert chosen(comfy) == [0]
    comfy.press("p", "Enter", "Shift+ArrowUp", "Enter", "Shift+ArrowLeft", "Enter")
    comfy.press("Shift+ArrowRight", "Shift+ArrowDown", "Enter")  # on the first one
    assert points(comfy, canvas) == [(0.5, 0.5), (0.5, 0.25), (0.25, 0.25)]
    comfy.press("p", "Backspace", "Enter", "Escape")
    assert (len(comfy.regions(canvas)), tool(comfy)) == (2, "false")
    assert comfy.steps() == steps + 2


def test_escape_gives_up_a_shape_and_small_ones_say_so(comfy: ComfyPage, canvas: str):
    steps = comfy.steps()
    polygon(comfy, TRIANGLE, "Escape")
    assert (comfy.regions(canvas), tool(comfy)) == ([], "false")
    polygon(comfy, [(0.5, 0.5), (0.53, 0.5), (0.5, 0.53)])
    assert comfy.regions(canvas) == []
    assert "Too small" in comfy.page.locator(".rag-status").inner_text()
    comfy.press("Escape")
    assert "Too small" not in comfy.page.locator(".rag-status").inner_text()
    assert comfy.steps() == steps
    comfy.draw(Box(0.25, 0.25, 0.25, 0.25))  # the mouse draws boxes again
    assert "points" not in comfy.regions(canvas)[0]


def test_a_shape_is_hit_where_it_is(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, Box(0, 0, 1, 1))
    polygon(comfy, TRIANGLE)
    comfy.click(0.7, 0.7)  # in its box, outside of it
    assert chosen(comfy) == [0]
    comfy.click(0.35, 0.35)
    assert chosen(comfy) == [1]
    polygon(comfy, [(0.75, 0.25), (0.75, 0.75), (0.25, 0.75)])
    label = comfy.page.locator(".rag-shaped .rag-label").last.bounding_box()
    at = [label["x"] + 1, label["y"] + 1]
    hit = "(at) => document.elementFromPoint(...at).closest('.rag-region')?.textContent[0]"
    assert comfy.run(hit, at) == "3"


def test_a_shape_moves_resizes_and_is_copied_as_boxes_are(comfy: ComfyPage, canvas: str):
    polygon(comfy, TRIANGLE)
    comfy.drag((0.35, 0.35), (0.35 + 2 * TOKEN, 0.35))
    moved = [(x + 2 * TOKEN, y) for x, y in TRIANGLE]
    near(points(comfy, canvas), moved)
    comfy.press("ArrowDown")
    near(points(comfy, canvas), [(x, y + TOKEN) for x, y in moved])
    comfy.press("ArrowUp")
    comfy.drag((0.875, 0.75), (0.625, 0.5))  # its box: 0.375 … 0.875, 0.25 … 0.75
    half = [(0.375, 0.25), (0.625, 0.25), (0.375, 0.5)]
    near(points(comfy, canvas), half)
    comfy.press("Control+d")
    near(points(comfy, canvas), [(x + 2 * TOKEN, y + 2 * TOKEN) for x, y in half])
    comfy.press("Control+c", "Control+v")
    assert len(points(comfy, canvas)) == 3
    for region, box in zip(comfy.regions(canvas), boxes(comfy, canvas), strict=True):
        xs, ys = zip(*region["points"], strict=True)
        assert [box.x, box.y, box.w, box.h] == pytest.approx(
            [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)], abs=2e-4
        )


def test_a_moving_shape_is_shown_where_it_is(comfy: ComfyPage, canvas: str):
    polygon(comfy, TRIANGLE)
    comfy.page.mouse.move(*comfy.at(0.35, 0.35))
    comfy.page.mouse.down()
    comfy.page.mouse.move(*comfy.at(0.35 + 2 * TOKEN, 0.35), steps=3)
    box = comfy.page.locator(".rag-shape polygon").bounding_box()
    assert (box["x"], box["y"]) == pytest.approx(comfy.at(0.375, 0.25), abs=8)
    hole = comfy.page.locator(".rag-shade mask polygon").get_attribute("transform")
    comfy.page.mouse.up()
    assert hole == "translate(0.375 0.25) scale(0.5 0.5)"


def test_two_shapes_overlap_only_where_they_do(comfy: ComfyPage, canvas: str):
    polygon(comfy, TRIANGLE)
    polygon(comfy, [(0.75, 0.375), (0.75, 0.75), (0.375, 0.75)])  # their boxes do, the halves do not
    status = comfy.page.locator(".rag-status")
    assert "overlap" not in status.inner_text()
    polygon(comfy, [(0.1, 0.1), (0.9, 0.2), (0.3, 0.4)])
    assert "1, 3 overlap" in status.inner_text()


def test_a_split_shape_becomes_boxes_and_a_mask_is_made_of_a_whole_one(comfy: ComfyPage, canvas: str):
    polygon(comfy, TRIANGLE)
    right_click(comfy, 0.35, 0.35)
    item(comfy, "Make a mask")
    made = "() => app.graph.nodes.filter((one) => one.type === 'RAGRegionsToMask').length"
    assert comfy.run(made) == 1
    comfy.page.locator(".rag-canvas button", has_text="Split").first.click()
    comfy.page.locator(".rag-presets button", has_text="2 columns").click()
    comfy.settle()
    assert [region.get("points") for region in comfy.regions(canvas)] == [None, None]
