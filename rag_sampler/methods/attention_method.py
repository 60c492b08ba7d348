"""What methods have in common that guide the attention of the main pass by regional texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from comfy.hooks import HookGroup
from torch import Tensor

from .. import networks
from ..attention.masks import image_mask, text_mask
from ..networks.network import JOINT
from ..picture import Picture
from ..regions import Region, TokenRegion, describe, guided_tokens, owners, refuse_options
from ..schedule import Schedule, Window, time_range
from . import advice, lora_hooks
from .spec import Guided, Layer, Setting, Spec

CANNOT_CARRY = {
    "control": "a ControlNet",
    "area": "an area",
    "mask": "a mask",
    "reference_latents": "reference latents",
    "concat_latent_image": "an inpainting latent",
}
"""What a text among many in one pass has no place for."""


class AttentionMethod(Spec):
    """A spec with regions whose texts all run in the main pass, within a part of the sampling.

    kinds: of the families for which it is defined.
    """

    kinds: tuple[str, ...] = (JOINT,)
    regions: tuple[Region, ...]
    start_percent: float
    end_percent: float

    def rasterised(self, picture: Picture) -> tuple[tuple[TokenRegion, ...], Picture]:
        """Its regions' tokens, and the picture as these tokens see it."""
        return guided_tokens(self.regions, picture), picture

    def on_layout(self, tokens: tuple[TokenRegion, ...], picture: Picture) -> Iterator[str]:
        """What a user should know of the regions once they lie on the picture's tokens."""
        yield from ()

    def guide(self, live: list[Live], picture: Picture, window: Window) -> Guided:
        """It laid out on these regions."""
        raise NotImplementedError

    @property
    def shares(self) -> tuple[float, ...]:
        """Of each region, how much of its tokens' result is its own."""
        return tuple(region.strength for region in self.regions)

    def told(self, guided: Guided, picture: Picture) -> str:
        """A few words on what it did where."""
        return f"{len(guided.texts)} regions guided"

    def check_fields(self) -> None:
        """Raise ValueError for a window or a region's conditioning that no attention method takes."""
        if not 0 <= self.start_percent <= self.end_percent <= 1:
            raise ValueError(
                f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}; "
                f"0 <= start_percent <= end_percent <= 1 is right"
            )
        for number, region in enumerate(self.regions, 1):
            times = sorted(time_range(options) for _, options in region.conditioning)
            if not times or any(later[0] < earlier[1] for earlier, later in pairwise(times)):
                raise ValueError(
                    f"the conditioning of {describe(number, self.regions)} has {len(times)} entries "
                    f"({', '.join(f'{start:g} to {end:g}' for start, end in times)} of the sampling); {self.method} "
                    f"reads one text at a time: combine prompts as text, or give them time ranges that do not overlap"
                )
        refuse_options(
            self.regions,
            CANNOT_CARRY,
            f"{self.method} runs all texts in one pass and reads only the text: use it on the base prompt, or in a "
            f"region of Hard Binding",
        )

    def hooks(self) -> list:
        return lora_hooks.of_regions(self.regions, self.node)

    def check(self, model) -> None:
        self.check_family(model)
        lora_hooks.check_worn(model, self.regions, self.method)

    @classmethod
    def check_family(cls, model) -> None:
        """Raise ValueError where the MODEL's family has no such method."""
        network, name = networks.of(model), networks.name_of(model)
        if network is None:
            supported = (family.name for family in networks.FAMILIES if family.kind in cls.kinds)
            raise ValueError(
                f"this model is of the family {name}, for which {cls.method} has no adapter; supported: "
                f"{'; '.join(supported)}. Hard Binding works with every image model"
            )
        if network.family.kind not in cls.kinds:
            raise ValueError(
                f"{cls.method} lets texts and image tokens attend to each other, and on this model, of the family "
                f"{name}, image tokens only read texts (cross-attention); use RPG Regional Diffusion or Soft Refinement "
                f"Attention"
            )

    def lay_out(self, setting: Setting) -> Layer:
        """A region whose text has a time range is there in that alone."""
        tokens, picture = self.rasterised(setting.picture)
        told = [
            *advice.on_tokens(self.regions, tokens, picture),
            *self.on_layout(tokens, picture),
        ]
        guided = []
        for window, entries in self._stretches(setting.schedule):
            live = [
                Live(replace(region, conditioning=[entry]), own, share)
                for region, own, share, entry in zip(self.regions, tokens, self.shares, entries, strict=True)
                if entry is not None
            ]
            if live:
                guided.append(self.guide(live, picture, window))
        if not guided:
            told.append(f"{self.node}: no region's text has a time in which it works; it changes nothing")
        return Layer(self, guided=tuple(guided), advice=tuple(told))

    def report(self, layer: Layer, setting: Setting, log) -> str:
        if not layer.guided:
            return ""
        most = max(layer.guided, key=lambda guided: len(guided.texts))
        hits, streams = (max(of[guided] for guided in layer.guided) for of in (log.hits, log.streams))
        return f"{self.told(most, setting.picture)} in {hits} of {setting.network.layers} blocks, {streams} image streams"

    def _stretches(self, schedule: Schedule) -> Iterator[tuple[Window, list]]:
        """The parts of the sampling in which the same entries of the regions' conditioning are in their time, and
        for each region the one that is; where one ends as the next begins, the next one is."""
        entries = [entry for region in self.regions for entry in region.conditioning]
        edges = {edge for _, options in entries for edge in time_range(options)}
        inner = sorted(edge for edge in edges if self.start_percent < edge < self.end_percent)
        for start, end in pairwise((self.start_percent, *inner, self.end_percent)):
            window = replace(schedule.between(start, end), closed=end == self.end_percent)
            yield window, [_live(region.conditioning, start, end) for region in self.regions]

    def advice(self, schedule: Schedule, patches: dict[str, list]) -> Iterator[str]:
        yield from advice.on_prompts(self.regions)
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


