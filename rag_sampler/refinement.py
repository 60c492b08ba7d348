"""Soft Refinement: every region's text guides its own image tokens while the whole stays one picture.

The regional texts are appended to the base prompt's text and become streams of their own, since every read keeps them
apart. Pooled text and guidance stay those of the base prompt. At 0 < delta < 1 the published method runs the single
blocks of FLUX on two image streams.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from .attention.masks import image_mask
from .attention.reads import FORK, IMAGE, Part, Program, Query, Read, own
from .picture import Picture
from .regions import Region, TokenRegion, describe, owners

_CANNOT_CARRY = {
    "hooks": "LoRA hooks",
    "control": "a ControlNet",
    "area": "an area",
    "mask": "a mask",
    "start_percent": "a time range",
    "end_percent": "a time range",
    "reference_latents": "reference latents",
    "concat_latent_image": "an inpainting latent",
}


@dataclass(frozen=True, eq=False)
class Refinement:
    """What one Soft Refinement node asks for.

    delta: share of the regional result, 0 (none) to 1 (all); the paper's SR_delta.
    start_percent, end_percent: part of the sampling in which it works, 0..1.
    published: carry the published second image stream through the single blocks at 0 < delta < 1.
    """

    node = "Soft Refinement Attention"

    regions: tuple[Region, ...]
    delta: float
    start_percent: float = 0.0
    end_percent: float = 1.0
    published: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.delta <= 1:
            raise ValueError(f"delta is {self.delta:g}; it has to lie between 0 and 1")
        if not 0 <= self.start_percent <= self.end_percent <= 1:
            raise ValueError(
                f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}; "
                f"0 <= start_percent <= end_percent <= 1 is right"
            )
        for number, region in enumerate(self.regions, 1):
            if len(region.conditioning) != 1:
                raise ValueError(
                    f"the conditioning of {describe(number, self.regions)} has {len(region.conditioning)} entries; "
                    f"Soft Refinement reads one text for each region: combine prompts as text, not as conditioning"
                )
            for key in sorted(_CANNOT_CARRY.keys() & region.conditioning[0][1].keys()):
                raise ValueError(
                    f"the conditioning of {describe(number, self.regions)} carries {_CANNOT_CARRY[key]}; Soft "
                    f"Refinement runs all texts in one pass and reads only the text: use it on the base prompt, "
                    f"or in a region of Hard Binding"
                )

    @property
    def works(self) -> bool:
        """Whether it changes anything."""
        return self.delta > 0

    @property
    def texts(self) -> list[Tensor]:
        """The regional texts, [1, T_r, C] each; their lengths may differ."""
        return [region.conditioning[0][0] for region in self.regions]


@dataclass(frozen=True, eq=False)
class GuidedPicture:
    """A refinement laid out on the tokens of one picture.

    cells: image token numbers of each region, disjoint: where regions overlap, the later one has the token.
    uncovered: image token numbers of no region.
    window: sigmas between which it works, (from, down to).
    first_text: place of its first text among the texts of all refinements of the run.
    masks: attention masks [T_r + n_r, T_r + image] that regions bring (Redux with attn_bias), additive; or None.
    """

    refinement: Refinement
    cells: tuple[Tensor, ...]
    uncovered: Tensor
    window: tuple[float, float]
    first_text: int
    masks: tuple[Tensor | None, ...]

    def active(self, sigma: float) -> bool:
        start, end = self.window
        return self.refinement.delta > 0 and end <= sigma <= start

    @property
    def regional_only(self) -> bool:
        """Whether every token of the picture takes the regional result alone.

        The published method then reads nothing of the main image stream in the blocks that carry a second one:
        outside the bound boxes it equals the stream that the regional attention reads, inside it is replaced with
        the prediction. One stream, into whose blocks of that kind nothing is pasted, computes the same.
        """
        return self.refinement.delta == 1 and len(self.uncovered) == 0

    def forks(self, bound: bool) -> bool:
        """Whether it wants a second image stream; bound: whether states are pasted into the forward."""
        return self.refinement.published if self.refinement.delta < 1 else bound and not self.regional_only

    def program(
        self, base: int, texts: tuple[int, ...], references: int, fork: str | None, device, dtype
    ) -> Program:
        """The reads of one forward.

        base, texts: tokens of the base prompt's text and of its own; references: tokens of reference images after
        the picture's; fork: the kind of block that carries the second image stream, or None; device, dtype: of the
        network's queries.
        """
        picture = len(self.uncovered) + sum(len(cell) for cell in self.cells)
        uncovered = torch.cat((self.uncovered, torch.arange(picture, picture + references)))
        cells = [cell.to(device) for cell in self.cells]
        masks = [
            mask if mask is None else pad(mask, (0, references)).to(device, dtype) for mask in self.masks
        ]
        read_base = self.refinement.delta < 1 or len(uncovered) > 0
        of_kind = {
            forked: reads(cells, uncovered.to(device), masks, self.refinement.delta, forked)
            for forked in (False, True)
        }
        return Program(
            (base if read_base else 0, *texts),
            picture + references,
            lambda kind, number: of_kind[kind == fork],
            fork,
        )


def reads(
    cells: list[Tensor], uncovered: Tensor, masks: list[Tensor | None], delta: float, forked: bool
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


def lay_out(
    refinement: Refinement, regions: tuple[TokenRegion, ...], picture: Picture, window, first_text: int
) -> GuidedPicture:
    """Give each image token to the last region that covers it."""
    owner = owners(regions, picture).flatten()
    cells = tuple((owner == number).nonzero()[:, 0] for number in range(1, len(regions) + 1))
    masks = tuple(
        _mask(region, cell, picture) for region, cell in zip(refinement.regions, cells, strict=True)
    )
    return GuidedPicture(refinement, cells, (owner == 0).nonzero()[:, 0], window, first_text, masks)


def _mask(region: Region, cell: Tensor, picture: Picture) -> Tensor | None:
    """The rows of a region's attention mask that belong to its text and its image tokens."""
    text, options = region.conditioning[0]
    mask = image_mask(options, picture)
    if mask is None:
        return None
    return torch.cat((mask[0, : text.shape[1]], mask[0, text.shape[1] :][cell]))
