"""The one-pass engine against the method written down directly, on random layouts; and what it never allocates."""

import random

import pytest
import torch
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Cell, parse_split_ratio
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.picture import Picture
from rag_pack.rag_sampler.regions import Region
from tiny import basic_guider, conditioning, noise_for, run, sample, schedule
from torch.utils._python_dispatch import TorchDispatchMode

from bench.direct import direct_forward


def random_ratio(chance: random.Random) -> str:
    """Up to three rows of up to three cells, in numbers, fractions or percentages."""

    def value() -> str:
        number = chance.randint(1, 6)
        return chance.choice([f"{number}", f"{number}/7", f"{number}0%"])

    rows = chance.randint(1, 3)
    if rows == 1:
        return ",".join(value() for _ in range(chance.randint(2, 4)))
    return ";".join(",".join([value(), *(value() for _ in range(chance.randint(1, 3)))]) for _ in range(rows))


@pytest.mark.parametrize("strengths", [(1.0,), (1.0, 0.3, 0.7)], ids=["whole", "weaker regions"])
@pytest.mark.parametrize("seed", range(12))
def test_equals_the_direct_implementation(model, texts, seed, strengths):
    chance = random.Random(seed)
    while True:
        cells, size = (
            parse_split_ratio(random_ratio(chance)),
            (2 * chance.randint(6, 14), 2 * chance.randint(6, 14)),
        )
        grids = [cell.guided_tokens(Picture(*size)) for cell in cells]
        if all(grid.area for grid in grids):
            break
    delta = chance.choice([0.1, 0.3, 0.6, 1.0])
    keys = [f"{chance.choice('SHGR')}{chance.randint(0, 1)}" for _ in cells]
    keys = [{"G0": "S2", "R0": "S3"}.get(key, key) for key in keys]
    strengths = [chance.choice(strengths) for _ in cells]
    regions = tuple(
        Region(cell, conditioning(texts, key), strength=strength)
        for cell, key, strength in zip(cells, keys, strengths, strict=True)
    )
    base, noise, sigmas = (
        conditioning(texts, "G0", guidance=4.0),
        noise_for(*size, seed=seed),
        schedule(model, 3),
    )
    ours = sample(add_spec(model, Refinement(regions, delta)), base, noise, sigmas)

    columns = size[1] // 2
    tokens = torch.arange(size[0] // 2 * columns).unflatten(0, (-1, columns))
    indices = [tokens[grid.y0 : grid.y1, grid.x0 : grid.x1].flatten() for grid in grids]

    def direct(apply, args):
        x, t, c = args["input"], args["timestep"], args["c"]
        velocity = direct_forward(
            model.model.diffusion_model, x, t, c["c_crossattn"], [texts[f"t5.{key}"] for key in keys], c["y"],
            c["guidance"], indices, delta, strengths,
        )  # fmt: skip
        return x - velocity * t[:, None, None, None]

    plain = model.clone()
    plain.set_model_unet_function_wrapper(direct)
    torch.testing.assert_close(ours, sample(plain, base, noise, sigmas), rtol=0, atol=1e-4)


class Shapes(TorchDispatchMode):
    """Remembers the second largest dimension of every tensor that an operation makes."""

    def __init__(self):
        super().__init__()
        self.second_largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.ndim > 1:
                self.second_largest = max(self.second_largest, sorted(tensor.shape)[-2])
        return out


@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_no_mask_of_the_sequence_is_ever_made(model, texts, delta):
    """With 1024 image tokens no tensor has two dimensions of that order; the widest layer has 448 channels."""
    regions = tuple(
        Region(Cell(i / 2, 0, (i + 1) / 2, 1), conditioning(texts, key)) for i, key in enumerate(("S0", "S1"))
    )
    guider = basic_guider(add_spec(model, Refinement(regions, delta)), conditioning(texts, "G0"))
    with Shapes() as shapes:
        run(guider, noise_for(64, 64), schedule(model, 1))
    assert 256 <= shapes.second_largest < 512
