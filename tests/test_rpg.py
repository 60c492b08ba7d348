"""RPG Regional Diffusion: how ratios are written, and what they do to the picture."""

import logging
from dataclasses import replace

import pytest
import torch
from rag_pack.nodes.patches import RAGRPGRegionalDiffusion, RAGSoftRefinementAttention
from rag_pack.rag_sampler.engine import KEY, add_spec
from rag_pack.rag_sampler.layout import Box, Cell, LayoutError, parse_base_ratios
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.methods.rpg import RegionalDiffusion
from rag_pack.rag_sampler.regions import Region
from tiny import conditioning, noise_for, sample, schedule

KEYS = ("S0", "S1", "H1")


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, 4)


@pytest.fixture
def thirds(texts) -> tuple[Region, ...]:
    edges = zip((0, 1 / 3, 2 / 3), (1 / 3, 2 / 3, 1), KEYS, strict=True)
    return tuple(Region(Cell(left, 0, right, 1), conditioning(texts, key), key) for left, right, key in edges)


@pytest.fixture
def bound(model, texts):
    """The MODEL with a box bound in the middle."""
    return add_spec(model, Binding((Region(Box(0.3, 0.2, 0.4, 0.6), conditioning(texts, "H0")),), 2))


def node(model, regions, base_ratio=0.5, base_ratios="", start_percent=0.0, end_percent=1.0):
    return RAGRPGRegionalDiffusion.execute(
        model, regions, base_ratio, start_percent, end_percent, base_ratios
    )[0]


@pytest.mark.parametrize(
    ("text", "ratios"),
    [
        ("", ()),
        (" \n", ()),
        ("0.3", (0.3,)),
        ("0.1, 0.5; 0.9", (0.1, 0.5, 0.9)),
        ("0,1", (0.0, 1.0)),
        ("1/4; 30%", (0.25, 0.3)),
        ("０．３，０．５；", (0.3, 0.5)),
        ("[.2, .4],", (0.2, 0.4)),
        ("1e-1", (0.1,)),
    ],
)
def test_ratios_are_read(text, ratios):
    assert parse_base_ratios(text) == ratios
    assert RAGRPGRegionalDiffusion.validate_inputs(text) is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.5; x", '"0.5; x": "x" is not a number from 0 to 1 at character 6'),
        ("1.5", '"1.5": "1.5" is not a number from 0 to 1 at character 1'),
        ("0.2, -0.1", '"0.2, -0.1": "-0.1" is not a number from 0 to 1 at character 6'),
        ("0.5 0.5", '"0.5 0.5": "0.5 0.5" is not a number from 0 to 1 at character 1'),
        ("0.5,,0.5", '"0.5,,0.5": a value is missing at character 5'),
        ("0.5，二", '"0.5，二": "二" is not a number from 0 to 1 at character 5'),
        ("101%", '"101%": "101%" is not a number from 0 to 1 at character 1'),
        ("1/0", '"1/0": "1/0" is not a number from 0 to 1 at character 1'),
        ("nan", '"nan": "nan" is not a number from 0 to 1 at character 1'),
    ],
)
def test_what_is_no_ratio_is_named_with_its_place(text, said):
    with pytest.raises(LayoutError) as error:
        parse_base_ratios(text)
    right = 'write one value for each region, for example "0.3, 0.5"'
    assert str(error.value) == f"base_ratios {said}; {right}"
    assert RAGRPGRegionalDiffusion.validate_inputs(text) == f"RPG Regional Diffusion: {error.value}"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (
            {"base_ratios": "0.1, 0.2, 0.3, 0.4"},
            "base_ratios holds 4 values and regions 3; write one value for each region",
        ),
        ({"base_ratios": "0.1, x"}, 'base_ratios "0.1, x": "x" is not a number from 0 to 1 at character 6'),
        ({"base_ratios": None}, "base_ratios is nothing; it has to be a text"),
        ({"base_ratio": 1.2}, r"base_ratio is 1\.2; it has to be a number from 0\.0 to 1\.0"),
        ({"start_percent": 0.5, "end_percent": 0.2}, r"start_percent is 0\.5 and end_percent 0\.2"),
    ],
)
def test_bad_input_is_refused_and_leaves_the_model_as_it_is(model, thirds, inputs, said):
    before = dict(model.model_options["transformer_options"])
    with pytest.raises(ValueError, match=f"^RPG Regional Diffusion: {said}"):
        node(model, thirds, **inputs)
    assert model.model_options["transformer_options"] == before and KEY not in before


@pytest.mark.parametrize(
    ("base_ratio", "base_ratios", "deltas"),
    [
        (0.25, "", (0.75, 0.75, 0.75)),
        (0.25, "0.5", (0.5, 0.5, 0.5)),
        (0.25, "0; 0.5", (1.0, 0.5, 0.5)),
        (0.25, "0, 0.5, 1", (1.0, 0.5, 0.0)),
    ],
)
def test_the_last_ratio_counts_for_the_rest(model, thirds, base_ratio, base_ratios, deltas):
    (spec,) = node(model, thirds, base_ratio, base_ratios).model_options["transformer_options"][KEY]
    assert spec.deltas == deltas


