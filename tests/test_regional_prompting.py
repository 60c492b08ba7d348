"""What Regional Prompting promises beside the golden runs: identities with stock runs, its cost, and what it tells."""

import logging
import math

import families
import pytest
import torch
from rag_pack.nodes.patches import RAGRegionalPrompting
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.attention_method import Live
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.methods.regional_prompting import Group, RegionalPrompting, group_mask
from rag_pack.rag_sampler.picture import Picture
from rag_pack.rag_sampler.regions import Mask, Region
from test_direct import Shapes
from test_redux import redux
from tiny import basic_guider, cfg_guider, conditioning, noise_for, run, sample, schedule
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

STEPS = 5
WHOLE, LEFT, RIGHT = Cell(0, 0, 1, 1), Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)
BOXES = Box(0, 0, 0.6, 0.7), Box(0.4, 0.3, 0.5, 0.7)


@pytest.fixture
def setting(model, texts):
    """A base prompt, noise for 128 × 192 pixels and a schedule."""
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)


def regions(texts, *pairs, **fields) -> tuple[Region, ...]:
    return tuple(Region(shape, conditioning(texts, key), key, **fields) for shape, key in pairs)


def two(texts, **fields) -> tuple[Region, ...]:
    return regions(texts, *zip(BOXES, ("S0", "S1"), strict=True), **fields)


def prompting(model, found: tuple[Region, ...], base_ratio: float, end_percent: float = 1.0, **fields):
    return add_spec(model, RegionalPrompting(found, base_ratio, end_percent=end_percent, **fields))


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_base_ratio_1_is_the_stock_run_to_the_bit(model, texts, setting):
    base, noise, sigmas = setting
    patched, negative = prompting(model, two(texts), 1.0), conditioning(texts, "G1")
    assert torch.equal(sample(patched, *setting), sample(model, *setting))
    with_cfg = [run(cfg_guider(m, base, negative, 3.0), noise, sigmas)[0] for m in (patched, model)]
    assert torch.equal(*with_cfg)


@pytest.mark.parametrize("intervals", [(1, 1), (2, 3), (1000, 1000)])
def test_one_region_over_the_picture_is_the_stock_run_with_its_text(model, texts, setting, intervals):
    base, noise, sigmas = setting
    double, single = intervals
    found = regions(texts, (WHOLE, "S0"))
    patched = prompting(model, found, 0.0, double_interval=double, single_interval=single)
    close(sample(patched, *setting), sample(model, [[texts["t5.S0"], base[0][1]]], noise, sigmas))


@pytest.mark.parametrize("name", [*families.CONFIGS, "Chroma"])
@pytest.mark.parametrize(("base_ratio", "published"), [(0.0, True), (0.3, True), (0.3, False)])
def test_the_base_prompts_text_over_the_picture_is_the_stock_run(name, base_ratio, published, tmp_path):
    """On every family: its text's positions begin anew, and the second image stream is dropped at the end."""
    model = families.load(name, tmp_path)
    setting = families.conditioning(1), families.noise(model, 6, 8), schedule(model, 3)
    found = (Region(WHOLE, families.conditioning(1)),)
    close(sample(prompting(model, found, base_ratio, published=published), *setting), sample(model, *setting))


def test_at_base_ratio_0_the_base_text_is_not_read(model, texts, setting):
    base, noise, sigmas = setting
    patched = prompting(model, two(texts), 0.0, background=False)
    other = [[texts["t5.G1"], base[0][1]]]
    assert torch.equal(sample(patched, *setting), sample(patched, other, noise, sigmas))


@pytest.mark.parametrize("base_ratio", [0.0, 0.3])
@pytest.mark.parametrize("strength", [None, 0.3], ids=["", "with a mask of Redux"])
def test_the_background_is_one_more_region_with_the_base_prompt(model, texts, setting, base_ratio, strength):
    _, noise, sigmas = setting
    base = redux(texts, "G0", strength) if strength else conditioning(texts, "G0")
    uncovered = torch.ones(8, 12)
    for box in BOXES:
        tokens = box.guided_tokens(Picture(16, 24))
        uncovered[tokens.y0 : tokens.y1, tokens.x0 : tokens.x1] = 0
    pixels = uncovered.repeat_interleave(16, 0).repeat_interleave(16, 1)
    drawn = prompting(model, (*two(texts), Region(Mask(pixels), base)), base_ratio, background=False)
    patched = prompting(model, two(texts), base_ratio)
    found = sample(patched, base, noise, sigmas)
    close(found, sample(drawn, base, noise, sigmas))
    bare = sample(prompting(model, two(texts), base_ratio, background=False), base, noise, sigmas)
    assert (found - bare).abs().max() > 1e-2


