"""Region Canvas with the mouse and the keyboard."""

from __future__ import annotations

import json

import pytest

from demo.page import Box, ComfyPage

LEFT, RIGHT = Box(0.0625, 0.0625, 0.375, 0.5), Box(0.5, 0.25, 0.4375, 0.625)
TOKEN = 1 / 16  # of a picture of 256 pixels


def boxes(comfy: ComfyPage, canvas: str) -> list[Box]:
    return [Box(*(round(region[key], 4) for key in "xywh")) for region in comfy.regions(canvas)]


def prompts(comfy: ComfyPage, canvas: str) -> list[str]:
    return [region["prompt"] for region in comfy.regions(canvas)]


def two_boxes(comfy: ComfyPage) -> None:
    comfy.draw(LEFT)
    comfy.draw(RIGHT)


def test_two_boxes_and_their_prompts_one_step_of_undo_each(comfy: ComfyPage, canvas: str):
    steps = comfy.steps()
    two_boxes(comfy)
    assert boxes(comfy, canvas) == [LEFT, RIGHT]
    comfy.type_prompt(0.2, 0.2, "a red circle")
    comfy.type_prompt(0.7, 0.7, "a blue square")
    assert prompts(comfy, canvas) == ["a red circle", "a blue square"]
    assert comfy.steps() == steps + 4
    states = [
        ([LEFT, RIGHT], ["a red circle", "a blue square"]),
        ([LEFT, RIGHT], ["a red circle", ""]),
        ([LEFT, RIGHT], ["", ""]),
        ([LEFT], [""]),
        ([], []),
    ]
    for expected in states[1:]:
        comfy.undo()
        assert (boxes(comfy, canvas), prompts(comfy, canvas)) == expected
    for expected in states[-2::-1]:
        comfy.redo()
        assert (boxes(comfy, canvas), prompts(comfy, canvas)) == expected


def test_what_is_drawn_after_undo_is_kept(comfy: ComfyPage, canvas: str):
    """Undo makes the node anew; the editor on the screen has to be the living node's."""
    two_boxes(comfy)
    comfy.undo()
    assert boxes(comfy, canvas) == [LEFT]
    assert comfy.page.locator(".rag-canvas .rag-region").count() == 1
    comfy.draw(RIGHT)
    assert boxes(comfy, canvas) == [LEFT, RIGHT]
    comfy.undo()
    comfy.redo()
    comfy.type_prompt(0.7, 0.7, "a blue square")
    assert prompts(comfy, canvas) == ["", "a blue square"]
    assert comfy.prompt()[canvas]["inputs"]["regions"] == comfy.value(canvas)


def test_undo_right_after_typing_does_not_undo_in_the_text_too(comfy: ComfyPage, canvas: str):
    two_boxes(comfy)
    field = comfy.page.locator(".rag-canvas .rag-text").nth(1)
    field.click()
    comfy.page.keyboard.type("a blue square")
    comfy.page.keyboard.press("Escape")
    comfy.settle()
    comfy.press("ArrowRight")
    comfy.undo()
    assert prompts(comfy, canvas) == ["", "a blue square"]
    comfy.undo()
    assert prompts(comfy, canvas) == ["", ""]
    comfy.redo()
    assert prompts(comfy, canvas) == ["", "a blue square"]