@pytest.mark.parametrize("beside", ["nothing", "a bound box"])
@pytest.mark.parametrize("ratio", [0.25, 0.7])
def test_equal_ratios_are_soft_refinement_on_one_stream(model, bound, thirds, setting, ratio, beside):
    model = bound if beside == "a bound box" else model
    shared = add_spec(model, Refinement(thirds, 1 - ratio, published=False))
    assert torch.equal(sample(node(model, thirds, ratio), *setting), sample(shared, *setting))


def test_ratio_0_is_soft_refinement_with_delta_1(model, thirds, setting):
    whole = add_spec(model, Refinement(thirds, 1.0))
    assert torch.equal(sample(node(model, thirds, 0.0), *setting), sample(whole, *setting))


def test_ratio_1_is_the_stock_run(model, thirds, setting, caplog):
    stock = sample(model, *setting)
    assert torch.equal(sample(node(model, thirds, 1.0), *setting), stock)
    assert torch.equal(sample(node(model, thirds, 0.5, "1"), *setting), stock)
    assert "RPG Regional Diffusion has base_ratio 1 and changes nothing" in caplog.text


def test_every_region_has_its_own_ratio(model, thirds, setting):
    """The share of each is what delta 1 and a strength make it (tests/test_direct.py)."""
    ratios = (0.2, 0.6, 0.9)
    strengths = [replace(one, strength=1 - ratio) for one, ratio in zip(thirds, ratios, strict=True)]
    right = sample(add_spec(model, Refinement(tuple(strengths), 1.0)), *setting)
    assert torch.equal(sample(node(model, thirds, 0.5, "0.2, 0.6; 0.9"), *setting), right)
    assert (sample(node(model, thirds, 0.5, "0.9, 0.6; 0.2"), *setting) - right).abs().max() > 1e-2


def test_a_strength_multiplies_the_share_of_its_region(model, thirds, setting):
    weak = (thirds[0], replace(thirds[1], strength=0.5), thirds[2])
    assert torch.equal(
        sample(node(model, weak, 0.2), *setting), sample(node(model, thirds, 0.2, "0.2, 0.6, 0.2"), *setting)
    )


def test_a_ratio_of_1_takes_one_region_out(model, thirds, setting):
    runs = [
        sample(node(model, regions, 0.5, ratios), *setting)
        for regions, ratios in ((thirds, "0.5, 0.5, 1"), (thirds[:2], "0.5"))
    ]
    assert torch.equal(*runs)


def test_beside_a_bound_box_ratio_0_is_the_limit_of_small_ratios(bound, thirds, setting):
    """The one stream shows the bound box's states to all regions; Soft Refinement's delta 1 does not."""
    none, little = (sample(node(bound, thirds, ratio), *setting) for ratio in (0.0, 1e-5))
    assert (none - little).abs().max() < 1e-3
    assert (none - sample(add_spec(bound, Refinement(thirds, 1.0)), *setting)).abs().max() > 1e-2


@pytest.mark.parametrize("last", ["RPG", "Soft Refinement"])
def test_the_last_of_two_methods_wins_and_the_log_says_so(model, thirds, setting, caplog, last):
    def refined(model):
        return RAGSoftRefinementAttention.execute(model, thirds, 0.5, 0.0, 1.0, "published")[0]

    if last == "RPG":
        both, alone = node(refined(model), thirds, 0.2), node(model, thirds, 0.2)
    else:
        both, alone = refined(node(model, thirds, 0.2)), refined(model)
    found = sample(both, *setting)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    other = {"RPG", "Soft Refinement"} - {last}
    assert said == [
        f"RAG: 2 nodes of {other.pop()} and {last} work at the same time; the last in the chain wins"
    ]
    assert torch.equal(found, sample(alone, *setting))


@pytest.mark.parametrize(
    ("ratios", "told"), [("", "base_ratio 0.25"), ("0.3; 0.5", "base_ratio 0.3, 0.5 and strengths 1, 0.6, 1")]
)
def test_the_log_tells_ratios_and_strengths(model, thirds, setting, caplog, ratios, told):
    weak = (thirds[0], replace(thirds[1], strength=0.6), thirds[2]) if "strengths" in told else thirds
    with caplog.at_level(logging.INFO):
        sample(node(model, weak, 0.25, ratios), *setting)
    assert f"3 cells (100% of the tokens) guided with {told} in 5 of 5 blocks, 1 image streams" in caplog.text


def test_a_window_of_time_limits_it(model, thirds, setting):
    """Its first step alone works, in a window that ends right after the start."""
    short = sample(node(model, thirds, 0.0, start_percent=0.0, end_percent=0.1), *setting)
    stock, whole = sample(model, *setting), sample(node(model, thirds, 0.0), *setting)
    assert torch.equal(short[1], whole[1]) and not torch.equal(short[1], stock[1])
    assert not torch.equal(short[-1], whole[-1])


def test_the_spec_of_the_node(model, thirds):
    (spec,) = node(model, thirds, 0.3, "", 0.1, 0.8).model_options["transformer_options"][KEY]
    assert isinstance(spec, RegionalDiffusion)
    assert (spec.regions, spec.base_ratios) == (thirds, (0.3,))
    assert (spec.start_percent, spec.end_percent) == (0.1, 0.8)
