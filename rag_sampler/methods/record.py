"""The record of a run, and its replay beside a new one: what Repaint needs of a picture.

A Recorder keeps every model evaluation of a run. A Replay goes beside the evaluations of a new run: the engine first
runs the original conditions on the recorded latent, with their regions, and keeps the image states; then the new
conditions, with those states pasted outside the mask. Latent and prediction outside the mask are the recorded ones.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass, field

import torch
from comfy.hooks import EnumHookType
from torch import Tensor

from ..picture import Picture, TokenBox
from ..regions import TokenRegion
from ..schedule import same_sigma
from . import lora_hooks
from .spec import Layer, Setting, Spec

TRAJECTORY = "rag_trajectory"
"""Where a LATENT carries its trajectory."""

ORIGINAL = "rag_original"
"""Key that marks the conditioning entries of the replayed run."""


class OutOfStep(Exception):
    """The sampler asks for an evaluation that the recorded run did not make."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model evaluation: the latent that the model saw and what it predicted, on the CPU, model space."""

    sigma: float
    x: Tensor
    denoised: Tensor


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A finished run. Conditioning and specs are held by reference, the model only by its identity.

    sigmas: [steps + 1], descending; samples: what the run returned.
    """

    evaluations: tuple[Evaluation, ...]
    sigmas: Tensor
    sampler_name: str
    cfg: float
    positive: list
    negative: list
    specs: tuple[Spec, ...]
    model: tuple
    samples: Tensor

    @property
    def megabytes(self) -> float:
        return sum(e.x.nbytes + e.denoised.nbytes for e in self.evaluations) / 1e6

    def start(self, step: int) -> int | None:
        """The number of the evaluation that begins a step, or None where none does.

        A sampler that evaluates twice a step reaches a step's sigma first at the end of the step before.
        """
        sigma = float(self.sigmas[step])
        found = [number for number, e in enumerate(self.evaluations) if same_sigma(e.sigma, sigma)]
        return found[-1] if found else None


@dataclass(frozen=True, eq=False)
class Recorder(Spec):
    """Keeps the evaluations of a run."""

    regions = ()

    evaluations: list[Evaluation] = field(default_factory=list)

    def keep(self, sigma: float, x: Tensor, denoised: Tensor) -> None:
        self.evaluations.append(Evaluation(sigma, x.to("cpu", copy=True), denoised.to("cpu", copy=True)))

    def lay_out(self, setting: Setting) -> Layer:
        return Layer(self, recorder=self)

    def report(self, layer: Layer, setting: Setting, log) -> str:
        return "recorded for Repaint"


class FromPicture(Spec):
    """Marks a run that Repaint starts from a picture, where its advice for second passes is out of place."""

    regions = ()
    expects_picture = True


@dataclass(frozen=True, eq=False)
class Replay(Spec):
    """Replays a trajectory from an evaluation on.

    inside: bool [rows, columns], the tokens that are painted anew.
    match_surroundings: paste the states of single blocks too (the paper's Repainting_single).
    """

    regions = ()

    trajectory: Trajectory
    first: int
    inside: Tensor
    match_surroundings: bool

    def hooks(self) -> list:
        return [hook for spec in self.trajectory.specs for hook in spec.hooks()]

    def prompt_hooks(self) -> list:
        """Those of the picture's prompts."""
        found = lora_hooks.of_conditioning([*self.trajectory.positive, *self.trajectory.negative])
        if others := {hook.hook_type.value for hook in found if hook.hook_type != EnumHookType.Weight}:
            logging.warning(
                "RAG: hooks of the prompts that a picture was made with are not replayed: %s", others
            )
        return [hook for hook in found if hook.hook_type == EnumHookType.Weight]

    def lay_out(self, setting: Setting) -> Layer:
        return Layer(self, replay=self)

    def report(self, layer: Layer, setting: Setting, log) -> str:
        return "beside a recorded run"

    @property
    def surroundings(self) -> TokenRegion:
        """Everything outside the mask."""
        rows, columns = self.inside.shape
        return TokenRegion(TokenBox(0, rows, 0, columns), ~self.inside)

    def evaluation(self, number: int, sigma: float) -> Evaluation:
        """The recorded twin of the evaluation of this number since the start; raises OutOfStep."""
        number += self.first
        recorded = self.trajectory.evaluations
        if number >= len(recorded) or not same_sigma(recorded[number].sigma, sigma):
            raise OutOfStep
        return recorded[number]

    def mixed(self, x: Tensor, recorded: Tensor, picture: Picture) -> Tensor:
        """x inside the mask, the recorded tensor outside."""
        return torch.where(picture.spread(self.inside).to(x.device), x, recorded.to(x))


def identity(model) -> tuple:
    """What two MODELs share when they are the same weights with the same patches.

    A clone whose weights ComfyUI loaded again, as for hooks on a dynamic MODEL, shares its base; before ComfyUI had
    such clones, the model itself is what they share.
    """
    base = getattr(model, "clone_base_uuid", None)
    return weakref.ref(model.model) if base is None else base, model.patches_uuid


def of_latent(latent: dict, model) -> tuple[Trajectory | None, str]:
    """The trajectory of a LATENT if it tells of these very samples, and else why not.

    Extra keys of a LATENT survive nodes that change its samples, so that the samples decide.
    """
    found = latent.get(TRAJECTORY)
    if not isinstance(found, Trajectory):
        return (
            None,
            "the latent carries no record of how it was made (keep_for_repaint of the Hard Binding Sampler)",
        )
    if not found.evaluations:
        return None, "the latent was made without a step (denoise 0)"
    samples = latent["samples"]
    if found.samples.shape != samples.shape or not torch.equal(found.samples, samples.to(found.samples)):
        return None, "the latent was changed after it was made"
    if found.model != identity(model):
        return None, "the latent was made with another model"
    return found, ""
