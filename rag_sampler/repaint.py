"""Repaint: one region of a picture is made anew, fits its surroundings, and everything else stays, to the bit.

As published, in two stock sampler calls: the mask's bounding box is sampled alone for the first steps; put into
the picture's latent of that step, the rest is sampled from there, with the run that made the picture replayed
beside it (methods/record.py). Without a record of that run, ComfyUI's own noise mask holds the surroundings.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import comfy.sample
import comfy.samplers
import torch
import torch.nn.functional as F
from torch import Tensor

from .engine import add_spec, plain
from .methods import lora_hooks
from .methods.binding import base_entry, cropped_prompt
from .methods.controls import Controls
from .methods.record import TRAJECTORY, FromPicture, OutOfStep, Replay, Trajectory, identity, of_latent
from .methods.refinement import Refinement
from .picture import Picture, TokenBox, check_latent
from .regions import bounding_box
from .sampling import Settings, run_sampler
from .schedule import Schedule


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


@dataclass(frozen=True, eq=False)
class Task:
    """One repaint: what to paint into which picture, and how.

    settings: those of the picture's own run where a record of it is used.
    noise: that of the region's own run, [B, C, h, w] of its box in latent pixels; None for the seed's.
    """

    model: object
    prior: dict
    region: NewRegion
    positive: list
    negative: list
    settings: Settings
    refinement: Refinement | None
    noise: Tensor | None

    @property
    def samples(self) -> Tensor:
        return self.prior["samples"]

    @property
    def picture(self) -> Picture:
        return Picture.of_latent(self.samples, self.model)

    @property
    def sampling(self):
        return self.model.get_model_object("model_sampling")

    @property
    def guided_model(self):
        """The MODEL with the refinement of the new picture."""
        if self.refinement is None:
            return self.model
        return add_spec(add_spec(self.model, self.refinement), FromPicture())

    def bound_steps(self, steps: int, there: str) -> int:
        """The steps in which the region is made alone; raises ValueError where none is left for it to join."""
        if 0 <= self.region.bind_steps < steps:
            return self.region.bind_steps
        raise ValueError(
            f"repaint_bind_steps is {self.region.bind_steps} and {there} {steps} steps; it has to be from 0 to "
            f"{steps - 1}, so that a step is left in which the region joins the picture"
        )


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
    check_latent(prior["samples"], "prior")
    if prior["samples"].shape[1] != channels:
        raise ValueError(
            f"prior has the shape {tuple(prior['samples'].shape)}; this model repaints latents of pictures with "
            f"{channels} channels, [batch, {channels}, height, width]"
        )
    lora_hooks.check(model, lora_hooks.of_conditioning(region.conditioning))
    # as KSampler does: a latent of one frame where the model wants frames
    prior = {**prior, "samples": comfy.sample.fix_empty_latent_channels(model, prior["samples"])}
    if region.inside.all():
        logging.info("RAG: the mask covers the whole picture; all of it is painted anew")
    task = Task(model, prior, region, positive, negative, settings, refinement, noise)
    found, why = of_latent(prior, model)
    if found is not None:
        try:
            return _beside_the_record(replace(task, settings=settings.like(found)), found)
        except OutOfStep:
            why = f"the sampler {found.sampler_name} takes other steps in a part of the schedule, or a cache skips some"
    logging.info("RAG: repaint without the record of the picture's run: %s", why)
    return _with_noise_mask(task, sigmas)


def _beside_the_record(task: Task, recorded: Trajectory) -> dict:
    """The rest of the schedule beside the run that made the picture; raises OutOfStep where these do not line up."""
    settings, sigmas = task.settings, recorded.sigmas
    step = task.bound_steps(len(sigmas) - 1, "the picture was made in")
    first = recorded.start(step)
    if first is None:
        raise OutOfStep
    logging.info(
        "RAG: repaint beside the record of the picture's run, with its schedule, %s and cfg %g",
        settings.sampler_name,
        settings.cfg,
    )
    start = recorded.evaluations[first].x.clone()
    _put(start, _alone(task, sigmas, step), task)
    replay = Replay(recorded, first, task.region.inside, task.region.match_surroundings)
    samples, done = run_sampler(
        add_spec(task.guided_model, replay), *_start_at(task, start, sigmas[step], step), task.positive, task.negative,
        settings, sigmas[step:], record=True,
    )  # fmt: skip
    samples = replay.mixed(samples, task.samples, task.picture).to(task.samples.dtype)
    made = Trajectory(
        (*recorded.evaluations[:first], *done), sigmas, settings.sampler_name, settings.cfg, task.positive,
        task.negative, (task.refinement,) if task.refinement is not None else (), identity(task.model), samples,
    )  # fmt: skip
    return {**task.prior, "samples": samples, TRAJECTORY: made}


def _with_noise_mask(task: Task, sigmas: Tensor | None) -> dict:
    """Everything from x_t = (1 - sigma) · x_0 + sigma · noise, held outside the mask by ComfyUI's noise mask."""
    sampling, settings, samples = task.sampling, task.settings, task.samples
    if sigmas is None:
        sigmas = comfy.samplers.calculate_sigmas(sampling, settings.scheduler, settings.steps)
    step = task.bound_steps(len(sigmas) - 1, "there are")
    clean = task.model.model.process_latent_in(samples.float())
    fresh = comfy.sample.prepare_noise(samples, settings.seed).to(samples.device)
    start = sampling.noise_scaling(sigmas[step], fresh, clean)
    _put(start, _alone(task, sigmas, step), task)
    held = (start - sampling.noise_scaling(sigmas[step], torch.zeros_like(fresh), clean)) / sigmas[step]
    inside = task.picture.spread(task.region.inside).to(samples.device)
    result, _ = run_sampler(
        task.guided_model, held, samples, task.positive, task.negative, settings, sigmas[step:],
        noise_mask=inside[None].float(),
    )  # fmt: skip
    kept = {key: value for key, value in task.prior.items() if key not in (TRAJECTORY, "noise_mask")}
    return {**kept, "samples": torch.where(inside, result.to(samples), samples)}


