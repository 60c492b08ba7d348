"""Sampling as ComfyUI's KSampler does it, on a model that carries the regions."""

from __future__ import annotations

import comfy.sample
import comfy.utils
import latent_preview
from torch import Tensor

from .binding import Binding
from .engine import add_spec
from .refinement import Refinement

_EMPTY_LATENT_RATIOS = ("downscale_ratio_spacial", "downscale_ratio_temporal")
"""Keys by which ComfyUI's empty latents say for what scale they were made."""


def with_regions(model, binding: Binding | None = None, refinement: Refinement | None = None):
    """A clone of the MODEL with what is given; the MODEL itself where nothing is."""
    for spec in (binding, refinement):
        model = model if spec is None else add_spec(model, spec)
    return model


def sample(
    model,
    latent: dict,
    positive: list,
    negative: list,
    *,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    denoise: float = 1.0,
    noise: Tensor | None = None,
    sigmas: Tensor | None = None,
) -> dict:
    """A LATENT sampled from `latent`, which stays as it is.

    noise: [B, C, H, W] in place of the seed's; sigmas: [steps + 1], descending, in place of the scheduler's.
    """
    ratios = {key: value for key, value in latent.items() if key in _EMPTY_LATENT_RATIOS}
    start = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratios)
    if noise is None:
        noise = comfy.sample.prepare_noise(start, seed, latent.get("batch_index"))
    samples = comfy.sample.sample(
        model,
        noise,
        steps,
        cfg,
        sampler_name,
        scheduler,
        positive,
        negative,
        start,
        denoise=denoise,
        noise_mask=latent.get("noise_mask"),
        sigmas=sigmas,
        callback=latent_preview.prepare_callback(model, steps if sigmas is None else len(sigmas) - 1),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return {**{key: value for key, value in latent.items() if key not in ratios}, "samples": samples}
