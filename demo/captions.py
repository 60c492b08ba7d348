"""Plain English for drawn scenes: several phrasings and word orders for the same picture."""

from __future__ import annotations

import itertools
from random import Random

from demo.scenes import SHOWN
from demo.shapes import Item, Scene

LEAD = ("",) * 8 + ("a picture of ", "there is ", "a drawing of ", "an image of ")
GROUND = (" on a {} background",) * 5 + (
    " on {}",
    ", {} background",
    " against a {} background",
    " in front of {}",
)
HORIZONTAL = (
    "{0} to the left of {1}",
    "{0} left of {1}",
    "{0} on the left and {1} on the right",
    "{0} at the left, {1} at the right",
    "on the left {0}, on the right {1}",
    "{1} to the right of {0}",
    "{1} right of {0}",
    "{1} on the right and {0} on the left",
    "to the left of {1} is {0}",
)
VERTICAL = (
    "{0} above {1}",
    "{0} over {1}",
    "{0} at the top and {1} at the bottom",
    "{0} on top, {1} below",
    "at the top {0}, at the bottom {1}",
    "{1} below {0}",
    "{1} under {0}",
    "{1} at the bottom and {0} at the top",
    "above {1} is {0}",
)
INSIDE = (
    "{1} inside {0}",
    "{1} in {0}",
    "{1} within {0}",
    "{0} with {1} inside",
    "{0} with {1} in it",
    "inside {0} is {1}",
)
PAIR = ("{0} and {1}", "{0} next to {1}", "{0}, {1}", "{0} with {1}")
ROW = (
    "{0} on the left, {1} in the middle and {2} on the right",
    "{0} to the left of {1}, and {2} to the right of {1}",
    "{0}, {1} and {2} from left to right",
    "{2} on the right, {1} in the middle, {0} on the left",
)
COLUMN = (
    "{0} at the top, {1} in the middle and {2} at the bottom",
    "{0} above {1}, and {2} below {1}",
    "{0}, {1} and {2} from top to bottom",
    "{2} at the bottom, {1} in the middle, {0} at the top",
)
MORE = (" and more", " and other things", " among others", " among other shapes")
"""Ways to say that the picture shows more."""
ROOMY = 160
"""Pixels of the shorter side from which places are named."""
SMALL, LARGE = 0.29, 0.4
"""Radius of a single object, in shares of the picture's shorter side, below or above which it may be called so.
Whole pictures: an object that is neither is between 0.295 and 0.34; regions: large is what they hold as a rule."""


def describe(item: Item, rng: Random, size: str = "") -> str:
    """Names one object, for example "a red circle", "a small striped red circle" or "a red circle with stripes"."""
    words = [item.color, item.shape]
    behind = ""
    if item.striped:
        way = rng.random()
        if way < 0.2:
            behind = " with stripes"
        else:
            words.insert(0 if way < 0.75 else 1, "striped")
    elif rng.random() < 0.05:
        words.insert(0, "plain")
    if size:
        words.insert(0, size)
    text = " ".join(words) + behind
    article = rng.choice(("a",) * 8 + ("", "one", "the"))
    if article == "a" and text[0] in "aeiou":
        article = "an"
    return f"{article} {text}".strip()


def sizes(items: list[Item], scene: Scene) -> list[str]:
    """The word for each object's size, or none: of one by the picture, of several by one another."""
    radii = [i.radius for i in items]
    if len(items) == 1:
        share = radii[0] / min(scene.width, scene.height)
        return ["small" if share < SMALL else "large" if share > LARGE else ""]
    if max(radii) < 1.5 * min(radii):
        return [""] * len(items)
    return ["small" if r < 1.2 * min(radii) else "large" if r > 0.83 * max(radii) else "" for r in radii]


