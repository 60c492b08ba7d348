"""The rest of Region Canvas: list, split tools, hints, errors, and the work that a drag costs."""

from __future__ import annotations

import json

import pytest
from test_drawing import LEFT, RIGHT, boxes, prompts, two_boxes

from demo.page import Box, ComfyPage

COUNTED = """() => {
  const counts = {layout: 0, serialize: 0, json: 0, changes: 0, events: 0};
  const undo = [];
  const wrap = (object, name, key) => {
    const before = object[name];
    object[name] = function (...args) { counts[key]++; return before.apply(this, args); };
    undo.push(() => { object[name] = before; });
  };
  for (const name of ["getBoundingClientRect", "getClientRects"]) wrap(Element.prototype, name, "layout");
  wrap(SVGGraphicsElement.prototype, "getScreenCTM", "layout");
  wrap(window, "getComputedStyle", "layout");
  for (const name of ["offsetWidth", "offsetHeight", "offsetLeft", "offsetTop"]) {
    const before = Object.getOwnPropertyDescriptor(HTMLElement.prototype, name);
    Object.defineProperty(HTMLElement.prototype, name, {configurable: true,
      get() { counts.layout++; return before.get.call(this); }});
    undo.push(() => Object.defineProperty(HTMLElement.prototype, name, before));
  }
  wrap(app.rootGraph.constructor.prototype, "serialize", "serialize");
  wrap(JSON, "stringify", "json");
  const seen = new MutationObserver((records) => { counts.changes += records.length; });
  seen.observe(document.querySelector(".rag-canvas"), {attributes: true, childList: true, subtree: true, characterData: true});
  // counted inside our own handlers alone: the page around does what it likes between them
  const paper = document.querySelector(".rag-canvas .rag-paper");
  window.ragCounts = () => { undo.forEach((back) => back()); seen.disconnect(); return counts; };
  window.ragDrag = (from, to, moves) => {
    const send = (type, [clientX, clientY], buttons) => paper.querySelector("[data-region]").dispatchEvent(
      new PointerEvent(type, {bubbles: true, cancelable: true, pointerId: 1, clientX, clientY, buttons, button: 0}));
    paper.setPointerCapture = () => {};
    send("pointerdown", from, 1);
    send("pointermove", [from[0] + 6, from[1] + 6], 1);
    Object.assign(counts, {layout: 0, serialize: 0, json: 0, changes: 0});
    for (let move = 1; move <= moves; move++) {
      const part = move / moves;
      send("pointermove", [from[0] + part * (to[0] - from[0]), from[1] + part * (to[1] - from[1])], 1);
      counts.events++;
    }
    const during = {...counts, changes: counts.changes + seen.takeRecords().length};
    send("pointerup", to, 0);
    return during;
  };
}"""


