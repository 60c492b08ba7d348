"""What `dev.py screenshots --film` makes: docs/draw_run_result.gif, a person at ComfyUI's page with Region Canvas.

The page, the mouse and the run are real. Pictures are taken whenever something has moved, and shown for as long as is
good to look at, so that the film does not depend on the machine's speed.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops
from playwright.sync_api import sync_playwright

from .browser import launch
from .client import HERE, Server, ServerError, comfyui_root
from .page import ComfyPage
from .workflow import WorkflowError, read

TARGET = HERE / "docs" / "draw_run_result.gif"
VIEW, ZOOM = {"width": 900, "height": 770}, 0.85
COLORS = 255

WHITE = "on a white background"
BASE = f"a red circle at the top left, a blue square at the top right and a green star at the bottom {WHITE}"
DRAWN = [
    ((0.01, 0.01), (0.49, 0.49), f"a red circle {WHITE}"),
    ((0.99, 0.01), (0.51, 0.49), f"a blue square {WHITE}"),
    ((0.75, 0.99), (0.25, 0.51), f"a green star {WHITE}"),
]
"""From where to where the mouse draws, in fractions of the picture, and what it is given to show."""
MOVE, TYPE, PAUSE, RUN, END = 35, 60, 400, 2500, 3000
"""Milliseconds: of each picture of a moving mouse and of typing, of a pause, of the whole run, and of the end."""

NOTE = "Draw, write, run"
"""The title of the note by which the quick start is known, whatever its file is called."""
HIDDEN = ("Minimap.Visible", "Canvas.SelectionToolbox", "Graph.CanvasInfo", "Graph.CanvasMenu")
"""Of the page, what would lie over the nodes in so small a window."""

# Region Canvas on the left, base prompt and picture on the right; the other nodes lie outside of what is seen.
PLACES = {
    "RAGRegionCanvas": ([0, 0], [510, 730]),
    "CLIPTextEncode": ([540, 0], [415, 110]),
    "SaveImage": ([540, 165], [415, 420]),
}
ARRANGE = """([places, zoom, left, top]) => {
  const away = app.graph.nodes.filter((node) => !places[node.type]);
  away.forEach((node, i) => { node.pos = [2000 + 500 * i, 0]; });
  for (const group of [...app.graph.groups]) app.graph.remove(group);
  for (const [type, [pos, size]] of Object.entries(places)) {
    const node = app.graph.nodes.find((one) => one.type === type);
    node.pos = pos;
    node.setSize(size);
  }
  app.canvas.ds.scale = zoom;
  app.canvas.ds.offset = [left / zoom, top / zoom];
  app.canvas.setDirty(true, true);
}"""
FIND = "(kind) => String(app.graph.nodes.find((one) => one.type === kind).id)"
POINTER = """() => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="26" height="30"><path d="M3 2v22l6-5 4 9 4-2-4-8h8z"'
    + ' fill="#fff" stroke="#000" stroke-width="1.6"/></svg>';
  const pointer = document.createElement("div");
  pointer.innerHTML = svg;
  pointer.style.cssText = "position:fixed;left:-50px;top:0;z-index:2147483647;pointer-events:none";
  const ring = document.createElement("div");
  ring.style.cssText = "position:fixed;width:26px;height:26px;margin:-13px;border-radius:50%;z-index:2147483646;"
    + "background:#ffd54a99;pointer-events:none;display:none";
  document.body.append(ring, pointer);
  const follow = (event) => {
    for (const one of [pointer, ring]) {
      one.style.left = event.clientX - (one === pointer ? 3 : 0) + "px";
      one.style.top = event.clientY - (one === pointer ? 2 : 0) + "px";
    }
  };
  addEventListener("pointermove", follow, true);
  addEventListener("pointerdown", (event) => { follow(event); ring.style.display = "block"; }, true);
  addEventListener("pointerup", () => { ring.style.display = "none"; }, true);
}"""


def quick_start() -> dict[str, Any]:
    """The template on the demo model that the film is about."""
    for path in sorted((HERE / "workflows").glob("*.json")):
        workflow = read(path)
        nodes = {(node["type"], node.get("title")) for node in workflow["nodes"]}
        if ("MarkdownNote", NOTE) in nodes and "RAGDemoCLIPLoader" in {kind for kind, _ in nodes}:
            return workflow
    raise WorkflowError(f"no template has a note called {NOTE!r} and runs on the demo model")


class Film:
    """Pictures of the page, each with its milliseconds. What looks the same twice is one picture, shown longer."""

    def __init__(self, comfy: ComfyPage) -> None:
        self.comfy, self.mouse, self.at = comfy, comfy.page.mouse, (450.0, 330.0)
        self.pictures: list[Image.Image] = []
        self.lengths: list[int] = []

    def shoot(self, milliseconds: int) -> None:
        picture = Image.open(io.BytesIO(self.comfy.page.screenshot())).convert("RGB")
        if self.pictures and ImageChops.difference(picture, self.pictures[-1]).getbbox() is None:
            self.lengths[-1] += milliseconds
        else:
            self.pictures.append(picture)
            self.lengths.append(milliseconds)

    def go(self, x: float, y: float) -> None:
        """Move the mouse, slowly at both ends."""
        (x0, y0), steps = self.at, max(4, round((abs(x - self.at[0]) + abs(y - self.at[1])) / 55))
        for step in range(1, steps + 1):
            t = step / steps
            t = t * t * (3 - 2 * t)
            self.mouse.move(x0 + t * (x - x0), y0 + t * (y - y0))
            self.comfy.settle(20)
            self.shoot(MOVE)
        self.at = (x, y)

    def draw(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.go(*self.comfy.at(*start))
        self.mouse.down()
        self.go(*self.comfy.at(*end))
        self.mouse.up()
        self.comfy.settle(150)
        self.shoot(4 * MOVE)

    def write(self, x: float, y: float, text: str) -> None:
        """Double click a region and type."""
        self.go(*self.comfy.at(x, y))
        self.mouse.dblclick(*self.at)
        self.comfy.page.locator(".rag-prompt").wait_for()
        self.shoot(4 * MOVE)
        for start in range(0, len(text), 3):
            self.comfy.page.keyboard.type(text[start : start + 3])
            self.shoot(TYPE)
        self.comfy.page.keyboard.press("Escape")
        self.comfy.settle(200)
        self.shoot(3 * MOVE)

    def press_run(self) -> None:
        button = self.comfy.page.get_by_test_id("queue-button").first
        area = button.bounding_box()
        self.go(area["x"] + 0.9 * area["width"], area["y"] + 0.7 * area["height"])
        self.shoot(PAUSE // 2)
        self.mouse.down()
        self.shoot(PAUSE // 2)
        self.mouse.up()

    def follow(self, seconds: float = 120) -> None:
        """Show the run until its picture is there."""
        before, until = len(self.lengths), time.monotonic() + seconds
        shown = "() => app.graph.nodes.find((one) => one.type === 'SaveImage').imgs?.[0]?.complete"
        self.shoot(100)
        while not self.comfy.run(shown):
            if time.monotonic() > until:
                raise ServerError(f"the run did not end; ComfyUI's log:\n{self.comfy.server.log()}")
            self.comfy.settle(60)
            self.shoot(100)
        share = RUN / sum(self.lengths[before:])
        self.lengths[before:] = [10 * max(2, round(share * length / 10)) for length in self.lengths[before:]]
        self.comfy.settle(1500)
        self.shoot(END)

    def save(self, path: Path) -> None:
        """One palette for all pictures: with one each, grounds that do not change would flicker."""
        chosen = [*self.pictures[:: len(self.pictures) // 7 + 1], self.pictures[-1]]
        sheet = Image.new("RGB", (VIEW["width"], VIEW["height"] * len(chosen)))
        for number, picture in enumerate(chosen):
            sheet.paste(picture, (0, number * VIEW["height"]))
        palette = sheet.quantize(COLORS, dither=Image.Dither.NONE)
        first, *others = (one.quantize(palette=palette, dither=Image.Dither.NONE) for one in self.pictures)
        first.save(path, save_all=True, append_images=others, duration=self.lengths, loop=0, disposal=1)


def main() -> None:
    with (
        Server(comfyui_root(), ["--preview-method", "latent2rgb"]) as server,
        sync_playwright() as playwright,
    ):
        for name in HIDDEN:
            server.post(f"/settings/Comfy.{name}", False)
        browser = launch(playwright)
        comfy = ComfyPage(browser, server, "classic")
        comfy.page.set_viewport_size(VIEW)
        comfy.run("(workflow) => app.loadGraphData(workflow, true, true, 'Draw regions')", quick_start())
        comfy.settle()
        comfy.run(ARRANGE, [PLACES, ZOOM, 74, 128])
        comfy.set_widget(comfy.run(FIND, "RAGRegionCanvas"), "regions", "")
        comfy.set_widget(comfy.run(FIND, "CLIPTextEncode"), "text", BASE)
        comfy.run(POINTER)
        comfy.settle(1500)
        film = Film(comfy)
        film.mouse.move(*film.at)
        film.shoot(PAUSE)
        for start, end, text in DRAWN:
            film.draw(start, end)
            film.write((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, text)
        film.press_run()
        film.follow()
        browser.close()
    film.save(TARGET)
    seconds, size = sum(film.lengths) / 1000, TARGET.stat().st_size / 1e6
    print(f"wrote docs/{TARGET.name}: {len(film.pictures)} pictures, {seconds:.0f} s, {size:.1f} MB")
