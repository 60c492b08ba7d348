"""Random scenes, deterministic from a seed: one object on a small canvas, or one to three on a larger one."""

from __future__ import annotations

import numpy as np

from demo.captions import caption
from demo.shapes import BACKGROUNDS, PALETTE, SHAPES, Item, Scene, draw

TOKEN = 16
"""Pixels a token; canvases are multiples of it."""
SEPARATION = 90.0
"""Least RGB distance of an object's colour from the background's and from its neighbours'."""


def _distance(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    return float(np.linalg.norm(np.subtract(a, b)))


def _colors(rng: np.random.Generator, background: str, count: int) -> list[str]:
    ground = BACKGROUNDS[background]
    names = [n for n, c in PALETTE.items() if _distance(c, ground) > SEPARATION]
    return [str(n) for n in rng.choice(names, count, replace=False)]


def _shape(rng: np.random.Generator) -> str:
    return str(rng.choice(list(SHAPES)))


def single(
    rng: np.random.Generator, width: int, height: int, fill: tuple[float, float] = (0.68, 0.95)
) -> Scene:
    """One object, its extent a share within `fill` of the shorter side, anywhere it fits."""
    background = str(rng.choice(list(BACKGROUNDS)))
    radius = min(width, height) * rng.uniform(*fill) / 2
    x = rng.uniform(radius, width - radius)
    y = rng.uniform(radius, height - radius)
    return Scene(
        width, height, background, (Item(_colors(rng, background, 1)[0], _shape(rng), x, y, radius),)
    )


def several(rng: np.random.Generator, width: int, height: int, count: int) -> Scene:
    """`count` objects of different colours that do not overlap; most often along one axis."""
    background = str(rng.choice(list(BACKGROUNDS)))
    colors = _colors(rng, background, count)
    side = min(width, height)
    long = max(width, height)
    low, high = (0.17, 0.25) if count == 2 else (0.13, 0.17)
    low, high = low * (side + long) / 2, min(high * (side + long) / 2, 0.46 * side)
    while True:
        radii = rng.uniform(min(low, high * 0.8), high, count)
        if rng.random() < 0.75:
            places = _along_axis(rng, width, height, radii)
        else:
            places = np.stack([rng.uniform(radii, width - radii), rng.uniform(radii, height - radii)], axis=1)
        gaps = [
            np.max(np.abs(places[i] - places[j])) - radii[i] - radii[j]
            for i in range(count)
            for j in range(i)
        ]
        if min(gaps) > 2:
            break
    items = [
        Item(c, _shape(rng), float(x), float(y), float(r))
        for c, (x, y), r in zip(colors, places, radii, strict=True)
    ]
    return Scene(width, height, background, tuple(items))


def _along_axis(rng: np.random.Generator, width: int, height: int, radii: np.ndarray) -> np.ndarray:
    """Places objects one after another, left to right or top to bottom, with a random slack. [count, 2] pixels."""
    size = np.array([width, height], dtype=float)
    axis = int(rng.random() < height / (width + height)) if width != height else int(rng.integers(2))
    slack = max(0.0, size[axis] - 2 * radii.sum())
    gaps = rng.dirichlet(np.full(len(radii) + 1, 4.0)) * slack
    starts = np.cumsum(gaps[:-1] + np.concatenate([[0], 2 * radii[:-1]]))
    places = np.empty((len(radii), 2))
    places[:, axis] = starts + radii
    other = size[1 - axis]
    middle = rng.uniform(radii.max(), other - radii.max())
    places[:, 1 - axis] = np.clip(middle + rng.normal(0, 0.05 * other, len(radii)), radii, other - radii)
    return places


def sample(seed: int, index: int, width: int, height: int) -> tuple[Scene, str]:
    """The scene number `index` of this size and its caption; the same for the same arguments.

    Up to 128 px on the shorter side most scenes hold one object; the largest hold one to three evenly.
    """
    rng = np.random.default_rng((seed, index, width, height))
    short, long = min(width, height), max(width, height)
    if short >= 192:
        count = int(rng.choice([1, 2, 3], p=[0.25, 0.4, 0.35]))
    elif long >= 128 and short >= 64:
        count = int(rng.choice([1, 2], p=[0.7, 0.3]))
    else:
        count = 1
    if count == 1:
        scene = single(rng, width, height, (0.3, 0.9) if short >= 192 else (0.68, 0.95))
    else:
        scene = several(rng, width, height, count)
    return scene, caption(scene, rng)


def picture(seed: int, index: int, width: int, height: int) -> tuple[np.ndarray, str]:
    """The drawing [H, W, 3] uint8 of `sample` and its caption."""
    scene, text = sample(seed, index, width, height)
    return draw(scene), text