@pytest.mark.parametrize("name", [*families.CONFIGS, "Chroma"])
def test_the_background_on_every_family(name, tmp_path):
    model = families.load(name, tmp_path)
    setting = families.conditioning(1), families.noise(model, 6, 8), schedule(model, 3)
    left, right = Region(LEFT, families.conditioning(2)), Region(RIGHT, families.conditioning(1))
    found = sample(prompting(model, (left,), 0.2), *setting)
    close(found, sample(prompting(model, (left, right), 0.2), *setting))
    assert (found - sample(model, *setting)).abs().max() > 1e-2


def test_a_second_image_stream_sees_bound_states(model, texts, setting):
    """The base prompt's text over the picture changes nothing where a box is bound, in either stream."""
    bound = add_spec(model, Binding(regions(texts, (Box(0, 0.1, 0.4, 0.8), "H0")), 3))
    patched = prompting(bound, regions(texts, (WHOLE, "G0")), 0.3)
    close(sample(patched, *setting), sample(bound, *setting))


@pytest.mark.parametrize("single_interval", [1, 2])
def test_strength_is_the_share_of_a_regions_own_result(model, texts, setting, single_interval):
    fields = {"single_interval": single_interval}
    halved = prompting(model, regions(texts, (WHOLE, "S0"), strength=0.5), 0.0, **fields)
    close(sample(halved, *setting), sample(prompting(model, regions(texts, (WHOLE, "S0")), 0.5), *setting))
    silent = prompting(model, regions(texts, (LEFT, "S0"), (RIGHT, "S1"), strength=0.0), 0.2, **fields)
    close(sample(silent, *setting), sample(model, *setting))


# Beside others


def test_of_two_methods_the_last_one_that_is_active_wins(model, texts, setting, caplog):
    """Regional Prompting in its window, and Soft Refinement after it; told once."""
    cells = regions(texts, (LEFT, "H0"), (RIGHT, "H1"))
    both = prompting(add_spec(model, Refinement(cells, 1.0)), two(texts), 0.2, 0.5)
    found = sample(both, *setting)
    assert sum("Soft Refinement and Regional Prompting" in record.message for record in caplog.records) == 1
    caplog.clear()
    apart = prompting(add_spec(model, Refinement(cells, 1.0, start_percent=0.5)), two(texts), 0.2, 0.5)
    assert torch.equal(found, sample(apart, *setting)) and "wins" not in caplog.text
    turned = add_spec(prompting(model, two(texts), 0.2, 0.5), Refinement(cells, 1.0))
    assert torch.equal(sample(turned, *setting), sample(add_spec(model, Refinement(cells, 1.0)), *setting))


@pytest.mark.parametrize("strength", [None, 0.3])
def test_a_region_may_carry_redux(model, texts, setting, strength):
    base, noise, sigmas = setting
    own = redux(texts, "S0", strength)
    patched = prompting(model, (Region(WHOLE, own),), 0.0)
    close(
        sample(patched, *setting),
        sample(
            model, [[own[0][0], {**own[0][1], "pooled_output": base[0][1]["pooled_output"]}]], noise, sigmas
        ),
    )


