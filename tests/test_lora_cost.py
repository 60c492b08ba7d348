"""What regions' LoRAs cost, as the log, the memory estimate and `dev.py bench cost` count it, and the two ways to work them
out."""

import logging
import math

import pytest
import torch
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Cell
from rag_pack.rag_sampler.loras import wearing as wearing_of_tokens
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from tiny import conditioning, noise_for, sample, schedule
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from bench.cost import CEILINGS, IN_PLACE, counted, worn
from bench.flux import DEV, build
from bench.loras import lora, wearing

CELLS = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(32, 32), schedule(model, 2)


def refined(model, texts, *hooks, delta: float = 1.0, **options):
    regions = [Region(cell, conditioning(texts, f"S{i}")) for i, cell in enumerate(CELLS)]
    return add_spec(model, Refinement(wearing(regions, hooks), delta, **options))


@pytest.mark.parametrize("rank", [16, 80], ids=["at once", "each alone"])
@pytest.mark.parametrize("modulations", [False, True])
@pytest.mark.parametrize(("delta", "published"), [(1.0, True), (0.5, True), (0.5, False)])
def test_the_cost_in_the_log_is_what_a_counter_counts(
    model, texts, setting, caplog, rank, modulations, delta, published
):
    """On so small a network LoRAs of these ranks are a third of it, or more than all of it."""

    def attention(q, k, v, *args, **kwargs) -> int:
        return sdpa_flop_count(q, k, v)

    kernels = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention, **IN_PLACE}

    def flops(model) -> int:
        with FlopCounterMode(display=False, custom_mapping=kernels) as counter:
            sample(model, *setting)
        return counter.get_total_flops()

    hooks = [lora(model, rank, seed, modulations) for seed in (1, 2)]
    patched = refined(model, texts, *hooks, delta=delta, published=published)
    with caplog.at_level(logging.INFO):
        found = flops(patched) / flops(model)
    told = float(caplog.text.rsplit(" × the cost", 1)[0].rsplit(" ", 1)[1])
    assert told == pytest.approx(found, rel=0.06)
    assert found > 1.2 * flops(refined(model, texts, None, None, delta=delta, published=published)) / flops(
        model
    )


@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_at_once_is_each_alone(model, texts, setting, monkeypatch, delta):
    """With modulations, and a batch of two."""
    base, noise, sigmas = setting
    hooks, made = [lora(model, 4, seed) for seed in (1, 2)], {}
    patched = refined(model, texts, *hooks, delta=delta)
    for limit in (0, 48):
        monkeypatch.setattr(wearing_of_tokens, "NARROW", limit)
        made[limit] = sample(patched, base, noise.repeat(2, 1, 1, 1), sigmas)
    torch.testing.assert_close(made[0], made[48], rtol=0, atol=1e-5)
    assert (
        made[0] - sample(refined(model, texts, *hooks[::-1], delta=delta), base, noise, sigmas)
    ).abs().max() > 1e-3


def test_the_memory_estimate_sees_loras(model, texts, setting, monkeypatch):
    """As more rows of a latent of 32 × 32, of which each takes 32 kB; one file in two regions once."""
    monkeypatch.setattr(
        type(model.model), "memory_required", lambda self, shape, **_: 1000 * math.prod(shape[2:])
    )

    def rows(*hooks) -> int:
        seen = []

        def watch(executor, model, noise_shape, conds, **kwargs):
            seen.append(noise_shape[-2])
            return executor(model, noise_shape, conds, **kwargs)

        patched = refined(model, texts, *hooks)
        patched.add_wrapper("prepare_sampling", watch)  # behind ours
        sample(patched, *setting)
        return seen[0]

    first, second = (lora(model, rank, rank) for rank in (16, 24))
    shapes = [value.shape for key, value in model.model.state_dict().items() if is_layer(key, value)]
    numbers = sum(sum(shape) for shape in shapes)  # of rank 1
    texts_and_picture = 32 * (1 + 2 * 77 / 256)
    assert rows(None, None) == math.ceil(texts_and_picture)
    assert rows(first, None) == rows(first, first) == math.ceil(texts_and_picture + 16 * numbers * 4 / 32_000)
    assert rows(first, second) == math.ceil(texts_and_picture + 40 * numbers * 4 / 32_000)


def is_layer(key: str, value: torch.Tensor) -> bool:
    return value.ndim == 2 and "_blocks." in key


@pytest.mark.long
def test_loras_cost_no_more_than_they_may():
    """FLUX.1-dev, counted; four regions."""
    model = build(DEV, torch.device("meta"), torch.bfloat16)
    found = counted(worn(model, 4, 16), 1).flops / counted(model, 1).flops
    assert 1.18 < found <= CEILINGS["SR, delta 1, a LoRA of rank 16 in each region", 4]