def _alone(task: Task, sigmas: Tensor, step: int) -> Tensor:
    """The region's box after its own steps, [B, C, h, w] in the model's space.

    As a bound region it takes guidance, ControlNets and the like from the base prompt, cropped to the box.
    """
    picture, region, sampling = task.picture, task.region, task.sampling
    empty = torch.zeros(picture.crop(task.samples, region.box).shape)
    noise = comfy.sample.prepare_noise(empty, task.settings.seed) if task.noise is None else task.noise
    if step == 0:
        return sampling.noise_scaling(sigmas[0], noise, empty)
    controls = Controls(picture, region.box)
    base = base_entry([options for _, options in task.positive], Schedule(sigmas, sampling))
    own = cropped_prompt(region.conditioning, controls, base)
    against = cropped_prompt(task.negative, controls)
    made, _ = run_sampler(plain(task.model), noise, empty, own, against, task.settings, sigmas[: step + 1])
    return task.model.model.process_latent_in(made) / _clean_share(task, sigmas[step])


def _clean_share(task: Task, sigma: Tensor) -> Tensor:
    """What a sampler that stops at sigma multiplies the latent in the model's space by."""
    return task.sampling.inverse_noise_scaling(sigma, torch.ones(()))


def _start_at(task: Task, x: Tensor, sigma: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Noise and latent with which a stock sampler starts at x: no noise, and a latent that scales to x."""
    if step == 0:
        return x / sigma, torch.zeros_like(x)
    latent = task.sampling.inverse_noise_scaling(sigma, x)
    return torch.zeros_like(x), task.model.model.process_latent_out(latent)


def _put(latent: Tensor, part: Tensor, task: Task) -> None:
    """Write the region's box into the latent where the mask is, in place."""
    target = task.picture.crop(latent, task.region.box)
    inside = task.picture.crop(task.picture.spread(task.region.inside), task.region.box).to(latent.device)
    target.copy_(torch.where(inside, part.to(target), target))
