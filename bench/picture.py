"""The pictures that argue: nine regions without and with the pack, one of them repainted, two of them with a LoRA.

    python3 dev.py bench picture [--out DIR]

Writes docs/nine_regions.png, docs/repaint.png and docs/region_lora.png. Nothing is chosen by its looks: the layout is the
first of nine regions in bench/layouts.py, the seeds are the two of `dev.py bench layout`, whose steps, sampler and settings
all pictures have. What a caption counts, bench/judge.py and demo/checker.py found in the picture below it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from bench.demo import STEPS, Demo, warn_once
from bench.judge import judge
from bench.layout import SEEDS
from bench.layouts import Layout, layouts
from bench.methods import BIND_STEPS, DELTA, area, plain
from bench.stripes import asked
from bench.stripes import regions as wearing
from demo.checker import cut, find
from demo.comfy_setup import pack
from demo.sheet import INK, LINE, PALE, font

DOCS = Path(__file__).resolve().parent.parent / "docs"
LAYOUT = next(layout for layout in layouts() if len(layout.cells) == 9)
REPAINTED, BECOMES = 4, ("blue", "square")
"""The cell in the middle, from 0, and what it shows then."""
GAP, HEAD = 24, 76
FILL = (246, 248, 250)
RIGHT, WRONG, BLUE = (26, 127, 55), (207, 34, 46), (9, 105, 218)


@dataclass(frozen=True)
class Panel:
    """A picture [H, W, 3] uint8 with what stands above it; marks: of each cell, whether it is right."""

    picture: np.ndarray
    title: str
    note: str = ""
    marks: Sequence[bool] = ()
    color: tuple[int, int, int] = PALE


class Painter(Demo):
    """The layout's pictures, as latents."""

    def __init__(self, layout: Layout = LAYOUT, steps: int = STEPS) -> None:
        super().__init__()
        self.layout, self.steps, self.bind_steps = layout, steps, min(BIND_STEPS, steps - 1)
        self.size = layout.width, layout.height

    def without(self, method) -> dict:
        """By a method of bench/methods.py."""
        return self.sample(*method(self, self.layout), SEEDS[0], *self.size, self.steps)

    def bound(self, wearers: tuple[int, ...] = ()) -> dict:
        """With regions, those numbers of which wear the LoRA."""
        regions = wearing(self, self.layout, wearers)
        return pack("nodes.sampler").RAGHardBindingSampler.execute(
            self.model, SEEDS[0], self.steps, 1.0, "euler", "simple", self.encode(self.layout.text()), self.encode(""),
            self.empty(*self.size), 1.0, self.bind_steps, True, DELTA, "published", True, binding_regions=regions,
            refinement_regions=regions,
        )[0]  # fmt: skip

    def repainted(self, prior: dict) -> tuple[dict, Tensor]:
        """One region made anew, and its mask [1, H, W]."""
        objects = list(self.layout.objects)
        objects[REPAINTED] = BECOMES
        after = replace(self.layout, objects=tuple(objects))
        regions = self.regions(after.cells, after.region_texts())
        mask = pack("nodes.layout").RAGRegionsToMask.execute(regions, REPAINTED + 1, *self.size)[0]
        return pack("nodes.repaint").RAGRepaint.execute(
            self.model, prior, mask, self.encode(after.text()), self.encode(""), DELTA, SEEDS[1], self.steps, 1.0,
            "euler", "simple", self.bind_steps, 0, True, conditioning=self.encode(after.region_texts()[REPAINTED]),
            refinement_regions=regions,
        )[0], mask  # fmt: skip


def figures(painter: Painter) -> dict[str, list[Panel]]:
    """File name -> its panels."""
    layout, bound = painter.layout, painter.bound()
    before, wearers = painter.decode(bound), asked(layout)
    striped = painter.decode(painter.bound(wearers))
    repainted, mask = painter.repainted(bound)
    return {
        "nine_regions.png": [
            Panel(drawn(layout), "layout", f"{len(layout.cells)} regions, a prompt each"),
            judged("one plain prompt", painter.decode(painter.without(plain)), layout),
            judged("area conditioning", painter.decode(painter.without(area)), layout),
            judged("regions", before, layout),
        ],
        "repaint.png": [
            Panel(before, "before", f"{len(layout.cells)} regions"),
            Panel(painter.decode(repainted), "one region repainted", f"now “{' '.join(BECOMES)}”"),
            difference(bound["samples"], repainted["samples"], mask),
        ],
        "region_lora.png": [
            Panel(drawn(layout, wearers), "layout", f"{len(wearers)} regions wear a LoRA for stripes"),
            Panel(before, "without it", counted(before, layout, wearers)),
            Panel(striped, "with it", counted(striped, layout, wearers)),
        ],
    }