def place(item: Item, scene: Scene) -> str:
    """Names where in the picture an object is, for example "at the top left"; the middle third is the center."""
    column = min(2, int(3 * item.x // scene.width))
    row = min(2, int(3 * item.y // scene.height))
    words = [w for w in (("top", "", "bottom")[row], ("left", "", "right")[column]) if w]
    if not words:
        return "in the center"
    return ("on the " if words == ["left"] or words == ["right"] else "at the ") + " ".join(words)


def axis_of(items: list[Item]) -> str | None:
    """The axis ("x" or "y") along which the objects clearly follow one another, so that "left of" or "above" fits."""
    for axis, other in ("xy", "yx"):
        along = sorted(getattr(i, axis) for i in items)
        across = [getattr(i, other) for i in items]
        step = min(b - a for a, b in itertools.pairwise(along))
        if step > max(max(across) - min(across), 1.2 * min(i.radius for i in items)):
            return axis
    return None


def _named(scene: Scene, rng: Random, noise: float) -> list[Item]:
    """The objects that the caption names: all, or any number at noise levels that show the others anyway."""
    items = list(scene.items)
    if scene.layout == "nested" or len(items) == 1:
        return items
    if noise < SHOWN and rng.random() < 0.6:
        return rng.sample(items, rng.choice((1, 1, 2)))
    return rng.sample(items, 3) if len(items) > 4 and rng.random() < 0.5 else items


def _size_words(items: list[Item], scene: Scene, rng: Random) -> list[str]:
    """The words of `sizes` that the caption says: where it settles the picture, all but a region's "large"."""
    words = sizes(items, scene)
    roomy = min(scene.width, scene.height) >= ROOMY
    said = 0.6 if scene.layout == "open" else 1.0 if roomy or words != ["large"] else 0.3
    return [word if rng.random() < said else "" for word in words]


def _arranged(scene: Scene, items: list[Item], rng: Random, partly: bool) -> str:
    """The named objects, and how they lie: as clearly as the layout of a settled scene needs to be drawn from it."""
    if scene.layout == "nested":
        return rng.choice(INSIDE).format(*(describe(i, rng) for i in items))
    axis = axis_of(items) if len(items) > 1 else None
    if axis:
        items = sorted(items, key=lambda i: getattr(i, axis))
    texts = [describe(i, rng, size) for i, size in zip(items, _size_words(items, scene, rng), strict=True)]
    places = [place(i, scene) for i in items]
    roomy = min(scene.width, scene.height) >= ROOMY
    if scene.layout == "thirds":
        with_places = True
    elif scene.layout == "row" and not partly:
        with_places = roomy and rng.random() < 0.2
    elif scene.layout == "single" and places != ["in the center"]:
        with_places = roomy
    else:
        with_places = roomy and rng.random() < 0.35
    if with_places:
        parts = [f"{text} {where}" for text, where in zip(texts, places, strict=True)]
        rng.shuffle(parts)
        return rng.choice((", ", " and ")).join(parts)
    if len(items) == 1:
        return texts[0]
    if axis and rng.random() < 0.85:
        options = (HORIZONTAL, VERTICAL) if len(items) == 2 else (ROW, COLUMN)
        if len(items) < 4:
            return rng.choice(options[axis == "y"]).format(*texts)
    if scene.layout == "open":
        rng.shuffle(texts)
    return rng.choice(PAIR).format(*texts) if len(items) == 2 else rng.choice((", ", " and ")).join(texts)


def caption(scene: Scene, rng: Random, noise: float = 1.0) -> str:
    """One caption of the scene, to be read at a noise level. Tells colour and shape of all that it names, and the
    background nine times out of ten."""
    items = _named(scene, rng, noise)
    partly = len(items) < len(scene.items)
    text = _arranged(scene, items, rng, partly)
    if partly and rng.random() < 0.4:
        text += rng.choice(MORE)
    if not text.startswith(("on ", "at ", "to ", "above ", "inside ")):
        text = rng.choice(LEAD) + text
    if rng.random() < 0.9:
        text += rng.choice(GROUND).format(scene.background)
    return text
