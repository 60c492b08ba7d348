"""The demo's checker, on drawings whose answer is known and that its network has not seen."""

from random import Random

import numpy as np
import pytest

from demo.checker import cut, drawing, find, objects
from demo.shapes import PALETTE, SHAPES, Item, Scene, draw

CELL, DRAWINGS = 128, 600


@pytest.fixture(scope="module")
def held_out() -> list:
    """What the checker finds in roughened drawings of one object each, and what they are."""
    rng = Random("held out")
    drawings = [drawing(rng) for _ in range(DRAWINGS)]
    return [(find(cell), item) for cell, item in drawings]


def test_colour_and_shape_of_held_out_drawings_are_found(held_out):
    right = sum(found is not None and found.is_a(item.color, item.shape) for found, item in held_out)
    assert right >= 0.99 * DRAWINGS


def test_stripes_are_seen(held_out):
    right = sum(found is not None and found.striped == item.striped for found, item in held_out)
    assert right >= 0.98 * DRAWINGS


def test_every_colour_and_shape_is_known():
    for color in PALETTE:
        for shape in SHAPES:
            ground = "black" if color not in ("black", "brown", "blue", "purple") else "white"
            found = find(draw(Scene(CELL, CELL, ground, (Item(color, shape, 60, 66, 50),))))
            assert found.is_a(color, shape), (color, shape, found)


def test_an_empty_cell_shows_nothing():
    assert find(draw(Scene(CELL, CELL, "gray", ()))) is None


def test_a_speck_does_not_count():
    small = draw(Scene(CELL, CELL, "white", (Item("red", "circle", 64, 64, 8),)))
    assert find(small) is None
    assert find(small, least_share=0.005).color == "red"


def test_objects_come_the_largest_first_with_their_extents():
    items = (Item("red", "square", 40, 64, 36), Item("green", "circle", 104, 64, 18))
    first, second = objects(draw(Scene(CELL, CELL, "white", items)))
    assert first.is_a("red", "square") and second.is_a("green", "circle")
    np.testing.assert_allclose(second.extent, (104 - 17, 64 - 17, 104 + 17, 64 + 17), atol=2)


def test_cut_takes_the_cell_of_a_picture():
    scene = Scene(256, 256, "black", (Item("cyan", "square", 192, 64, 50),))
    assert find(cut(draw(scene), (0.5, 0, 0.5, 0.5))).is_a("cyan", "square")
