"""The pack's icon and banner for the ComfyUI registry: one landscape, and in each of its regions a thing of its own.

    python3 dev.py bench icon

Writes docs/icon.png (400 × 400 pixels) and docs/banner.png (21 : 9). Regions have the colours that Region Canvas gives
them. Nothing is random and no font is used, so that every run writes the same pictures.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw

from demo.comfy_setup import pack

DOCS = Path(__file__).resolve().parent.parent / "docs"
FINER = 4
"""Drawn at this many times the size, since Pillow draws no smooth edges."""
GROUND, BLACK, WHITE = (24, 26, 33), (0, 0, 0), (255, 255, 255)

COLORS = 160
"""In the files; they stay small that way."""

Color = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Drawing:
    """Columns from left to right, each (share of the width, shares of the height of its cells, their things).

    margin, gap and corner are fractions of the height, as is the radius of every thing.
    """

    file: str
    width: int
    height: int
    columns: Sequence[tuple[float, Sequence[float], Sequence[str]]]
    radius: float
    hills: int
    margin: float = 0.06
    gap: float = 0.03
    corner: float = 0.05


ICON = Drawing(
    "icon.png", 400, 400,
    [(0.54, (0.56, 0.44), ("circle", "triangle")), (0.46, (0.42, 0.58), ("star", "heart"))],
    radius=0.125, hills=1,
)  # fmt: skip
BANNER = Drawing(
    "banner.png", 1260, 540,
    [(0.28, (0.6, 0.4), ("circle", "triangle")), (0.2, (0.38, 0.62), ("star", "heart")),
     (0.3, (0.58, 0.42), ("ring", "square")), (0.22, (0.4, 0.6), ("cross", "diamond"))],
    radius=0.115, hills=2,
)  # fmt: skip


def mixed(color: Color, other: Color, share: float) -> Color:
    return tuple(round(a + share * (b - a)) for a, b in zip(color, other, strict=True))


def outline(thing: str) -> list[Point]:
    """A thing of radius 1 around the origin; y points down."""

    def around(count: int, radii: Sequence[float] = (1.0,), turn: float = -0.25) -> list[Point]:
        angles = [2 * math.pi * (i / count + turn) for i in range(count)]
        return [
            (radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a))
            for i, a in enumerate(angles)
        ]

    if thing == "heart":
        turns = [2 * math.pi * i / 200 for i in range(200)]
        return [
            (
                math.sin(t) ** 3,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
            )
            for t in turns
        ]
    if thing == "cross":
        arm = 0.36
        corner = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
        return [point for x, y in ((1, 1), (1, -1), (-1, -1), (-1, 1))
                for point in [(x * a, y * b) for a, b in (corner if x * y > 0 else corner[::-1])]]  # fmt: skip
    return {
        "circle": around(200),
        "ring": around(200),
        "triangle": around(3, (1.12,)),
        "star": around(10, (1.12, 0.46)),
        "square": around(4, (1.18,), -0.125),
        "diamond": around(4, (1.15,)),
    }[thing]


def cells(drawing: Drawing) -> list[tuple[tuple[float, float, float, float], str]]:
    """Left, top, right, bottom in pixels of the finer drawing, and the thing in each."""
    unit = FINER * drawing.height
    margin, gap = drawing.margin * unit, drawing.gap * unit
    width, height = FINER * drawing.width - 2 * margin + gap, unit - 2 * margin + gap
    found, left = [], margin
    for share, rows, things in drawing.columns:
        top = margin
        for row, thing in zip(rows, things, strict=True):
            found.append(((left, top, left + share * width - gap, top + row * height - gap), thing))
            top += row * height
        left += share * width
    return found


def draw(drawing: Drawing) -> Image.Image:
    size = (FINER * drawing.width, FINER * drawing.height)
    unit = size[1]
    picture, hills = Image.new("RGB", size, GROUND), []
    for depth in range(2):  # one line of hills behind the other, through all regions
        mask = Image.new("L", size)
        level, swing = (0.45, 0.12) if depth == 0 else (0.74, 0.09)
        line = [
            (
                x,
                unit
                * (
                    level + swing * math.sin(2 * math.pi * (drawing.hills * x / size[0] + 0.35 * depth + 0.1))
                ),
            )
            for x in range(0, size[0] + FINER, FINER)
        ]
        ImageDraw.Draw(mask).polygon([*line, (size[0], unit), (0, unit)], fill=255)
        hills.append(mask)
    for index, (box, thing) in enumerate(cells(drawing)):
        color = pack("rag_sampler.preview").color(index)
        part = Image.new("L", size)
        ImageDraw.Draw(part).rounded_rectangle(box, drawing.corner * unit, fill=255)
        picture.paste(mixed(color, WHITE, 0.12), mask=part)
        for mask, dark in zip(hills, (0.22, 0.42), strict=True):
            picture.paste(mixed(color, BLACK, dark), mask=ImageChops.multiply(mask, part))
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        shape, radius = Image.new("L", size), drawing.radius * unit
        for part, fill in ((1.0, 255), (0.56, 0))[: 2 if thing == "ring" else 1]:
            points = [(x + part * radius * a, y + part * radius * b) for a, b in outline(thing)]
            ImageDraw.Draw(shape).polygon(points, fill=fill)
        picture.paste(mixed(color, WHITE, 0.9), mask=shape)
    small = picture.resize((drawing.width, drawing.height), Image.Resampling.LANCZOS)
    return small.quantize(COLORS, dither=Image.Dither.NONE)


def main() -> None:
    argparse.ArgumentParser(prog="dev.py bench icon", description=__doc__.split("\n")[0]).parse_args()
    for drawing in (ICON, BANNER):
        draw(drawing).save(DOCS / drawing.file, optimize=True)
        print(f"wrote docs/{drawing.file}")


if __name__ == "__main__":
    main()
