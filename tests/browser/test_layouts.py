"""What regions say besides their prompts, layouts by name, the picture's size, and the keys for all of it."""

from __future__ import annotations

import json

import pytest
from test_drawing import LEFT, RIGHT, boxes, prompts, two_boxes
from test_shapes import until
from test_steady import QUARTERS, fill

from demo.page import Box, ComfyPage

LORA = "rag_demo_stripes.safetensors"


def extras(comfy: ComfyPage) -> list[str]:
    return comfy.page.locator(".rag-canvas .rag-extras").all_inner_texts()


def panel(comfy: ComfyPage):
    return comfy.page.locator(".rag-canvas form.rag-panel:visible")


def test_strength_and_lora_with_the_mouse(comfy: ComfyPage, canvas: str):
    two_boxes(comfy)
    steps = comfy.steps()
    slider = comfy.page.locator('.rag-canvas input[type="range"]:visible')
    place = slider.bounding_box()
    comfy.page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    comfy.page.locator(".rag-canvas .rag-lora").click()
    comfy.page.get_by_role("menuitem", name=LORA).click()
    weight = comfy.page.locator('.rag-canvas input[aria-label="Strength of the LoRA"]')
    weight.fill("0.8")
    weight.press("Tab")
    first, second = comfy.regions(canvas)
    assert second["strength"] == pytest.approx(0.5, abs=0.05)
    assert second["loras"] == [{"strength": 0.8, "name": LORA}]
    assert not {"strength", "loras"} & first.keys()
    assert extras(comfy) == ["", f"LoRA ×0.8 {100 * second['strength']:.0f} %"]
    assert comfy.steps() == steps + 3
    comfy.click(0.2, 0.2)
    assert weight.is_disabled()
    comfy.click(0.7, 0.7)
    comfy.page.locator(".rag-canvas .rag-lora").click()
    comfy.page.get_by_role("menuitem", name="no LoRA").click()
    assert "loras" not in comfy.regions(canvas)[1]


def test_strength_and_lora_of_several_with_the_keys_in_a_step_each(comfy: ComfyPage, canvas: str):
    other = {"name": "other.safetensors", "strength": 0.3}
    loras = [{"name": "old.safetensors", "strength": 0.6}, other]
    regions = [vars(LEFT) | {"prompt": "", "loras": loras}, vars(RIGHT) | {"prompt": ""}]
    comfy.set_widget(canvas, "regions", json.dumps(regions))
    comfy.capture()
    mark = comfy.page.locator(".rag-canvas .rag-extras").first
    until(comfy, lambda: "old.safetensors: not installed" in mark.get_attribute("title"), True)
    steps = comfy.steps()
    comfy.paper().focus()
    comfy.press("Control+a", "s", "ArrowLeft", "ArrowLeft", "Escape")
    assert [region["strength"] for region in comfy.regions(canvas)] == [0.9, 0.9]
    assert comfy.steps() == steps + 1
    comfy.press("l")
    search = comfy.page.get_by_placeholder("Search LoRAs")
    search.wait_for()
    comfy.page.keyboard.type("STRIPES")
    assert comfy.page.locator(".rag-menu button:visible").all_inner_texts() == [LORA]
    comfy.press("Enter")
    first, second = comfy.regions(canvas)
    assert first["loras"] == [{"name": LORA, "strength": 0.6}, other]
    assert second["loras"] == [{"name": LORA, "strength": 1}]
    assert comfy.steps() == steps + 2
    assert comfy.run("() => document.activeElement.dataset.region")  # the keys go on
    assert mark.get_attribute("title").split("\n")[2:] == ["other.safetensors: not installed"]


def test_order_and_menu_with_the_keys(comfy: ComfyPage, canvas: str):
    two_boxes(comfy)
    comfy.press("Control+[")
    assert boxes(comfy, canvas) == [RIGHT, LEFT]
    comfy.press("Control+]")
    assert boxes(comfy, canvas) == [LEFT, RIGHT]
    comfy.press("m", "ArrowUp", "Enter")  # the last line: remove
    assert boxes(comfy, canvas) == [LEFT]


