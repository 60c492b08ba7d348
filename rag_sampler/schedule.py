"""The sigmas of a run, and the stretches of them in which something works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SLACK = 1e-5
"""Share by which a sigma may miss one of the schedule: samplers compute it anew."""


def same_sigma(one: float, other: float) -> bool:
    """Whether two sigmas are one of the schedule; near 0, where a share says nothing, as for 0.01."""
    return abs(one - other) <= SLACK * max(one, other, 0.01)


def time_range(options: dict) -> tuple[float, float]:
    """When an entry of a CONDITIONING with these options is used, as percents of the sampling."""
    return options.get("start_percent", 0.0), options.get("end_percent", 1.0)


@dataclass(frozen=True)
class Window:
    """Sigmas between which something works, from `start` down to `end`; closed: `end` is one of them."""

    start: float
    end: float
    closed: bool = True

    def __contains__(self, sigma: float) -> bool:
        if sigma > self.start * (1 + SLACK):
            return False
        return sigma >= self.end * (1 - SLACK) if self.closed else sigma > self.end * (1 + SLACK)


@dataclass(frozen=True, eq=False)
class Schedule:
    """The sigmas [steps + 1] of a run, descending.

    sampling: ComfyUI's model_sampling.
    continues: whether the run goes on with an earlier one, whose first steps are done.
    from_picture: whether it starts from a picture with fresh noise, at denoise below 1.
    """

    sigmas: Tensor
    sampling: object
    continues: bool = False
    from_picture: bool = False

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    def first(self, steps: int) -> Window:
        """The first so many steps, at most all."""
        return Window(float("inf"), float(self.sigmas[min(steps, self.steps)]), closed=False)

    def between(self, start_percent: float, end_percent: float) -> Window:
        """The part of the sampling from one percent, 0..1, to another."""
        return Window(*(float(self.sampling.percent_to_sigma(p)) for p in (start_percent, end_percent)))

    def step(self, sigma: float) -> int:
        """The step, from 0, to which an evaluation at this sigma belongs; samplers evaluate between the sigmas too."""
        begun = sum(sigma <= float(start) * (1 + SLACK) for start in self.sigmas[:-1])
        return max(begun - 1, 0)
