"""Several regions at once, those that are covered, the clipboard, a region's menu, and the list's order."""

from __future__ import annotations

import json

from test_drawing import TOKEN, boxes, prompts
from test_steady import QUARTERS, fill

from demo.page import Box, ComfyPage

THREE = [Box(0, 0, 0.25, 0.25), Box(0.375, 0.125, 0.25, 0.25), Box(0.75, 0.5, 0.125, 0.25)]


def chosen(comfy: ComfyPage) -> list[int]:
    """Places in the list of the regions that are selected."""
    return comfy.run(
        """() => [...document.querySelectorAll(".rag-canvas .rag-row")]
          .flatMap((row, place) => row.querySelector("[aria-pressed=true]") ? [place] : [])"""
    )


def click(comfy: ComfyPage, x: float, y: float, key: str) -> None:
    comfy.page.keyboard.down(key)
    comfy.click(x, y)
    comfy.page.keyboard.up(key)


def item(comfy: ComfyPage, name: str) -> None:
    comfy.page.get_by_role("menuitem", name=name).click()
    comfy.settle()


def right_click(comfy: ComfyPage, x: float, y: float) -> None:
    comfy.page.mouse.click(*comfy.at(x, y), button="right")
    comfy.settle(150)


def test_a_marquee_and_shift_click_select_several(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *THREE)
    comfy.drag((0.1, 0.45), (0.5, 0.2), key="Shift")
    assert chosen(comfy) == [0, 1]
    assert boxes(comfy, canvas) == THREE  # nothing was drawn or moved
    click(comfy, 0.8, 0.6, "Shift")
    assert chosen(comfy) == [0, 1, 2]
    click(comfy, 0.1, 0.1, "Shift")
    assert chosen(comfy) == [1, 2]
    comfy.click(0.1, 0.1)
    assert chosen(comfy) == [0]
    click(comfy, 0.5, 0.2, "Control")
    assert chosen(comfy) == [0, 1]
    comfy.press("Control+a")
    assert chosen(comfy) == [0, 1, 2]
    assert comfy.run("() => app.canvas.selectedItems.size") <= 1  # not every node of the page


def test_a_group_moves_and_resizes_as_one_step(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *THREE)
    comfy.paper().focus()
    comfy.press("Control+a")
    steps = comfy.steps()
    comfy.drag((0.1, 0.1), (0.1 + 2 * TOKEN, 0.1 + TOKEN))
    moved = [Box(one.x + 2 * TOKEN, one.y + TOKEN, one.w, one.h) for one in THREE]
    assert boxes(comfy, canvas) == moved
    comfy.press("ArrowDown")
    assert boxes(comfy, canvas) == [Box(one.x, one.y + TOKEN, one.w, one.h) for one in moved]
    comfy.press("ArrowUp")
    # the box around them: 0.125 … 1 across, 0.0625 … 0.8125 down
    comfy.drag((0.125, 0.8125), (0.125, 0.0625 + 0.375))
    halves = [Box(0.125, 0.0625, 0.25, 0.125), Box(0.5, 0.125, 0.25, 0.125), Box(0.875, 0.3125, 0.125, 0.125)]
    assert boxes(comfy, canvas) == halves
    assert comfy.steps() == steps + 4
    comfy.undo()
    assert boxes(comfy, canvas) == moved


def test_a_locked_region_stays_when_its_group_moves(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *THREE)
    comfy.click(0.1, 0.1)
    comfy.button("Lock").click()
    comfy.paper().focus()
    comfy.press("Control+a", "ArrowDown")
    assert [box.y for box in boxes(comfy, canvas)] == [0, 0.125 + TOKEN, 0.5 + TOKEN]


def test_aligned_and_spread(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *THREE)
    comfy.paper().focus()
    comfy.press("Control+a")
    comfy.button("Same gaps from left").click()
    assert [box.x for box in boxes(comfy, canvas)] == [0, 0.375, 0.75]
    comfy.button("Align bottom").click()
    assert [box.y + box.h for box in boxes(comfy, canvas)] == [0.75, 0.75, 0.75]
    comfy.button("Align left").click()
    assert [box.x for box in boxes(comfy, canvas)] == [0, 0, 0]


def test_alt_click_goes_through_what_lies_on_top(comfy: ComfyPage, canvas: str):
    small, large, top = Box(0.25, 0.25, 0.25, 0.25), Box(0.125, 0.125, 0.5, 0.5), Box(0.25, 0.25, 0.5, 0.5)
    fill(comfy, canvas, small, large, top)
    found = []
    for _ in range(4):
        click(comfy, 0.4, 0.4, "Alt")
        found += chosen(comfy)
    assert found == [1, 0, 2, 1]
    click(comfy, 0.4, 0.4, "Alt")
    comfy.drag((0.4, 0.4), (0.4 + TOKEN, 0.4))
    assert boxes(comfy, canvas) == [Box(0.25 + TOKEN, 0.25, 0.25, 0.25), large, top]
    comfy.click(0.7, 0.7)
    comfy.click(0.4, 0.4)
    assert chosen(comfy) == [2]


