"""Random scenes: what is in a picture, how large, and where. Deterministic from the random generator given.

Settled scenes stand exactly where their captions say, or in the middle, in few sizes: a caption then determines the
picture, as it must where noise still hides everything; what it cannot tell, a small model would spend itself on
guessing. Open scenes are anywhere: they are learnt at noise levels that show the layout.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from random import Random

import numpy as np

from demo.shapes import BACKGROUNDS, PALETTE, SHAPES, Item, Scene, second_tone

TOKEN = 16
"""Pixels a token; canvases are multiples of it."""
SEPARATION = 90.0
"""Least RGB distance of an object's colour from the background's and, as a rule, from its neighbours'."""
WHOLE = 16
"""Tokens of the shorter side from which a canvas is a whole picture; smaller ones are what binding denoises."""
LARGER = ((16, 16), (24, 16), (16, 24), (24, 24), (32, 32))
SHARES = (12, 1, 1, 1, 1)
"""The whole pictures' sizes in tokens (columns, rows), and how often each is drawn."""
SHOWN = 0.8
"""Noise level below which a noisy picture shows where things are."""
HOLDERS = {"circle": 0.0, "square": 0.0, "diamond": 0.0, "ring": 0.0, "heart": 0.08, "triangle": 0.26}
"""Shapes that another can be inside of, and how far below their middle they have most room, in their radius."""
LEAST_RADIUS = 18.0
"""Pixels below which eight pixels of a latent no longer tell the shapes apart."""
SMALL, MEDIUM, LARGE = 0.175, 0.32, 0.44
"""Radius of a single settled object, in shares of the shorter side. A region's object is large unless it is small."""
THIRDS = (1 / 6, 1 / 2, 5 / 6)


def canvas(rng: Random) -> tuple[int, int]:
    """The size of a batch's pictures in tokens (columns, rows): often that of a region, else of a whole picture."""
    if rng.random() < 0.4:
        columns, rows = rng.randint(4, WHOLE - 1), rng.randint(4, WHOLE - 1)
        return (columns, rows) if max(columns, rows) <= 2.5 * min(columns, rows) else canvas(rng)
    return rng.choices(LARGER, SHARES)[0]


