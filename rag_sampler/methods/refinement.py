"""Soft Refinement (arXiv 2411.06558, section 3.3): every region's text guides its own image tokens while the whole
stays one picture.

The regional texts are appended to the base prompt's text and become streams of their own, since every read keeps them
apart. Pooled text and guidance stay those of the base prompt. At 0 < delta < 1 the published method runs the single
blocks of FLUX on two image streams. Where image tokens only read texts (UNets) it is RPG's method at a base ratio of
1 - delta.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..attention.levels import CrossProgram, Level
from ..attention.reads import FORK, IMAGE, Part, Program, Query, Read, own
from ..networks.network import CROSS, JOINT
from ..picture import Picture
from ..regions import Region, TokenRegion, level_tokens, told_strengths
from ..schedule import Schedule, Window
from . import advice
from .attention_method import AttentionMethod, Live, OnLive, disjoint, mask_rows


class CellMethod(AttentionMethod):
    """A method that mixes, in each cell, the result of its region's text with that of the base prompt.

    deltas: of each region, the share of its own result at strength 1, 0 (none) to 1 (all).
    settings: how messages tell what it was set to. done: how they call what it does to cells.
    two_streams: whether the regional attention has an image stream of its own where that makes a difference.
    """

    deltas: tuple[float, ...]
    settings: str
    done = "guided"
    two_streams = False
    kinds = (JOINT, CROSS)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of each region, how much of its cell's result is its own."""
        return tuple(delta * region.strength for delta, region in zip(self.deltas, self.regions, strict=True))

    @property
    def changes_anything(self) -> bool:
        return any(self.shares)

    def advice(self, schedule: Schedule, patches: dict[str, list]) -> Iterator[str]:
        if not self.changes_anything:
            yield f"{self.node} has {self.settings} and changes nothing"
        yield from super().advice(schedule, patches)

    def on_layout(self, tokens: tuple[TokenRegion, ...], picture: Picture) -> Iterator[str]:
        cells, uncovered = disjoint(tokens, picture)
        yield from advice.on_hidden(self.node, self.regions, cells)
        if len(uncovered):
            total = len(uncovered) + sum(map(len, cells))
            yield (
                f"{self.node}: {len(uncovered) / total:.0%} of the picture lies in no region and follows the base "
                f"prompt alone"
            )

    def guide(self, live: list[Live], picture: Picture, window: Window) -> Refined:
        """A region without a share leaves its cell to the base result."""
        cells, uncovered = disjoint([one.tokens for one in live], picture)
        kept = [(one, cell) for one, cell in zip(live, cells, strict=True) if one.share > 0]
        left = [cell for one, cell in zip(live, cells, strict=True) if one.share == 0]
        return Refined(
            self,
            window,
            tuple(live),
            tuple(one for one, _ in kept),
            tuple(cell for _, cell in kept),
            torch.cat((uncovered, *left)).sort().values,
            tuple(mask_rows(one.region, cell, picture) for one, cell in kept),
        )

    def told(self, guided: Refined, picture: Picture) -> str:
        share = sum(map(len, guided.cells)) / picture.length
        return f"{len(guided.cells)} cells ({share:.0%} of the tokens) {self.done} with {self.settings}"


@dataclass(frozen=True, eq=False)
class Refinement(CellMethod):
    """What one Soft Refinement node asks for.

    delta: share of the regional result, 0 (none) to 1 (all); the paper's SR_delta.
    start_percent, end_percent: part of the sampling in which it works, 0..1.
    published: carry the published second image stream through the single blocks at 0 < delta < 1.
    """

    node = "Soft Refinement Attention"
    method = "Soft Refinement"
    done = "refined"

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
    def deltas(self) -> tuple[float, ...]:
        return (self.delta,) * len(self.regions)

    @property
    def two_streams(self) -> bool:
        return self.published or self.delta == 1

    @property
    def settings(self) -> str:
        return f"delta {self.delta:g}{told_strengths(self.regions)}"