def test_the_mask_of_an_overlap_has_each_texts_own_columns():
    """Texts of 1 and 2 tokens; of four image tokens in a row region 1 has the first three, region 2 the last two."""

    def region(text: int, first: float) -> Region:
        mask = first + torch.arange((text + 4) ** 2, dtype=torch.float32).unflatten(0, (text + 4, text + 4))
        options = {"attention_mask": mask[None], "attention_mask_img_shape": (1, 4)}
        return Live(Region(None, [[torch.zeros(1, text, 1), options]]), None, 1.0)

    found = group_mask(
        (region(1, 0), region(2, 100)), Group((1, 2), torch.tensor([2]), torch.arange(4)), Picture(2, 8)
    )
    assert found.tolist() == [[15.0, 124.0, 125.0, 126.0, 127.0, 128.0, 129.0]]
    with_references = Group((1, 2), torch.tensor([2]), torch.arange(4), 1.0, found).on(
        torch.tensor([4, 5]), "cpu", torch.float64
    )
    assert with_references.mask.tolist() == [[*found[0].tolist(), 0.0, 0.0]]
    alone = group_mask((region(1, 0),), Group((1,), torch.tensor([0, 1]), torch.arange(3)), Picture(2, 8))
    assert alone.tolist() == [[0.0, 1.0, 2.0, 3.0], [5.0, 6.0, 7.0, 8.0], [10.0, 11.0, 12.0, 13.0]]


# Cost


def test_no_mask_of_the_sequence_is_ever_made(model, texts):
    """With 1024 image tokens no tensor has two dimensions of that order; the widest layer has 448 channels."""
    patched = prompting(model, two(texts), 0.2, single_interval=2)
    with Shapes() as shapes:
        run(basic_guider(patched, conditioning(texts, "G0")), noise_for(64, 64), schedule(model, 1))
    assert 256 <= shapes.second_largest < 512


@pytest.mark.parametrize(("base_ratio", "published"), [(0.0, True), (0.3, True), (0.3, False)])
def test_the_cost_in_the_log_is_what_a_counter_counts(model, texts, caplog, base_ratio, published):
    setting = conditioning(texts, "G0"), noise_for(32, 32), schedule(model, STEPS)
    kernel = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *args, **kwargs: (
            sdpa_flop_count(q, k, v)
        )
    }

    def flops(model) -> int:
        with FlopCounterMode(display=False, custom_mapping=kernel) as counter:
            sample(model, *setting)
        return counter.get_total_flops()

    patched = prompting(model, two(texts), base_ratio, single_interval=2, published=published)
    with caplog.at_level(logging.INFO):
        counted = flops(patched) / flops(model)
    told = float(caplog.text.rsplit(" × the cost", 1)[0].rsplit(" ", 1)[1])
    assert told == pytest.approx(counted, rel=0.06)


@pytest.mark.parametrize(
    ("cells", "base_ratio", "added"),
    [
        ((LEFT, RIGHT), 0.0, 2 * 77),
        ((LEFT,), 0.0, 2 * 77),  # the second is the background's
        ((LEFT, RIGHT), 0.3, 2 * 77 + 96),
    ],
)
def test_the_memory_estimate_sees_texts_and_streams(
    model, texts, setting, monkeypatch, cells, base_ratio, added
):
    seen = []

    def watch(executor, model, noise_shape, conds, **kwargs):
        seen.append(noise_shape[-2])
        return executor(model, noise_shape, conds, **kwargs)

    patched = prompting(model, regions(texts, *zip(cells, ("S0", "S1"))), base_ratio)
    patched.add_wrapper("prepare_sampling", watch)  # behind ours
    sample(patched, *setting)
    assert seen == [math.ceil(16 * (1 + added / 96))]


# What is told


