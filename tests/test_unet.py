"""Regions in the cross-attention of UNets, through the nodes: against the method written down on whole attention modules,
and beside what else changes a UNet."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from unittest.mock import patch

import families
import pytest
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.patcher_extension import WrappersMP
from rag_pack.nodes.patches import (
    RAGHardBinding,
    RAGRegionalPrompting,
    RAGRPGRegionalDiffusion,
    RAGSoftRefinementAttention,
)
from rag_pack.rag_sampler.attention.levels import prime_from
from rag_pack.rag_sampler.layout import Box, parse_split_ratio
from rag_pack.rag_sampler.regions import Mask, Region
from tiny import basic_guider, cfg_guider, run, schedule
from torch import Tensor

NAMES = ["SD1.5", "SD2", "SDXL"]
STEPS = 2
WORDS = 77


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    loaded = {}

    def get(name: str):
        if name not in loaded:
            with torch.inference_mode():
                loaded[name] = families.load(name, tmp_path_factory.mktemp("models"))
        return loaded[name]

    return get


@pytest.fixture(params=NAMES)
def unet(request, load):
    return load(request.param)


@pytest.fixture
def sd15(load):
    return load("SD1.5")


def text(seed: int, tokens: int = WORDS, **options) -> list:
    return families.conditioning(seed, tokens, **options)


BASE, NEGATIVE = text(1), text(2)


def noise_for(height: int = 16, width: int = 24, batch: int = 1) -> Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(0))


def cells(ratio: str, lengths: tuple[int, ...] = (), strengths: tuple[float, ...] = ()) -> tuple[Region, ...]:
    """Those of a split ratio, each with a text of its own."""
    return tuple(
        Region(
            cell,
            text(10 + i, lengths[i] if lengths else WORDS),
            strength=strengths[i] if strengths else 1.0,
        )
        for i, cell in enumerate(parse_split_ratio(ratio))
    )


def rpg(model, regions: tuple, base_ratios: str = "0.3"):
    return RAGRPGRegionalDiffusion.execute(model, regions, 0.5, 0.0, 1.0, base_ratios)[0]


def sampled(model, noise: Tensor, base: list = BASE, cfg: float = 1.0) -> Tensor:
    """The latents of a run, in the model's space."""
    torch.manual_seed(0)  # some nodes draw from it
    guider = basic_guider(model, base) if cfg == 1 else cfg_guider(model, base, NEGATIVE, cfg)
    return run(guider, noise, schedule(model, STEPS))[0]