@dataclass(frozen=True, eq=False)
class Refined(OnLive):
    """A method of cells laid out on the tokens of one picture.

    regions: all that are in their time; live: those of them that have a share. cells: image token numbers of each live
    one, disjoint; uncovered: all others.
    masks: attention masks [T_r + n_r, T_r + image] that regions bring (Redux with attn_bias), additive; or None.
    levels: the same on levels of a network that were asked for.
    """

    spec: CellMethod
    window: Window
    regions: tuple[Live, ...]
    live: tuple[Live, ...]
    cells: tuple[Tensor, ...]
    uncovered: Tensor
    masks: tuple[Tensor | None, ...]
    levels: dict[Picture, Refined] = field(default_factory=dict)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of each region, how much of its cell's result is its own, above 0."""
        return tuple(one.share for one in self.live)

    def owner(self, level: Picture | None) -> Tensor:
        if level is not None:
            return self._level(level).owner(None)
        owner = torch.zeros(len(self.uncovered) + sum(map(len, self.cells)), dtype=torch.long)
        for number, cell in enumerate(self.cells, 1):
            owner[cell] = number
        return owner

    @property
    def unread(self) -> bool:
        """Where every token of the picture takes the regional result alone, the published method reads nothing of
        the main image stream in the single blocks: outside the bound boxes it equals the stream that the regional
        attention reads, inside it is replaced with the prediction. One stream, into whose single blocks nothing is
        pasted, computes the same.
        """
        return self.spec.two_streams and len(based(self.cells, self.shares, self.uncovered)) == 0

    def forks(self, pasted: bool) -> bool:
        """At delta 1 both streams are the same, whatever the strengths, until states are pasted into one."""
        differ = min(self.spec.deltas) < 1 or (pasted and not self.unread)
        return self.spec.two_streams and differ

    def on_levels(
        self, picture: Picture, texts: tuple[int, ...], timestep: float, device, dtype
    ) -> CrossProgram:
        def reads(level: Level) -> tuple[Read, ...]:
            laid = self if level is None else self._level(picture.level(*level))
            return laid.program(texts[0], texts[1:], 0, None, device, dtype).reads("", 0)

        return CrossProgram.of(texts, picture.length, reads)

    def _level(self, picture: Picture) -> Refined:
        """The same on one level of a network, which the picture is as the level sees it."""
        if picture not in self.levels:
            tokens = level_tokens(tuple(one.region for one in self.regions), picture)
            live = [replace(one, tokens=own) for one, own in zip(self.regions, tokens, strict=True)]
            self.levels[picture] = self.spec.guide(live, picture, self.window)
        return self.levels[picture]

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
        mixed = {IMAGE: self.shares}
        strengths = tuple(one.region.strength for one in self.live)
        one, two = (reads(cells, uncovered, masks, shares) for shares in (mixed, {FORK: strengths, **mixed}))
        return Program(
            (base if len(based(cells, self.shares, uncovered)) else 0, *texts),
            picture + references,
            lambda kind, number: two if kind == fork else one,
            fork,
            last=next((text for text, cell in enumerate(self.cells, 1) if picture - 1 in cell), 0),
        )


def based(cells: Sequence[Tensor], shares: Sequence[float], uncovered: Tensor) -> Tensor:
    """The image tokens that the base result is a part of: those of no region, and where a share is below 1."""
    mixed = [cell for cell, share in zip(cells, shares, strict=True) if share < 1]
    return torch.cat((uncovered, *mixed))


def reads(
    cells: Sequence[Tensor],
    uncovered: Tensor,
    masks: Sequence[Tensor | None],
    shares: dict[str, Sequence[float]],
) -> tuple[Read, ...]:
    """Who reads whom in one block:

        text r                     reads  text r + image
        image token of region r    reads  text r + image    -> regional result
        image token                reads  text 0 + image    -> base result

    image result = share · regional + (1 - share) · base; outside all regions it is the base result.
    shares: of each region, on each image stream: delta · strength on IMAGE. Where there is a FORK, the regional
    attention reads that; its shares are the strengths, so that at strength 1 it takes the regional result alone.
    """
    guided, image, found = FORK if FORK in shares else IMAGE, len(uncovered) + sum(map(len, cells)), []
    for stream, of in shares.items():
        if len(rows := based(cells, of, uncovered)):
            asked = own(stream, rows if len(rows) < image else None)
            text = (own(0),) if stream == IMAGE else ()
            found.append(Read((*text, asked), (Part(0), Part(stream))))
    for text, (cell, mask) in enumerate(zip(cells, masks, strict=True), 1):
        to = tuple((stream, of[text - 1]) for stream, of in shares.items())
        found.append(Read((own(text), Query(Part(guided, cell), to)), (Part(text), Part(guided)), mask))
    return tuple(found)
