"""Which language the page's user gets: all of one, in node, editor and help."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from demo.client import Server
from demo.page import ComfyPage

ENGLISH = (
    "Region Canvas",
    "Drag here to draw a region",
    "Keys and hints",
    "Why did it not work?",
    "A thing is missing",
)
CHINESE = ("区域画布", "在此拖动以绘制区域", "按键与提示", "为什么没有效果？", "缺少某个物体")


@pytest.mark.parametrize(
    ("language", "said"), [("zh", CHINESE), ("zh-TW", CHINESE), ("fr", ENGLISH)], ids=["zh", "zh-TW", "fr"]
)
def test_node_editor_and_help_speak_one_language(
    browser: Browser, server: Server, language: str, said: tuple[str, ...]
):
    title, empty, tool, button, answer = said
    comfy = ComfyPage(browser, server, "classic", language=language)
    try:
        (node,) = comfy.new_graph({"type": "RAGRegionCanvas", "size": [420, 700]})
        comfy.paper().wait_for()
        assert comfy.run("(id) => app.graph.getNodeById(id).title", node) == title
        assert comfy.page.locator(".rag-empty").inner_text() == empty
        comfy.button(tool).click()
        comfy.page.locator(".rag-help").get_by_role("button", name=button).click()
        comfy.page.locator(".rag-help").get_by_text(answer).wait_for()
        comfy.page.keyboard.press("Escape")
        comfy.select_node(node)
        comfy.page.get_by_test_id("info-button").click()
        page = comfy.page.locator(".node-help-content")
        page.get_by_role("heading", name=title, exact=True).wait_for()
        picture = page.locator("img").first
        picture.wait_for()
        comfy.settle()
        assert picture.evaluate("(image) => image.naturalWidth") > 100
    finally:
        server.post("/settings/Comfy.Locale", "en")
        comfy.close()
