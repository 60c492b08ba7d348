"""The palette, the eight shapes and the renderer of the drawn scenes. Pure numpy.

A picture is a plain background with anti-aliased shapes in flat colours. Shapes are signed distance
functions on unit coordinates (x right, y down, the shape inside [-1, 1]²), so any size is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (215, 30, 40),
    "orange": (245, 135, 25),
    "yellow": (250, 225, 50),
    "green": (35, 150, 65),
    "cyan": (60, 205, 220),
    "blue": (40, 75, 205),
    "purple": (125, 40, 165),
    "pink": (250, 130, 190),
    "brown": (120, 70, 35),
    "black": (20, 20, 20),
    "white": (245, 245, 245),
}
"""Colours of objects, by name, as 8-bit RGB."""

BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": PALETTE["white"],
    "black": PALETTE["black"],
    "gray": (145, 145, 145),
    "blue": PALETTE["blue"],
    "beige": (232, 212, 170),
}
"""Colours of backgrounds, by name, as 8-bit RGB."""


@dataclass(frozen=True)
class Item:
    """One object: its colour and shape by name, centre (x, y) and half extent in pixels."""

    color: str
    shape: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """A picture to draw: size in pixels, background by name, objects from back to front."""

    width: int
    height: int
    background: str
    items: tuple[Item, ...]


def _polygon(points: list[tuple[float, float]]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    corners = np.array(points, dtype=np.float32)

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        nearest = np.full(x.shape, 1e9, dtype=np.float32)
        inside = np.zeros(x.shape, dtype=bool)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            ex, ey = bx - ax, by - ay
            t = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
            nearest = np.minimum(nearest, (x - ax - t * ex) ** 2 + (y - ay - t * ey) ** 2)
            if ay != by:
                inside ^= ((ay > y) != (by > y)) & (x < ax + ex * (y - ay) / ey)
        return np.where(inside, -1.0, 1.0) * np.sqrt(nearest)

    return distance


def _star_points() -> list[tuple[float, float]]:
    angles = np.pi * (np.arange(10) / 5 - 0.5)
    lengths = np.where(np.arange(10) % 2 == 0, 1.05, 0.48)
    return [(float(r * np.cos(a)), float(r * np.sin(a) + 0.08)) for r, a in zip(lengths, angles, strict=True)]


def _heart_points() -> list[tuple[float, float]]:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16.0 - 0.08
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(a - 0.95, b - 0.34), np.maximum(a - 0.34, b - 0.95))


SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": lambda x, y: np.sqrt(x * x + y * y) - 0.95,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.85,
    "triangle": _polygon([(0.0, -0.95), (1.0, 0.85), (-1.0, 0.85)]),
    "diamond": _polygon([(0.0, -1.0), (0.8, 0.0), (0.0, 1.0), (-0.8, 0.0)]),
    "star": _polygon(_star_points()),
    "ring": lambda x, y: np.abs(np.sqrt(x * x + y * y) - 0.74) - 0.22,
    "cross": _cross,
    "heart": _polygon(_heart_points()),
}
"""Signed distance (negative inside) of each shape, by name, on unit coordinates."""


def draw(scene: Scene) -> np.ndarray:
    """Renders a scene with one-pixel anti-aliasing. Returns [H, W, 3] uint8."""
    canvas = np.empty((scene.height, scene.width, 3), dtype=np.float32)
    canvas[:] = BACKGROUNDS[scene.background]
    for item in scene.items:
        left, right = max(0, int(item.x - item.radius - 2)), min(scene.width, int(item.x + item.radius + 3))
        top, bottom = max(0, int(item.y - item.radius - 2)), min(scene.height, int(item.y + item.radius + 3))
        x = (np.arange(left, right, dtype=np.float32) + 0.5 - item.x) / item.radius
        y = (np.arange(top, bottom, dtype=np.float32) + 0.5 - item.y) / item.radius
        distance = SHAPES[item.shape](*np.meshgrid(x, y)) * item.radius
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        patch = canvas[top:bottom, left:right]
        patch += cover * (np.array(PALETTE[item.color], dtype=np.float32) - patch)
    return (canvas + 0.5).astype(np.uint8)