def thirty(overlapping: bool = True) -> str:
    side = 0.25 if overlapping else 0.125
    regions = [
        {"id": f"r{i}", "x": (i % 6) / 8, "y": (i // 6) / 8, "w": side, "h": side, "prompt": f"thing {i}"}
        for i in range(30)
    ]
    return json.dumps({"version": 1, "regions": regions})


def test_a_drag_among_thirty_regions_does_bounded_work(comfy: ComfyPage, canvas: str):
    comfy.set_widget(canvas, "regions", thirty())
    before = comfy.value(canvas)
    comfy.run(COUNTED)
    start, end = comfy.at(0.05, 0.05), comfy.at(0.6, 0.6)
    counts = comfy.run("([from, to]) => ragDrag(from, to, 50)", [start, end])
    comfy.run("() => ragCounts()")
    assert counts["events"] == 50
    assert (counts["layout"], counts["serialize"], counts["json"]) == (0, 0, 0)
    assert (
        counts["changes"] / counts["events"] < 60
    )  # the box, its hole, handles and label; patches with others
    assert comfy.value(canvas) != before  # it was a real drag


def row(comfy: ComfyPage, place: int):
    return comfy.page.locator(".rag-canvas .rag-row").nth(place)


def test_the_list_reorders_hides_locks_copies_and_deletes(comfy: ComfyPage, canvas: str):
    two_boxes(comfy)
    row(comfy, 0).locator(".rag-chip").click()
    comfy.button("Further to the front").click()
    assert boxes(comfy, canvas) == [RIGHT, LEFT]
    comfy.button("Lock").click()
    comfy.drag((0.2, 0.2), (0.4, 0.4))
    comfy.press("Delete")
    assert boxes(comfy, canvas) == [RIGHT, LEFT]
    comfy.button("Unlock").click()
    comfy.button("Hide").click()
    assert [region["enabled"] for region in comfy.regions(canvas)] == [True, False]
    comfy.button("Show again").click()
    comfy.button("Duplicate").click()
    assert len(boxes(comfy, canvas)) == 3
    comfy.button("Delete (Del)").click()
    assert boxes(comfy, canvas) == [RIGHT, LEFT]


def test_numbers_place_a_region_without_the_mouse(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    for key, value in {"Left": 64, "Top": 32, "Width": 128, "Height": 60}.items():
        field = comfy.page.locator(f'.rag-canvas input[aria-label^="{key},"]')
        field.fill(str(value))
        field.press("Tab")
    assert boxes(comfy, canvas) == [Box(0.25, 0.125, 0.5, 0.25)]  # 60 is nearest to 4 tokens
    assert field.input_value() == "64"
    field.fill("")
    field.press("Tab")
    assert field.input_value() == "64"


def test_a_number_changes_its_own_edge_alone(comfy: ComfyPage, canvas: str):
    comfy.draw(Box(0.51, 0.26, 0.4, 0.6), key="Alt")
    (free,) = boxes(comfy, canvas)
    field = comfy.page.locator('.rag-canvas input[aria-label^="Top,"]')
    field.fill("32")
    field.press("Tab")
    assert boxes(comfy, canvas) == [Box(free.x, 0.125, free.w, free.h)]
    left = comfy.page.locator('.rag-canvas input[aria-label^="Left,"]')
    left.fill("999")
    comfy.click(0.05, 0.05)  # straight from the field to the paper
    (box,) = boxes(comfy, canvas)
    assert round(box.x + box.w, 4) == 1
    assert box.w == free.w


def test_a_locked_region_is_not_split(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    comfy.button("Lock").click()
    assert comfy.page.locator(".rag-canvas button", has_text="Split").first.is_disabled()


def test_a_text_layout_becomes_boxes(comfy: ComfyPage, canvas: str):
    comfy.button("").page.locator(".rag-canvas button", has_text="Split").first.click()
    panel = comfy.page.locator(".rag-canvas form.rag-panel:visible")
    panel.locator("textarea").fill("a BREAK b BREAK c BREAK d")
    panel.locator("input").fill("1,1,x; 1,1,1")
    panel.locator("button[type=submit]").click()
    assert '"x" (character 5) is not a number above 0' in panel.locator(".rag-reason").inner_text()
    panel.locator("input").fill("1,1,1; 1,1,1")
    panel.locator("button[type=submit]").click()
    comfy.settle()
    assert prompts(comfy, canvas) == ["a", "b", "c", "d"]
    assert boxes(comfy, canvas)[3] == Box(0.5, 0.5, 0.5, 0.5)
    comfy.undo()
    assert boxes(comfy, canvas) == []


def test_four_regions_without_typing_a_number(comfy: ComfyPage, canvas: str):
    comfy.page.locator(".rag-canvas button", has_text="Split").first.click()
    comfy.page.locator(".rag-presets button:visible", has_text="2 × 2").click()
    comfy.settle()
    quarters = [Box(x, y, 0.5, 0.5) for y in (0, 0.5) for x in (0, 0.5)]
    assert boxes(comfy, canvas) == quarters


def test_hints_name_what_may_go_wrong(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    comfy.draw(Box(0.25, 0.25, 0.25, 0.25), key="Control")
    status = comfy.page.locator(".rag-canvas .rag-status").inner_text()
    assert "1, 2: no prompt yet" in status
    assert "1, 2 overlap" in status
    assert "under 8 tokens" in status
    assert "% free" in status
    assert comfy.page.locator(".rag-canvas .rag-patch").count() == 1


@pytest.mark.parametrize("garbage", ["{ half a drawing", '{"version": 9, "regions": []}', "[1, 2]"])
def test_what_cannot_be_read_is_kept_and_can_be_put_right(comfy: ComfyPage, canvas: str, garbage: str):
    comfy.set_widget(canvas, "regions", garbage)
    comfy.capture()
    assert comfy.value(canvas) == garbage
    assert comfy.prompt()[canvas]["inputs"]["regions"] == garbage
    raw = comfy.page.locator(".rag-canvas .rag-raw")
    assert raw.input_value() == garbage
    assert comfy.page.locator(".rag-canvas .rag-broken .rag-reason").inner_text()
    right = '[{"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "saved"}]'
    raw.fill(right)
    assert comfy.value(canvas) == right
    comfy.paper().wait_for()
    comfy.undo()
    assert comfy.value(canvas) == garbage


def test_starting_anew_can_be_undone(comfy: ComfyPage, canvas: str):
    comfy.set_widget(canvas, "regions", "{ half a drawing")
    comfy.capture()
    comfy.page.locator(".rag-canvas .rag-broken button").click()
    comfy.settle()
    assert comfy.regions(canvas) == []
    comfy.undo()
    assert comfy.value(canvas) == "{ half a drawing"


def test_values_of_other_types_are_kept_as_text(comfy: ComfyPage, canvas: str):
    region = {"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "from a list"}
    comfy.set_widget(canvas, "regions", [region])
    assert json.loads(comfy.value(canvas)) == [region]
    assert comfy.page.locator(".rag-canvas .rag-region").count() == 1


def test_the_paper_has_the_shape_of_the_picture(comfy: ComfyPage, canvas: str):
    def shape() -> float:
        box = comfy.paper().bounding_box()
        return box["width"] / box["height"]

    assert abs(shape() - 1) < 0.02
    comfy.set_widget(canvas, "width", 512)
    assert abs(shape() - 2) < 0.04


def test_a_linked_size_is_read_from_the_node_it_comes_from(comfy: ComfyPage):
    canvas, number = comfy.new_graph(
        {"type": "RAGRegionCanvas", "size": [420, 700]}, {"type": "PrimitiveInt", "pos": [560, 80]}
    )
    comfy.set_widget(number, "value", 512)
    comfy.connect(number, 0, canvas, "width")
    comfy.settle()
    box = comfy.paper().bounding_box()
    assert abs(box["width"] / box["height"] - 0.5) < 0.02


def test_the_editor_fits_a_narrow_node(comfy: ComfyPage, canvas: str):
    """Nothing of it sticks out of the node."""
    comfy.run("(id) => app.graph.getNodeById(id).setSize([230, 700])", canvas)
    comfy.draw(LEFT)
    comfy.settle()
    wide = comfy.run(
        """() => {
          const root = document.querySelector(".rag-canvas").getBoundingClientRect();
          const parts = [...document.querySelectorAll(".rag-canvas *")].filter((one) => one.offsetParent);
          return Math.max(...parts.map((one) => one.getBoundingClientRect().right)) - root.right;
        }"""
    )
    assert wide <= 6  # a handle on the border


def test_nothing_is_left_behind_when_the_node_goes(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    comfy.run("(id) => app.graph.remove(app.graph.getNodeById(id))", canvas)
    comfy.settle()
    assert comfy.page.locator(".rag-canvas").count() == 0


def test_another_tabs_run_leaves_the_drawing_alone(comfy: ComfyPage, canvas: str):
    """ComfyUI gives a run's output to the node of the same id in whatever workflow is open."""
    comfy.draw(LEFT)
    foreign = json.dumps({"version": 1, "linked": "x", "regions": [{"x": 0, "y": 0, "w": 1, "h": 1}]})
    comfy.run(
        "([id, drawing]) => app.graph.getNodeById(id).onExecuted({rag_canvas: [{width: 256, height: 256, drawing}]})",
        [canvas, foreign],
    )
    assert boxes(comfy, canvas) == [LEFT]
