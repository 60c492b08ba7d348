"""How layouts are written and become tokens, against the published code's numbers and answers by hand."""

import json
import subprocess
import sys

import pytest
import torch
from rag_pack.rag_sampler.layout import (
    Box,
    Cell,
    LayoutError,
    TokenBox,
    match_prompts,
    parse_split_ratio,
    split_prompts,
)
from rag_pack.rag_sampler.picture import Picture
from rag_pack.rag_sampler.regions import Mask, Region, bound_tokens, guided_tokens
from tiny import GOLDEN, REPO

SPLIT_RATIOS = json.loads((GOLDEN / "split_ratio.json").read_text())
BOXES = json.loads((GOLDEN / "hb_boxes.json").read_text())
RATIOS = json.loads((REPO / "tests" / "canvas_vectors.json").read_text(encoding="utf-8"))["ratios"]


def readable(case: dict) -> bool:
    """Whether the published code read a golden ratio as we do: no value that it silently took for 1."""
    try:
        cells = parse_split_ratio(case["ratio"])
    except LayoutError:
        return False
    return len(cells) == case["n_prompts"] and not set("/%") & set(case["ratio"])


def test_most_golden_ratios_are_readable():
    assert sum(map(readable, SPLIT_RATIOS)) >= 25


@pytest.mark.parametrize("case", list(filter(readable, SPLIT_RATIOS)), ids=lambda case: case["ratio"])
def test_cells_are_the_published_tokens(case):
    cells = parse_split_ratio(case["ratio"])
    for size, published in case["token_cells"].items():
        if isinstance(published, dict):  # the published code fails at sizes that are no multiple of 16
            continue
        width, height = map(int, size.split("x"))
        boxes = [cell.guided_tokens(Picture.of_pixels(width, height)) for cell in cells]
        assert [[b.y0, b.y1, b.x0, b.x1] if b.area else None for b in boxes] == published


@pytest.mark.parametrize(
    "case", BOXES, ids=lambda c: f"{c['width']}x{c['height']}:{c['m_offset']:.3g},{c['m_scale']:.3g}"
)
def test_boxes_are_the_published_tokens(case):
    values = case["m_offset"], case["n_offset"], case["m_scale"], case["n_scale"]
    outside = values[0] < 0 or values[1] < 0 or values[0] + values[2] > 1.01 or values[1] + values[3] > 1.01
    if outside:
        with pytest.raises(LayoutError, match="leaves the image"):
            Box(*values)
        return
    tokens, box = case["tokens"], Box(*values).bound_tokens(Picture.of_pixels(case["width"], case["height"]))
    assert (box.x0, box.y0, box.width, box.height) == (tokens["x0"], tokens["y0"], tokens["w"], tokens["h"])


def test_a_third_written_with_four_decimals_reaches_its_token():
    """0.3333 of 24 columns is 7.9992 of them."""
    third, picture = Box(0, 0, 0.3333, 0.3333), Picture.of_pixels(384, 384)
    assert third.bound_tokens(picture) == third.guided_tokens(picture) == TokenBox(0, 8, 0, 8)


@pytest.mark.parametrize("case", RATIOS, ids=lambda case: ascii(case["ratio"]))
def test_ratios_are_read_as_the_page_reads_them(case):
    if "cells" in case:
        edges = [list(cell.edges) for cell in parse_split_ratio(case["ratio"])]
        assert edges == [pytest.approx(cell) for cell in case["cells"]]
        return
    with pytest.raises(
        LayoutError, match=f"at character {case['at']};" if case["at"] else "write for example|missing"
    ):
        parse_split_ratio(case["ratio"])


@pytest.mark.parametrize(
    ("ratio", "cells"),
    [
        ("1", [(0, 0, 1, 1)]),
        ("1/4, 3/4", [(0, 0, 0.25, 1), (0.25, 0, 1, 1)]),
        ("25%, 75%", [(0, 0, 0.25, 1), (0.25, 0, 1, 1)]),
        ("2; 6", [(0, 0, 1, 0.25), (0, 0.25, 1, 1)]),
        ("1,1,3; 3,1", [(0, 0, 0.25, 0.25), (0.25, 0, 1, 0.25), (0, 0.25, 1, 1)]),
        (" .5 ,\n5e-1 ", [(0, 0, 0.5, 1), (0.5, 0, 1, 1)]),
    ],
)
def test_ratios_by_hand(ratio, cells):
    assert [cell.edges for cell in parse_split_ratio(ratio)] == cells


@pytest.mark.parametrize(
    ("ratio", "message"),
    [
        ("", "is empty"),
        ("0.5; 0.5x", '"0.5x" is not a number above 0 at character 6'),
        ("0.5,,0.5", "a value is missing at character 5"),
        ("0.5,;0.5", "a value is missing at character 5"),
        ("0, 1", '"0" is not a number above 0 at character 1'),
        ("1, -1", '"-1" is not a number above 0 at character 4'),
        ("1/0, 1", '"1/0" is not a number above 0 at character 1'),
        ("nan, 1", '"nan" is not a number above 0'),
        ("1e999, 1", '"1e999" is not a number above 0'),
        ("[1, (x)]", '"x" is not a number above 0 at character 6'),
    ],
)
def test_an_unreadable_ratio_shows_the_place_and_an_example(ratio, message):
    with pytest.raises(LayoutError) as error:
        parse_split_ratio(ratio)
    assert message in str(error.value)
    assert '"0.5, 0.5" (two columns)' in str(error.value)


