"""ComfyUI's page in a browser, driven as a person would: nodes on the graph, the mouse on Region Canvas."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Locator, Page

from .client import Server

LOADED = (
    "window.app?.graph && window.app.extensionManager && window.app.canvas && !window.app.configuringGraph"
)
VIEW = {"width": 1500, "height": 1000}
SECONDS = 30_000  # milliseconds; a slow machine may need them

ADD_NODES = """async ({nodes, id}) => {
  await app.loadGraphData({id, version: 0.4, last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [],
    config: {}, extra: {ds: {scale: 1, offset: [0, 0]}}});
  const made = nodes.map(({type, pos, size}) => {
    const node = LiteGraph.createNode(type);
    app.graph.add(node);
    node.pos = pos ?? [60, 80];
    if (size) node.setSize(size);
    return node;
  });
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [60, 60];
  app.canvas.setDirty(true, true);
  app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState();
  return made.map((node) => String(node.id));
}"""


@dataclass(frozen=True)
class Box:
    """Fractions of the image: left, top, width, height."""

    x: float
    y: float
    w: float
    h: float


class ComfyPage:
    """One tab. The nodes are drawn by `renderer`: "classic" or "nodes2"."""

    def __init__(
        self, browser: Browser, server: Server, renderer: str, language: str = "en", density: float = 1
    ) -> None:
        self.server, self.renderer = server, renderer
        for name, value in {
            "Comfy.VueNodes.Enabled": renderer == "nodes2",
            "Comfy.TutorialCompleted": True,
            "Comfy.Locale": language,
            "Comfy.Workflow.ConfirmDelete": False,
        }.items():
            server.post(f"/settings/{name}", value)
        self.context = browser.new_context(viewport=VIEW, device_scale_factor=density)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SECONDS)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(f"{error}\n{error.stack}"))
        self.page.goto(f"http://127.0.0.1:{server.port}/")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        self.page.wait_for_function(LOADED, timeout=4 * SECONDS)
        self.page.wait_for_timeout(500)
        self.page.keyboard.press("Escape")

    def close(self) -> None:
        self.context.close()

    def run(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def settle(self, milliseconds: int = 400) -> None:
        """Let the page redraw, and elements that undo has left behind be put right."""
        self.page.wait_for_timeout(milliseconds)

    # --- the graph ---

    def new_graph(self, *nodes: dict[str, Any]) -> list[str]:
        """A workflow of its own with these nodes, each {"type", "pos", "size"}; returns their ids."""
        ids = self.run(ADD_NODES, {"nodes": list(nodes), "id": str(uuid.uuid4())})
        self.settle()
        return ids

    def load(self, workflow: dict[str, Any]) -> None:
        self.run("(workflow) => app.loadGraphData(workflow)", workflow | {"id": str(uuid.uuid4())})
        self.settle()

    def connect(self, source: str, output: int, target: str, name: str) -> None:
        self.run(
            """([source, output, target, name]) => {
              const [from, to] = [source, target].map((id) => app.graph.getNodeById(id));
              from.connect(output, to, to.inputs.findIndex((input) => input.name === name));
            }""",
            [source, output, target, name],
        )
        self.settle()

    def set_widget(self, node: str, name: str, value: Any) -> None:
        """As a person who types: the value, and the callback."""
        self.run(
            """([id, name, value]) => {
              const node = app.graph.getNodeById(id);
              const widget = node.widgets.find((one) => one.name === name);
              widget.value = value;
              widget.callback?.(value, app.canvas, node);
            }""",
            [node, name, value],
        )
        self.settle(100)

    def value(self, node: str, name: str = "regions") -> Any:
        return self.run(
            "([id, name]) => app.graph.getNodeById(id).widgets.find((one) => one.name === name).value",
            [node, name],
        )

    def regions(self, node: str) -> list[dict[str, Any]]:
        """What the widget of a Region Canvas holds."""
        text = self.value(node)
        return json.loads(text)["regions"] if text else []

    def prompt(self) -> dict[str, Any]:
        """What the page would send to the server."""
        return self.run("async () => (await app.graphToPrompt()).output")

    def capture(self) -> None:
        """Make what a test has set a step of undo, as the page does for what a person sets."""
        self.run("() => app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState()")

    def steps(self) -> int:
        """Steps that can be undone."""
        return self.run("() => app.extensionManager.workflow.activeWorkflow.changeTracker.undoQueue.length")

    def command(self, name: str) -> None:
        self.run("(name) => app.extensionManager.command.execute(name)", name)
        self.settle()

    def look_at(self, node: str, zoom: float = 1) -> None:
        """Scroll the graph so that a node lies at the upper left."""
        self.run(
            """([id, zoom]) => {
              const { pos } = app.canvas.graph.getNodeById(id);
              app.canvas.ds.scale = zoom;
              app.canvas.ds.offset = [120 / zoom - pos[0], 150 / zoom - pos[1]];
              app.canvas.setDirty(true, true);
            }""",
            [node, zoom],
        )
        self.settle()

    def undo(self) -> None:
        self.page.keyboard.press("Control+z")
        self.settle(700)

    def redo(self) -> None:
        self.page.keyboard.press("Control+y")
        self.settle(700)

    def select_node(self, node: str) -> None:
        self.run("(id) => app.canvas.selectNode(app.graph.getNodeById(id))", node)

    def queue(self) -> dict[str, Any]:
        """Queue the workflow from the page, wait for its end, and return the server's history entry."""
        before = set(json.loads(self.server.get("/history")))
        self.command("Comfy.QueuePrompt")
        for _ in range(240):
            history = json.loads(self.server.get("/history"))
            new = set(history) - before
            if new and history[next(iter(new))]["status"]["completed"] is not None:
                self.settle(700)
                return history[next(iter(new))]
            self.settle(500)
        raise AssertionError(f"the run did not end; the server's log:\n{self.server.log()}")

    # --- Region Canvas ---

    def paper(self, place: int = 0) -> Locator:
        """What is drawn on, of the visible canvas at a place."""
        return self.page.locator(".rag-canvas .rag-paper").nth(place)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A point of the image, in fractions, on the screen."""
        box = self.paper().bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, key: str = "") -> None:
        """Drag on the paper between two points in fractions of the image, with a key held."""
        (x0, y0), (x1, y1) = self.at(*start), self.at(*end)
        mouse = self.page.mouse
        mouse.move(x0, y0)
        if key:
            self.page.keyboard.down(key)
        mouse.down()
        for part in (0.3, 0.7, 1):
            mouse.move(x0 + part * (x1 - x0), y0 + part * (y1 - y0))
        mouse.up()
        if key:
            self.page.keyboard.up(key)
        self.settle(150)

    def draw(self, box: Box, *, key: str = "") -> None:
        self.drag((box.x, box.y), (box.x + box.w, box.y + box.h), key=key)

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))
        self.settle(100)

    def type_prompt(self, x: float, y: float, text: str) -> None:
        """Double click a region and type."""
        self.page.mouse.dblclick(*self.at(x, y))
        field = self.page.locator(".rag-prompt")
        field.wait_for()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Escape")
        self.settle(150)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.settle(100)

    def button(self, title: str) -> Locator:
        """A button of the editor, by the beginning of its name."""
        return self.page.locator(f'.rag-canvas button[aria-label^="{title}"]:visible').first
