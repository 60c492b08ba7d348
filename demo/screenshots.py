"""What `dev.py screenshots` runs: every node of the pack, drawn by both renderers, as pictures.

With --docs the classic ones go to js/docs/pictures too, where the help pages show them. With --film, a film of Region
Canvas in use goes to docs/ instead.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from . import film
from .browser import Missing, launch
from .client import HERE, Server, ServerError, comfyui_root
from .page import ComfyPage
from .workflow import WorkflowError

RENDERERS = ("classic", "nodes2")
DENSITY = 1.5
COLORS = 200
MARGIN = 14

PROMPTS = [
    f"a {what} on a white background"
    for what in ("red circle", "blue square", "green triangle", "purple star")
]
QUARTERS = [
    {"x": x, "y": y, "w": 0.375, "h": 0.375, "prompt": prompt}
    for (x, y), prompt in zip(
        [(0.0625, 0.0625), (0.5625, 0.0625), (0.0625, 0.5625), (0.5625, 0.5625)], PROMPTS
    )
]
DRAWN = [*QUARTERS[:2], {"x": 0.0625, "y": 0.5, "w": 0.875, "h": 0.4375, "prompt": PROMPTS[2]},
         {"x": 0.5625, "y": 0.375, "w": 0.3125, "h": 0.4375, "prompt": PROMPTS[3]}]  # fmt: skip
SIZES = {"RAGRegionCanvas": [440, 760], "RAGSplitRatioLayout": [440, 420], "RAGLayoutPreview": [380, 520]}
WIDGETS = {
    "RAGRegionCanvas": {"width": 256, "height": 256, "regions": json.dumps({"version": 1, "regions": DRAWN})},
    "RAGSplitRatioLayout": {
        "split_ratio": "1,1,1; 2,1,1,1",
        "text": " BREAK\n".join([*PROMPTS, "a yellow ring"]),
    },
    "RAGRegionBox": {"x": 0.0625, "y": 0.25, "width": 0.375, "height": 0.5, "text": PROMPTS[0]},
    "RAGLayoutPreview": {"width": 256, "height": 256},
    "RAGPlannerPrompt": {"sentence": "A red circle beside a blue square on a white background."},
}

AREA = """(id) => {
  const [x, y, width, height] = app.graph.getNodeById(id).boundingRect;
  const { ds, canvas } = app.canvas;
  const ground = canvas.getBoundingClientRect();
  return { x: ground.left + (x + ds.offset[0]) * ds.scale, y: ground.top + (y + ds.offset[1]) * ds.scale,
    width: width * ds.scale, height: height * ds.scale };
}"""


def shot(comfy: ComfyPage, kind: str) -> bytes:
    """One node as PNG, with something in it."""
    size = {"size": SIZES[kind]} if kind in SIZES else {}
    node, *others = comfy.new_graph({"type": kind, **size}, *layout_behind(kind))
    for name, value in WIDGETS.get(kind, {}).items():
        comfy.set_widget(node, name, value)
    if others:
        clip, layout = others
        comfy.set_widget(layout, "width", 256)
        comfy.set_widget(layout, "height", 256)
        comfy.set_widget(layout, "regions", WIDGETS["RAGRegionCanvas"]["regions"])
        comfy.connect(clip, 0, layout, "clip")
        comfy.connect(layout, 0, node, "regions")
        comfy.queue()
    if kind == "RAGRegionCanvas":
        comfy.page.locator(".rag-chip").nth(3).click()
    comfy.run("() => app.canvas.deselectAll()")
    comfy.page.mouse.move(5, 500)
    comfy.look_at(node)
    comfy.settle(800)
    area = comfy.run(AREA, node)
    clip = {"x": area["x"] - MARGIN, "y": area["y"] - 2 * MARGIN}  # the pack's name stands above
    clip |= {"width": area["width"] + 2 * MARGIN, "height": area["height"] + 3 * MARGIN}
    return comfy.page.screenshot(clip=clip)


def layout_behind(kind: str) -> list[dict]:
    """The nodes that a Layout Preview needs to show something."""
    if kind != "RAGLayoutPreview":
        return []
    return [
        {"type": "RAGDemoCLIPLoader", "pos": [-900, 80]},
        {"type": "RAGRegionCanvas", "pos": [-600, 80], "size": [420, 700]},
    ]


def smaller(picture: bytes) -> Image.Image:
    return Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)


def main(out: Path, docs: bool) -> None:
    pictures = HERE / "js" / "docs" / "pictures"
    with Server(comfyui_root()) as server, sync_playwright() as playwright:
        kinds = sorted(kind for kind in server.object_info if kind.startswith("RAG"))
        browser = launch(playwright)
        for renderer in RENDERERS:
            comfy = ComfyPage(browser, server, renderer, density=DENSITY)
            (out / renderer).mkdir(parents=True, exist_ok=True)
            for kind in kinds:
                picture = smaller(shot(comfy, kind))
                for folder in [out / renderer, *([pictures] if docs and renderer == "classic" else [])]:
                    folder.mkdir(parents=True, exist_ok=True)
                    picture.save(folder / f"{kind}.png", optimize=True)
                print(out / renderer / f"{kind}.png", flush=True)
            comfy.close()
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="dev.py screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("output/screenshots"))
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--film", action="store_true", help="write docs/draw_run_result.gif instead")
    arguments = parser.parse_args()
    try:
        film.main() if arguments.film else main(arguments.out, arguments.docs)
    except (Missing, ServerError, WorkflowError) as error:
        sys.exit(f"error: {error}")
