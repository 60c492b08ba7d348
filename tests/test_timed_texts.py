"""Prompts of regions that change on the way (Set Timestep Range, prompt schedules), in every attention method."""

import pytest
import torch
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.methods.regional_prompting import RegionalPrompting
from rag_pack.rag_sampler.methods.rpg import RegionalDiffusion
from rag_pack.rag_sampler.regions import Region
from tiny import conditioning, noise_for, sample, schedule

STEPS = 6
LEFT, RIGHT = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)
METHODS = {
    "Soft Refinement": lambda regions, start, end: Refinement(regions, 0.6, start, end),
    "RPG": lambda regions, start, end: RegionalDiffusion(regions, (0.3, 0.5), start, end),
    "Regional Prompting": lambda regions, start, end: RegionalPrompting(regions, 0.2, start, end),
}


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)


def timed(texts, *parts: tuple[str, float, float]) -> list:
    """A CONDITIONING as Conditioning (Combine) makes it of texts with Set Timestep Range."""
    return [
        e for key, start, end in parts for e in conditioning(texts, key, start_percent=start, end_percent=end)
    ]


def fixed(texts, key: str, shape) -> Region:
    return Region(shape, conditioning(texts, key), key)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", [(0.0, 1.0), (0.2, 0.8)])
def test_each_step_reads_the_text_that_is_in_its_time(model, texts, setting, caplog, method, window):
    """As with a node for each part of the sampling, but that none is in the other's way where they meet."""
    make, (start, end) = METHODS[method], window
    changing = Region(LEFT, timed(texts, ("S1", 0.5, 1.0), ("S0", 0.0, 0.5)))
    right = fixed(texts, "S2", RIGHT)
    found = sample(add_spec(model, make((changing, right), start, end)), *setting)
    assert "wins" not in caplog.text
    first = add_spec(model, make((fixed(texts, "S0", LEFT), right), start, 0.5))
    expected = sample(add_spec(first, make((fixed(texts, "S1", LEFT), right), 0.5, end)), *setting)
    assert torch.equal(found, expected)
    assert (
        found - sample(add_spec(model, make((fixed(texts, "S0", LEFT), right), start, end)), *setting)
    ).abs().max() > 0.1


@pytest.mark.parametrize("method", ["Soft Refinement", "Regional Prompting"])
def test_out_of_its_time_a_region_is_not_there(model, texts, setting, method):
    """Nor does it hide one that lies below it."""
    make = METHODS[method]
    below, over = fixed(texts, "S2", Box(0, 0, 0.8, 1)), Box(0.4, 0, 0.6, 1)
    early = Region(over, timed(texts, ("S0", 0.0, 0.5)))
    found = sample(add_spec(model, make((below, early), 0.0, 1.0)), *setting)
    first = add_spec(model, make((below, fixed(texts, "S0", over)), 0.0, 0.5))
    assert torch.equal(found, sample(add_spec(first, make((below,), 0.5, 1.0)), *setting))


def test_ratios_stay_those_of_their_regions(model, texts, setting):
    """RPG counts ratios in the order of the list, whoever is there."""
    early, late = Region(LEFT, timed(texts, ("S0", 0.0, 0.5))), fixed(texts, "S2", RIGHT)
    found = sample(add_spec(model, RegionalDiffusion((early, late), (0.3, 0.5))), *setting)
    first = add_spec(model, RegionalDiffusion((fixed(texts, "S0", LEFT), late), (0.3, 0.5), 0.0, 0.5))
    assert torch.equal(found, sample(add_spec(first, RegionalDiffusion((late,), (0.5,), 0.5, 1.0)), *setting))


@pytest.mark.parametrize("method", METHODS)
def test_ranges_that_overlap_are_refused_by_name(texts, method):
    both = Region(RIGHT, timed(texts, ("S0", 0.0, 0.6), ("S1", 0.4, 1.0)), "a fox")
    with pytest.raises(ValueError) as error:
        METHODS[method]((fixed(texts, "S2", LEFT), both), 0.0, 1.0)
    message = str(error.value)
    assert 'region 2 of 2 ("a fox") has 2 entries (0 to 0.6, 0.4 to 1 of the sampling)' in message
    assert f"{method} reads one text at a time" in message


def test_regions_without_a_time_in_common_with_the_node_are_told_of(model, texts, setting, caplog):
    late = (Region(LEFT, timed(texts, ("S0", 0.6, 1.0))),)
    found = sample(add_spec(model, Refinement(late, 1.0, 0.0, 0.5)), *setting)
    assert torch.equal(found, sample(model, *setting))
    assert "no region's text has a time in which it works; it changes nothing" in caplog.text