def owned(region: Region, rows: int, columns: int) -> Tensor:
    """The tokens of a region in a grid, bool [rows, columns]."""
    if isinstance(region.shape, Mask):
        high, wide = region.shape.pixels.shape
        return region.shape.pixels.reshape(rows, high // rows, columns, wide // columns).mean((1, 3)) > 0.5
    left, top, right, bottom = (Fraction(edge).limit_denominator(100) for edge in region.shape.edges)
    inside = torch.zeros(rows, columns, dtype=torch.bool)
    inside[int(top * rows) : int(bottom * rows), int(left * columns) : int(right * columns)] = True
    return inside


@contextmanager
def written_down(model, regions: tuple, ratios: list[float]) -> Iterator[None]:
    """The method in place of every cross-attention of a MODEL: each text is read by the whole picture, and each token
    keeps what its region says. Rows of the negative are left alone."""

    def regional(read, x: Tensor, context: Tensor, value=None, mask=None, transformer_options=None):
        plain = read(x, context, value, mask, transformer_options)
        out = plain.clone()
        for region, ratio in zip(regions, ratios, strict=True):
            inside = owned(region, *transformer_options["activations_shape"][2:]).flatten()
            share, words = (1 - ratio) * region.strength, region.conditioning[0][0].expand(len(x), -1, -1)
            out[:, inside] = (share * read(x, words) + (1 - share) * plain)[:, inside]
        positive = (context == BASE[0][0]).flatten(1).all(1)
        return torch.where(positive[:, None, None], out, plain)

    with ExitStack() as stack:
        for block in model.model.diffusion_model.modules():
            if hasattr(block, "attn2"):
                own = partial(regional, block.attn2.forward)
                stack.enter_context(patch.object(block.attn2, "forward", own))
        yield


def written(model, noise: Tensor, regions: tuple, ratios: list[float], **kwargs) -> Tensor:
    with written_down(model, regions, ratios):
        return sampled(model, noise, **kwargs)


def assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def assert_differ(one: Tensor, other: Tensor) -> None:
    assert (one - other).abs().max() > 1e-4 * other.abs().max()


def drawn(*box: float, seed: int) -> Region:
    return Region(Box(*box), text(seed))


def ellipse(seed: int) -> Region:
    """A mask of 8 pixels to a latent pixel of the usual noise."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 192), indexing="ij")
    return Region(Mask(((x - 0.1) ** 2 + (1.5 * y) ** 2 < 0.5).float()), text(seed))


LAYOUTS = {
    "columns": (cells("1, 1"), [0.3, 0.3]),
    "a ratio for each cell of a grid": (cells("1,1,2; 2,1,1,1"), [0.0, 0.2, 0.5, 0.9, 1.0]),
    "strengths": (cells("1, 2", strengths=(0.5, 0.8)), [0.2, 0.4]),
    "two texts in one": (cells("1, 1, 1", lengths=(154, 77, 154)), [0.3, 0.0, 0.6]),
    "boxes that overlap": (
        (drawn(0.1, 0.1, 0.6, 0.6, seed=3), drawn(0.5, 0.3, 0.4, 0.7, seed=4)), [0.0, 0.4]
    ),
    "a box inside a mask": ((ellipse(5), drawn(0.4, 0.4, 0.2, 0.25, seed=6)), [0.2, 0.0]),
    "a cell without tokens on the coarsest level": (cells("1, 11"), [0.0, 0.0]),
}  # fmt: skip
"""Regions, and the base ratio of each."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_method_is_the_one_written_down(unet, layout):
    regions, ratios = LAYOUTS[layout]
    noise, patched = noise_for(), rpg(unet, regions, ", ".join(map(str, ratios)))
    found = sampled(patched, noise)
    assert_equal(found, written(unet, noise, regions, ratios))
    assert_differ(found, sampled(unet, noise))


@pytest.mark.parametrize(("height", "width"), [(17, 13), (9, 31), (15, 20)])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_sides_that_do_not_divide(unet, height, width, cfg):
    """Every level has its own grid, rounded up; two pictures in a batch."""
    regions, noise = cells("1,2,1; 2,1,1,1"), noise_for(height, width, batch=2)
    found = sampled(rpg(unet, regions, "0.25"), noise, cfg=cfg)
    assert_equal(found, written(unet, noise, regions, [0.25] * 5, cfg=cfg))


def test_a_network_without_a_middle_block(load, caplog):
    """Some distillations of SDXL have none."""
    (regions, ratios), noise, koala = LAYOUTS["columns"], noise_for(), load("KOALA")
    with caplog.at_level(logging.INFO):
        assert_equal(sampled(rpg(koala, regions), noise), written(koala, noise, regions, ratios))
    assert "in 6 of 6 blocks" in caplog.text


def test_soft_refinement_is_rpg_with_one_minus_delta(unet):
    regions, noise = cells("1; 1"), noise_for()
    for fidelity in ("published", "shared"):
        refined = RAGSoftRefinementAttention.execute(unet, regions, 0.75, 0.0, 1.0, fidelity)[0]
        assert torch.equal(sampled(refined, noise), sampled(rpg(unet, regions, "0.25"), noise))


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_a_ratio_of_1_is_the_plain_run_to_the_bit(unet, cfg):
    noise = noise_for()
    plain = sampled(unet, noise, cfg=cfg)
    assert torch.equal(sampled(rpg(unet, cells("1, 1"), "1"), noise, cfg=cfg), plain)


@pytest.mark.parametrize("base_ratio", ["0", "0.4"])
def test_the_same_text_in_every_cell_is_the_plain_run(unet, base_ratio):
    noise = noise_for()
    regions = tuple(Region(cell, BASE) for cell in parse_split_ratio("1,2; 1,1,1"))
    assert_equal(sampled(rpg(unet, regions, base_ratio), noise), sampled(unet, noise))


def test_rows_of_the_negative_are_a_plain_call(unet):
    """Alone, as they come beside regions: to the bit."""
    called = []

    def watch(executor, *args, **kwargs):
        out = executor(*args, **kwargs)
        called.append((args[5]["cond_or_uncond"], args[0], args[1], args[2], kwargs.get("y", args[3]), out))
        return out

    patched = rpg(unet, cells("1, 1, 1"))
    patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watch", watch)
    sampled(patched, noise_for(batch=2), cfg=3.0)
    negative = [call for call in called if call[0] == [1]]
    assert len(negative) == STEPS == len(called) / 2
    for _, x, t, context, y, out in negative:
        assert torch.equal(out, unet.model.diffusion_model(x, t, context, y))


def test_the_words_may_be_as_many_as_the_tokens_of_a_level(sd15):
    """Four texts of 77 tokens are 308, and so is a grid of 14 × 22; ComfyUI tells no pack which call is which."""
    regions, noise = cells("1, 1, 1"), noise_for(28, 44)
    found = sampled(rpg(sd15, regions), noise)
    assert_equal(found, written(sd15, noise, regions, [0.3] * 3))


def test_no_level_has_a_prime_number_of_tokens():
    sizes = [prime_from(total) for total in range(2, 800)]
    assert all(size >= total for total, size in enumerate(sizes, 2))
    assert not {rows * columns for rows in range(2, 400) for columns in range(2, 400)} & set(sizes)


def test_the_log_tells_of_blocks_and_of_no_cost(sd15, caplog):
    with caplog.at_level(logging.INFO):
        sampled(rpg(sd15, cells("1, 1")), noise_for())
    (line,) = (r.getMessage() for r in caplog.records if r.getMessage().startswith("RAG: SD1.5"))
    assert line == (
        "RAG: SD1.5; 2 cells (100% of the tokens) guided with base_ratio 0.3 in 7 of 7 blocks, 1 image streams"
    )


def test_regional_prompting_is_refused_with_the_reason(unet):
    with pytest.raises(ValueError, match=r"Regional Prompting lets .* family SD.*cross-attention.*use RPG"):
        RAGRegionalPrompting.execute(unet, cells("1, 1"), 0.2, 0.0, 0.4, 1, 1, "base prompt", "published")


def test_a_base_prompt_with_an_area_is_left_alone_and_warned_of(sd15, caplog):
    noise, base = noise_for(), text(1, area=(16, 12, 0, 0), strength=1.0)
    found = sampled(rpg(sd15, cells("1, 1")), noise, base=base)
    assert torch.equal(found, sampled(sd15, noise, base=base))
    assert "a base prompt with an area of its own is not guided by RPG" in caplog.text


def own_attention(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> Tensor:
    """A cross-attention that passes by ComfyUI's hook, as some IP-Adapters have."""
    return optimized_attention(q, k, v, extra["n_heads"])


def hooked_attention(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> Tensor:
    return optimized_attention(q, k, v, extra["n_heads"], transformer_options=extra)


def with_attention(model, attention, blocks: tuple[tuple[str, int], ...]):
    model = model.clone()
    for block in blocks:
        model.set_model_attn2_replace(attention, *block)
    return model


ALL = (*(("input", i) for i in range(8)), ("middle", 0), *(("output", i) for i in range(8)))


def test_blocks_that_bypass_the_hook_are_counted(sd15, caplog):
    model = with_attention(sd15, own_attention, (("middle", 0), ("output", 2)))
    assert sampled(rpg(model, cells("1, 1")), noise_for()).isfinite().all()
    assert "only 5 of 7 blocks were guided by RPG" in caplog.text and "IP-Adapters" in caplog.text


def test_a_model_whose_blocks_all_bypass_the_hook_is_an_error(sd15):
    with pytest.raises(RuntimeError, match=r"RPG had no effect: .*as some IP-Adapters do\). Remove it"):
        sampled(rpg(with_attention(sd15, own_attention, ALL), cells("1, 1")), noise_for())


def test_attention_that_goes_through_the_hook_is_guided(sd15):
    model, noise = with_attention(sd15, hooked_attention, ALL), noise_for()
    regions = cells("1, 1")
    assert torch.equal(sampled(rpg(model, regions), noise), sampled(rpg(sd15, regions), noise))


def test_image_tokens_that_are_merged_before_they_read_the_text_are_an_error(sd15):
    def merge(q, k, v, extra):
        return q[:, ::2], k, v

    model = sd15.clone()
    model.set_model_attn2_patch(merge)
    model.set_model_attn2_output_patch(lambda n, extra: n.repeat_interleave(2, 1))
    with pytest.raises(RuntimeError, match=r"RPG could not work: .* called with 12 queries and \d+ keys"):
        sampled(rpg(model, cells("1, 1")), noise_for())


def test_bound_latents_beside_guided_cells(unet, caplog):
    """The two nodes in either order; states of UNets are not bound."""
    noise, boxes = noise_for(), (drawn(0.25, 0.25, 0.5, 0.5, seed=7),)
    bind = lambda model: RAGHardBinding.execute(model, boxes, 1, True)[0]  # noqa: E731
    one, other = bind(rpg(unet, cells("1, 1"))), rpg(bind(unet), cells("1, 1"))
    found = sampled(one, noise, cfg=3.0)
    assert torch.equal(found, sampled(other, noise, cfg=3.0))
    assert_differ(found, sampled(bind(unet), noise, cfg=3.0))
    assert "features are not bound: there is no place for them for the family SD" in caplog.text


def test_a_cell_needs_no_pooled_text(load):
    """SDXL is told the base prompt's."""
    sdxl, noise, regions = load("SDXL"), noise_for(), cells("1, 1")
    without = tuple(replace(region, conditioning=[[region.conditioning[0][0], {}]]) for region in regions)
    assert torch.equal(sampled(rpg(sdxl, without), noise), sampled(rpg(sdxl, regions), noise))


@pytest.mark.parametrize("said", [{}, {"width": 512, "height": 256, "crop_w": 64}])
def test_sdxl_is_told_the_size_of_a_bound_box_unless_its_conditioning_says_another(load, said):
    """As in a run of the box alone; the negative is told the box's."""
    sdxl, noise, own = load("SDXL"), noise_for(), text(7, **said)
    bound = RAGHardBinding.execute(sdxl, (Region(Box(0.5, 0, 0.5, 1), own),), 1, False)[0]

    def predicted(model, noise: Tensor, base: list) -> Tensor:
        return run(cfg_guider(model, base, NEGATIVE, 3.0), noise, schedule(model, 1))[1][0]

    right = noise[..., 12:]
    found = predicted(bound, noise, BASE)[..., 12:]
    assert_equal(found, predicted(sdxl, right, own))
    assert_differ(found, predicted(sdxl, right, text(7, width=192, height=128)))  # the whole picture's
