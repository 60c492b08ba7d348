"""DenseDiffusion (ICCV 2023): in the first steps every part of the picture attends to the words that say what it shows,
and to itself, by moving the scores of attention in UNets.

A region's text is a phrase of one caption, whose tokens take the embedding of the phrase alone. In cross-attention a
query and a key belong together where the key is a token of the phrase of the query's region, in self-attention where both
lie in one region. There scores move up to the row's highest, elsewhere down to its lowest, by

    weight · (1 - size_strength · area of the region) · (timestep / 1000)^5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from comfy.hooks import HookGroup
from torch import Tensor
from torch.nn.functional import interpolate, pad

from .. import networks
from ..attention.scores import Move, ScoreProgram
from ..networks.network import CROSS
from ..page import at
from ..picture import Picture
from ..regions import (
    Region,
    TokenRegion,
    describe,
    owners,
    refuse_options,
    sampled_tokens,
    told_strengths,
)
from ..schedule import Schedule, Window, time_range
from . import advice
from .attention_method import CANNOT_CARRY, AttentionMethod, Live, disjoint
from .phrases import Caption, with_phrases

POWER = 5
"""Of the timestep, by which the method fades."""

LEAST = 0.01
"""Share of the strengths below which a run is told that nothing happens."""


@dataclass(frozen=True, eq=False)
class DenseDiffusion(AttentionMethod):
    """What one DenseDiffusion node asks for.

    regions: their conditionings are the phrases' own. caption: with these phrases; its owner numbers the regions.
    cross_strength, self_strength: weights in cross- and in self-attention; the paper's w_c and w_s.
    size_strength: how much less large regions are moved; the published sizereg.
    start_percent, end_percent: part of the sampling in which it works, 0..1.
    """

    node = "DenseDiffusion Attention"
    method = "DenseDiffusion"
    kinds = (CROSS,)

    regions: tuple[Region, ...]
    caption: Caption
    cross_strength: float = 1.0
    self_strength: float = 0.3
    size_strength: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 0.3

    @classmethod
    def of(cls, clip, regions: tuple[Region, ...], caption: str, *settings: float) -> DenseDiffusion:
        """With a caption and phrases in the words of a CLIP; settings: the fields behind the caption, in their order."""
        refuse_options(
            regions,
            CANNOT_CARRY,
            f"{cls.method} reads a region's text alone, as a phrase of one prompt: use it on the base prompt, or in a "
            f"region of Hard Binding",
        )
        found = with_phrases(clip, caption, regions)
        phrases = (
            replace(region, conditioning=[[phrase, {"hooks": region.conditioning[0][1].get("hooks")}]])
            for region, phrase in zip(regions, found.phrases, strict=True)
        )
        return cls(tuple(phrases), found, *settings)

    @classmethod
    def check_family(cls, model) -> None:
        network = networks.of(model)
        if network is None or not network.family.levels:
            supported = (family.name for family in networks.FAMILIES if family.levels)
            raise ValueError(
                f"{cls.method} moves the scores of cross- and self-attention in UNets ({'; '.join(supported)}), and this "
                f"model is of the family {networks.name_of(model)}. Where text and picture attend to each other in one, as "
                f"in FLUX, no setting of it was found to help. Use RPG Regional Diffusion or Soft Refinement Attention, or "
                f"Hard Binding, which works with every image model"
            )

    def __post_init__(self) -> None:
        for name, most in (("cross_strength", 2), ("self_strength", 2), ("size_strength", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name):g}; it has to lie between 0 and {most}")
        self.check_fields()

    @property
    def changes_anything(self) -> bool:
        return max(self.cross_strength, self.self_strength) > 0

    def advice(self, schedule: Schedule, patches: dict[str, list]) -> Iterator[str]:
        if not self.changes_anything:
            yield f"{self.node} has cross_strength 0 and self_strength 0; of attention it changes nothing"
        for number, region in enumerate(self.regions, 1):
            if not (self.caption.owner == number).any():
                yield at(
                    region.node_id,
                    f"{self.node}: the phrase of {describe(number, self.regions)} stands where a later one does, which "
                    f"takes its words: name it otherwise",
                )
            if number in self.caption.weighted:
                yield at(
                    region.node_id,
                    f"{self.node}: the caption weights the phrase of {describe(number, self.regions)}, whose own embedding "
                    f"takes its place there: write the weight in the region's text",
                )
        if self.changes_anything:
            yield from self._on_schedule(schedule)
        yield from super().advice(schedule, patches)

    def _on_schedule(self, schedule: Schedule) -> Iterator[str]:
        window = schedule.between(self.start_percent, self.end_percent)
        times = [float(schedule.sampling.timestep(s)) for s in schedule.sigmas[:-1] if float(s) in window]
        most = max(times, default=0.0)
        if (strongest := (most / 1000) ** POWER) < LEAST:
            yield (
                f"{self.node}: in no step of this run do scores move by more than {strongest:.1%} of the strengths, which "
                f"fade with the fifth power of the model's timestep: from start_percent to end_percent that is "
                f"{most:.0f} of 1000 at most"
            )

    def on_prompt(self, entries: list[dict]) -> Iterator[str]:
        mine = [text for text, _ in self.caption.conditioning]

        def is_mine(text: Tensor | None) -> bool:
            """Also where Conditioning (Concat) puts another behind it."""
            return text is not None and any(
                torch.equal(own.to(text), text[:, : own.shape[1]])
                for own in mine
                if own.shape[2] == text.shape[2]
            )

        live = [entry for entry in entries if self._works_in(*time_range(entry))]
        if not all(is_mine(entry.get("cross_attn")) for entry in live):
            yield (
                f"{self.node}: the base prompt of this run is not the node's output positive, so that words are looked for "
                f"where the caption has them and phrases lack their own embeddings: connect positive to the sampler"
            )

    def _works_in(self, start: float, end: float) -> bool:
        return start < self.end_percent and end > self.start_percent

    def rasterised(self, picture: Picture) -> tuple[tuple[TokenRegion, ...], Picture]:
        latents = picture.level(picture.height, picture.width)
        return sampled_tokens(self.regions, latents), latents

    def on_layout(self, tokens: tuple[TokenRegion, ...], picture: Picture) -> Iterator[str]:
        segments, uncovered = disjoint(tokens, picture)
        yield from advice.on_hidden(self.node, self.regions, segments)
        if len(uncovered):
            yield (
                f"{self.node}: {len(uncovered) / picture.tokens:.0%} of the picture lies in no region, and there all of "
                f"attention is made more even; give the background a region, too, before the others"
            )

    def guide(self, live: list[Live], picture: Picture, window: Window) -> Segmented:
        owner = owners([one.tokens for one in live], picture)
        masks = torch.stack([owner == number for number in range(1, len(live) + 1)])
        return Segmented(self, window, masks)

    def told(self, guided: Segmented, picture: Picture) -> str:
        covered = guided.masks.any(0).float().mean()
        return (
            f"{len(guided.masks)} segments ({covered:.0%} of the picture) with cross_strength {self.cross_strength:g}, "
            f"self_strength {self.self_strength:g} and size_strength {self.size_strength:g}{told_strengths(self.regions)}"
        )


@dataclass(frozen=True, eq=False)
class Segmented:
    """A DenseDiffusion laid out on the latent of one picture.

    masks: bool [n, height, width] in latent pixels, of the spec's regions. levels: by rows and columns the masks [n, N]
    and the shares [N] that do not depend on step or weight, on levels that were asked for.
    """

    spec: DenseDiffusion
    window: Window
    masks: Tensor
    levels: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    conditioning = ()
    texts = ()
    text_masks = ()
    copies = 0
    unread = False

    @property
    def hooks(self) -> tuple[HookGroup | None, ...]:
        return tuple(region.conditioning[0][1]["hooks"] for region in self.spec.regions)

    def owner(self, level: Picture | None) -> Tensor:
        inside, _ = self._level(level.rows, level.columns)
        return (inside * torch.arange(1, len(inside) + 1)[:, None]).amax(0).long()

    def words(self, texts: tuple[int, ...]) -> Tensor:
        """Each word of the caption is of the phrase that it stands in."""
        return pad(self.spec.caption.owner, (0, sum(texts) - len(self.spec.caption.owner)))

    def on_levels(
        self, picture: Picture, texts: tuple[int, ...], timestep: float, device, dtype
    ) -> ScoreProgram:
        spec, (text,), made = self.spec, texts, {}
        wide = torch.promote_types(dtype, torch.float32)
        numbers = torch.arange(1, len(self.masks) + 1)[:, None]
        words = (self.words(texts) == numbers).to(device, wide)

        def moves(rows: int, columns: int) -> tuple[Move, Move | None]:
            if (rows, columns) not in made:
                inside, share = (x.to(device, wide) for x in self._level(rows, columns))
                share = share * (timestep / 1000) ** POWER
                cross, own = (spec.cross_strength, spec.self_strength)
                made[rows, columns] = (
                    Move(inside.T, words, cross * share if cross else None),
                    Move(inside.T, inside, own * share) if own else None,
                )
            return made[rows, columns]

        return ScoreProgram.of(text, moves)

    def _level(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        if (rows, columns) not in self.levels:
            inside = interpolate(self.masks[None].float(), (rows, columns), mode="nearest")[0].flatten(1)
            area = inside.T @ inside.mean(1)
            weaker = torch.tensor([1 - region.strength for region in self.spec.regions])
            self.levels[rows, columns] = (
                inside,
                (1 - self.spec.size_strength * area) * (1 - inside.T @ weaker),
            )
        return self.levels[rows, columns]
