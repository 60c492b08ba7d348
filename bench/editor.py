"""What Region Canvas costs in the page: frame times of a drag among many regions, and the page's added load time.

python3 dev.py bench editor
"""

from __future__ import annotations

import json
import math
import statistics

from playwright.sync_api import sync_playwright

from demo.browser import launch
from demo.client import Server, comfyui_root
from demo.page import ComfyPage

MOVES = 120
COUNTS = (30, 200)
FRAMES = """() => { window.ragFrames = []; let last = performance.now();
  const next = (now) => { ragFrames.push(now - last); last = now; if (window.ragFrames.length < 1e4) requestAnimationFrame(next); };
  requestAnimationFrame(next); }"""
LOAD = """() => {
  const ours = performance.getEntriesByType("resource").filter((one) => /extensions\\/[^/]+\\/(rag|told|canvas\\/)/.test(one.name));
  const spans = ours.map((one) => [one.startTime, one.responseEnd]).sort((a, b) => a[0] - b[0]);
  let total = 0, end = 0;
  for (const [from, to] of spans) { total += Math.max(0, to - Math.max(from, end)); end = Math.max(end, to); }
  return [ours.length, ours.reduce((sum, one) => sum + one.decodedBodySize, 0), total];
}"""


def regions(count: int) -> str:
    """A drawing in which every region overlaps those around it."""
    side = math.isqrt(count - 1) + 1
    part = 1 / (side + 2)
    boxes = [(i % side * part, i // side * part) for i in range(count)]
    made = [
        {"x": x, "y": y, "w": 2 * part, "h": 2 * part, "prompt": f"thing {i}"}
        for i, (x, y) in enumerate(boxes)
    ]
    return json.dumps({"version": 1, "regions": made})


def frames(comfy: ComfyPage) -> list[float]:
    """Milliseconds between frames while a region is dragged through the others."""
    x0, y0 = comfy.at(0.05, 0.05)
    x1, y1 = comfy.at(0.7, 0.7)
    mouse = comfy.page.mouse
    mouse.move(x0, y0)
    mouse.down()
    comfy.run(FRAMES)
    mouse.move(x1, y1, steps=MOVES)
    found = comfy.run(
        "() => { const found = ragFrames; window.ragFrames = {length: 1e9, push() {}}; return found; }"
    )
    mouse.up()
    return found[2:]


def still(comfy: ComfyPage) -> list[float]:
    """The same while the mouse moves over the empty graph: what the page takes by itself."""
    comfy.run(FRAMES)
    comfy.page.mouse.move(1200, 300)
    comfy.page.mouse.move(1400, 900, steps=MOVES)
    return comfy.run(
        "() => { const found = ragFrames; window.ragFrames = {length: 1e9, push() {}}; return found; }"
    )[2:]


def show(name: str, times: list[float]) -> None:
    ordered = sorted(times)
    at = ordered[int(0.95 * (len(ordered) - 1))]
    print(
        f"  {name}: median {statistics.median(ordered):.1f} ms, 95 % under {at:.1f} ms, {len(ordered)} frames"
    )


def main() -> None:
    with Server(comfyui_root()) as server, sync_playwright() as playwright:
        browser = launch(playwright)
        for renderer in ("classic", "nodes2"):
            comfy = ComfyPage(browser, server, renderer)
            modules, size, load = comfy.run(LOAD)
            (canvas,) = comfy.new_graph({"type": "RAGRegionCanvas", "size": [420, 760]})
            print(f"{renderer}: {modules} modules, {size / 1024:.1f} KiB, fetched in {load:.0f} ms")
            for count in COUNTS:
                comfy.set_widget(canvas, "regions", regions(count))
                comfy.settle(1000)
                show(f"a drag among {count} regions", frames(comfy))
                comfy.press("Control+a")
                show(f"a drag of all {count}", frames(comfy))
            show("the mouse over the empty graph", still(comfy))
            comfy.close()
        browser.close()


if __name__ == "__main__":
    main()
