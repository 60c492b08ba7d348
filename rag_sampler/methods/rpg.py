"""RPG's complementary regional diffusion (arXiv 2401.11708): in each cell the result of its own text and that of the
base prompt are mixed by a base ratio.

It is published for the cross-attention of UNets, where it is in each cell (1 - base_ratio) · A(q; text r) + base_ratio ·
A(q; text 0), in all blocks. Where text and image attend jointly it is Soft Refinement on one image stream, with a delta
of 1 - base_ratio for each cell.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..regions import Region, told_strengths
from .refinement import CellMethod


@dataclass(frozen=True, eq=False)
class RegionalDiffusion(CellMethod):
    """What one RPG Regional Diffusion node asks for.

    base_ratios: of the regions in their order, the weight of the base prompt's result, 0 (none) to 1 (all); the last
    one stands for all regions behind it.
    start_percent, end_percent: part of the sampling in which it works, 0..1.
    """

    node = "RPG Regional Diffusion"
    method = "RPG"

    regions: tuple[Region, ...]
    base_ratios: tuple[float, ...]
    start_percent: float = 0.0
    end_percent: float = 1.0

    def __post_init__(self) -> None:
        if len(self.base_ratios) > len(self.regions):
            raise ValueError(
                f"base_ratios holds {len(self.base_ratios)} values and regions {len(self.regions)}; write one value "
                f"for each region, or fewer: the last one counts for the rest"
            )
        self.check_fields()

    @property
    def deltas(self) -> tuple[float, ...]:
        left = len(self.regions) - len(self.base_ratios)
        return tuple(1 - ratio for ratio in self.base_ratios + self.base_ratios[-1:] * left)

    @property
    def settings(self) -> str:
        ratios = ", ".join(f"{ratio:g}" for ratio in self.base_ratios)
        return f"base_ratio {ratios}{told_strengths(self.regions)}"
