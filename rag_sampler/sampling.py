"""Sampling as ComfyUI's KSampler does it, on a model that carries the regions."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import comfy.sample
import comfy.utils
import latent_preview
from torch import Tensor

from .engine import add_spec, specs_of
from .methods.record import TRAJECTORY, Evaluation, Recorder, Trajectory, identity
from .methods.spec import Spec

_EMPTY_LATENT_RATIOS = ("downscale_ratio_spacial", "downscale_ratio_temporal")
"""Keys by which ComfyUI's empty latents say for what scale they were made."""


@dataclass(frozen=True)
class Settings:
    """What KSampler asks for."""

    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float = 1.0

    def like(self, record: Trajectory) -> Settings:
        """The sampler, cfg and number of steps of a recorded run."""
        steps = len(record.sigmas) - 1
        return replace(self, steps=steps, cfg=record.cfg, sampler_name=record.sampler_name, denoise=1.0)


def with_regions(model, *specs: Spec | None):
    """A clone of the MODEL with what is given; the MODEL itself where nothing is."""
    for spec in specs:
        model = model if spec is None else add_spec(model, spec)
    return model


def run_sampler(
    model,
    noise: Tensor,
    start: Tensor,
    positive: list,
    negative: list,
    settings: Settings,
    sigmas: Tensor | None = None,
    noise_mask: Tensor | None = None,
    record: bool = False,
) -> tuple[Tensor, tuple[Evaluation, ...]]:
    """The samples of one stock sampler call, and its model evaluations where they are to be recorded."""
    recorder = Recorder()
    samples = comfy.sample.sample(
        add_spec(model, recorder) if record else model,
        noise,
        settings.steps,
        settings.cfg,
        settings.sampler_name,
        settings.scheduler,
        positive,
        negative,
        start,
        denoise=settings.denoise,
        noise_mask=noise_mask,
        sigmas=sigmas,
        callback=latent_preview.prepare_callback(
            model, settings.steps if sigmas is None else len(sigmas) - 1
        ),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=settings.seed,
    )
    return samples, tuple(recorder.evaluations)


def sample(
    model,
    latent: dict,
    positive: list,
    negative: list,
    settings: Settings,
    *,
    keep_for_repaint: bool = False,
    noise: Tensor | None = None,
    sigmas: Tensor | None = None,
) -> dict:
    """A LATENT sampled from `latent`, which stays as it is.

    keep_for_repaint: the LATENT carries a record of the run. noise: [B, C, H, W] in place of the seed's;
    sigmas: [steps + 1], descending, in place of the scheduler's.
    """
    ratios = {key: value for key, value in latent.items() if key in _EMPTY_LATENT_RATIOS}
    start = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratios)
    if noise is None:
        noise = comfy.sample.prepare_noise(start, settings.seed, latent.get("batch_index"))
    samples, evaluations = run_sampler(
        model, noise, start, positive, negative, settings, sigmas, latent.get("noise_mask"), keep_for_repaint
    )
    kept = {key: value for key, value in latent.items() if key not in (*ratios, TRAJECTORY)}
    result = {**kept, "samples": samples}
    if keep_for_repaint:
        if sigmas is None:
            sigmas = comfy.samplers.KSampler(
                model,
                settings.steps,
                model.load_device,
                settings.sampler_name,
                settings.scheduler,
                settings.denoise,
            ).sigmas
        made = result[TRAJECTORY] = Trajectory(
            evaluations, sigmas.cpu(), settings.sampler_name, settings.cfg, positive, negative, specs_of(model),
            identity(model), samples,
        )  # fmt: skip
        logging.info("RAG: kept a record of the run for Repaint, %.0f MB", made.megabytes)
    return result
