"""What methods have in common that guide the attention of the main pass by regional texts."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .. import networks
from ..attention.masks import image_mask
from ..picture import Picture
from ..regions import Region, TokenRegion, describe, owners, refuse_options
from ..schedule import Schedule
from . import advice
from .spec import Spec

CANNOT_CARRY = {
    "hooks": "LoRA hooks",
    "control": "a ControlNet",
    "area": "an area",
    "mask": "a mask",
    "start_percent": "a time range",
    "end_percent": "a time range",
    "reference_latents": "reference latents",
    "concat_latent_image": "an inpainting latent",
}
"""What a text among many in one pass has no place for."""


class AttentionMethod(Spec):
    """A spec with regions whose texts all run in the main pass, within a part of the sampling."""

    regions: tuple[Region, ...]
    start_percent: float
    end_percent: float

    def check_fields(self) -> None:
        """Raise ValueError for a window or a region's conditioning that no attention method takes."""
        if not 0 <= self.start_percent <= self.end_percent <= 1:
            raise ValueError(
                f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}; "
                f"0 <= start_percent <= end_percent <= 1 is right"
            )
        for number, region in enumerate(self.regions, 1):
            if len(region.conditioning) != 1:
                raise ValueError(
                    f"the conditioning of {describe(number, self.regions)} has {len(region.conditioning)} entries; "
                    f"{self.method} reads one text for each region: combine prompts as text, not as conditioning"
                )
        refuse_options(
            self.regions,
            CANNOT_CARRY,
            f"{self.method} runs all texts in one pass and reads only the text: use it on the base prompt, or in a "
            f"region of Hard Binding",
        )

    def check(self, model) -> None:
        if networks.of(model) is None:
            raise ValueError(
                f"this model is of the family {networks.name_of(model)}, for which {self.method} has no adapter; "
                f"supported: {'; '.join(family.name for family in networks.FAMILIES)}. Hard Binding works with every "
                f"image model"
            )

    @property
    def texts(self) -> tuple[Tensor, ...]:
        return tuple(region.conditioning[0][0] for region in self.regions)

    def advice(self, schedule: Schedule, patches: dict[str, list]) -> Iterator[str]:
        yield from advice.on_prompts(self.node, self.regions)
        if schedule.from_picture and self.changes_anything:
            yield (
                f"this run starts from a picture, and {self.node} spreads the whole layout over it. That is right for all "
                f"of the picture; in a detailer, a crop or a tile use the MODEL from before {self.node}"
            )
        output_patches = patches.get("attn1_output_patch", ())
        if any("NAGuidance" in getattr(patch, "__qualname__", "") for patch in output_patches):
            yield (
                f"Normalized Attention Guidance needs the positive and the negative prompt in one forward, and "
                f"{self.node} runs them apart: NAG has no effect while it works; use cfg instead"
            )


def disjoint(regions: tuple[TokenRegion, ...], picture: Picture) -> tuple[tuple[Tensor, ...], Tensor]:
    """The image token numbers of each region, the later one's where regions overlap, and those of no region."""
    owner = owners(regions, picture).flatten()
    cells = tuple((owner == number).nonzero()[:, 0] for number in range(1, len(regions) + 1))
    return cells, (owner == 0).nonzero()[:, 0]


def inside(regions: tuple[TokenRegion, ...], picture: Picture) -> Tensor:
    """Which image tokens lie in each region, bool [regions, tokens]; regions that overlap share tokens."""
    return torch.stack([owners((region,), picture).flatten() > 0 for region in regions])


def mask_rows(region: Region, cell: Tensor, picture: Picture) -> Tensor | None:
    """The rows of a region's attention mask that belong to its text and its image tokens, [T + n, T + image]."""
    text, options = region.conditioning[0]
    mask = image_mask(options, picture)
    if mask is None:
        return None
    return torch.cat((mask[0, : text.shape[1]], mask[0, text.shape[1] :][cell]))
