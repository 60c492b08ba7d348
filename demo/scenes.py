"""Random scenes: what is in a picture, how large, and where. Deterministic from the random generator given.

Settled scenes stand where their captions say, or in the middle: a caption then determines the picture, as it must
where noise still hides everything. Open scenes are anywhere: they are learnt at noise levels that show the layout.
"""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

from demo.shapes import BACKGROUNDS, PALETTE, SHAPES, Item, Scene, second_tone

TOKEN = 16
"""Pixels a token; canvases are multiples of it."""
SEPARATION = 90.0
"""Least RGB distance of an object's colour from the background's and, as a rule, from its neighbours'."""
WHOLE = 16
"""Tokens of the shorter side from which a canvas is a whole picture; smaller ones are what binding denoises."""
LARGER = ((16, 16), (24, 16), (16, 24), (24, 24), (32, 32))
SHARES = (12, 2, 2, 2, 2)
"""The whole pictures' sizes in tokens (columns, rows), and how often each is drawn."""
SHOWN = 0.8
"""Noise level below which a noisy picture shows where things are."""
HOLDERS = {"circle": 0.5, "square": 0.6, "diamond": 0.36, "heart": 0.4, "triangle": 0.34, "ring": 0.36}
"""Shapes that another can be inside of, and how much of the holder's radius that one may have."""
LEAST_RADIUS = 18.0
"""Pixels below which eight pixels of a latent no longer tell the shapes apart."""
SMALL, MEDIUM, LARGE = (0.15, 0.2), (0.295, 0.34), (0.42, 0.46)
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


def _about(rng: Random, value: float, short: int) -> float:
    return value + rng.uniform(-0.02, 0.02) * short


def single(rng: Random, width: int, height: int) -> Scene:
    """One settled object: in the middle, or in one of nine places of a whole picture."""
    ground, (item,) = _cast(rng, 1)
    short = min(width, height)
    whole = short >= WHOLE * TOKEN
    kind = rng.random()
    size = SMALL if kind < 0.15 else LARGE if kind < 0.35 or not whole else MEDIUM
    if not whole and size is SMALL:
        size = (0.24, 0.28)
    x, y = (rng.choice(THIRDS), rng.choice(THIRDS)) if whole and rng.random() < 0.4 else (0.5, 0.5)
    radius = rng.uniform(*size) * short
    x, y = _about(rng, x * width, short), _about(rng, y * height, short)
    return Scene(width, height, ground, (_within(item, x, y, radius, width, height),), "single")


def row(rng: Random, width: int, height: int, count: int) -> Scene:
    """Two or three settled objects side by side or one above another, through the middle."""
    ground, items = _cast(rng, count)
    axis = int(rng.random() < height / (width + height)) if width != height else int(rng.random() < 0.5)
    size, short = (width, height)[axis], min(width, height)
    radius = min(0.19 * size if count == 2 else 0.135 * size, 0.44 * (width, height)[1 - axis])
    radii = [radius * rng.uniform(0.92, 1.0) for _ in items]
    if rng.random() < 0.25:
        radii[rng.randrange(count)] *= 0.55
    shares = (0.27, 0.73) if count == 2 else THIRDS
    placed = []
    for item, share, r in zip(items, shares, radii, strict=True):
        place = _about(rng, share * size, short), _about(rng, (width, height)[1 - axis] / 2, short)
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
        _within(i, _about(rng, x * width, short), _about(rng, y * height, short), r * short, width, height)
        for i, (x, y), r in zip(items, places, [rng.uniform(0.125, 0.145) for _ in items], strict=True)
    ]
    return Scene(width, height, ground, tuple(placed), "thirds")


def nested(rng: Random, width: int, height: int) -> Scene:
    """A small object inside a large one in the middle, both plain."""
    ground = rng.choice(list(BACKGROUNDS))
    holder = replace(_item(rng, ground, []), shape=rng.choice(list(HOLDERS)), striped=False)
    share = HOLDERS[holder.shape]
    short = min(width, height)
    radius = rng.uniform(0.4, 0.45) * short
    x, y = _about(rng, width / 2, short), _about(rng, height / 2, short)
    holder = replace(holder, x=x, y=y, radius=radius)
    colors = [c for c in PALETTE if _far(PALETTE[c], PALETTE[holder.color])]
    if holder.shape == "ring":
        colors = [c for c in colors if c in VISIBLE[ground]]
    drop = {"triangle": 0.28, "heart": -0.12}.get(holder.shape, 0.0) * radius
    inner = Item(
        rng.choice(colors), rng.choice(list(SHAPES)), x, y + drop, radius * share * rng.uniform(0.9, 1)
    )
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
    if kind < 0.35:
        return single(rng, width, height)
    if kind < 0.47:
        return nested(rng, width, height)
    if kind < 0.7:
        return row(rng, width, height, 2)
    if kind < 0.8:
        return row(rng, width, height, 3)
    return in_thirds(rng, width, height, rng.randint(2, 4))
