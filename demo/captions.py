"""Plain English for drawn scenes: several phrasings and word orders for the same picture."""

from __future__ import annotations

import numpy as np

from demo.shapes import Item, Scene

OBJECT = ("a {color} {shape}",) * 6 + ("{color} {shape}", "one {color} {shape}", "the {color} {shape}")
LEAD = ("",) * 7 + ("a picture of ", "there is ", "a drawing of ")
GROUND = (" on a {} background",) * 4 + (" on {}", ", {} background", " against a {} background")
HORIZONTAL = (
    "{0} to the left of {1}",
    "{0} left of {1}",
    "{0} on the left and {1} on the right",
    "{0} at the left, {1} at the right",
)
HORIZONTAL_REVERSED = ("{1} to the right of {0}", "{1} right of {0}", "{1} on the right and {0} on the left")
VERTICAL = ("{0} above {1}", "{0} over {1}", "{0} at the top and {1} at the bottom", "{0} on top, {1} below")
VERTICAL_REVERSED = ("{1} below {0}", "{1} under {0}", "{1} at the bottom and {0} at the top")
UNORDERED = ("{0} and {1}", "{0} next to {1}", "{0}, {1}")
ROW = (
    "{0} on the left, {1} in the middle and {2} on the right",
    "{0} to the left of {1}, and {2} to the right of {1}",
    "{0}, {1} and {2} from left to right",
)
COLUMN = (
    "{0} at the top, {1} in the middle and {2} at the bottom",
    "{0} above {1}, and {2} below {1}",
    "{0}, {1} and {2} from top to bottom",
)
LIST = ("{0}, {1} and {2}", "{0} and {1} and {2}", "{0}, {1}, {2}")


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def describe(item: Item, rng: np.random.Generator) -> str:
    """Names one object, for example "a red circle"."""
    text = _pick(rng, OBJECT).format(color=item.color, shape=item.shape)
    return "an" + text[1:] if text.startswith("a orange") else text


def place(item: Item, scene: Scene) -> str:
    """Names where in the picture an object is, for example "at the top left"; the middle third is the center."""
    column = int(np.clip(3 * item.x // scene.width, 0, 2))
    row = int(np.clip(3 * item.y // scene.height, 0, 2))
    words = [w for w in (("top", "", "bottom")[row], ("left", "", "right")[column]) if w]
    if not words:
        return "in the center"
    return ("on the " if words == ["left"] or words == ["right"] else "at the ") + " ".join(words)


def _relation(items: list[Item], rng: np.random.Generator) -> str:
    """A template that holds for the objects, which it may sort; {i} stands for items[i]."""
    spread_x, spread_y = np.ptp([i.x for i in items]), np.ptp([i.y for i in items])
    horizontal = spread_x > spread_y
    plain = rng.random() < 0.1
    if plain:
        return _pick(rng, UNORDERED if len(items) == 2 else LIST)
    items.sort(key=lambda i: i.x if horizontal else i.y)
    if len(items) == 3:
        return _pick(rng, ROW if horizontal else COLUMN)
    if rng.random() < 0.5:
        return _pick(rng, HORIZONTAL if horizontal else VERTICAL)
    return _pick(rng, HORIZONTAL_REVERSED if horizontal else VERTICAL_REVERSED)


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One caption of the scene. Names every colour and shape; the background three times out of four."""
    items = list(scene.items)
    roomy = min(scene.width, scene.height) >= 160
    aligned = len(items) == 1 or _is_aligned(items)
    if len(items) == 1:
        text = describe(items[0], rng)
        if roomy and rng.random() < 0.5:
            text += " " + place(items[0], scene)
    elif not aligned or (roomy and rng.random() < 0.35):
        parts = [
            f"{describe(i, rng)} {place(i, scene)}" for i in rng.permutation(np.array(items, dtype=object))
        ]
        text = (", " if rng.random() < 0.5 else " and ").join(parts)
    else:
        template = _relation(items, rng)
        text = template.format(*(describe(i, rng) for i in items))
    text = _pick(rng, LEAD) + text
    if rng.random() < 0.75:
        text += _pick(rng, GROUND).format(scene.background)
    return text


def _is_aligned(items: list[Item]) -> bool:
    """Whether the objects follow one another clearly along one axis, so that "left of" or "above" fits."""
    for axis in ("x", "y"):
        along = sorted(getattr(i, axis) for i in items)
        across = np.ptp([getattr(i, "y" if axis == "x" else "x") for i in items])
        if min(np.diff(along)) > max(0.8 * across, 1.6 * min(i.radius for i in items)):
            return True
    return False
