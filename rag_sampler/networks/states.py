"""Image states inside a network: recorded in a region's own run, pasted into the main pass.

During the bound steps the published method lets the rest of the picture attend to the bound object: after the
input projection and after every block, the region's tokens of the main pass are overwritten by the states of
the region's own run. A family's hooks call `Forward.visit` at these places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..picture import Picture
from ..regions import TokenRegion
from .network import Network

if TYPE_CHECKING:
    from ..attention.reads import Program

FORWARD = "rag_forward"
"""Key of the Forward in transformer_options."""

INPUT = "input"
"""The kind of place that the input projection is; the others are kinds of blocks."""


@dataclass(eq=False)
class Recording:
    """Image states of one step: of a region's own run, or of a replayed picture.

    unread: branches of which nothing reads the states of the blocks that can carry a second image stream.
    first: branch -> uuid of the conditioning entry that stands for the branch where entries differ.
    states: (branch, entry's uuid, kind, block number) -> [B, tokens, C]; branch counts as cond_or_uncond does.
    """

    region: TokenRegion
    unread: frozenset[int] = frozenset()
    first: dict[int, object] = field(default_factory=dict)
    states: dict[tuple, Tensor] = field(default_factory=dict)

    def find(self, branch: int, entry: object, kind: str, number: int) -> Tensor | None:
        """The states for an entry of the main pass: its own on this region, else the branch's first."""
        for uuid in (entry, self.first.get(branch)):
            if (branch, uuid, kind, number) in self.states:
                return self.states[branch, uuid, kind, number]
        return None


@dataclass(eq=False)
class Forward:
    """What the hooks have to do in one forward.

    picture: what is being denoised, the whole one or a region's crop.
    entries: branch and conditioning entry of each chunk of the batch (cond_or_uncond, uuids), and where to keep
        its states, if anywhere; a chunk of a batch may belong to one region, the next to another.
    texts: of the program, as the base prompt's comes to the network. refining: the number of the one that the network
    works on alone.
    made: what a family's hooks work out once a forward.
    """

    network: Network
    picture: Picture
    entries: tuple[tuple[int, object, Recording | None], ...] = ()
    paste: tuple[Recording, ...] = ()
    program: Program | None = None
    texts: tuple[Tensor, ...] = ()
    refining: int | None = None
    made: dict[str, Any] = field(default_factory=dict)

    def refined(self) -> Iterator[Tensor]:
        """The texts, for a network that works on each alone."""
        first = 0 if self.program.texts[0] else 1
        for number, text in enumerate(self.texts, first):
            self.refining = number
            yield text
        self.refining = None

    @torch.compiler.disable
    def visit(self, kind: str, number: int, image: Tensor) -> None:
        """Record or overwrite image states [branches · B, tokens, ...], in place, at one place of the network; behind
        the main stream's there may be those of a second one."""
        self._paste(kind, number, self._chunks(image))
        if self.program is not None and kind == self.program.fork and self.program.states_on_fork:
            self._paste(kind, number, self._chunks(image[:, self.program.image :]))
        for states, (branch, entry, record) in zip(self._chunks(image), self.entries, strict=True):
            unread = kind == self.network.family.fork and record is not None and branch in record.unread
            if record is not None and not unread:
                record.states[branch, entry, kind, number] = states.clone()

    def _paste(self, kind: str, number: int, chunks: Tensor) -> None:
        for states, (branch, entry, _) in zip(chunks, self.entries, strict=True):
            for recording in self.paste:
                source = recording.find(branch, entry, kind, number)
                if source is not None:
                    _overwrite(states, source.to(states), recording.region)

    def _chunks(self, image: Tensor) -> Tensor:
        """The picture's own tokens, without references and what follows them, [chunks, B, rows, columns, ...]."""
        rows, columns = self.picture.rows, self.picture.columns
        image = image[:, : rows * columns].unflatten(1, (rows, columns))
        return image.unflatten(0, (len(self.entries), -1))


def add_patches(options: dict, forward: Forward, hooks: dict[str, Callable], first: bool = False) -> None:
    """Chain a family's hooks, by the kind of ComfyUI's patches, onto those in one forward's own copy of the options;
    first: before them, so that they see what ours have done."""
    options[FORWARD] = forward
    patches = options["patches"] = dict(options.get("patches", {}))
    for kind, hook in hooks.items():
        there = patches.get(kind, ())
        patches[kind] = [hook, *there] if first else [*there, hook]


def _overwrite(states: Tensor, source: Tensor, region: TokenRegion) -> None:
    """Put a region's states [B, h, w, ...] into those of the picture [B, rows, columns, ...]."""
    box = region.box
    target = states[:, box.y0 : box.y1, box.x0 : box.x1]
    if region.own is None:
        target.copy_(source)
    else:
        own = region.own.to(source.device).view(1, *region.own.shape, *[1] * (source.ndim - 3))
        target.copy_(torch.where(own, source, target))
