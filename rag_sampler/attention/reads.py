"""Attention as reads: a regional method says who reads whom, and this is all that computes it.

An attention call gets the sequence [text 0 | text 1 … text R | image], text 0 being the base prompt's and text r
that of region r; some blocks carry a second image stream behind the first, [… | image | fork]. In cross-attention the
image alone asks and the texts alone answer (levels.py). A read is one call of the user's own attention function: the
queries of some parts on the keys of some parts. No mask is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as List
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

IMAGE, FORK = "image", "fork"


@dataclass(frozen=True)
class Sequence:
    """Where the streams lie in what one attention call gets.

    texts: token counts of text 0 … text R; text 0 counts 0 where nothing reads it.
    image: image tokens, reference images included; forked: whether there are as many again, of the fork.
    copies: how many of the last texts are the base prompt's, too.
    cross: whether the image lies in the queries and the texts in the keys, each alone.
    """

    texts: tuple[int, ...]
    image: int
    forked: bool = False
    copies: int = 0
    cross: bool = False

    @property
    def text(self) -> int:
        """Tokens of all texts."""
        return sum(self.texts)

    @property
    def tokens(self) -> int:
        return self.text + self.image * (1 + self.forked)

    @property
    def lengths(self) -> tuple[int, int]:
        """Tokens of the queries and of the keys."""
        return (self.image, self.text) if self.cross else (self.tokens, self.tokens)

    def of_base(self, stream: int | str) -> bool:
        """Whether a stream is the base prompt's text or a copy of it."""
        return stream == 0 or stream in range(len(self.texts) - self.copies, len(self.texts))

    def where(self, stream: int | str) -> slice:
        """The tokens of a stream: of a text by its number, IMAGE or FORK."""
        if stream in (IMAGE, FORK):
            first = (0 if self.cross else self.text) + (self.image if stream == FORK else 0)
            return slice(first, first + self.image)
        first = sum(self.texts[:stream])
        return slice(first, first + self.texts[stream])


@dataclass(frozen=True, eq=False)
class Part:
    """The tokens of a stream, or those of them with the given numbers [n]."""

    stream: int | str
    rows: Tensor | None = None

    def count(self, sequence: Sequence) -> int:
        where = sequence.where(self.stream)
        return where.stop - where.start if self.rows is None else len(self.rows)

    def of(self, x: Tensor, sequence: Sequence) -> Tensor:
        """Its tokens of x [B, H, L, D]."""
        x = x[:, :, sequence.where(self.stream)]
        return x if self.rows is None else x[:, :, self.rows]


@dataclass(frozen=True, eq=False)
class Query:
    """A part that asks, and where its result goes: (stream, weight) to the tokens of these numbers.

    Weight 1 puts it there; another one mixes it onto what an earlier read put there.
    """

    part: Part
    to: tuple[tuple[int | str, float], ...]


@dataclass(frozen=True, eq=False)
class Read:
    """The queries of some parts on the keys and values of some parts.

    mask: additive, [queries, keys], where a region's conditioning brings one.
    """

    queries: tuple[Query, ...]
    keys: tuple[Part, ...]
    mask: Tensor | None = None

    def pairs(self, sequence: Sequence) -> int:
        """Pairs of query and key, the measure of cost."""
        queries = sum(query.part.count(sequence) for query in self.queries)
        return queries * sum(part.count(sequence) for part in self.keys)


def own(stream: int | str, rows: Tensor | None = None) -> Query:
    """A part whose result stays where it is."""
    return Query(Part(stream, rows), ((stream, 1.0),))


@dataclass(eq=False)
class Program:
    """What a method makes of one forward.

    reads(kind, number): those of block `number` of a kind.
    fork: the kind of block that carries the second image stream; None where none does.
    copies: how many of the last texts begin as copies of the base prompt's.
    control_on_fork, states_on_fork: whether a ControlNet's additions to the fork's blocks, and states that are pasted
    there, reach the second image stream, too.
    last: the text that the picture's last token follows, and with it what the network pads the picture with.
    turn: from queries or keys [B, H, L, D] of an attention call, those at the positions that texts have alone; where a
    family's texts depend on it, it says so here.
    hits: attention calls so far that it computed; strays: lengths (queries, keys) of calls that it did not know, and
    those that it expected.
    """

    texts: tuple[int, ...]
    image: int
    reads: Callable[[str, int], tuple[Read, ...]]
    fork: str | None = None
    copies: int = 0
    control_on_fork: bool = True
    states_on_fork: bool = False
    last: int = 0
    turn: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        self.hits, self.strays = 0, set()

    def sequence(self, kind: str) -> Sequence:
        return Sequence(self.texts, self.image, kind == self.fork, self.copies)

    def place(self, options: dict) -> tuple[str, int]:
        """Kind and number of the block that makes a call of attention with these transformer_options."""
        return f"{options.get('block_type')}_block", options.get("block_index")

    def is_stray(self, lengths: tuple[int, int], expected: tuple[int, int]) -> bool:
        """Whether a call of other lengths than expected is one that the method should have computed: image tokens that
        attend to each other alone are not."""
        return lengths != (self.image, self.image)

    def computes(self, lengths: tuple[int, int], options: dict) -> Callable[..., Tensor] | None:
        """What computes a call of attention with so many queries and keys and these transformer_options, a function of (attend,
        q, k, v, mask) as run_reads has them; None where that is not this program's."""
        kind, number = self.place(options)
        sequence = self.sequence(kind)
        if lengths == sequence.lengths:
            self.hits += 1
            reads = self.reads(kind, number)
            return lambda attend, q, k, v, mask: run_reads(attend, q, k, v, sequence, reads, mask)
        # what refines texts or the picture before the blocks has no number
        if number is not None and self.is_stray(lengths, sequence.lengths):
            self.strays.add((lengths, sequence.lengths))
        return None

    def lacks(self, blocks: int) -> Iterator[str]:
        """What a user should know of a forward of so many blocks, besides how many it reached."""
        yield from ()


