"""The page in both renderers, on the frontend that ComfyUI pins and on the newest one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from workers import FRONTENDS, RENDERERS

from demo.browser import launch, newest_frontend
from demo.client import Server, comfyui_root
from demo.page import ComfyPage

CANVAS = {"type": "RAGRegionCanvas", "size": [420, 760]}


HERE = Path(__file__).parent


class Shared:
    """What this folder's tests share until the last of them: a browser, a server for each frontend, and the tab of one
    renderer on one of them."""

    def __init__(self) -> None:
        self.stack, self.servers, self.tabs = ExitStack(), {}, {}

    @cached_property
    def browser(self) -> Browser:
        browser = launch(self.stack.enter_context(sync_playwright()))
        self.stack.callback(browser.close)
        return browser

    def server(self, frontend: str) -> Server:
        if frontend not in self.servers:
            extra = ["--front-end-root", str(newest_frontend())] if frontend == "newest" else []
            self.servers[frontend] = self.stack.enter_context(Server(comfyui_root(), extra))
        return self.servers[frontend]

    def tab(self, frontend: str, renderer: str) -> ComfyPage:
        if (frontend, renderer) not in self.tabs:
            for tab in self.tabs.values():
                tab.close()
            self.tabs = {(frontend, renderer): ComfyPage(self.browser, self.server(frontend), renderer)}
        return self.tabs[frontend, renderer]

    def close(self) -> None:
        self.stack.close()
        self.__dict__.pop("browser", None)
        self.__init__()


SHARED = Shared()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Other folders' tests use asyncio, which Playwright keeps to itself in its thread."""
    if nextitem is None or nextitem.path.parent != HERE:
        SHARED.close()


@pytest.fixture(scope="session", params=FRONTENDS)
def frontend(request) -> str:
    return request.param


@pytest.fixture(scope="session", params=RENDERERS)
def renderer(request) -> str:
    return request.param


@pytest.fixture
def browser() -> Browser:
    return SHARED.browser


@pytest.fixture
def server(frontend: str) -> Server:
    return SHARED.server(frontend)


@pytest.fixture
def tab(frontend: str, renderer: str) -> ComfyPage:
    return SHARED.tab(frontend, renderer)


@pytest.fixture
def comfy(tab: ComfyPage) -> Iterator[ComfyPage]:
    """The page; a test fails when one of our modules raises in it."""
    tab.faults.clear()
    yield tab
    ours = [fault for fault in tab.faults if "/extensions/" in fault]
    assert ours == []


@pytest.fixture
def canvas(comfy: ComfyPage) -> str:
    """The id of a new Region Canvas of 256 × 256 pixels, alone on a graph of its own."""
    (node,) = comfy.new_graph(CANVAS)
    comfy.set_widget(node, "width", 256)
    comfy.set_widget(node, "height", 256)
    comfy.capture()
    comfy.paper().wait_for()
    return node
