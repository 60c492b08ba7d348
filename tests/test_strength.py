"""A region's strength: what it does to the picture, and where it is told."""

import logging
import re
from dataclasses import replace

import pytest
import torch
from rag_pack.nodes.layout import RAGLayoutPreview
from rag_pack.nodes.regions import RAGRegionStrength
from rag_pack.rag_sampler import preview
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from tiny import conditioning, noise_for, sample, schedule

LEFT, RIGHT = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, 4)


@pytest.fixture
def halves(texts) -> tuple[Region, ...]:
    return Region(LEFT, conditioning(texts, "S0"), "left"), Region(RIGHT, conditioning(texts, "S1"), "right")


@pytest.fixture(params=[False, True], ids=["alone", "beside a bound box"])
def patched(request, model, texts):
    """The MODEL, as it is or with a box bound in the middle."""
    if not request.param:
        return model
    return add_spec(model, Binding((Region(Box(0.2, 0.2, 0.5, 0.5), conditioning(texts, "H0")),), 2))


def weaker(regions: tuple[Region, ...], *strengths: float) -> tuple[Region, ...]:
    return tuple(replace(region, strength=s) for region, s in zip(regions, strengths, strict=True))


FIDELITIES = pytest.mark.parametrize(("delta", "published"), [(0.5, True), (0.5, False), (1.0, True)])


@FIDELITIES
def test_a_region_of_strength_0_is_not_there(patched, setting, halves, delta, published):
    """To the bit, in both image streams."""
    found, right, other = (
        sample(add_spec(patched, Refinement(regions, delta, published=published)), *setting)
        for regions in (weaker(halves, 1.0, 0.0), halves[:1], halves)
    )
    assert torch.equal(found, right)
    assert (found - other).abs().max() > 1e-2


@FIDELITIES
def test_strengths_near_0_and_1_are_near_their_limits(patched, setting, halves, delta, published):
    """In both image streams."""
    none, little, half, much, whole = (
        sample(
            add_spec(patched, Refinement(weaker(halves, 1.0, strength), delta, published=published)), *setting
        )
        for strength in (0.0, 1e-4, 0.5, 1 - 1e-4, 1.0)
    )
    assert (little - none).abs().max() < 1e-3 < 1e-2 < (half - none).abs().max()
    assert (much - whole).abs().max() < 1e-3 < 1e-2 < (half - whole).abs().max()


def test_a_region_of_strength_0_costs_nothing(model, setting, halves, caplog):
    with caplog.at_level(logging.INFO):
        for regions in (weaker(halves, 1.0, 0.0), halves[:1], halves):
            sample(add_spec(model, Refinement(regions, 0.5)), *setting)
    found, right, other = re.findall(r"([\d.]+) × the cost", caplog.text)
    assert found == right != other


def test_strength_0_everywhere_is_the_stock_run(model, setting, halves, caplog):
    refined = sample(add_spec(model, Refinement(weaker(halves, 0.0, 0.0), 0.5)), *setting)
    assert torch.equal(refined, sample(model, *setting))
    assert "Soft Refinement Attention has delta 0.5 and strengths 0, 0 and changes nothing" in caplog.text


def test_equal_strengths_in_one_stream_are_a_smaller_delta(model, setting, halves):
    half = Refinement(weaker(halves, 0.5, 0.5), 0.5, published=False)
    quarter = Refinement(halves, 0.25, published=False)
    assert torch.equal(sample(add_spec(model, half), *setting), sample(add_spec(model, quarter), *setting))


def test_a_token_under_a_later_region_of_strength_0_follows_the_base_prompt(model, texts, setting, halves):
    """Not the region below: the later one wins."""
    over = (replace(halves[0], shape=Cell(0, 0, 1, 1)), replace(halves[1], strength=0.0))
    runs = [sample(add_spec(model, Refinement(regions, 1.0)), *setting) for regions in (over, halves[:1])]
    assert torch.equal(*runs)


def test_the_log_tells_strengths(model, setting, halves, caplog):
    with caplog.at_level(logging.INFO):
        sample(add_spec(model, Refinement(weaker(halves, 1.0, 0.6), 0.5)), *setting)
        sample(add_spec(model, Refinement(halves, 1.0)), *setting)
    assert "refined with delta 0.5 and strengths 1, 0.6 in 5 of 5 blocks" in caplog.text
    assert "refined with delta 1 in 5 of 5 blocks" in caplog.text


def test_hard_binding_takes_no_notice_and_says_so(model, setting, halves, caplog):
    weak, whole = (
        sample(add_spec(model, Binding(regions, 1)), *setting)
        for regions in (weaker(halves, 1.0, 0.6), halves)
    )
    assert torch.equal(weak, whole)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == [
        "RAG: Hard Binding binds regions whole; the strength of region 2 counts in attention methods alone"
    ]


@pytest.mark.parametrize(("region", "expected"), [(0, (0.5, 0.5)), (1, (0.5, 1.0)), (2, (1.0, 0.5))])
def test_the_node_sets_one_or_all(halves, region, expected):
    found = RAGRegionStrength.execute(halves, region, 0.5)[0]
    assert tuple(one.strength for one in found) == expected
    assert [(one.shape, one.conditioning, one.text) for one in found] == [
        (one.shape, one.conditioning, one.text) for one in halves
    ]
    assert [one.strength for one in halves] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((3, 0.5), "region is 3 and the layout holds 2 regions; write 1 to 2, or 0 for all of them"),
        ((1, 1.5), r"strength is 1.5; it has to be a number from 0.0 to 1.0"),
        ((-1, 0.5), "region is -1; it has to be a whole number from 0 to 4096"),
    ],
)
def test_the_node_refuses(halves, inputs, message):
    with pytest.raises(ValueError, match=f"^Region Strength: {message}"):
        RAGRegionStrength.execute(halves, *inputs)


def test_the_preview_tells_a_strength_below_1(halves, monkeypatch):
    told, label = [], preview._label
    monkeypatch.setattr(preview, "_label", lambda *args: told.append(args[3]) or label(*args))
    weak = RAGLayoutPreview.execute(weaker(halves, 1.0, 0.6), 512, 512)[0]
    assert told == ["50%", "50% · 0.6"]
    changed = (weak - RAGLayoutPreview.execute(halves, 512, 512)[0]).abs().amax((0, 1, 3)) > 0
    assert changed[256:].any() and not changed[:256].any()


def test_the_preview_has_the_signs_for_it():
    font = preview._font(20)
    missing = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(sign)) != missing for sign in "0.6%·")
