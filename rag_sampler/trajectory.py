"""The record of a run that Repaint needs: every model evaluation, and what it was made with."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

import torch
from torch import Tensor

KEY = "rag_trajectory"
"""Where a LATENT carries its trajectory."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model evaluation: the latent that the model saw and what it predicted, on the CPU, model space."""

    sigma: float
    x: Tensor
    denoised: Tensor


@dataclass(frozen=True, eq=False)
class Recorder:
    """A spec of the engine that keeps the evaluations of a run."""

    evaluations: list[Evaluation] = field(default_factory=list)
    works = True

    def keep(self, sigma: float, x: Tensor, denoised: Tensor) -> None:
        self.evaluations.append(Evaluation(sigma, x.to("cpu", copy=True), denoised.to("cpu", copy=True)))


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
    specs: tuple
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
        found = [i for i, e in enumerate(self.evaluations) if abs(e.sigma - sigma) <= 1e-5 * max(sigma, 1e-6)]
        return found[-1] if found else None


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
    found = latent.get(KEY)
    if not isinstance(found, Trajectory):
        return (
            None,
            "the latent carries no record of how it was made (keep_for_repaint of the Hard Binding Sampler)",
        )
    samples = latent["samples"]
    if found.samples.shape != samples.shape or not torch.equal(found.samples, samples.to(found.samples)):
        return None, "the latent was changed after it was made"
    if found.model != identity(model):
        return None, "the latent was made with another model"
    return found, ""
