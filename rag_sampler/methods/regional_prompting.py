"""Regional Prompting (arXiv 2411.02395, published for FLUX.1): for the first steps every region is a picture of its own,
which its text and its tokens alone attend to; a share of the base prompt's result holds them together.

The regional texts are appended to the base prompt's text and become streams of their own. At a base ratio between 0
and 1 the published method runs the single blocks on two image streams, the second of which takes the base result
alone: the mirror image of Soft Refinement's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..attention.masks import image_mask
from ..attention.reads import FORK, IMAGE, Part, Program, Query, Read, own
from ..picture import Picture
from ..regions import Region, TokenRegion, told_strengths
from ..schedule import Schedule, Window
from .attention_method import AttentionMethod, Live, OnLive, inside, mask_rows


@dataclass(frozen=True, eq=False)
class RegionalPrompting(AttentionMethod):
    """What one Regional Prompting node asks for.

    base_ratio: share of the base prompt's result, 0 (none) to 1 (all); the rest is the regions', times their strength.
    start_percent, end_percent: part of the sampling in which it works, 0..1; the paper's mask_inject_steps.
    double_interval, single_interval: of every so many blocks of a kind the first keeps regions apart; in the others
    their texts and the picture attend to each other.
    background: whether tokens of no region are one more region, with the base prompt's text.
    published: carry the published second image stream through the single blocks at 0 < base_ratio < 1.
    """

    node = "Regional Prompting Attention"
    method = "Regional Prompting"

    regions: tuple[Region, ...]
    base_ratio: float
    start_percent: float = 0.0
    end_percent: float = 0.4
    double_interval: int = 1
    single_interval: int = 1
    background: bool = True
    published: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.base_ratio <= 1:
            raise ValueError(f"base_ratio is {self.base_ratio:g}; it has to lie between 0 and 1")
        for name in ("double_interval", "single_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it has to be 1 or more")
        self.check_fields()

    @property
    def shares(self) -> tuple[float, ...]:
        return tuple((1 - self.base_ratio) * region.strength for region in self.regions)

    @property
    def changes_anything(self) -> bool:
        return self.base_ratio < 1

    def advice(self, schedule: Schedule, patches: dict[str, list]) -> Iterator[str]:
        if self.base_ratio == 1:
            yield f"{self.node} has base_ratio 1 and changes nothing"
        yield from super().advice(schedule, patches)

    def keeps_apart(self, kind: str, number: int) -> bool:
        """Whether a block keeps regions apart; kinds are called as ComfyUI calls them."""
        return number % (self.single_interval if kind == "single_block" else self.double_interval) == 0

    def on_layout(self, tokens: tuple[TokenRegion, ...], picture: Picture) -> Iterator[str]:
        times = inside(tokens, picture).sum(0)
        if uncovered := int((times == 0).sum()):
            share = (
                f"the base prompt's share of {self.base_ratio:g} alone" if self.base_ratio else "no prompt"
            )
            follows = "the base prompt, as a region of its own" if self.background else share
            yield f"{self.node}: {uncovered / len(times):.0%} of the picture lies in no region and follows {follows}"
        if several := int((times > 1).sum()):
            yield (
                f"{self.node}: {several / len(times):.0%} of the picture lies in several regions and follows all of "
                f"their prompts"
            )
        entries = (entry for region in self.regions for entry in region.conditioning)
        masks = any(image_mask(options, picture) is not None for _, options in entries)
        if masks and max(self.double_interval, self.single_interval) > 1:
            yield (
                f"{self.node}: masks that regions' texts bring (attn_bias of Redux) count in the blocks that keep regions "
                f"apart; in the others, which intervals above 1 make, they have no effect"
            )

    def guide(self, live: list[Live], picture: Picture, window: Window) -> Prompted:
        shared = inside([one.tokens for one in live], picture)
        uncovered = ~shared.any(0, keepdim=True)
        background = self.background and bool(uncovered.any())
        shares = [*(one.share for one in live), 1 - self.base_ratio]  # the background's

        def complete(group: Group) -> Group:
            """Where regions share tokens, the later one's strength counts."""
            share = shares[max(group.members, default=0) - 1]
            return replace(group, share=share, mask=group_mask(live, group, picture))

        groups = grouped(torch.cat((shared, uncovered)) if background else shared)
        found = tuple(map(complete, groups))
        return Prompted(self, window, tuple(live), found, shared.shape[1], int(background))

    def told(self, guided: Prompted, picture: Picture) -> str:
        covered = sum(len(group.tokens) for group in guided.groups if group.members) / picture.length
        return (
            f"{len(guided.texts)} regions{' and the background' * guided.copies} ({covered:.0%} of the tokens) prompted "
            f"with base ratio {self.base_ratio:g}{told_strengths(self.regions)}"
        )


@dataclass(frozen=True, eq=False)
class Group:
    """Image tokens that lie in the same regions.

    members: numbers of these regions, from 1; empty for tokens of no region. tokens: their own numbers.
    seen: the numbers of all tokens of these regions, to which they attend. share: of the regional result in theirs.
    mask: additive, [queries, keys] of their read, where conditionings of their regions bring one.
    """

    members: tuple[int, ...]
    tokens: Tensor
    seen: Tensor
    share: float = 1.0
    mask: Tensor | None = None

    def on(self, references: Tensor, device, dtype) -> Group:
        """Where a forward has reference tokens: everyone sees them, and they lie in no region."""
        tokens = self.tokens if self.members else torch.cat((self.tokens, references))
        seen = torch.cat((self.seen, references))
        mask = self.mask if self.mask is None else pad(self.mask, (0, len(references))).to(device, dtype)
        return replace(self, tokens=tokens.to(device), seen=seen.to(device), mask=mask)


