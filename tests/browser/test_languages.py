"""Which language the page's user gets: all of one, in node, editor and help."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from demo.client import Server
from demo.page import ComfyPage

ENGLISH = (
    "Region Canvas",
    "background",
    "Drag here to draw a region",
    "Keys and hints",
    "Why did it not work?",
    "A thing is missing",
)
CHINESE = ("区域画布", "背景", "在此拖动以绘制区域", "按键与提示", "为什么没有效果？", "缺少某个物体")


@pytest.mark.parametrize(
    ("renderer", "language", "said"),
    [("classic", "zh", CHINESE), ("nodes2", "zh-TW", CHINESE), ("classic", "fr", ENGLISH)],
    ids=["classic-zh", "nodes2-zh-TW", "classic-fr"],
    indirect=["renderer"],
)
def test_node_editor_and_help_speak_one_language(
    browser: Browser, server: Server, renderer: str, language: str, said: tuple[str, ...]
):
    title, background, empty, tool, button, answer = said
    comfy = ComfyPage(browser, server, renderer, language=language)
    try:
        (node,) = comfy.new_graph({"type": "RAGRegionCanvas", "size": [420, 700]})
        comfy.paper().wait_for()
        assert comfy.run("(id) => app.graph.getNodeById(id).title", node) == title
        names = comfy.run("(id) => app.graph.getNodeById(id).inputs.map((one) => one.localized_name)", node)
        assert background in names
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
