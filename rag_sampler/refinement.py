"""Soft Refinement: every region's text guides its own image tokens while the whole stays one picture.

The regional texts are appended to the base prompt's text; attention keeps the streams apart
(rag_sampler/attention.py). Pooled text and guidance stay those of the base prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from comfy.utils import upscale_dit_mask
from torch import Tensor
from torch.nn.functional import pad

from .attention import Streams
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
    rest: image token numbers of no region.
    window: sigmas between which it works, (from, down to).
    first_text: place of its first text among the texts of all refinements of the run.
    masks: attention masks [T_r + n_r, T_r + image] that regions bring (Redux with attn_bias), additive; or None.
    """

    refinement: Refinement
    cells: tuple[Tensor, ...]
    rest: Tensor
    window: tuple[float, float]
    first_text: int
    masks: tuple[Tensor | None, ...]

    def active(self, sigma: float) -> bool:
        start, end = self.window
        return self.refinement.delta > 0 and end <= sigma <= start

    @property
    def regional_only(self) -> bool:
        """Whether every token of the picture takes the regional result alone.

        The published method then reads nothing of the main image stream in the single blocks: outside the
        bound boxes it equals the stream that the regional attention reads, inside it is replaced with the
        prediction. One stream, into whose single blocks nothing is pasted, computes the same.
        """
        return self.refinement.delta == 1 and len(self.rest) == 0

    def streams(
        self, context: Tensor, texts: list[Tensor], references: int, bound: bool, device: torch.device
    ) -> tuple[Tensor, Streams]:
        """The text of one forward, [B, T, C], and how attention treats it.

        context: the base prompt's text; texts: those of all refinements; references: tokens of reference
        images after the picture's; bound: whether Hard Binding pastes states into this forward; device: where
        the forward runs.
        """
        texts = texts[self.first_text : self.first_text + len(self.cells)]
        picture = len(self.rest) + sum(len(cell) for cell in self.cells)
        rest = torch.cat((self.rest, torch.arange(picture, picture + references))).to(device)
        delta = self.refinement.delta
        read_base = delta < 1 or len(rest) > 0
        streams = Streams(
            texts=(context.shape[1] if read_base else 0, *(text.shape[1] for text in texts)),
            image=picture + references,
            cells=tuple(cell.to(device) for cell in self.cells),
            rest=rest,
            delta=delta,
            forked=self.refinement.published if delta < 1 else bound and not self.regional_only,
            masks=tuple(mask if mask is None else pad(mask, (0, references)) for mask in self.masks),
        )
        base = [context] if read_base else []
        return torch.cat([*base, *(text.to(context) for text in texts)], 1), streams


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
    if options.get("attention_mask") is None:
        return None
    size = options.get("attention_mask_img_shape", (1, 1))
    mask = upscale_dit_mask(options["attention_mask"], size, (picture.rows, picture.columns))[0]
    return torch.cat((mask[: text.shape[1]], mask[text.shape[1] :][cell]))