def grouped(shared: Tensor) -> tuple[Group, ...]:
    """The tokens of no region, those of each region alone, and those of several; shared: bool [regions, tokens]."""
    regions, none = len(shared), shared.new_empty(0, dtype=torch.long)
    found = {(): none} | {(number,): none for number in range(1, regions + 1)}
    patterns, which = shared.T.unique(dim=0, return_inverse=True)
    for pattern, tokens in zip(patterns, (which == torch.arange(len(patterns))[:, None]), strict=True):
        found[tuple((pattern.nonzero()[:, 0] + 1).tolist())] = tokens.nonzero()[:, 0]
    return tuple(
        Group(members, tokens, _seen(shared, members) if members else tokens)
        for members, tokens in found.items()
    )


def _seen(shared: Tensor, members: tuple[int, ...]) -> Tensor:
    return shared[[number - 1 for number in members]].any(0).nonzero()[:, 0]


def group_mask(live: Sequence[Live], group: Group, picture: Picture) -> Tensor | None:
    """The mask of a group's read: the columns of a text are its region's, those of image tokens the last region's."""
    members = [live[number - 1] for number in group.members if number <= len(live)]
    masks = [mask_rows(one.region, group.tokens, picture) for one in members]
    if all(mask is None for mask in masks):
        return None
    texts, columns = [one.text.shape[1] for one in members], []
    for place, (text, mask) in enumerate(zip(texts, masks, strict=True)):
        if mask is None:
            mask = torch.zeros(text + len(group.tokens), text + picture.tokens)
        masks[place] = mask if len(members) == 1 else mask[text:]
        columns.append(masks[place][:, :text])
    return torch.cat((*columns, masks[-1][:, texts[-1] :][:, group.seen]), 1)


@dataclass(frozen=True, eq=False)
class Prompted(OnLive):
    """A Regional Prompting laid out on the tokens of one picture.

    groups: of all its tokens, the background's too. tokens: how many it has.
    copies: 1 where the groups' last region is the background, with a copy of the base prompt's text; else 0.
    """

    spec: RegionalPrompting
    window: Window
    live: tuple[Live, ...]
    groups: tuple[Group, ...]
    tokens: int
    copies: int

    unread = False

    def owner(self, level: Picture | None) -> Tensor:
        """Where regions share a token, the later one's; the background has none."""
        owner = torch.zeros(self.tokens, dtype=torch.long)
        for group in self.groups:
            last = max(group.members, default=0)
            owner[group.tokens] = last if last <= len(self.live) else 0
        return owner

    @property
    def reads_base(self) -> bool:
        return any(group.share < 1 and len(group.tokens) for group in self.groups)

    def forks(self, pasted: bool) -> bool:
        return self.spec.published and self.reads_base

    def program(
        self, base: int, texts: tuple[int, ...], references: int, fork: str | None, device, dtype
    ) -> Program:
        image = self.tokens + references
        groups = [group.on(torch.arange(self.tokens, image), device, dtype) for group in self.groups]
        of_block = {
            (forked, apart): reads(groups, self.reads_base, forked, apart)
            for forked in (False, True)
            for apart in (False, True)
        }
        return Program(
            (base if self.reads_base else 0, *texts, *[base] * self.copies),
            image,
            lambda kind, number: of_block[kind == fork, self.spec.keeps_apart(kind, number)],
            fork,
            copies=self.copies,
            control_on_fork=False,
            states_on_fork=True,
            last=next(
                max(group.members, default=0) for group in self.groups if self.tokens - 1 in group.tokens
            ),
        )


def reads(groups: Sequence[Group], with_base: bool, forked: bool, apart: bool) -> tuple[Read, ...]:
    """Who reads whom in one block:

        text r                       reads  text r + tokens of region r
        image token of regions S     reads  texts of S + tokens of S      -> regional result
        image token of no region     reads  tokens of no region           -> regional result
        image token                  reads  text 0 + image                -> base result

    image result = share · regional + (1 - share) · base. In a block that keeps no regions apart all regional texts
    and image tokens read each other. Where there is a second image stream, the base attention reads it, and it takes
    the base result alone.
    """
    found = []
    if with_base:
        base = Query(Part(FORK), ((FORK, 1.0), (IMAGE, 1.0))) if forked else own(IMAGE)
        found.append(Read((own(0), base), (Part(0), base.part)))
    return (*found, *(map(_read, filter(_asks, groups)) if apart else [_joint(groups)]))


def _asks(group: Group) -> bool:
    """A region's text does, even where the region has no token of its own."""
    return len(group.members) == 1 or len(group.tokens) > 0


def _read(group: Group) -> Read:
    texts = group.members if len(group.members) == 1 else ()
    keys = (*map(Part, group.members), Part(IMAGE, group.seen))
    return Read((*map(own, texts), _mixed(group.share, group.tokens)), keys, group.mask)


def _joint(groups: Sequence[Group]) -> Read:
    texts = [group.members[0] for group in groups if len(group.members) == 1]
    shares = {group.share for group in groups if len(group.tokens)}
    one = len(shares) == 1
    image = map(_mixed, shares) if one else (_mixed(group.share, group.tokens) for group in groups)
    return Read((*map(own, texts), *image), (*map(Part, texts), Part(IMAGE)))


def _mixed(share: float, tokens: Tensor | None = None) -> Query:
    """Image tokens whose regional result is mixed onto what is there."""
    return Query(Part(IMAGE, tokens), ((IMAGE, share),))
