"""Replaying a recorded run beside a new one, so that the new one keeps everything outside a mask.

In every evaluation of the new run the engine first runs the original conditions on the recorded latent, with
their regions, and keeps the image states; then the new conditions, with those states pasted outside the mask.
Latent and prediction outside the mask are the recorded ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .layout import TokenBox
from .picture import Picture
from .regions import TokenRegion
from .trajectory import Evaluation, Trajectory

ORIGINAL = "rag_original"
"""Key that marks the conditioning entries of the replayed run."""


class OutOfStep(Exception):
    """The sampler asks for an evaluation that the recorded run did not make."""


@dataclass(frozen=True, eq=False)
class Replay:
    """A spec of the engine: replay a trajectory from an evaluation on.

    inside: bool [rows, columns], the tokens that are painted anew.
    match_surroundings: paste the states of single blocks too (the paper's Repainting_single).
    """

    trajectory: Trajectory
    first: int
    inside: Tensor
    match_surroundings: bool
    works = True

    @property
    def surroundings(self) -> TokenRegion:
        """Everything outside the mask."""
        rows, columns = self.inside.shape
        return TokenRegion(TokenBox(0, rows, 0, columns), ~self.inside)

    def evaluation(self, number: int, sigma: float) -> Evaluation:
        """The recorded twin of the evaluation of this number since the start; raises OutOfStep."""
        number += self.first
        recorded = self.trajectory.evaluations
        if number >= len(recorded) or abs(recorded[number].sigma - sigma) > 1e-4 * max(sigma, 1e-3):
            raise OutOfStep
        return recorded[number]

    def mixed(self, x: Tensor, recorded: Tensor, picture: Picture) -> Tensor:
        """x inside the mask, the recorded tensor outside."""
        return torch.where(picture.spread(self.inside).to(x.device), x, recorded.to(x))
