"""The demo's checker, on drawings whose answer is known."""

import numpy as np
import pytest

from demo.checker import cut, find, shows
from demo.scenes import single
from demo.shapes import PALETTE, Item, Scene, draw

CELL = 128
DRAWINGS = 200


@pytest.fixture(scope="module")
def drawings() -> list[tuple[np.ndarray, Item]]:
    """Cells with one object each, of every size that covers enough of the cell, with a little pixel noise."""
    rng = np.random.default_rng(2024)
    cells = []
    for _ in range(DRAWINGS):
        scene = single(rng, CELL, CELL, (0.75, 0.95))
        noise = rng.normal(0, 6, (CELL, CELL, 3))
        cells.append((np.clip(draw(scene) + noise, 0, 255).astype(np.uint8), scene.items[0]))
    return cells


def test_known_answers_are_found(drawings):
    right = sum(shows(cell, item.color) for cell, item in drawings)
    assert right >= 0.99 * DRAWINGS


def test_wrong_labels_are_refused(drawings):
    rng = np.random.default_rng(7)
    wrong = [str(rng.choice([c for c in PALETTE if c != item.color])) for _, item in drawings]
    accepted = sum(shows(cell, label) for (cell, _), label in zip(drawings, wrong, strict=True))
    assert accepted <= 0.02 * DRAWINGS


def test_shapes_are_told_apart(drawings):
    right = sum(find(cell).shape == item.shape for cell, item in drawings)
    assert right >= 0.97 * DRAWINGS


def test_an_empty_cell_shows_nothing():
    assert find(draw(Scene(CELL, CELL, "gray", ()))).color is None


def test_an_object_under_the_least_share_does_not_count():
    small = draw(Scene(CELL, CELL, "white", (Item("red", "circle", 64, 64, 20),)))
    assert find(small).color is None and find(small).share < 0.15


def test_the_larger_of_two_objects_counts():
    items = (Item("red", "square", 40, 64, 36), Item("green", "circle", 104, 64, 18))
    assert find(draw(Scene(CELL, CELL, "white", items))).color == "red"


def test_cut_takes_the_cell_of_a_picture():
    scene = Scene(256, 256, "black", (Item("cyan", "square", 192, 64, 50),))
    assert find(cut(draw(scene), (0.5, 0, 0.5, 0.5))).color == "cyan"
