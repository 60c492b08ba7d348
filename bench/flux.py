"""FLUX.1-dev's architecture without its weights, and the runs that the measurements are made of."""

from __future__ import annotations

import comfy.model_base
import comfy.model_patcher
import comfy.samplers
import comfy.supported_models
import torch

from demo.comfy_setup import pack

Box, Cell = (getattr(pack("rag_sampler.layout"), name) for name in ("Box", "Cell"))
Picture = pack("rag_sampler.picture").Picture
Region = pack("rag_sampler.regions").Region
Binding = pack("rag_sampler.methods.binding").Binding
Refinement = pack("rag_sampler.methods.refinement").Refinement
RegionalDiffusion = pack("rag_sampler.methods.rpg").RegionalDiffusion
RegionalPrompting = pack("rag_sampler.methods.regional_prompting").RegionalPrompting
Replay = pack("rag_sampler.methods.record").Replay
Evaluation, Trajectory = (
    getattr(pack("rag_sampler.methods.record"), name) for name in ("Evaluation", "Trajectory")
)
Setting = pack("rag_sampler.methods.spec").Setting
Schedule = pack("rag_sampler.schedule").Schedule
add_spec = pack("rag_sampler.engine").add_spec
networks = pack("rag_sampler.networks")

DEV = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 768,
    "context_in_dim": 4096,
    "hidden_size": 3072,
    "mlp_ratio": 4.0,
    "num_heads": 24,
    "depth": 19,
    "depth_single_blocks": 38,
    "axes_dim": [16, 56, 56],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}
"""FLUX.1-dev, as ComfyUI's loader detects it."""


def build(config: dict, device: torch.device, dtype: torch.dtype):
    """A MODEL of this architecture; the values of its weights are whatever the device's memory holds."""
    model_config = comfy.supported_models.Flux(dict(config))
    model_config.set_inference_dtype(dtype, None)
    model = comfy.model_base.Flux(model_config, device=device)
    return comfy.model_patcher.ModelPatcher(model.eval(), torch.device("cpu"), torch.device("cpu"))


def setting_of(model, side: int) -> Setting:
    """What a spec is laid out on in a run of one step, for a latent of so many pixels a side."""
    schedule = Schedule(torch.tensor([1.0, 0.0]), model.get_model_object("model_sampling"))
    return Setting(Picture(side, side), schedule, networks.of(model), networks.name_of(model))


def conditioning(config: dict, tokens: int, seed: int = 0) -> list:
    """A CONDITIONING of random text, [1, tokens, C]."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(1, tokens, config["context_in_dim"], generator=generator)
    pooled = torch.randn(1, config["vec_in_dim"], generator=generator)
    return [[text, {"pooled_output": pooled, "guidance": 3.5}]]


def grid(count: int) -> tuple[int, int]:
    """Rows and columns of `count` cells, as square as it goes: 2 is 1 × 2, 4 is 2 × 2, 8 is 2 × 4."""
    rows = max(r for r in range(1, count + 1) if count % r == 0 and r * r <= count)
    return rows, count // rows


def cells(count: int, config: dict, tokens: int) -> tuple:
    """Regions that tile the picture."""
    rows, columns = grid(count)
    return tuple(
        Region(
            Cell(c / columns, r / rows, (c + 1) / columns, (r + 1) / rows),
            conditioning(config, tokens, 1 + r * columns + c),
        )
        for r in range(rows)
        for c in range(columns)
    )


def boxes(count: int, config: dict, tokens: int, share: float = 0.8) -> tuple:
    """A box for each cell, of `share` of its width and height, in its middle."""
    rows, columns = grid(count)
    width, height = share / columns, share / rows
    return tuple(
        Region(
            Box((c + (1 - share) / 2) / columns, (r + (1 - share) / 2) / rows, width, height),
            conditioning(config, tokens, 100 + r * columns + c),
        )
        for r in range(rows)
        for c in range(columns)
    )


def sample(
    model, positive: list, noise: torch.Tensor, steps: int, negative: list | None = None
) -> torch.Tensor:
    """A run with Euler and the simple schedule; cfg 3 where a negative is given."""
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative if negative is not None else positive)
    guider.set_cfg(1.0 if negative is None else 3.0)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", steps)
    euler = comfy.samplers.sampler_object("euler")
    return guider.sample(noise, torch.zeros_like(noise), euler, sigmas, disable_pbar=True, seed=0)
