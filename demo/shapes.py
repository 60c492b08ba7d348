"""The palette, the eight shapes, the two textures and the renderer of the drawn scenes.

A picture is a plain background with anti-aliased shapes in flat or striped colours. Shapes are signed distance
functions on unit coordinates (x right, y down, the shape inside [-1, 1]²). The renderer reads them from a fine
raster, so that a batch of scenes is drawn at once, on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

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

STRIPE = 16.0
"""Pixels from one horizontal stripe to the next of a striped object; half of them in its second tone."""
LINE = 2.0
"""Pixels of an edge map's lines."""
_REACH, _RASTER = 1.5, 384


@dataclass(frozen=True)
class Item:
    """One object: its colour and shape by name, centre (x, y) and half extent in pixels, and its texture."""

    color: str
    shape: str
    x: float
    y: float
    radius: float
    striped: bool = False


@dataclass(frozen=True)
class Scene:
    """A picture to draw: size in pixels, background by name, objects from back to front, and how they are laid
    out ("single", "row", "thirds", "nested", or "open": anyhow)."""

    width: int
    height: int
    background: str
    items: tuple[Item, ...]
    layout: str = "open"


def second_tone(color: str) -> tuple[int, int, int]:
    """The other tone of a striped object: light colours darker, dark ones lighter."""
    rgb = np.array(PALETTE[color])
    other = 0.62 * rgb if rgb @ (0.299, 0.587, 0.114) > 140 else 0.5 * rgb + 0.5 * 255
    return tuple(int(v) for v in other.round())


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


@cache
def _rasters(device: torch.device) -> Tensor:
    """The signed distance of every shape on [-1.5, 1.5]², [shapes, 1, n, n]."""
    axis = (np.arange(_RASTER, dtype=np.float32) + 0.5) * (2 * _REACH / _RASTER) - _REACH
    grid = np.meshgrid(axis, axis)
    return torch.tensor(np.stack([f(*grid) for f in SHAPES.values()]), dtype=torch.float32, device=device)[
        :, None
    ]


@dataclass
class Sheet:
    """Scenes of one size as tensors. ground [B, 3]; of each scene's k-th object from back to front: shape [B, K],
    place [B, K, 3] (x, y, radius), tones [B, K, 2, 3] (equal where not striped). Scenes with more objects come
    first: the k-th of `counts` says how many have a k-th object."""

    width: int
    height: int
    counts: tuple[int, ...]
    ground: Tensor
    shape: Tensor
    place: Tensor
    tones: Tensor

    @staticmethod
    def of(scenes: Sequence[Scene]) -> Sheet:
        """Raises ValueError where a scene has more objects than the one before."""
        numbers = [len(scene.items) for scene in scenes]
        if numbers != sorted(numbers, reverse=True):
            raise ValueError("scenes with more objects must come first")
        names, most = list(SHAPES), max(1, numbers[0])
        shape = np.zeros((len(scenes), most), dtype=np.int64)
        place = np.ones((len(scenes), most, 3), dtype=np.float32)
        tones = np.zeros((len(scenes), most, 2, 3), dtype=np.float32)
        for row, scene in enumerate(scenes):
            for k, item in enumerate(scene.items):
                shape[row, k] = names.index(item.shape)
                place[row, k] = item.x, item.y, item.radius
                first = PALETTE[item.color]
                tones[row, k] = first, second_tone(item.color) if item.striped else first
        counts = tuple(sum(n > k for n in numbers) for k in range(most))
        ground = torch.tensor([BACKGROUNDS[scene.background] for scene in scenes], dtype=torch.float32)
        arrays = (torch.from_numpy(a) for a in (shape, place, tones))
        return Sheet(scenes[0].width, scenes[0].height, counts, ground, *arrays)

    def each(self, change: Callable[[Tensor], Tensor]) -> Sheet:
        """The same with every tensor changed, for example moved."""
        tensors = (change(t) for t in (self.ground, self.shape, self.place, self.tones))
        return Sheet(self.width, self.height, self.counts, *tensors)

    def _outlines(self) -> Iterator[tuple[int, int, Tensor, Tensor]]:
        """Of every k: k, how many scenes have such an object, the signed distance from its edge in pixels
        [count, 1, H, W], and the distance below its middle [count, H]."""
        device = self.ground.device
        x = torch.arange(self.width, dtype=torch.float32, device=device) + 0.5
        y = torch.arange(self.height, dtype=torch.float32, device=device) + 0.5
        rasters = _rasters(device)
        for k, count in enumerate(self.counts):
            left, top, radius = self.place[:count, k, :, None].unbind(1)
            across, down = (x - left) / (_REACH * radius), (y - top) / (_REACH * radius)
            grid = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), dim=-1)
            distance = F.grid_sample(
                rasters[self.shape[:count, k]], grid, padding_mode="border", align_corners=False
            )
            yield k, count, distance * radius[..., None, None], y - top

    def draw(self) -> Tensor:
        """The pictures [B, 3, H, W], 0..1, anti-aliased over one pixel."""
        canvas = self.ground[:, :, None, None].repeat(1, 1, self.height, self.width)
        for k, count, distance, below in self._outlines():
            phase = below % STRIPE - STRIPE / 2
            second = (STRIPE / 4 - phase.abs() + 0.5).clamp(0, 1)[:, None, :, None]
            first, other = self.tones[:count, k, :, :, None, None].unbind(1)
            part = canvas[:count]
            color, cover = torch.lerp(first, other, second), (0.5 - distance).clamp(0, 1)
            part.lerp_(color.expand_as(part), cover.expand_as(part))
        return canvas / 255

    def edges(self) -> Tensor:
        """White outlines of all objects on black, [B, 3, H, W], 0..1: what an edge detector would find."""
        canvas = self.ground.new_zeros(len(self.ground), 1, self.height, self.width)
        for _, count, distance, _ in self._outlines():
            line = (LINE / 2 + 0.5 - distance.abs()).clamp(0, 1)
            canvas[:count] = torch.maximum(canvas[:count], line)
        return canvas.expand(-1, 3, -1, -1)


def draw(scene: Scene) -> np.ndarray:
    """Renders one scene, [H, W, 3] uint8."""
    picture = Sheet.of([scene]).draw()[0].permute(1, 2, 0)
    return (picture * 255).round().byte().numpy()