def _far(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    return math.dist(a, b) > SEPARATION


VISIBLE = {g: [c for c, rgb in PALETTE.items() if _far(rgb, BACKGROUNDS[g])] for g in BACKGROUNDS}
"""Background -> colours that stand out from it."""
STRIPED = {g: {c for c in VISIBLE[g] if _far(second_tone(c), BACKGROUNDS[g])} for g in BACKGROUNDS}
"""Background -> colours whose second tone stands out too."""


def _item(rng: Random, ground: str, others: list[Item], alike: float = 0.12) -> Item:
    """An object without a place; now and then of another one's colour."""
    colors = VISIBLE[ground]
    if others and rng.random() > alike:
        colors = [c for c in colors if all(_far(PALETTE[c], PALETTE[o.color]) for o in others)] or colors
    color = rng.choice(colors)
    striped = color in STRIPED[ground] and rng.random() < 0.2
    return Item(color, rng.choice(list(SHAPES)), 0, 0, 0, striped)


def _cast(rng: Random, count: int) -> tuple[str, list[Item]]:
    """A background and `count` objects for it."""
    ground = rng.choice(list(BACKGROUNDS))
    items: list[Item] = []
    for _ in range(count):
        items.append(_item(rng, ground, items if count < 4 else []))
    return ground, items


def _within(item: Item, x: float, y: float, radius: float, width: int, height: int) -> Item:
    """The object there, pushed inside the picture."""
    x, y = min(max(x, radius), width - radius), min(max(y, radius), height - radius)
    return replace(item, x=x, y=y, radius=radius)


def single(rng: Random, width: int, height: int) -> Scene:
    """One settled object: in the middle, or in one of nine places of a whole picture."""
    ground, (item,) = _cast(rng, 1)
    short = min(width, height)
    whole = short >= WHOLE * TOKEN
    kind = rng.random()
    small = SMALL if whole else 0.26
    size = small if kind < 0.15 else LARGE if kind < 0.35 or not whole else MEDIUM
    x, y = (rng.choice(THIRDS), rng.choice(THIRDS)) if whole and rng.random() < 0.4 else (0.5, 0.5)
    placed = _within(item, x * width, y * height, size * short, width, height)
    return Scene(width, height, ground, (placed,), "single")


def row(rng: Random, width: int, height: int, count: int) -> Scene:
    """Two or three settled objects side by side or one above another, through the middle."""
    ground, items = _cast(rng, count)
    axis = int(rng.random() < height / (width + height)) if width != height else int(rng.random() < 0.5)
    size = (width, height)[axis]
    radius = 0.96 * min(0.19 * size if count == 2 else 0.135 * size, 0.44 * (width, height)[1 - axis])
    radii = [radius] * count
    if rng.random() < 0.25:
        radii[rng.randrange(count)] *= 0.55
    shares = (0.27, 0.73) if count == 2 else THIRDS
    placed = []
    for item, share, r in zip(items, shares, radii, strict=True):
        place = share * size, (width, height)[1 - axis] / 2
        placed.append(_within(item, *(place if axis == 0 else place[::-1]), r, width, height))
    return Scene(width, height, ground, tuple(placed), "row")


def in_thirds(rng: Random, width: int, height: int, count: int) -> Scene:
    """Settled objects in different ones of nine places."""
    ground, items = _cast(rng, count)
    short = min(width, height)
    places = rng.sample([(x, y) for y in THIRDS for x in THIRDS], count)
    if any(all(place[axis] == 1 / 2 for place in places) for axis in (0, 1)):  # that would be a row
        return in_thirds(rng, width, height, count)
    placed = [
        _within(item, x * width, y * height, 0.135 * short, width, height)
        for item, (x, y) in zip(items, places, strict=True)
    ]
    return Scene(width, height, ground, tuple(placed), "thirds")


@cache
def room(holder: str, shape: str) -> float:
    """The radius at which `shape` fills the holder of radius 1 up to a margin of 0.1; 0.6 at most."""
    axis = np.linspace(-1.1, 1.1, 221)
    x, y = np.meshgrid(axis, axis)
    inside = SHAPES[shape](x, y) <= 0
    x, y = x[inside], y[inside]
    sign = -1 if holder == "ring" else 1  # its room is its hole

    def fits(radius: float) -> bool:
        return (sign * SHAPES[holder](radius * x, radius * y + HOLDERS[holder])).max() < -0.1

    return float(next(filter(fits, np.arange(0.6, 0.0, -0.01))))


def nested(rng: Random, width: int, height: int) -> Scene:
    """An object inside a large one in the middle, as large as it has room there, both plain."""
    ground = rng.choice(list(BACKGROUNDS))
    x, y, radius = width / 2, height / 2, 0.425 * min(width, height)
    holder = Item(_item(rng, ground, []).color, rng.choice(list(HOLDERS)), x, y, radius)
    colors = [c for c in PALETTE if _far(PALETTE[c], PALETTE[holder.color])]
    if holder.shape == "ring":
        colors = [c for c in colors if c in VISIBLE[ground]]
    color, shape = rng.choice(colors), rng.choice(list(SHAPES))
    inner = Item(color, shape, x, y + HOLDERS[holder.shape] * radius, room(holder.shape, shape) * radius)
    return Scene(width, height, ground, (holder, inner), "nested")


def _apart(items: list[Item], gap: float = 3) -> bool:
    return all(
        max(abs(a.x - b.x), abs(a.y - b.y)) > a.radius + b.radius + gap
        for i, a in enumerate(items)
        for b in items[:i]
    )


def scattered(rng: Random, width: int, height: int, count: int) -> Scene:
    """`count` objects that do not overlap, anywhere."""
    ground, items = _cast(rng, count)
    short = min(width, height)
    unit = short if count == 1 else math.sqrt(width * height / count)
    low, high = (0.24, 0.42) if count > 1 else (0.16, 0.47) if short >= WHOLE * TOKEN else (0.26, 0.47)
    for attempt in range(1000):
        placed: list[Item] = []
        for item in items:
            most = min(high * unit * 0.97**attempt, 0.47 * short)
            radius = rng.uniform(min(max(low * unit * 0.97**attempt, LEAST_RADIUS), 0.94 * most), most)
            x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
            placed.append(replace(item, x=x, y=y, radius=radius))
            if not _apart(placed):
                break
        else:
            return Scene(width, height, ground, tuple(placed))
    raise AssertionError("objects that shrink find a place")


def gridded(rng: Random, width: int, height: int, count: int) -> Scene:
    """`count` objects, each somewhere in a cell of its own of the smallest fitting grid."""
    ground, items = _cast(rng, count)
    columns = max(1, round(math.sqrt(count * width / height)))
    rows = -(-count // columns)
    w, h = width / columns, height / rows
    placed = []
    for item, cell in zip(items, rng.sample(range(rows * columns), count), strict=True):
        radius = rng.uniform(0.3, 0.46) * min(w, h)
        x, y = rng.uniform(radius, w - radius), rng.uniform(radius, h - radius)
        placed.append(replace(item, x=cell % columns * w + x, y=cell // columns * h + y, radius=radius))
    return Scene(width, height, ground, tuple(placed))


def sample(rng: Random, columns: int, rows: int, noise: float = 1.0) -> Scene:
    """A scene for a canvas of so many tokens, to be seen at a noise level.

    Regions hold one object as a rule, whole pictures one to three; open whole pictures up to nine.
    """
    width, height = columns * TOKEN, rows * TOKEN
    short, long = min(columns, rows), max(columns, rows)
    kind = rng.random()
    if noise < SHOWN and rng.random() < (0.5 if short >= WHOLE else 0.2):
        if short < WHOLE:
            return scattered(rng, width, height, 1)
        make = gridded if rng.random() < 0.6 else scattered
        return make(
            rng, width, height, 1 if kind < 0.1 else rng.randint(2, 3) if kind < 0.4 else rng.randint(4, 9)
        )
    if short < WHOLE:
        if kind < 0.1 and short >= 7:
            return nested(rng, width, height)
        if kind < 0.2 and long >= 9 and short >= 5 and long >= 1.4 * short:
            return row(rng, width, height, 2)
        return single(rng, width, height)
    if kind < 0.27:
        return single(rng, width, height)
    if kind < 0.47:
        return nested(rng, width, height)
    if kind < 0.7:
        return row(rng, width, height, 2)
    if kind < 0.8:
        return row(rng, width, height, 3)
    return in_thirds(rng, width, height, rng.randint(2, 4))
