"""The page in both renderers, on the frontend that ComfyUI pins and on the newest one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from demo.browser import launch, newest_frontend
from demo.client import Server, comfyui_root
from demo.page import ComfyPage

FRONTENDS, RENDERERS = ("pinned", "newest"), ("classic", "nodes2")
CANVAS = {"type": "RAGRegionCanvas", "size": [420, 760]}


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server]]:
    """A server for each frontend that is asked for, kept for the session."""
    running: dict[str, Server] = {}

    def get(frontend: str) -> Server:
        if frontend not in running:
            extra = ["--front-end-root", str(newest_frontend())] if frontend == "newest" else []
            running[frontend] = Server(comfyui_root(), extra).__enter__()
        return running[frontend]

    yield get
    for server in running.values():
        server.__exit__()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of a module, not of the session: while Playwright runs, nothing else can use asyncio in this thread."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=FRONTENDS)
def server(request, servers) -> Server:
    return servers(request.param)


@pytest.fixture(scope="module", params=RENDERERS)
def tab(request, browser: Browser, server: Server) -> Iterator[ComfyPage]:
    page = ComfyPage(browser, server, request.param)
    yield page
    page.close()


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