def judged(title: str, picture: np.ndarray, layout: Layout) -> Panel:
    marks = judge(picture, layout).both
    color = RIGHT if all(marks) else WRONG
    return Panel(picture, title, f"{sum(marks)} of {len(marks)} right", marks, color)


def counted(picture: np.ndarray, layout: Layout, wearers: tuple[int, ...]) -> str:
    """How many objects are striped, of those that wear the LoRA and of the others."""
    found = [find(cut(picture, cell)) for cell in layout.cells]
    striped = {number for number, one in enumerate(found) if one is not None and one.striped}
    others = len(layout.cells) - len(wearers)
    return f"striped: {len(striped & {*wearers})} of {len(wearers)}, others {len(striped - {*wearers})} of {others}"


def difference(before: Tensor, after: Tensor, mask: Tensor) -> Panel:
    """What Repaint has changed in the latents [1, C, h, w]: white is nothing at all. mask: [1, H, W]."""
    apart = (after - before).abs().amax(1)[0]
    scale = mask.shape[-1] // apart.shape[-1]
    inside = mask[0, ::scale, ::scale] > 0.5
    shade = (apart / apart.max()).sqrt().numpy()[..., None]
    tones = (255 + shade * (np.array(BLUE) - 255)).round().astype(np.uint8)
    picture = tones.repeat(scale, 0).repeat(scale, 1)
    largest = apart[~inside].max().item()
    return Panel(picture, "difference of the latents", f"largest outside the region: {largest:g}")


def drawn(layout: Layout, wearers: tuple[int, ...] = ()) -> np.ndarray:
    """The layout's cells with the names of their objects, and which of them wear the LoRA."""
    width, height = layout.width, layout.height
    page = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(page)
    for number, ((x, y, w, h), names) in enumerate(zip(layout.cells, layout.objects, strict=True)):
        left, top, right, bottom = x * width, y * height, (x + w) * width, (y + h) * height
        line, fill = (BLUE, (221, 244, 255)) if number in wearers else (LINE, FILL)
        pen.rounded_rectangle((left + 5, top + 5, right - 6, bottom - 6), 8, fill, line, 2)
        text = "\n".join([*names, *(["+ LoRA"] if number in wearers else [])])
        middle = (left + right) / 2, (top + bottom) / 2
        pen.multiline_text(middle, text, INK, font(26), "mm", spacing=5, align="center")
    return np.asarray(page)


def mark(right: bool) -> Image.Image:
    """A tick or a cross in a disc, RGBA, drawn large and shrunk for smooth edges."""
    side = 26
    big = Image.new("RGBA", (4 * side, 4 * side))
    pen = ImageDraw.Draw(big)
    pen.ellipse((0, 0, 4 * side - 1, 4 * side - 1), RIGHT if right else WRONG)
    lines = [[(28, 54), (46, 72), (78, 36)]] if right else [[(34, 34), (70, 70)], [(70, 34), (34, 70)]]
    for line in lines:
        pen.line(line, "white", 12, "curve")
    return big.resize((side, side), Image.Resampling.LANCZOS)


def page(panels: Sequence[Panel], layout: Layout) -> Image.Image:
    """The panels side by side under their titles and notes."""
    height, width = panels[0].picture.shape[:2]
    sheet = Image.new("RGB", (len(panels) * (width + GAP) - GAP, HEAD + height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, panel in enumerate(panels):
        left = number * (width + GAP)
        pen.text((left + 2, 0), panel.title, INK, font(31))
        pen.text((left + 2, 39), panel.note, panel.color, font(25))
        sheet.paste(Image.fromarray(panel.picture), (left, HEAD))
        pen.rectangle((left, HEAD, left + width - 1, HEAD + height - 1), outline=LINE, width=2)
        for (x, y, w, h), right in zip(layout.cells, panel.marks, strict=False):
            sign = mark(right)
            corner = left + (x + w) * width - sign.width - 7, HEAD + (y + h) * height - sign.height - 7
            sheet.paste(sign, tuple(map(round, corner)), sign)
    return sheet


def main(arguments: Sequence[str] | None = None, painter: Painter | None = None) -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench picture", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=DOCS, help="folder for the pictures (default: docs)")
    out = parser.parse_args(arguments).out
    warn_once()
    painter = painter or Painter()
    out.mkdir(parents=True, exist_ok=True)
    for name, panels in figures(painter).items():
        sheet = page(panels, painter.layout).quantize(dither=Image.Dither.NONE)
        sheet.save(out / name, optimize=True)
        print(f"wrote {out / name}: {'; '.join(f'{one.title}: {one.note}' for one in panels if one.note)}")


if __name__ == "__main__":
    main()
