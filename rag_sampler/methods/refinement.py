"""Soft Refinement (arXiv 2411.06558, section 3.3): every region's text guides its own image tokens while the whole
stays one picture.

The regional texts are appended to the base prompt's text and become streams of their own, since every read keeps them
apart. Pooled text and guidance stay those of the base prompt. At 0 < delta < 1 the published method runs the single
blocks of FLUX on two image streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..attention.reads import FORK, IMAGE, Part, Program, Query, Read, own
from ..regions import Region, describe, guided_tokens
from ..schedule import Schedule, Window
from . import advice
from .attention_method import AttentionMethod, disjoint, mask_rows
from .spec import Layer, Setting


@dataclass(frozen=True, eq=False)
class Refinement(AttentionMethod):
    """What one Soft Refinement node asks for.

    delta: share of the regional result, 0 (none) to 1 (all); the paper's SR_delta.
    start_percent, end_percent: part of the sampling in which it works, 0..1.
    published: carry the published second image stream through the single blocks at 0 < delta < 1.
    """

    node = "Soft Refinement Attention"
    method = "Soft Refinement"

    regions: tuple[Region, ...]
    delta: float
    start_percent: float = 0.0
    end_percent: float = 1.0
    published: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.delta <= 1:
            raise ValueError(f"delta is {self.delta:g}; it has to lie between 0 and 1")
        self.check_fields()

    @property
    def changes_anything(self) -> bool:
        return self.delta > 0

    def advice(self, schedule: Schedule, patches: dict[str, list]) -> Iterator[str]:
        if self.delta == 0:
            yield f"{self.node} has delta 0 and changes nothing"
        yield from super().advice(schedule, patches)

    def lay_out(self, setting: Setting) -> Layer:
        picture, regions = setting.picture, guided_tokens(self.regions, setting.picture)
        cells, uncovered = disjoint(regions, picture)
        masks = tuple(
            mask_rows(region, cell, picture) for region, cell in zip(self.regions, cells, strict=True)
        )
        window = setting.schedule.between(self.start_percent, self.end_percent)
        told = advice.on_tokens(self.node, self.regions, regions, picture), self._on_cells(cells, uncovered)
        return Layer(
            self,
            guided=Refined(self, window, cells, uncovered, masks),
            advice=tuple(message for messages in told for message in messages),
        )

    def _on_cells(self, cells: tuple[Tensor, ...], uncovered: Tensor) -> Iterator[str]:
        """What the cells tell once overlaps are settled."""
        for number, cell in enumerate(cells, 1):
            if len(cell) == 0:
                yield f"{self.node}: {describe(number, self.regions)} is hidden by later regions"
        if len(uncovered):
            total = len(uncovered) + sum(map(len, cells))
            yield (
                f"{self.node}: {len(uncovered) / total:.0%} of the picture lies in no region and follows the base "
                f"prompt alone"
            )

    def report(self, layer: Layer, setting: Setting, log) -> str:
        cells = layer.guided.cells
        return (
            f"{len(cells)} cells ({sum(map(len, cells)) / setting.picture.tokens:.0%} of the tokens) refined with delta "
            f"{self.delta:g} in {log.hits[layer.guided]} of {setting.network.layers} blocks, "
            f"{log.streams[layer.guided]} image streams"
        )


@dataclass(frozen=True, eq=False)
class Refined:
    """A refinement laid out on the tokens of one picture.

    cells: image token numbers of each region, disjoint; uncovered: those of no region.
    masks: attention masks [T_r + n_r, T_r + image] that regions bring (Redux with attn_bias), additive; or None.
    """

    spec: Refinement
    window: Window
    cells: tuple[Tensor, ...]
    uncovered: Tensor
    masks: tuple[Tensor | None, ...]

    @property
    def texts(self) -> tuple[Tensor, ...]:
        return self.spec.texts

    @property
    def unread(self) -> bool:
        """Where every token of the picture takes the regional result alone, the published method reads nothing of
        the main image stream in the single blocks: outside the bound boxes it equals the stream that the regional
        attention reads, inside it is replaced with the prediction. One stream, into whose single blocks nothing is
        pasted, computes the same.
        """
        return self.spec.delta == 1 and len(self.uncovered) == 0

    def forks(self, pasted: bool) -> bool:
        return self.spec.published if self.spec.delta < 1 else pasted and not self.unread

    def program(
        self, base: int, texts: tuple[int, ...], references: int, fork: str | None, device, dtype
    ) -> Program:
        """References belong to no region."""
        picture = len(self.uncovered) + sum(map(len, self.cells))
        uncovered = torch.cat((self.uncovered, torch.arange(picture, picture + references))).to(device)
        cells = [cell.to(device) for cell in self.cells]
        masks = [
            mask if mask is None else pad(mask, (0, references)).to(device, dtype) for mask in self.masks
        ]
        delta = self.spec.delta
        of_kind = {forked: reads(cells, uncovered, masks, delta, forked) for forked in (False, True)}
        return Program(
            (base if delta < 1 or len(uncovered) else 0, *texts),
            picture + references,
            lambda kind, number: of_kind[kind == fork],
            fork,
        )


def reads(
    cells: Sequence[Tensor], uncovered: Tensor, masks: Sequence[Tensor | None], delta: float, forked: bool
) -> tuple[Read, ...]:
    """Who reads whom in one block:

        text r                     reads  text r + image
        image token of region r    reads  text r + image    -> regional result
        image token                reads  text 0 + image    -> base result

    image result = delta · regional + (1 - delta) · base; outside all regions it is the base result. Where there is
    a second image stream, the regional attention reads it, and it takes the regional result alone.
    """
    guided, found = FORK if forked else IMAGE, []
    if forked and len(uncovered):
        found.append(Read((own(FORK, uncovered),), (Part(0), Part(FORK))))
    if delta < 1 or len(uncovered):
        found.append(Read((own(0), own(IMAGE, None if delta < 1 else uncovered)), (Part(0), Part(IMAGE))))
    to = ((FORK, 1.0), (IMAGE, delta)) if forked else ((IMAGE, delta),)
    for text, (cell, mask) in enumerate(zip(cells, masks, strict=True), 1):
        found.append(Read((own(text), Query(Part(guided, cell), to)), (Part(text), Part(guided)), mask))
    return tuple(found)