@dataclass(frozen=True, eq=False)
class Live:
    """A region with the one text that is in its time, its tokens, and its share of its own result."""

    region: Region
    tokens: TokenRegion
    share: float

    @property
    def text(self) -> Tensor:
        return self.region.conditioning[0][0]

    @property
    def text_mask(self) -> Tensor | None:
        return text_mask(self.region.conditioning[0][1])


class OnLive:
    """An attention method laid out on live regions; copies as Guided has it."""

    live: tuple[Live, ...]
    copies = 0

    @property
    def conditioning(self) -> list:
        return [entry for one in self.live for entry in one.region.conditioning]

    @property
    def texts(self) -> tuple[Tensor, ...]:
        return tuple(one.text for one in self.live)

    @property
    def text_masks(self) -> tuple[Tensor | None, ...]:
        return tuple(one.text_mask for one in self.live)

    def words(self, texts: tuple[int, ...]) -> Tensor:
        return torch.arange(len(texts)).repeat_interleave(torch.tensor(texts))

    @property
    def hooks(self) -> tuple[HookGroup | None, ...]:
        return tuple(one.region.conditioning[0][1].get("hooks") for one in self.live)


def _live(conditioning: list, start: float, end: float) -> list | None:
    """The entry that is in its time from one percent to another, if any."""
    times = ((entry, *time_range(entry[1])) for entry in conditioning)
    return next((entry for entry, begins, ends in times if begins <= start and end <= ends), None)


def disjoint(regions: tuple[TokenRegion, ...], picture: Picture) -> tuple[tuple[Tensor, ...], Tensor]:
    """The image token numbers of each region, the later one's where regions overlap, and those of no region."""
    owner = along(owners(regions, picture), picture)
    cells = tuple((owner == number).nonzero()[:, 0] for number in range(1, len(regions) + 1))
    return cells, (owner == 0).nonzero()[:, 0]


def inside(regions: tuple[TokenRegion, ...], picture: Picture) -> Tensor:
    """Which image tokens lie in each region, bool [regions, tokens]; regions that overlap share tokens."""
    return torch.stack([along(owners((region,), picture), picture) > 0 for region in regions])


def along(grid: Tensor, picture: Picture) -> Tensor:
    """A value for each token [rows, columns] as one along the image stream; its padding goes with the last token."""
    values = grid.flatten()
    return torch.cat((values, values[-1:].expand(picture.length - picture.tokens)))


def mask_rows(region: Region, cell: Tensor, picture: Picture) -> Tensor | None:
    """The rows of a region's attention mask that belong to its text and its image tokens, [T + n, T + image]."""
    text, options = region.conditioning[0]
    mask = image_mask(options, picture)
    if mask is None:
        return None
    return torch.cat((mask[0, : text.shape[1]], mask[0, text.shape[1] :][cell]))
