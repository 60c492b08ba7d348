"""Says what a part of a picture shows: its objects' colour, shape and texture.

The background is the commonest colour at the border of the cell; objects are the connected components that differ
from it. A small network trained on drawings names each of them (`python -m demo.train checker`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torch import Tensor, nn

from demo.scenes import sample
from demo.shapes import PALETTE, SHAPES, Item, Scene, draw

FILE = Path(__file__).resolve().parent / "rag_demo_checker.safetensors"
LEAST_SHARE = 0.02
"""Least share of the cell that an object must cover."""
CONTRAST = 45.0
"""RGB distance from the background beyond which a pixel belongs to an object: half the least in the drawings."""
RASTER, MARGIN = 32, 0.1
"""Side of the pictures that the network looks at, and how much of the object's extent they show around it."""
COLORS, FORMS = tuple(PALETTE), tuple(SHAPES)


class Network(nn.Module):
    """An object's picture [B, 3, 32, 32] in 0..1 to scores of its colour, shape and texture (plain, striped)."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.hidden = nn.Linear(64 * (RASTER // 8) ** 2, 96)
        self.heads = nn.ModuleList(nn.Linear(96, n) for n in (len(COLORS), len(FORMS), 2))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        x = F.relu(self.hidden(self.convolutions(pictures).flatten(1)))
        return tuple(head(x) for head in self.heads)


@dataclass(frozen=True)
class Finding:
    """One object of a cell: its names, the share of the cell that it covers, and its extent in the cell's pixels
    (left, top, right, bottom)."""

    color: str
    shape: str
    striped: bool
    share: float
    extent: tuple[int, int, int, int]

    def is_a(self, color: str, shape: str) -> bool:
        return (self.color, self.shape) == (color, shape)


def _ground(cell: np.ndarray) -> np.ndarray:
    """The commonest colour [3] among the border pixels of [H, W, 3], in steps of 32, then their mean."""
    border = np.concatenate([cell[0], cell[-1], cell[1:-1, 0], cell[1:-1, -1]]).astype(np.float32)
    keys = (border + 16).astype(int) // 32 @ np.array([81, 9, 1])
    values, counts = np.unique(keys, return_counts=True)
    return border[keys == values[counts.argmax()]].mean(axis=0)


def _components(cell: np.ndarray, least_share: float) -> list[tuple[float, tuple[int, int, int, int]]]:
    """Share and extent of each object, the largest first."""
    apart = np.linalg.norm(cell.astype(np.float32) - _ground(cell), axis=-1) > CONTRAST
    labels, _ = ndimage.label(apart)
    found = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        share = float((labels[rows, columns] == label).sum() / labels.size)
        if share >= least_share:
            found.append((share, (columns.start, rows.start, columns.stop, rows.stop)))
    return sorted(found, reverse=True)


def _portrait(cell: np.ndarray, extent: tuple[float, float, float, float]) -> np.ndarray:
    """The object's square picture [32, 32, 3]; beyond the cell its edge goes on."""
    left, top, right, bottom = extent
    half = (0.5 + MARGIN) * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    pad = int(half) + 1
    around = np.pad(cell, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    box = (x - half + pad, y - half + pad, x + half + pad, y + half + pad)
    return np.asarray(Image.fromarray(around).resize((RASTER, RASTER), Image.Resampling.BILINEAR, box=box))


@cache
def _network() -> Network:
    network = Network()
    network.load_state_dict({k: v.float() for k, v in load_file(FILE).items()})
    return network.eval()


@torch.no_grad()
def objects(cell: np.ndarray, least_share: float = LEAST_SHARE) -> list[Finding]:
    """All objects of a cell [H, W, 3] uint8 that cover at least `least_share` of it, the largest first."""
    parts = _components(cell, least_share)
    if not parts:
        return []
    portraits = np.stack([_portrait(cell, extent) for _, extent in parts])
    scores = _network()(torch.from_numpy(portraits).permute(0, 3, 1, 2).float() / 255)
    named = zip(*(score.argmax(1).tolist() for score in scores), strict=True)
    return [
        Finding(COLORS[c], FORMS[s], bool(t), share, extent)
        for (c, s, t), (share, extent) in zip(named, parts, strict=True)
    ]


def find(cell: np.ndarray, least_share: float = LEAST_SHARE) -> Finding | None:
    """The largest object of a cell, if there is one."""
    return next(iter(objects(cell, least_share)), None)


def cut(picture: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The part of [H, W, 3] inside box = (x, y, width, height), as fractions of the picture."""
    height, width = picture.shape[:2]
    x, y, w, h = box
    return picture[round(y * height) : round((y + h) * height), round(x * width) : round((x + w) * width)]


def drawing(rng: Random) -> tuple[np.ndarray, Item]:
    """A random drawing of one object and what it is, roughened a little, as a picture of a model is."""
    side = rng.randint(4, 9)
    while True:
        scene: Scene = sample(rng, side, side, rng.random())
        if len(scene.items) == 1:
            break
    noise = np.random.default_rng(rng.randrange(2**32))
    picture = draw(scene).astype(np.float32)
    if rng.random() < 0.5:
        blur = rng.uniform(0.4, 1.2)
        picture = ndimage.gaussian_filter(picture, (blur, blur, 0))
    picture += noise.normal(0, rng.uniform(0, 10), picture.shape) + noise.normal(0, 6, 3)
    return picture.clip(0, 255).astype(np.uint8), scene.items[0]


def _answer(item: Item) -> tuple[int, int, int]:
    return COLORS.index(item.color), FORMS.index(item.shape), int(item.striped)


def train(drawings: int = 6000, steps: int = 3000, count: int = 64, seed: int = 23) -> None:
    """Trains the network on drawings, whose objects' extents it sees a little off, and writes `FILE`."""
    torch.manual_seed(seed)
    rng = Random(f"checker {seed}")
    made = [
        (cell, _components(cell, LEAST_SHARE), _answer(item)) for cell, item in map(drawing, [rng] * drawings)
    ]
    made = [(cell, parts[0][1], answer) for cell, parts, answer in made if parts]
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    began = time.time()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        portraits, answers = [], []
        for cell, (left, top, right, bottom), answer in rng.choices(made, k=count):
            slip = 0.06 * max(right - left, bottom - top)
            portraits.append(
                _portrait(cell, tuple(v + rng.uniform(-slip, slip) for v in (left, top, right, bottom)))
            )
            answers.append(answer)
        pictures = torch.from_numpy(np.stack(portraits)).permute(0, 3, 1, 2).float() / 255
        scores = network(pictures)
        loss = sum(F.cross_entropy(s, a) for s, a in zip(scores, torch.tensor(answers).T, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            print(
                f"checker step {step + 1}/{steps} loss {loss.item():.4f} {time.time() - began:.0f} s",
                flush=True,
            )
    FILE.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().half().contiguous() for k, v in network.state_dict().items()}, FILE)
