"""What a picture shows of its layout, and how sure a difference between two methods is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.layouts import Box, Layout
from demo.checker import cut, objects
from demo.shapes import BACKGROUNDS

ROUNDS = 5000


@dataclass(frozen=True)
class Verdict:
    """Of each region: the largest object's colour right, shape right; another region's colour found in it; share of
    the cell's area that the object's extent takes. seam: mean step over the cells' borders, 8-bit levels."""

    color: list[bool]
    shape: list[bool]
    leaked: list[bool]
    coverage: list[float]
    seam: float

    @property
    def both(self) -> list[bool]:
        return [c and s for c, s in zip(self.color, self.shape, strict=True)]


def judge(picture: np.ndarray, layout: Layout) -> Verdict:
    """Looks at every cell; where a later one overlaps it, at what is left of it."""
    color, shape, leaked, coverage = [], [], [], []
    for number, (own, cell) in enumerate(zip(layout.objects, layout.cells, strict=True)):
        view = picture.copy()
        for later in layout.cells[number + 1 :]:
            cut(view, later)[:] = BACKGROUNDS[layout.background]
        found = objects(cut(view, cell))
        largest = found[0] if found else None
        color.append(largest is not None and largest.color == own[0])
        shape.append(largest is not None and largest.shape == own[1])
        others = {c for c, _ in layout.objects} - {own[0]}
        leaked.append(any(one.color in others for one in found))
        height, width = cut(picture, cell).shape[:2]
        left, top, right, bottom = largest.extent if largest else (0, 0, 0, 0)
        coverage.append((right - left) * (bottom - top) / (width * height))
    return Verdict(color, shape, leaked, coverage, seam(picture, layout.cells))


def seam(picture: np.ndarray, cells: tuple[Box, ...]) -> float:
    """Mean step in 8-bit levels between neighbouring pixels on either side of the cells' borders."""
    height, width = picture.shape[:2]
    pixels, steps = picture.astype(np.float32), []
    for x, y, w, h in cells:
        left, top, right, bottom = (
            round(x * width),
            round(y * height),
            round((x + w) * width),
            round((y + h) * height),
        )
        steps += [
            np.abs(pixels[top:bottom, i] - pixels[top:bottom, i - 1]) for i in (left, right) if 0 < i < width
        ]
        steps += [
            np.abs(pixels[i, left:right] - pixels[i - 1, left:right]) for i in (top, bottom) if 0 < i < height
        ]
    return float(np.mean([step.mean() for step in steps])) if steps else 0.0


def diversity(pictures: list[np.ndarray]) -> float:
    """Mean distance between the pictures of different seeds, root mean square in 8-bit levels."""
    pairs = [(a, b) for i, a in enumerate(pictures) for b in pictures[:i]]
    apart = [np.sqrt(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2)) for a, b in pairs]
    return float(np.mean(apart)) if apart else 0.0


def bootstrap(first: list[float], second: list[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean difference first − second over paired layouts, and its 95 % interval from resampled layouts."""
    apart = np.subtract(first, second)
    rng = np.random.default_rng(seed)
    means = apart[rng.integers(len(apart), size=(ROUNDS, len(apart)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(apart.mean()), float(low), float(high)
