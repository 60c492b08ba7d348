"""The README's pictures: a caption counts what the picture below it shows."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.picture import (
    BLUE,
    GAP,
    LAYOUT,
    RIGHT,
    WRONG,
    Painter,
    counted,
    difference,
    judged,
    main,
    mark,
    page,
)
from demo.scenes import STRIPED
from demo.shapes import Item, Scene, draw

DOCS = Path(__file__).resolve().parent.parent / "docs"
NAMES = ["nine_regions.png", "region_lora.png", "repaint.png"]


def drawing(**changes: dict) -> np.ndarray:
    """What the layout asks for, the objects by number changed."""
    items = []
    for number, ((x, y, w, h), (color, shape)) in enumerate(zip(LAYOUT.cells, LAYOUT.objects, strict=True)):
        item = Item(color, shape, (x + w / 2) * LAYOUT.width, (y + h / 2) * LAYOUT.height, 50)
        items.append(replace(item, **changes.get(f"_{number}", {})))
    return draw(Scene(LAYOUT.width, LAYOUT.height, LAYOUT.background, tuple(items)))


def test_one_command_makes_small_pictures(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture):
    """Two steps make no shapes; but outside a repainted region nothing at all may change."""
    monkeypatch.setattr(logging.getLogger(), "filters", [])  # the command's own would outlive it here
    main(["--out", str(tmp_path)], Painter(steps=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    assert "difference of the latents: largest outside the region: 0\n" in capsys.readouterr().out
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert picture.width == (1608 if path.name == NAMES[0] else 1200)


@pytest.mark.parametrize("name", NAMES)
def test_the_pictures_in_docs_load_fast_and_are_sharp(name: str):
    assert (DOCS / name).stat().st_size < 150_000
    with Image.open(DOCS / name) as picture:
        assert 1000 <= picture.width <= 1700


@pytest.mark.parametrize(
    ("changes", "wrong"), [({}, []), ({"_1": {"color": "purple"}, "_8": {"shape": "circle"}}, [1, 8])]
)
def test_a_caption_counts_what_is_right(changes: dict, wrong: list[int]):
    panel = judged("title", drawing(**changes), LAYOUT)
    assert [number for number, right in enumerate(panel.marks) if not right] == wrong
    assert panel.note == f"{9 - len(wrong)} of 9 right"
    assert panel.color == (WRONG if wrong else RIGHT)


def test_a_mark_stands_in_the_corner_of_its_cell():
    panel = judged("title", drawing(_4={"shape": "star"}), LAYOUT)
    sheet = np.asarray(page([panel, panel], LAYOUT))
    top = sheet.shape[0] - LAYOUT.height
    for left in (0, LAYOUT.width + GAP):
        for number, (x, y, w, h) in enumerate(LAYOUT.cells):
            right, bottom = left + round((x + w) * LAYOUT.width), top + round((y + h) * LAYOUT.height)
            assert tuple(sheet[bottom - 11, right - 20]) == (WRONG if number == 4 else RIGHT)
    assert mark(True).tobytes() != mark(False).tobytes()


def test_a_caption_counts_stripes_where_they_were_asked_for_and_elsewhere():
    able = [n for n, (color, _) in enumerate(LAYOUT.objects) if color in STRIPED[LAYOUT.background]]
    picture = drawing(**{f"_{number}": {"striped": True} for number in able[:3]})
    assert counted(picture, LAYOUT, tuple(able[1:3])) == "striped: 2 of 2, others 1 of 7"


@pytest.mark.parametrize(("moved", "said"), [(0.0, "0"), (0.25, "0.25")])
def test_the_difference_is_white_where_nothing_changed(moved: float, said: str):
    before, mask = torch.zeros(1, 16, 6, 6), torch.zeros(1, 48, 48)
    mask[:, 16:32, 16:32] = 1
    after = before.clone()
    after[:, 3, 2:4, 2:4] = -4.0
    after[:, 5, 0, 0] = moved
    panel = difference(before, after, mask)
    assert panel.note == f"largest outside the region: {said}"
    assert (panel.picture[16:32, 16:32] == BLUE).all()
    assert (panel.picture[:8, :8] == 255).all() == (moved == 0)
    assert (panel.picture[32:] == 255).all()
