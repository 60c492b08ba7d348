"""What regions cost, for the log: multiplications of FLUX's blocks, relative to the run without regions.

A token costs 12 · hidden² in a block of either kind, a pair of query and key 2 · hidden. Embeddings and the last layer
are left out; bench/cost.py counts everything, and a test holds the two together.
"""

from __future__ import annotations

from .attention import Streams
from .features import DOUBLE, SINGLE


def plain_cost(hidden: int, blocks: dict[str, int], text: int, image: int) -> float:
    """A forward without regions."""
    tokens = text + image
    return sum(blocks.values()) * (12 * hidden**2 * tokens + 2 * hidden * tokens**2)


def streams_cost(hidden: int, blocks: dict[str, int], streams: Streams) -> float:
    """A forward with the streams of Soft Refinement."""
    base, image, rest = streams.texts[0], streams.image, len(streams.rest)
    pairs = sum(
        (text + len(cell)) * (text + image)
        for text, cell in zip(streams.texts[1:], streams.cells, strict=True)
    )
    if streams.delta < 1 or rest:
        pairs += (base + (image if streams.delta < 1 else rest)) * (base + image)
    forked_pairs = (base + rest) * (base + image) if streams.forked and rest else 0
    tokens = streams.text + image
    double = 12 * hidden**2 * tokens + 2 * hidden * pairs
    single = 12 * hidden**2 * (tokens + streams.forked * image) + 2 * hidden * (pairs + forked_pairs)
    return blocks[DOUBLE] * double + blocks[SINGLE] * single
