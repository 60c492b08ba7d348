"""How well the demo model follows plain prompts, without regions.

    python3 dev.py bench prompts [--each N] [--cfg CFG] [--size WIDTH HEIGHT] [--out DIR]

one object   N prompts (default 100) for one object of any size, place and texture
relation     N prompts for two objects: one left of, above or inside the other
1 to 9       a tenth of N prompts each for so many objects, every one with its place

Prompts and seeds are fixed and not the training's. 256 × 256 pixels unless another size is given, euler, simple, 20
steps; cfg 2 unless another is given, with an empty negative prompt, which the model has learnt. Right is a picture that
shows these objects and no other, by colour and shape (demo/checker.py), related as the prompt says; for 1 to 9, the
share of objects that are found where their place says.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from scipy import ndimage

from bench.demo import Demo
from demo.captions import GROUND, HORIZONTAL, INSIDE, VERTICAL, caption, describe, place
from demo.checker import CONTRAST, Finding, find, objects
from demo.scenes import THIRDS, VISIBLE, nested, row, single
from demo.shapes import BACKGROUNDS, PALETTE, SHAPES, Item, Scene

SEED = 77
RELATIONS = {"left of": HORIZONTAL, "above": VERTICAL, "inside": INSIDE}
LEAST_SHARE = 0.005
"""Of the picture that an object covers at least."""


@dataclass(frozen=True)
class Case:
    """A prompt, the scene that it describes, and which share of it a picture [H, W, 3] shows."""

    group: str
    prompt: str
    scene: Scene
    judge: Callable[[np.ndarray, Scene], float]


def one_object(rng: Random, width: int, height: int) -> Case:
    scene = single(rng, width, height)
    return Case("one object", caption(scene, rng), scene, shows_one)


def relation(rng: Random, width: int, height: int) -> Case:
    name = rng.choice(list(RELATIONS))
    if name == "inside":
        scene = nested(rng, width, height)
        if scene.items[0].shape == "ring":  # its outline does not tell what is in it from what is around it
            return relation(rng, width, height)
    else:
        scene = row(rng, width, height, 2)
        if (name == "left of") != _across(*scene.items):
            return relation(rng, width, height)
    said = rng.choice(RELATIONS[name]).format(*(describe(item, rng) for item in scene.items))
    said += rng.choice(GROUND).format(scene.background)
    return Case(f"relation: {name}", said, scene, shows_inside if name == "inside" else shows_side_by_side)


def many(rng: Random, width: int, height: int, count: int) -> Case:
    ground, radius = rng.choice(list(BACKGROUNDS)), 0.135 * min(width, height)
    items = [
        Item(rng.choice(VISIBLE[ground]), rng.choice(list(SHAPES)), x * width, y * height, radius)
        for x, y in rng.sample([(x, y) for y in THIRDS for x in THIRDS], count)
    ]
    scene = Scene(width, height, ground, tuple(items))
    said = ", ".join(f"{describe(item, rng)} {place(item, scene)}" for item in items)
    said += f" on a {ground} background"
    return Case(f"{count} object{'s' * (count > 1)}, with places", said, scene, share_shown)


def shows_one(picture: np.ndarray, scene: Scene) -> bool:
    found = objects(picture, LEAST_SHARE)
    return len(found) == 1 and _is(found[0], scene.items[0])


def shows_side_by_side(picture: np.ndarray, scene: Scene) -> bool:
    found = objects(picture, LEAST_SHARE)
    if len(found) != 2:
        return False
    across = _across(*scene.items)
    placed = sorted(((_item(f), f) for f in found), key=lambda pair: pair[0].x if across else pair[0].y)
    return _across(*(item for item, _ in placed)) == across and all(
        _is(f, item) for (_, f), item in zip(placed, scene.items, strict=True)
    )


def shows_inside(picture: np.ndarray, scene: Scene) -> bool:
    """Names the outer object by its outline, filled, and the inner one by what in it has another colour."""
    holder, inner = scene.items
    values = picture.astype(np.float32)
    outline = np.linalg.norm(values - BACKGROUNDS[scene.background], axis=-1) > CONTRAST
    labels, count = ndimage.label(ndimage.binary_fill_holes(outline))
    if not count:
        return False
    largest = labels == 1 + np.argmax(ndimage.sum_labels(labels > 0, labels, range(1, count + 1)))
    colors = np.array([PALETTE[holder.color], PALETTE[inner.color]])
    of_inner = np.linalg.norm(values[:, :, None] - colors, axis=-1).argmin(-1) == 1
    of_inner &= ndimage.binary_erosion(largest, iterations=4)
    if of_inner[largest & ~ndimage.binary_erosion(largest, iterations=12)].mean() > 0.2:
        return False  # around is not the outer object's colour
    outer = np.where(largest[..., None], PALETTE[holder.color], BACKGROUNDS[scene.background])
    ground = next(g for g in BACKGROUNDS if inner.color in VISIBLE[g])  # the checker knows no others
    within = np.where(of_inner[..., None], picture, BACKGROUNDS[ground])
    found = find(within.astype(np.uint8), LEAST_SHARE)
    return bool(of_inner.any()) and _is(find(outer.astype(np.uint8)), holder) and _is(found, inner)


def share_shown(picture: np.ndarray, scene: Scene) -> float:
    """The share of the objects that are found in the third of the picture that their place names."""
    seen = {(f.color, f.shape, place(_item(f), scene)) for f in objects(picture, LEAST_SHARE)}
    return float(np.mean([(i.color, i.shape, place(i, scene)) in seen for i in scene.items]))


def _across(first: Item, second: Item) -> bool:
    """Whether the two lie side by side, not one above the other."""
    return abs(first.x - second.x) > abs(first.y - second.y)


def _item(found: Finding) -> Item:
    left, top, right, bottom = found.extent
    return Item(found.color, found.shape, (left + right) / 2, (top + bottom) / 2, (right - left) / 2)


def _is(found: Finding | None, item: Item) -> bool:
    return found is not None and found.is_a(item.color, item.shape)


def cases(each: int, width: int = 256, height: int = 256) -> list[Case]:
    rng = Random(SEED)
    made = [one_object(rng, width, height) for _ in range(each)]
    made += [relation(rng, width, height) for _ in range(each)]
    return made + [
        many(rng, width, height, count) for count in range(1, 10) for _ in range(max(1, each // 10))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench prompts", description=__doc__.split("\n")[0])
    parser.add_argument("--each", type=int, default=100, help="prompts for one object and for relations")
    parser.add_argument("--cfg", type=float, default=2.0)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    options = parser.parse_args()
    demo, shares, began = Demo(), {}, time.monotonic()
    width, height = options.size
    made = cases(options.each, width, height)
    for number, case in enumerate(made):
        prompt = demo.encode(case.prompt)
        picture = demo.decode(demo.sample(demo.model, prompt, number, width, height, cfg=options.cfg))
        right = float(case.judge(picture, case.scene))
        shares.setdefault(case.group, []).append(right)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            name = "".join(c if c.isalnum() else "_" for c in f"{right:.1f} {case.group} {case.prompt}")
            Image.fromarray(picture).save(options.out / f"{name[:150]}_{number}.png")
        if number % 20 == 19:
            left = (time.monotonic() - began) / (number + 1) * (len(made) - number - 1)
            print(f"{number + 1} of {len(made)} prompts, {left:.0f} s left", flush=True)
    named = [f"relation: {name}" for name in RELATIONS]
    shares["relation: all"] = [right for name in named for right in shares.get(name, [])]
    print("| | prompts | right |\n| --- | --- | --- |")
    for group, rights in shares.items():
        print(f"| {group} | {len(rights)} | {100 * np.mean(rights):.0f} % |")


if __name__ == "__main__":
    main()