def test_layouts_are_kept_by_name(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, LEFT, RIGHT)
    comfy.button("Layouts").click()
    panel(comfy).get_by_placeholder("Name of this layout").fill("a pair")
    panel(comfy).get_by_role("button", name="Save").click()
    kept = panel(comfy).get_by_role("button", name="a pair", exact=True)
    kept.wait_for()
    assert panel(comfy).get_by_role("button", name="Overwrite").count() == 1
    comfy.press("Escape")
    fill(comfy, canvas, *QUARTERS)
    steps = comfy.steps()
    comfy.button("Layouts").click()
    kept.click()
    panel(comfy).get_by_role("button", name="Add to them").click()
    assert boxes(comfy, canvas) == [*QUARTERS, LEFT, RIGHT]
    comfy.undo()
    until(comfy, lambda: boxes(comfy, canvas), QUARTERS)
    comfy.settle()
    comfy.button("Layouts").click()
    kept.click()
    panel(comfy).get_by_role("button", name="Replace them").click()
    assert boxes(comfy, canvas) == [LEFT, RIGHT]
    assert comfy.steps() == steps + 1
    comfy.undo()
    until(comfy, lambda: boxes(comfy, canvas), QUARTERS)
    comfy.settle()
    comfy.button("Layouts").click()
    comfy.page.once("dialog", lambda dialog: dialog.accept())
    comfy.button("Delete “a pair”").click()
    kept.wait_for(state="detached")
    assert json.loads(comfy.server.get("/userdata/rag_layouts.json")) == {}
    comfy.press("Escape")


def test_a_whole_layout_as_text(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    comfy.button("Layouts").click()
    text = panel(comfy).locator("textarea")
    assert json.loads(text.input_value())["regions"] == comfy.regions(canvas)
    text.fill("no layout")
    panel(comfy).get_by_role("button", name="Load text").click()
    assert "It is no JSON" in panel(comfy).inner_text()
    text.fill(json.dumps([vars(RIGHT) | {"prompt": "an owl", "strength": 0.5}]))
    panel(comfy).get_by_role("button", name="Load text").click()
    panel(comfy).get_by_role("button", name="Replace them").click()
    assert (boxes(comfy, canvas), prompts(comfy, canvas)) == ([RIGHT], ["an owl"])
    assert extras(comfy) == ["50 %"]


def test_the_size_comes_from_the_picture(comfy: ComfyPage):
    canvas, image, number = comfy.new_graph(
        {"type": "RAGRegionCanvas", "size": [420, 700]},
        {"type": "LoadImage", "pos": [560, 80]},
        {"type": "PrimitiveInt", "pos": [560, 500]},
    )
    comfy.connect(image, 0, canvas, "background")
    told = {"rag_canvas": [{"width": 1024, "height": 1024, "background_size": [640, 357]}]}
    executed = "([id, told]) => app.graph.getNodeById(id).onExecuted(told)"
    comfy.run(executed, [canvas, told])
    comfy.capture()
    assert "The picture behind has 640 × 352" in comfy.page.locator(".rag-status").inner_text()
    steps = comfy.steps()
    comfy.button("How the drawing").click()
    comfy.page.locator(".rag-panel button", has_text="640 × 352").click()
    assert [comfy.value(canvas, name) for name in ("width", "height")] == [640, 352]
    assert comfy.steps() == steps + 1
    assert "The picture behind" not in comfy.page.locator(".rag-status").inner_text()
    comfy.connect(number, 0, canvas, "width")
    button = comfy.page.locator(".rag-panel button", has_text="640 × 352")
    assert button.is_disabled()
    assert "linked" in button.inner_text()


def test_tab_stays_in_the_large_editor(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    comfy.press("f")
    inside = "() => Boolean(document.activeElement.closest('.rag-full'))"
    for key in ("Tab", "Shift+Tab"):
        for _ in range(40):
            comfy.page.keyboard.press(key)
            assert comfy.run(inside), key
    comfy.run("() => document.activeElement.blur()")
    comfy.page.keyboard.press("Tab")
    assert comfy.run(inside)
    comfy.button("Back to the node").click()


def test_the_pages_errors_are_above_the_large_editor(comfy: ComfyPage, canvas: str):
    comfy.draw(LEFT)
    comfy.press("f")
    comfy.command("Comfy.QueuePrompt")  # without an output node
    error = comfy.page.get_by_test_id("error-overlay")
    error.wait_for()
    shown = """() => {
      const box = document.querySelector("[data-testid=error-overlay]").getBoundingClientRect();
      const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
      return Boolean(top.closest("[data-testid=error-overlay]"));
    }"""
    comfy.settle()
    assert comfy.run(shown)
    comfy.page.get_by_test_id("error-overlay-dismiss").click()
    assert comfy.run("() => Boolean(document.elementFromPoint(20, 500).closest('.rag-full'))")
    comfy.button("Back to the node").click()


def test_the_wheel_scrolls_the_list_and_not_the_graph(comfy: ComfyPage, canvas: str):
    fill(comfy, canvas, *[Box(place / 16, 0, 1 / 16, 1) for place in range(12)])
    strip = comfy.page.locator(".rag-strip").bounding_box()
    comfy.page.mouse.move(strip["x"] + 80, strip["y"] + strip["height"] - 20)
    zoom = comfy.run("() => app.canvas.ds.scale")
    comfy.page.mouse.wheel(0, 60)
    comfy.settle()
    assert comfy.run("() => document.querySelector('.rag-strip').scrollTop") == 60
    assert comfy.run("() => app.canvas.ds.scale") == zoom
