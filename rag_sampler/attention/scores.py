"""Attention whose scores are moved between their extremes, as DenseDiffusion does it in the cross- and self-attention of
UNets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .levels import CrossProgram, padded
from .override import PREVIOUS

BLOCK = 256
"""Queries whose scores are in memory at a time."""


@dataclass(frozen=True, eq=False)
class Move:
    """How the scores of one kind of attention move on one level.

    asking [N, n], answering [n, L]: 1 where a query, where a key belongs to a segment, else 0. share [N]: of each query,
    how far; None where nothing moves.
    """

    asking: Tensor
    answering: Tensor
    share: Tensor | None

    def __call__(self, attend, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Keys behind the L are padding, which nobody reads; arguments as run_reads."""
        if mask is not None:
            raise RuntimeError(
                "DenseDiffusion moves scores of attention without masks, and another node masks the attention: remove it, "
                "or the DenseDiffusion"
            )
        keys = self.answering.shape[1]
        k, v = k[:, :, :keys], v[:, :, :keys]
        if self.share is None:
            return attend(q, k, v, None)
        return moved(q, k, v, self.asking, self.answering, self.share)


def moved(q: Tensor, k: Tensor, v: Tensor, asking: Tensor, answering: Tensor, share: Tensor) -> Tensor:
    """Attention on scores x that become lerp(x, the row's max where query and key share a segment, else its min, share).

    q [B, H, N, D], k, v [B, H, L, D], the result [B, H, N, D]; asking, answering, share as Move has them, in at least
    fp32, in which the scores are.
    """
    found = v.new_empty(*q.shape[:3], v.shape[3])
    keys = k.to(share.dtype).mT * q.shape[3] ** -0.5
    buffer = keys.new_empty(*q.shape[:2], min(BLOCK, q.shape[2]), k.shape[2])  # in which all of it happens
    for first in range(0, q.shape[2], BLOCK):
        asked = q[:, :, first : first + BLOCK].to(share.dtype)
        rows = slice(first, first + asked.shape[2])
        scores = torch.matmul(asked, keys, out=buffer[:, :, : asked.shape[2]])
        spread = scores.amax(-1, keepdim=True) - scores.amin(-1, keepdim=True)
        same, part = (asking[rows] @ answering).clamp(max=1), share[rows, None]
        # share · min is the same along a row: the softmax takes it out
        scores.mul_(1 - part).addcmul_(part * spread, same)
        scores.sub_(scores.amax(-1, keepdim=True)).exp_()
        scores.div_(scores.sum(-1, keepdim=True))
        found[:, :, rows] = scores.to(v.dtype) @ v
    return found


@dataclass(eq=False, kw_only=True)
class ScoreProgram(CrossProgram):
    """What moves all scores of one forward.

    moves(rows, columns): on one level those of cross-attention and those of self-attention, or None where these stay.
    own: calls of self-attention so far that it computed; left: whether it left any because nothing moves there; chained:
    whether there was another override.
    """

    moves: Callable[[int, int], tuple[Move, Move | None]]

    @classmethod
    def of(cls, text: int, moves: Callable[[int, int], tuple[Move, Move | None]]) -> ScoreProgram:
        """text: tokens of the only text."""
        return cls(padded((text,)), 0, lambda level, number: (), moves=moves)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.own, self.left, self.chained = 0, False, False

    def computes(self, lengths: tuple[int, int], options: dict) -> Callable[..., Tensor] | None:
        self.chained = options.get(PREVIOUS) is not None
        level, _ = self.place(options)
        cross, own = self.moves(*level)
        expected = self.sequence(level).lengths
        if lengths == expected:
            self.hits += 1
            return cross
        if self.is_stray(lengths, expected):
            self.strays.add((lengths, expected))
        self.left = self.left or own is None
        if own is not None and lengths == (expected[0], expected[0]):
            self.own += 1
            return own
        return None

    def lacks(self, blocks: int) -> Iterator[str]:
        if self.hits and not self.left and self.own < blocks:
            yield (
                f"moved the self-attention of only {self.own} of {blocks} blocks: another node changes its tokens or puts "
                f"its own in place, as HyperTile, ToMe, Perturbed- and Self-Attention Guidance do"
            )
        if self.hits and self.chained:
            yield "computes attention itself: another node's attention function has no effect while it works"