def test_a_small_region_is_found_in_front_of_a_large_one_that_is_selected(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, Box(0, 0, 1, 1), Box(0.25, 0.25, 0.25, 0.25))
    comfy.page.locator(".rag-canvas .rag-chip").first.click()
    comfy.click(0.4, 0.4)
    assert chosen(comfy) == [1]


def test_regions_are_copied_cut_and_pasted_not_nodes(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *THREE)
    comfy.click(0.1, 0.1)
    comfy.press("Control+c", "Control+v")
    assert boxes(comfy, canvas) == [*THREE, Box(2 * TOKEN, 2 * TOKEN, 0.25, 0.25)]
    comfy.press("Control+x")
    assert boxes(comfy, canvas) == THREE
    comfy.press("Control+v")
    assert boxes(comfy, canvas)[3:] == [Box(2 * TOKEN, 2 * TOKEN, 0.25, 0.25)]
    comfy.press("Control+d")
    assert len(boxes(comfy, canvas)) == 5
    # the same from a button of the editor
    comfy.button("Duplicate").click()
    comfy.press("Control+c", "Control+v")
    assert len(boxes(comfy, canvas)) == 7
    assert comfy.run("() => app.graph.nodes.length") == 1


def test_a_layout_as_text_is_pasted(comfy: ComfyPage, canvas: str):
    text = json.dumps([{"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a fox"}])
    comfy.paper().focus()
    comfy.run(
        """(text) => {
          const clipboardData = new DataTransfer();
          clipboardData.setData("text/plain", text);
          document.activeElement.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
        }""",
        text,
    )
    assert prompts(comfy, canvas) == ["a fox"]


def test_a_region_has_a_menu_of_its_own(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *QUARTERS)
    right_click(comfy, 0.75, 0.25)
    assert chosen(comfy) == [1]
    item(comfy, "Remove region")
    assert boxes(comfy, canvas) == [QUARTERS[0], *QUARTERS[2:]]
    assert comfy.run("() => app.graph.nodes.length") == 1
    right_click(comfy, 0.25, 0.25)
    item(comfy, "Rename")
    comfy.page.keyboard.type("fox")
    comfy.press("Enter")
    assert comfy.regions(canvas)[0]["name"] == "fox"
    right_click(comfy, 0.25, 0.25)
    item(comfy, "To the front")
    right_click(comfy, 0.25, 0.25)
    item(comfy, "Fit to the picture")
    assert boxes(comfy, canvas) == [*QUARTERS[2:], Box(0, 0, 1, 1)]
    right_click(comfy, 0.25, 0.25)
    item(comfy, "Hide")
    right_click(comfy, 0.25, 0.25)
    comfy.press("Escape")
    assert comfy.page.locator(".rag-menu").count() == 0
    comfy.undo()
    assert all(region["enabled"] for region in comfy.regions(canvas))


def test_a_mask_is_made_of_a_region(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *QUARTERS)
    steps = comfy.steps()
    right_click(comfy, 0.75, 0.25)
    item(comfy, "Make a mask")
    sent = comfy.run(
        """() => { const node = app.graph.nodes.find((one) => one.type === "RAGRegionsToMask");
          return [node.getInputNode(0).type, ...node.widgets.slice(0, 3).map((one) => one.value)]; }"""
    )
    assert sent == ["RAGRegionCanvas", 2, 256, 256]
    assert comfy.steps() == steps + 1


def test_a_row_is_dragged_to_another_place(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *THREE)
    chips = [comfy.page.locator(".rag-canvas .rag-chip").nth(place).bounding_box() for place in range(3)]
    steps = comfy.steps()
    x = chips[0]["x"] + 8
    comfy.page.mouse.move(x, chips[0]["y"] + 8)
    comfy.page.mouse.down()
    comfy.page.mouse.move(x, chips[2]["y"] + chips[2]["height"], steps=4)
    comfy.page.mouse.up()
    comfy.settle()
    assert boxes(comfy, canvas) == [THREE[1], THREE[2], THREE[0]]
    assert comfy.steps() == steps + 1
    assert chosen(comfy) == []


def test_each_row_hides_and_locks(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *THREE)
    comfy.button("Region 2: Hide").click()
    comfy.button("Region 1: Lock").click()
    regions = comfy.regions(canvas)
    assert [region["enabled"] for region in regions] == [True, False, True]
    assert [region.get("locked", False) for region in regions] == [True, False, False]