def test_six_equal_columns_tile_exactly():
    boxes = [cell.guided_tokens(Picture.of_pixels(192, 128)) for cell in parse_split_ratio("1,1,1,1,1,1")]
    assert [(box.x0, box.x1) for box in boxes] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 12)]


def test_break_is_a_word():
    assert split_prompts("a BREAK  b\nBREAK c") == ("a", "b", "c")
    assert split_prompts("a BREAKFAST table") == ("a BREAKFAST table",)
    assert split_prompts("a, BREAK， b,") == ("a", "b,")


def test_a_last_break_makes_no_cell_of_its_own():
    cells = parse_split_ratio("1; 1")
    assert match_prompts(cells, split_prompts("a BREAK b BREAK")) == ("a", "b")
    assert match_prompts(cells, split_prompts("a BREAK")) == ("a", "")


def test_words_that_separate_prompts_elsewhere_are_named():
    with pytest.raises(LayoutError, match=r"holds 1 prompt separated by BREAK \(ADDCOL separates none\)"):
        match_prompts(parse_split_ratio("1; 1"), split_prompts("a ADDCOL b"))


def test_prompts_that_do_not_match_list_the_cells():
    with pytest.raises(LayoutError) as error:
        match_prompts(parse_split_ratio("1; 1"), ("a",))
    assert "2 cells and text holds 1 prompt" in str(error.value)
    assert "1 (0-100 % across, 0-50 % down); 2 (0-100 % across, 50-100 % down)" in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0.5, 0, 0.6, 1), "from x 0.5 to x + width = 1.1"),
        ((0, -0.1, 1, 0.5), "from y -0.1 to y + height = 0.4"),
        ((0, 0, 0, 1), "width is 0; it has to be above 0"),
        ((float("nan"), 0, 1, 1), "x is nan"),
    ],
)
def test_a_box_outside_the_image_is_refused(values, message):
    with pytest.raises(LayoutError, match=message.replace("+", r"\+")):
        Box(*values)


def test_rounded_decimals_may_reach_over_the_border():
    assert Box(0.334, 0, 0.667, 1).bound_tokens(Picture.of_pixels(768, 768)) == TokenBox(0, 48, 16, 48)


def test_touching_boxes_touch_when_they_guide():
    left, right = (
        Box(0, 0, 0.5, 1).guided_tokens(Picture.of_pixels(1008, 512)),
        Box(0.5, 0, 0.5, 1).guided_tokens(Picture.of_pixels(1008, 512)),
    )
    assert (left.x1, right.x0, right.x1) == (31, 31, 63)


def test_a_size_that_is_no_multiple_of_16_keeps_its_last_token():
    assert Cell(0.5, 0, 1, 1).guided_tokens(Picture.of_pixels(248, 256)) == TokenBox(0, 16, 7, 16)


def test_a_region_under_one_token_is_named():
    regions = (Region(Box(0, 0, 0.5, 0.5), []), Region(Box(0.5, 0.5, 0.01, 0.5), [], "a red ball"))
    for rasterise in (bound_tokens, guided_tokens):
        with pytest.raises(LayoutError) as error:
            rasterise(regions, Picture.of_pixels(512, 256))
        assert 'region 2 of 2 ("a red ball") is 5 × 128 pixels' in str(error.value)
        assert "0.031 of the width, 0.062 of the height" in str(error.value)


def test_a_mask_covers_the_tokens_that_are_more_than_half_white():
    pixels = torch.zeros(64, 96)
    pixels[16:40, 32:57] = 1  # rows: a whole token and a half one; columns: a whole token and 9 of 16 pixels
    (tokens,) = bound_tokens((Region(Mask(pixels), []),), Picture.of_pixels(96, 64))
    assert tokens.box == TokenBox(1, 2, 2, 4)
    assert tokens.own.tolist() == [[True, True]]


def test_an_l_shaped_mask_owns_an_l():
    pixels = torch.zeros(48, 48)
    pixels[:, :16] = 1
    pixels[32:, :] = 1
    (tokens,) = bound_tokens((Region(Mask(pixels), []),), Picture.of_pixels(96, 96))
    assert tokens.own.int().tolist() == [[1, 1, 0, 0, 0, 0]] * 4 + [[1] * 6] * 2


def test_a_mask_is_not_stretched_where_the_size_is_no_multiple_of_16():
    pixels = torch.zeros(136, 200)
    pixels[:, 100:] = 1
    (tokens,) = bound_tokens((Region(Mask(pixels), []),), Picture.of_pixels(200, 136))
    assert tokens.box == TokenBox(0, 9, 6, 13)  # 12 of 16 columns of token 6 are white


def test_a_mask_without_a_token_is_refused():
    with pytest.raises(LayoutError, match="covers no token of this 256 × 256 picture"):
        bound_tokens((Region(Mask(torch.full((256, 256), 0.4)), []),), Picture.of_pixels(256, 256))


def test_layouts_need_neither_torch_nor_comfyui():
    code = "import sys, rag_sampler.regions, rag_sampler.layout; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPO, check=False).returncode == 0
