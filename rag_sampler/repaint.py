"""Repaint: one region of a picture is made anew, fits its surroundings, and everything else stays, to the bit.

As published, in two stock sampler calls: the mask's bounding box is sampled alone for the first steps; put into
the picture's latent of that step, the rest is sampled from there, with the run that made the picture replayed
beside it (rag_sampler/replay.py). Without a record of that run, ComfyUI's own noise mask holds the surroundings.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import comfy.sample
import comfy.samplers
import torch
import torch.nn.functional as F
from torch import Tensor

from . import trajectory
from .binding import BoundRegion
from .engine import add_spec, plain
from .layout import TokenBox
from .picture import Picture, check_latent
from .refinement import Refinement
from .regions import TokenRegion, bounding_box
from .replay import OutOfStep, Replay
from .sampling import Settings, run_sampler
from .trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class NewRegion:
    """What to paint.

    inside: the tokens of the mask, bool [rows, columns].
    conditioning: the region's own prompt.
    bind_steps: steps in which it is made alone (the paper's Repainting_HB_replace).
    match_surroundings: let it see the surroundings in the single blocks too (Repainting_single).
    """

    inside: Tensor
    conditioning: list
    bind_steps: int
    match_surroundings: bool

    @property
    def box(self) -> TokenBox:
        return bounding_box(self.inside)


def mask_tokens(mask: Tensor, picture: Picture, grow: int) -> Tensor:
    """The tokens of a picture that a mask [H, W] covers, bool [rows, columns]; white is inside.

    White is one half and more. It grows by `grow` pixels of the mask (up, down, left and right, so many times),
    and a token counts whose middle is white: as published. Where mask and picture differ in size the published
    code also dithers, by its image library's accident; here the mask is sampled as it is.

    Raises ValueError where no token is covered.
    """
    white = mask >= 0.5
    if not white.any():
        raise ValueError("mask is empty: nothing in it is one half or more; paint white what is to change")
    grown = white.float()[None, None]
    for _ in range(grow):
        across, down = F.max_pool2d(grown, (1, 3), 1, (0, 1)), F.max_pool2d(grown, (3, 1), 1, (1, 0))
        grown = torch.maximum(across, down)
    inside = F.interpolate(grown, size=(picture.rows, picture.columns), mode="nearest-exact")[0, 0] > 0
    if not inside.any():
        whole = picture.in_pixels
        raise ValueError(
            f"mask covers no token of this {whole.width} × {whole.height} picture: it misses the middle of every "
            f"{whole.patch} × {whole.patch} pixel square; paint a larger part white, or raise grow"
        )
    return inside


def repaint(
    model,
    prior: dict,
    region: NewRegion,
    positive: list,
    negative: list,
    settings: Settings,
    refinement: Refinement | None = None,
    *,
    noise: Tensor | None = None,
    sigmas: Tensor | None = None,
) -> dict:
    """A LATENT in which the region is new; `prior` stays as it is.

    With a valid record of the prior's run its schedule, sampler and cfg are used in place of the settings'.
    noise: that of the region's own run, [B, C, h, w] of its box in latent pixels; sigmas: in place of the
    scheduler's.
    """
    channels = model.get_model_object("latent_format").latent_channels
    prior = {**prior, "samples": comfy.sample.fix_empty_latent_channels(model, prior["samples"])}
    check_latent(prior["samples"], "prior")
    if prior["samples"].shape[1] != channels:
        raise ValueError(
            f"prior has the shape {tuple(prior['samples'].shape)}; this model repaints latents of pictures with "
            f"{channels} channels, [batch, {channels}, height, width]"
        )
    if region.inside.all():
        logging.info("RAG: the mask covers the whole picture; all of it is painted anew")
    record, why = trajectory.of_latent(prior, model)
    if record is not None:
        try:
            return _beside_the_record(
                model, prior, region, positive, negative, settings, refinement, noise, record
            )
        except OutOfStep:
            why = f"the sampler {record.sampler_name} takes other steps in a part of the schedule, or a cache skips some"
    logging.info("RAG: repaint without the record of the picture's run: %s", why)
    return _with_noise_mask(model, prior, region, positive, negative, settings, refinement, noise, sigmas)


def _beside_the_record(
    model, prior, region, positive, negative, settings, refinement, noise, record: Trajectory
):
    settings = settings.like(record)
    step = _bound(region, len(record.sigmas) - 1, "the picture was made in")
    first = record.start(step)
    if first is None:
        raise OutOfStep
    logging.info("RAG: repaint beside the record of the picture's run, with its schedule, %s and cfg %g",
                 settings.sampler_name, settings.cfg)  # fmt: skip
    alone = _alone(model, prior, region, positive, negative, settings, noise, record.sigmas, step)
    patched = model if refinement is None else add_spec(model, refinement)
    replay = Replay(record, first, region.inside, region.match_surroundings)
    picture = Picture.of_latent(prior["samples"], model)
    start = record.evaluations[first].x.clone()
    _put(start, alone, region, picture)
    earlier = record.evaluations[:first]
    samples, done = run_sampler(
        add_spec(patched, replay), *_start_at(model, start, record.sigmas[step], step), positive, negative, settings,
        record.sigmas[step:], record=True,
    )  # fmt: skip
    samples = replay.mixed(samples, prior["samples"], picture).to(prior["samples"].dtype)
    specs = (refinement,) if refinement is not None else ()
    made = Trajectory(
        (*earlier, *done), record.sigmas, settings.sampler_name, settings.cfg, positive, negative, specs,
        trajectory.identity(model), samples,
    )  # fmt: skip
    return {**prior, "samples": samples, trajectory.KEY: made}


def _bound(region: NewRegion, steps: int, there: str) -> int:
    if 0 <= region.bind_steps < steps:
        return region.bind_steps
    raise ValueError(
        f"repaint_bind_steps is {region.bind_steps} and {there} {steps} steps; it has to be from 0 to {steps - 1}, "
        f"so that a step is left in which the region joins the picture"
    )


def _with_noise_mask(model, prior, region, positive, negative, settings, refinement, noise, sigmas):
    """Everything from x_t = (1 - sigma) · x_0 + sigma · noise, held outside the mask by ComfyUI's noise mask."""
    sampling = model.get_model_object("model_sampling")
    if sigmas is None:
        sigmas = comfy.samplers.calculate_sigmas(sampling, settings.scheduler, settings.steps)
    step = _bound(region, len(sigmas) - 1, "there are")
    samples = prior["samples"]
    picture = Picture.of_latent(samples, model)
    clean = model.model.process_latent_in(samples.float())
    fresh = comfy.sample.prepare_noise(samples, settings.seed)
    inside = picture.spread(region.inside).to(samples.device)
    start = sampling.noise_scaling(sigmas[step], fresh, clean)
    alone = _alone(model, prior, region, positive, negative, settings, noise, sigmas, step)
    _put(start, alone, region, picture)
    held = (start - sampling.noise_scaling(sigmas[step], torch.zeros_like(fresh), clean)) / sigmas[step]
    patched = model if refinement is None else add_spec(model, refinement)
    result, _ = run_sampler(
        patched, held, samples, positive, negative, settings, sigmas[step:], noise_mask=inside[None].float()
    )
    kept = {key: value for key, value in prior.items() if key not in (trajectory.KEY, "noise_mask")}
    return {**kept, "samples": torch.where(inside, result.to(samples), samples)}


def _alone(model, prior, region: NewRegion, positive, negative, settings, noise, sigmas: Tensor, step: int):
    """The region's box after its own steps, [B, C, h, w] in the model's space.

    As a bound region it takes guidance, ControlNets and the like from the base prompt, cropped to the box.
    """
    samples = prior["samples"]
    picture = Picture.of_latent(samples, model)
    empty = torch.zeros(picture.crop(samples, region.box).shape)
    if noise is None:
        noise = comfy.sample.prepare_noise(empty, settings.seed)
    sampling = model.get_model_object("model_sampling")
    if step == 0:
        return sampling.noise_scaling(sigmas[0], noise, empty)
    bound = BoundRegion(0, TokenRegion(region.box), 0.0, False, picture)
    base = next((options for _, options in positive if "area" not in options), positive[0][1])
    own, against = (
        bound.prompt(region.conditioning, base), bound.prompt(negative)
    )  # fmt: skip
    made, _ = run_sampler(plain(model), noise, empty, own, against, settings, sigmas[: step + 1])
    return _at_sigma(model, made, sigmas[step])


def _at_sigma(model, samples: Tensor, sigma: Tensor) -> Tensor:
    """The latent in the model's space of which a sampler that stopped at sigma returned `samples`."""
    inner = model.model.process_latent_in(samples)
    unit = model.get_model_object("model_sampling").inverse_noise_scaling(sigma, torch.ones(()))
    return inner / unit


def _start_at(model, x: Tensor, sigma: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Noise and latent with which a stock sampler starts at x: no noise, and a latent that scales to x."""
    if step == 0:
        return x / sigma, torch.zeros_like(x)
    sampling = model.get_model_object("model_sampling")
    return torch.zeros_like(x), model.model.process_latent_out(sampling.inverse_noise_scaling(sigma, x))


def _put(latent: Tensor, part: Tensor, region: NewRegion, picture: Picture) -> None:
    """Write the region's box into the latent where the mask is, in place."""
    target = picture.crop(latent, region.box)
    inside = picture.crop(picture.spread(region.inside), region.box).to(latent.device)
    target.copy_(torch.where(inside, part.to(target), target))
