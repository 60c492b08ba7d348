"""Cross-attention: image tokens ask and texts answer, on every level of a network by the level's own grid.

Image tokens attend to each other in calls of their own, which no method touches, and a text sees nothing: of a method's
reads that of image tokens on texts is left.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as List
from dataclasses import dataclass
from math import isqrt, prod

from .reads import IMAGE, Program, Read, Sequence

Level = tuple[int, int] | None


def crossed(reads: List[Read]) -> tuple[Read, ...]:
    """What cross-attention has of reads; a cell that has no token does nothing."""
    found = []
    for read in reads:
        asking = (query for query in read.queries if query.part.stream == IMAGE)
        queries = tuple(query for query in asking if query.part.rows is None or len(query.part.rows))
        if queries:
            found.append(Read(queries, tuple(part for part in read.keys if part.stream != IMAGE)))
    return tuple(found)


def prime_from(least: int) -> int:
    """The first prime number that is not below another."""
    number = least
    while any(number % divisor == 0 for divisor in range(2, isqrt(number) + 1)):
        number += 1
    return number


def padded(texts: tuple[int, ...]) -> tuple[int, ...]:
    """Token counts of texts with that of the padding behind them."""
    total = sum(texts)
    return (*texts, prime_from(total) - total)


@dataclass(eq=False)
class CrossProgram(Program):
    """A method's reads on all levels of a network. A level, by its rows and columns, is what a kind of block is elsewhere;
    None is that of the picture's own tokens, where a network has no other.

    The last of the texts is padding that nobody reads. It makes the number of all text tokens a prime, which no level
    has: so the calls on texts are told from those of image tokens on each other.
    """

    @classmethod
    def of(cls, texts: tuple[int, ...], image: int, reads: Callable[[Level], List[Read]]) -> CrossProgram:
        """texts: token counts of text 0 … text R; image: of the picture; reads(level): a method's on one level."""
        made: dict[Level, tuple[Read, ...]] = {}

        def of_level(level: Level, number: int) -> tuple[Read, ...]:
            if level not in made:
                made[level] = crossed(reads(level))
            return made[level]

        return cls(padded(texts), image, of_level)

    def sequence(self, kind: Level) -> Sequence:
        return Sequence(self.texts, self.image if kind is None else prod(kind), cross=True)

    def place(self, options: dict) -> tuple[Level, int]:
        """All blocks of a level are alike."""
        shape = options.get("activations_shape")
        return None if shape is None else tuple(shape[2:]), 0

    def is_stray(self, lengths: tuple[int, int], expected: tuple[int, int]) -> bool:
        """One on all texts, by other image tokens than the level has."""
        return lengths[1] == expected[1]
