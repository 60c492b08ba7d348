"""The pictures of `dev.py demo`."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from live_comfyui import WORKFLOWS, Live
from PIL import Image

from demo.checker import cut, find
from demo.run import PICTURES, Picture, make
from demo.workflow import read


def drawn(live: Live, picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(make(live.server, picture))).convert("RGB")).astype(int)


def test_the_pictures():
    assert [picture.name for picture in PICTURES] == [
        "four_regions_layout",
        "four_regions_plain_prompt",
        "four_regions_bound_seed_1",
        "four_regions_bound_seed_2",
        "any_sampler_plain_prompt",
        "any_sampler_bound_seed_1",
        "any_sampler_bound_seed_2",
        "repaint_strip",
        "lora_of_two_regions",
        "controlnet_strip",
        "methods_sheet",
        "planner_layout",
        "planner_seed_1",
    ]


def test_a_sentence_becomes_a_layout_and_a_picture(live: Live):
    """Three boxes on an unlit ground; then a picture in which the upper and the lower half differ."""
    layout, picture = (drawn(live, planned) for planned in PICTURES[-2:])
    assert layout.shape == picture.shape == (256, 256, 3)
    middles = [layout[y, x] for y, x in ((100, 64), (100, 192), (225, 128))]
    assert min(abs(a - b).max() for i, a in enumerate(middles) for b in middles[:i]) > 8
    assert abs(picture[:128].mean((0, 1)) - picture[128:].mean((0, 1))).max() > 8


def test_the_sheet_of_methods_shows_eight_pictures(live: Live):
    """Four alone, all different; below them four behind Hard Binding, which show what the first of them shows."""
    (picture,) = (picture for picture in PICTURES if picture.name == "methods_sheet")
    sheet = drawn(live, picture)
    assert sheet.shape == (2 * 256 + 8, 4 * 256 + 3 * 8, 3)
    rows = [[sheet[y : y + 256, x : x + 256] for x in range(0, 1048, 264)] for y in (0, 264)]
    alone, bound = rows
    assert min(abs(a - b).mean() for i, a in enumerate(alone) for b in alone[:i]) > 1
    assert max(abs(bound[0] - other).mean() for other in bound[1:]) < 2


@pytest.mark.parametrize("prefix", ["four_regions", "any_sampler"])
def test_the_regions_and_the_seed_change_the_picture(live: Live, prefix: str):
    """Mean difference of two pictures in levels of 255."""
    named = {picture.name.removeprefix(prefix): picture for picture in PICTURES}
    plain, bound, other = (
        drawn(live, named[name]) for name in ("_plain_prompt", "_bound_seed_1", "_bound_seed_2")
    )
    assert bound.shape == (256, 256, 3)
    assert abs(bound - plain).mean() > 1
    assert abs(bound - other).mean() > 1


def test_the_layout_shows_four_regions(live: Live):
    """Another picture than the decoded ones, with a colour of its own in each quarter."""
    layout = drawn(live, PICTURES[0])
    quarters = [layout[y : y + 128, x : x + 128].mean((0, 1)) for y in (0, 128) for x in (0, 128)]
    apart = [abs(a - b).max() for i, a in enumerate(quarters) for b in quarters[:i]]
    assert min(apart) > 8


def test_two_of_four_regions_have_a_lora(live: Live):
    """Stripes on their objects and on no other; on none without it."""
    picture = next(picture for picture in PICTURES if picture.name == "lora_of_two_regions")
    nodes = read(WORKFLOWS / f"{picture.workflow}.json")["nodes"]
    canvas = next(node for node in nodes if node["type"] == "RAGRegionCanvas")
    drawing = json.loads(canvas["widgets_values"][-1])
    bare = [{key: value for key, value in region.items() if key != "loras"} for region in drawing["regions"]]
    without = replace(picture, changes={("RAGRegionCanvas", "regions"): json.dumps(bare)})

    def striped(picture: Picture) -> list[bool]:
        pixels = drawn(live, picture).astype(np.uint8)
        found = [find(cut(pixels, (x, y, 0.5, 0.5))) for y in (0.0, 0.5) for x in (0.0, 0.5)]
        return [one is not None and one.striped for one in found]

    assert striped(picture) == [True, False, False, True]
    assert striped(without) == [False] * 4


def test_the_second_picture_follows_the_outlines_of_the_first(live: Live):
    """The strip is picture 1, its outlines, picture 2: without the ControlNet the last alone is another one."""
    picture = next(picture for picture in PICTURES if picture.name == "controlnet_strip")
    without = replace(picture, changes={("ControlNetApplyAdvanced", "strength"): 0.0})
    strip, plain = drawn(live, picture), drawn(live, without)
    assert strip.shape == (256, 768, 3)
    assert (strip[:, :512] == plain[:, :512]).all()
    outlines = strip[:, 256:512]
    assert set(np.unique(outlines)) == {0, 255} and 0 < outlines.mean() < 64
    assert abs(strip[:, 512:] - plain[:, 512:]).mean() > 1
