"""The fixed layouts of `dev.py bench layout`: which object stands where, drawn once from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from demo.scenes import TOKEN, VISIBLE
from demo.shapes import BACKGROUNDS, PALETTE, SHAPES

SEED = 2411
SIZES = {2: (256, 256), 3: (384, 256), 4: (256, 256), 6: (384, 256), 9: (384, 384)}
"""Regions -> width and height of the picture, so that a region has 8 tokens a side at least."""
GRIDS = {4: (2, 2), 6: (3, 2), 9: (3, 3)}
KINDS = {2: ("columns", "rows", "free", "overlap"), 3: ("columns", "free", "overlap"), 4: ("grid", "free", "overlap"),
         6: ("grid", "grid"), 9: ("grid", "grid")}  # fmt: skip
PLACES = ("left", "", "right"), ("top", "", "bottom")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Layout:
    """A picture's size in pixels and background, and for each region its cell (x, y, width, height as fractions) and
    its object. alike: what neighbours share ("color", "shape", or nothing)."""

    number: int
    kind: str
    width: int
    height: int
    background: str
    cells: tuple[Box, ...]
    objects: tuple[tuple[str, str], ...]
    alike: str = ""

    @property
    def name(self) -> str:
        return f"{len(self.cells)}_{self.kind}_{self.number:02d}"

    def region_texts(self) -> list[str]:
        return [f"{_named(c, s)} on a {self.background} background" for c, s in self.objects]

    def text(self) -> str:
        """The whole picture in one prompt, every object with its place."""
        parts = [
            f"{_named(c, s)} {_place(cell)}" for (c, s), cell in zip(self.objects, self.cells, strict=True)
        ]
        return f"{', '.join(parts)} on a {self.background} background"


def _named(color: str, shape: str) -> str:
    return f"a{'n' * (color[0] in 'aeiou')} {color} {shape}"


def _place(cell: Box) -> str:
    x, y, w, h = cell
    words = [PLACES[1][min(2, int(3 * (y + h / 2)))], PLACES[0][min(2, int(3 * (x + w / 2)))]]
    words = [word for word in words if word]
    if not words:
        return "in the center"
    return ("on the " if words in (["left"], ["right"]) else "at the ") + " ".join(words)


def _cells(rng: Random, kind: str, count: int, width: int, height: int) -> tuple[Box, ...]:
    if kind == "columns":
        return tuple((i / count, 0.0, 1 / count, 1.0) for i in range(count))
    if kind == "rows":
        return tuple((0.0, i / count, 1.0, 1 / count) for i in range(count))
    if kind == "grid":
        columns, rows = GRIDS[count]
        return tuple(
            (c / columns, r / rows, 1 / columns, 1 / rows) for r in range(rows) for c in range(columns)
        )
    least = (0.36, 0.48) if count > 2 else (0.4, 0.55)
    while True:  # boxes on the token grid, apart or overlapping by up to a quarter
        boxes = []
        for _ in range(count):
            w, h = (
                max(7 * TOKEN / n, math.floor(rng.uniform(*least) * n / TOKEN) * TOKEN / n)
                for n in (width, height)
            )
            x, y = (
                math.floor(rng.uniform(0, 1 - s) * n / TOKEN) * TOKEN / n
                for s, n in ((w, width), (h, height))
            )
            boxes.append((x, y, w, h))
        shares = [_shared(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
        if kind == "free" and max(shares) == 0:
            return tuple(boxes)
        if kind == "overlap" and 0.05 < max(shares) < 0.2 and sum(share > 0 for share in shares) == 1:
            return tuple(boxes)


def _shared(a: Box, b: Box) -> float:
    """The share of the smaller box that both cover."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, across) * max(0.0, down) / min(a[2] * a[3], b[2] * b[3])


def _objects(rng: Random, background: str, count: int, alike: str) -> tuple[tuple[str, str], ...]:
    """Objects of different colours; where alike, the first two share their colour or their shape."""
    clear = [c for c in VISIBLE[background] if math.dist(PALETTE[c], BACKGROUNDS[background]) > 100]
    colors = rng.sample(clear, min(count, len(clear))) + rng.choices(clear, k=max(0, count - len(clear)))
    shapes = [rng.choice(list(SHAPES)) for _ in range(count)]
    if alike == "color":
        colors[1] = colors[0]
        shapes[1] = rng.choice([s for s in SHAPES if s != shapes[0]])
    if alike == "shape":
        shapes[1] = shapes[0]
    return tuple(zip(colors, shapes, strict=True))


def layouts(each: int = 8) -> list[Layout]:
    """`each` layouts of every number of regions."""
    rng, made = Random(SEED), []
    for count, (width, height) in SIZES.items():
        for number in range(each):
            kind = KINDS[count][number % len(KINDS[count])]
            alike = ("", "color", "shape", "")[number % 4]
            background = rng.choice(list(BACKGROUNDS))
            cells = _cells(rng, kind, count, width, height)
            objects = _objects(rng, background, count, alike)
            made.append(Layout(number, kind, width, height, background, cells, objects, alike))
    return made