def test_text_that_is_still_being_typed_is_sent(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    comfy.page.mouse.dblclick(*comfy.at(0.2, 0.2))
    comfy.page.keyboard.type("a red circle")
    sent = json.loads(comfy.prompt()[canvas]["inputs"]["regions"])
    assert sent["regions"][0]["prompt"] == "a red circle"
    comfy.page.keyboard.press("Escape")


def test_boxes_snap_to_tokens_and_alt_frees_them(comfy: ComfyPage, canvas: str):
    comfy.draw(Box(0.07, 0.05, 0.36, 0.52))
    assert boxes(comfy, canvas) == [LEFT]
    comfy.draw(Box(0.51, 0.26, 0.4, 0.6), key="Alt")
    free = boxes(comfy, canvas)[1]
    assert abs(free.x - 0.51) < 0.01
    assert free.x * 16 % 1 > 0.05


def test_moving_and_every_handle(comfy: ComfyPage, canvas: str):
    comfy.draw(Box(0.25, 0.25, 0.5, 0.5))
    comfy.drag((0.5, 0.5), (0.5 - 2 * TOKEN, 0.5 - TOKEN))
    box = Box(0.25 - 2 * TOKEN, 0.25 - TOKEN, 0.5, 0.5)
    assert boxes(comfy, canvas) == [box]
    for name in ("nw", "n", "ne", "e", "se", "s", "sw", "w"):
        x = box.x + (0.5 if name in "ns" else "e" in name) * box.w
        y = box.y + (0.5 if name in "we" else "s" in name) * box.h
        comfy.drag((x, y), (x + TOKEN, y + TOKEN))
        dx, dy = ("w" in name or "e" in name) * TOKEN, ("n" in name or "s" in name) * TOKEN
        left, top = dx * ("w" in name), dy * ("n" in name)
        right, bottom = dx * ("e" in name), dy * ("s" in name)
        box = Box(box.x + left, box.y + top, box.w - left + right, box.h - top + bottom)
        assert boxes(comfy, canvas) == [box], name


def test_the_node_stays_where_it_is_while_boxes_are_dragged(comfy: ComfyPage, canvas: str):
    place = "(id) => [...app.graph.getNodeById(id).pos, ...app.canvas.ds.offset, app.canvas.ds.scale]"
    before = comfy.run(place, canvas)
    two_boxes(comfy)
    comfy.drag((0.2, 0.2), (0.3, 0.3))
    assert comfy.run(place, canvas) == before


def test_control_draws_over_a_region(comfy: ComfyPage, canvas: str):
    comfy.draw(Box(0, 0, 1, 1))
    comfy.draw(Box(0.25, 0.25, 0.5, 0.5), key="Control")
    assert boxes(comfy, canvas) == [Box(0, 0, 1, 1), Box(0.25, 0.25, 0.5, 0.5)]


def test_everything_by_keyboard(comfy: ComfyPage, canvas: str):
    comfy.paper().focus()
    comfy.press("n")
    (start,) = boxes(comfy, canvas)
    comfy.press("ArrowRight", "Shift+ArrowDown")
    assert boxes(comfy, canvas) == [Box(start.x + TOKEN, start.y + 4 * TOKEN, start.w, start.h)]
    comfy.press("Alt+ArrowLeft", "Alt+ArrowDown")
    moved = Box(start.x + TOKEN, start.y + 4 * TOKEN, start.w - TOKEN, start.h + TOKEN)
    assert boxes(comfy, canvas) == [moved]
    comfy.press("Enter")
    comfy.page.keyboard.type("a fox")
    comfy.press("Escape", "Control+d")
    assert prompts(comfy, canvas) == ["a fox", "a fox"]
    comfy.press("[", "Delete")
    assert len(boxes(comfy, canvas)) == 1
    assert boxes(comfy, canvas) != [moved]  # the copy is left
    comfy.press("Delete")
    comfy.press("Delete")
    assert boxes(comfy, canvas) == []
    assert comfy.run("() => app.graph.nodes.length") == 1  # the node itself was not deleted


def test_tab_goes_through_the_regions_and_names_them(comfy: ComfyPage, canvas: str):
    two_boxes(comfy)
    comfy.type_prompt(0.2, 0.2, "a red circle")
    comfy.paper().focus()
    labels = []
    for _ in range(2):
        comfy.press("Tab")
        labels.append(comfy.run("() => document.activeElement.getAttribute('aria-label')"))
    assert labels[0] == "Region 1: a red circle, left 6 %, top 6 %, width 38 %, height 50 %"
    assert labels[1].startswith("Region 2: no prompt yet")


def test_a_held_arrow_is_one_step_of_undo(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    steps = comfy.steps()
    for _ in range(3):
        comfy.page.keyboard.down("ArrowRight")
    comfy.page.keyboard.up("ArrowRight")
    comfy.settle()
    assert boxes(comfy, canvas)[0].x == LEFT.x + 3 * TOKEN
    assert comfy.steps() == steps + 1


def test_a_press_released_outside_is_over(comfy: ComfyPage, canvas: str):
    """Pressed at the border, moved outside at once, released there: nothing may stick to the mouse."""
    comfy.draw(Box(0.5, 0.25, 0.5, 0.5))
    before = boxes(comfy, canvas)
    x, y = comfy.at(0.999, 0.5)
    comfy.page.mouse.move(x, y)
    comfy.page.mouse.down()
    comfy.page.mouse.move(x + 60, y)
    comfy.page.mouse.up()
    comfy.page.mouse.move(*comfy.at(0.7, 0.6))
    comfy.page.mouse.move(*comfy.at(0.2, 0.3))
    comfy.settle()
    assert boxes(comfy, canvas) == before
    comfy.draw(Box(0.0625, 0.0625, 0.25, 0.25))
    assert boxes(comfy, canvas) == [*before, Box(0.0625, 0.0625, 0.25, 0.25)]


def test_keys_go_on_working_after_undo(comfy: ComfyPage, canvas: str):
    two_boxes(comfy)
    comfy.press("ArrowRight")
    comfy.undo()
    comfy.settle(600)
    comfy.press("ArrowDown")
    assert boxes(comfy, canvas)[1] == Box(RIGHT.x, RIGHT.y + TOKEN, RIGHT.w, RIGHT.h)


def test_escape_gives_up_a_drag(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    comfy.page.mouse.move(*comfy.at(0.2, 0.2))
    comfy.page.mouse.down()
    comfy.page.mouse.move(*comfy.at(0.5, 0.5))
    comfy.page.keyboard.press("Escape")
    comfy.page.mouse.up()
    comfy.settle()
    assert boxes(comfy, canvas) == [LEFT]


@pytest.mark.parametrize("zoom", [0.5, 1.6])
def test_drawing_is_right_and_labels_are_readable_at_any_zoom(comfy: ComfyPage, canvas: str, zoom: float):
    comfy.run("(zoom) => { app.canvas.ds.scale = zoom; app.canvas.setDirty(true, true); }", zoom)
    comfy.settle()
    comfy.draw(LEFT)
    assert boxes(comfy, canvas) == [LEFT]
    number = comfy.page.locator(".rag-canvas .rag-label b").first.bounding_box()
    assert number["height"] >= 12
    comfy.run("() => { app.canvas.ds.scale = 1; app.canvas.setDirty(true, true); }")


def test_wheel_and_middle_button_reach_the_graph(comfy: ComfyPage, canvas: str):
    view = "() => [app.canvas.ds.scale, ...app.canvas.ds.offset]"
    scale, *offset = comfy.run(view)
    comfy.page.mouse.move(*comfy.at(0.5, 0.5))
    comfy.page.mouse.wheel(0, -200)
    comfy.settle()
    assert comfy.run(view)[0] > scale
    x, y = comfy.at(0.5, 0.5)
    before = comfy.run(view)[1:]
    comfy.page.mouse.move(x, y)
    comfy.page.mouse.down(button="middle")
    comfy.page.mouse.move(x + 40, y + 30, steps=3)
    comfy.page.mouse.up(button="middle")
    comfy.settle()
    assert comfy.run(view)[1:] != before
    assert boxes(comfy, canvas) == []