def run_reads(
    attend: Callable[..., Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sequence: Sequence,
    reads: List[Read],
    mask: Tensor | None = None,
) -> Tensor:
    """The result of all reads; q, k, v and the result are [B, H, L, D].

    attend(q, k, v, mask) is plain attention on [B, H, *, D]. mask: additive; [B, 1, tokens] hides tokens from all,
    […, text 0 + image, text 0 + image] as the base prompt's conditioning brings it counts where text 0 is read.
    """
    out, keys, values = torch.empty_like(q), _Keys(k, sequence), _Keys(v, sequence)
    for read in reads:
        queries = [query.part for query in read.queries]
        hidden = _mask(mask, read, sequence)
        result = attend(_gather(q, queries, sequence), keys.of(read.keys), values.of(read.keys), hidden)
        for query, piece in zip(
            read.queries, result.split([part.count(sequence) for part in queries], 2), strict=True
        ):
            for stream, weight in query.to:
                target = out[:, :, sequence.where(stream)]
                rows = slice(None) if query.part.rows is None else query.part.rows
                target[:, :, rows] = piece if weight == 1 else torch.lerp(target[:, :, rows], piece, weight)
    return out


@dataclass(eq=False)
class _Keys:
    """The keys or the values x [B, H, L, D] of one attention call, as its reads need them.

    laid: image stream -> [B, H, slot + image, D]. Most reads take one text and all of an image stream: the stream is
    laid out once behind a slot as wide as the longest text, and each text is copied to the slot's end before its read.
    """

    x: Tensor
    sequence: Sequence
    laid: dict[str, Tensor] = field(default_factory=dict)

    def of(self, parts: tuple[Part, ...]) -> Tensor:
        match parts:
            case (Part(int(text), None), Part(str(stream), None)):
                return self._behind(self.x[:, :, self.sequence.where(text)], stream)
        return _gather(self.x, parts, self.sequence)

    def _behind(self, text: Tensor, stream: str) -> Tensor:
        """[text | image stream], valid until the next read."""
        slot = max(self.sequence.texts)
        if stream not in self.laid:
            image = self.x[:, :, self.sequence.where(stream)]
            self.laid[stream] = image.new_empty(*image.shape[:2], slot + image.shape[2], image.shape[3])
            self.laid[stream][:, :, slot:] = image
        first = slot - text.shape[2]
        self.laid[stream][:, :, first:slot] = text
        return self.laid[stream][:, :, first:]


def _gather(x: Tensor, parts: List[Part], sequence: Sequence) -> Tensor:
    """The tokens of parts of x [B, H, L, D], one behind the other; a view where they lie so."""
    spans = [sequence.where(part.stream) for part in parts]
    if all(part.rows is None for part in parts) and all(a.stop == b.start for a, b in pairwise(spans)):
        return x[:, :, spans[0].start : spans[-1].stop]
    return torch.cat([part.of(x, sequence) for part in parts], 2)


def _mask(mask: Tensor | None, read: Read, sequence: Sequence) -> Tensor | None:
    """What one read takes of the mask of an attention call, or its own."""
    if mask is not None and mask.shape[-2:] == (1, sequence.tokens):
        return _gather(mask.mT[:, None], read.keys, sequence)[:, 0].mT
    if sequence.of_base(read.keys[0].stream):
        return _base_mask(mask, [query.part for query in read.queries], read.keys, sequence)
    return read.mask


def _base_mask(
    mask: Tensor | None, queries: List[Part], keys: List[Part], sequence: Sequence
) -> Tensor | None:
    """What a read of the base prompt's text takes of its mask […, text + image, text + image]."""
    if mask is None:
        return None
    text = mask.shape[-1] - sequence.image
    tokens = torch.arange(mask.shape[-1], device=mask.device)

    def places(parts: List[Part]) -> Tensor:
        found = []
        for part in parts:
            whole = tokens[:text] if sequence.of_base(part.stream) else tokens[text:]
            found.append(whole if part.rows is None else whole[part.rows])
        return torch.cat(found)

    return mask[..., places(queries) if mask.shape[-2] > 1 else [0], :][..., places(keys)]