def node(model, found, base_ratio=0.2, start=0.0, end=0.4, double=1, single=1):
    return RAGRegionalPrompting.execute(
        model, found, base_ratio, start, end, double, single, "base prompt", "published"
    )[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda t: (two(t), 1.5), "base_ratio is 1.5; it has to be a number from 0.0 to 1.0"),
        (lambda t: (two(t), 0.2, 0, 0.4, 0), "double_interval is 0; it has to be a whole number from 1 to 1000"),
        (lambda t: (two(t), 0.2, 0, 0.4, 1, 0), "single_interval is 0; it has to be a whole number from 1 to 1000"),
        (lambda t: (two(t), 0.2, 0.5, 0.2), "start_percent is 0.5 and end_percent 0.2"),
        (lambda t: ((),), "regions is connected but holds no region"),
        (lambda t: ((Region(LEFT, conditioning(t, "S0", area=(1, 1, 0, 0))),),), "region 1 of 1 carries an area"),
        (lambda t: ((Region(LEFT, conditioning(t, "S0", control=object())),),), "region 1 of 1 carries a ControlNet"),
        (lambda t: ((Region(LEFT, conditioning(t, "S0") * 2),),), "region 1 of 1 has 2 entries (0 to 1, 0 to 1"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_the_model_as_it_was(model, texts, given, message):
    before = repr(model.model_options)
    with pytest.raises(ValueError) as error:
        node(model, *given(texts))
    assert str(error.value).startswith("Regional Prompting Attention: ") and message in str(error.value)
    assert repr(model.model_options) == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_ratio": -0.1}, "base_ratio is -0.1; it has to lie between 0 and 1"),
        ({"base_ratio": float("nan")}, "base_ratio is nan; it has to lie between 0 and 1"),
        ({"base_ratio": 0.2, "double_interval": 0}, "double_interval is 0; it has to be 1 or more"),
        ({"base_ratio": 0.2, "single_interval": -1}, "single_interval is -1; it has to be 1 or more"),
    ],
)
def test_a_spec_out_of_its_limits_is_refused(texts, fields, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RegionalPrompting(two(texts), **fields)


def test_a_family_without_an_adapter_is_refused_by_name(texts):
    class Stranger:
        model = type("AuraFlow", (), {})()

    with pytest.raises(ValueError, match="family AuraFlow, for which Regional Prompting has no adapter"):
        add_spec(Stranger(), RegionalPrompting(two(texts), 0.2))


@pytest.mark.parametrize(
    ("cells", "fields", "message"),
    [
        ((LEFT, RIGHT), {"base_ratio": 1.0}, "base_ratio 1 and changes nothing"),
        ((LEFT,), {"base_ratio": 0.2}, "50% of the picture lies in no region and follows the base prompt, as a region"),
        ((LEFT,), {"base_ratio": 0.2, "background": False}, "no region and follows the base prompt's share of 0.2 alone"),
        ((LEFT,), {"base_ratio": 0.0, "background": False}, "50% of the picture lies in no region and follows no prompt"),
        ((LEFT, WHOLE), {"base_ratio": 0.2}, "50% of the picture lies in several regions and follows all of their"),
        ((LEFT, RIGHT), {"base_ratio": 0.2}, None),
    ],
)  # fmt: skip
def test_each_cause_is_warned_of_once(model, texts, setting, caplog, cells, fields, message):
    sample(prompting(model, regions(texts, *zip(cells, ("S0", "S1"))), **fields), *setting)
    found = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(found) == (message is not None) and all(message in line for line in found), found


@pytest.mark.parametrize("interval", [1, 2])
def test_masks_that_do_not_count_in_every_block_are_told_of(model, texts, setting, caplog, interval):
    sample(
        prompting(model, (Region(WHOLE, redux(texts, "S0", 0.3)),), 0.2, single_interval=interval), *setting
    )
    assert ("which intervals above 1 make, they have no effect" in caplog.text) == (interval == 2)


def test_strengths_are_told(model, texts, setting, caplog):
    found = (*regions(texts, (LEFT, "S0")), *regions(texts, (RIGHT, "S1"), strength=0.5))
    with caplog.at_level(logging.INFO):
        sample(prompting(model, found, 0.2), *setting)
    assert "prompted with base ratio 0.2 and strengths 1, 0.5 in 5 of 5 blocks" in caplog.text


@pytest.mark.parametrize(
    ("cells", "fields", "told", "streams"),
    [
        ((LEFT, RIGHT), {"base_ratio": 0}, "2 regions (100% of the tokens) prompted with base ratio 0", 1),
        ((LEFT,), {"base_ratio": 0.3}, "1 regions and the background (100% of the tokens) prompted with base ratio 0.3", 2),
        ((LEFT,), {"base_ratio": 0.3, "background": False}, "1 regions (50% of the tokens)", 2),
        ((LEFT, RIGHT), {"base_ratio": 0.3, "published": False}, "2 regions (100% of the tokens)", 1),
    ],
)  # fmt: skip
def test_one_line_tells_what_was_done(model, texts, setting, caplog, cells, fields, told, streams):
    with caplog.at_level(logging.INFO):
        sample(prompting(model, regions(texts, *zip(cells, ("S0", "S1"))), **fields), *setting)
    (line,) = (r.getMessage() for r in caplog.records if "× the cost of a plain run" in r.getMessage())
    assert told in line and f"in 5 of 5 blocks, {streams} image streams" in line
