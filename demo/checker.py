"""Says which object a part of a picture shows, by its colour (and, as a help, its outline).

The background is the commonest colour at the border of the cell. The object is the largest connected component
that differs from it; it must cover `LEAST_SHARE` of the cell, and its colour is the palette's nearest to most of
its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from scipy import ndimage

from demo.shapes import PALETTE, SHAPES

LEAST_SHARE = 0.15
"""Least share of the cell that an object must cover."""
CONTRAST = 45.0
"""RGB distance from the background beyond which a pixel belongs to an object: half the least in the drawings."""
_NAMES = list(PALETTE)
_COLORS = np.array(list(PALETTE.values()), dtype=np.float32)
_RASTER = 32


@dataclass(frozen=True)
class Finding:
    """The object of a cell. color and shape are names, or None where nothing covers enough of the cell."""

    color: str | None
    shape: str | None
    share: float
    background: tuple[int, int, int]


def _border_color(cell: np.ndarray) -> np.ndarray:
    """The commonest colour [3] among the border pixels of [H, W, 3], in steps of 32, then their mean."""
    border = np.concatenate([cell[0], cell[-1], cell[1:-1, 0], cell[1:-1, -1]])
    steps = (border + 16) // 32
    keys = steps @ np.array([81, 9, 1])
    values, counts = np.unique(keys, return_counts=True)
    return border[keys == values[counts.argmax()]].mean(axis=0)


def _outline(mask: np.ndarray) -> np.ndarray:
    """The component of a boolean mask, stretched from its bounding box to a small square."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(Image.fromarray(box).resize((_RASTER, _RASTER), Image.Resampling.NEAREST))


@cache
def _templates() -> dict[str, np.ndarray]:
    grid = np.linspace(-1.1, 1.1, 221, dtype=np.float32)
    return {name: _outline(distance(*np.meshgrid(grid, grid)) < 0) for name, distance in SHAPES.items()}


def _shape(mask: np.ndarray) -> str:
    outline = _outline(mask)
    overlap = {name: (outline & t).sum() / (outline | t).sum() for name, t in _templates().items()}
    return max(overlap, key=overlap.__getitem__)


def find(cell: np.ndarray, least_share: float = LEAST_SHARE) -> Finding:
    """Looks at a cell [H, W, 3] uint8, of which an object has to cover at least `least_share`."""
    pixels = cell.astype(np.float32)
    ground = _border_color(pixels)
    background = tuple(round(float(v)) for v in ground)
    labels, count = ndimage.label(np.linalg.norm(pixels - ground, axis=-1) > CONTRAST)
    if not count:
        return Finding(None, None, 0.0, background)
    areas = np.bincount(labels.ravel())[1:]
    mask = labels == areas.argmax() + 1
    share = float(areas.max() / labels.size)
    if share < least_share:
        return Finding(None, None, share, background)
    nearest = np.linalg.norm(pixels[mask][:, None] - _COLORS, axis=-1).argmin(axis=1)
    return Finding(_NAMES[int(np.bincount(nearest).argmax())], _shape(mask), share, background)


def shows(cell: np.ndarray, color: str) -> bool:
    """Whether the cell's object has the palette colour `color`."""
    return find(cell).color == color


def cut(picture: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The part of [H, W, 3] inside box = (x, y, width, height), as fractions of the picture."""
    height, width = picture.shape[:2]
    x, y, w, h = box
    return picture[round(y * height) : round((y + h) * height), round(x * width) : round((x + w) * width)]
