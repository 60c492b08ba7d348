"""What regions cost, for the log: multiplications of the blocks, relative to the run without regions.

A pair of query and key costs 2 · width, and a token what its family says. Embeddings and the last layer are left out;
bench/cost.py counts everything, and a test holds the two together.
"""

from __future__ import annotations

from .attention import Streams
from .networks.network import Network


def plain_cost(network: Network, text: int, image: int) -> float:
    """A forward without regions."""
    tokens = text + image
    return network.layers * _block(network, tokens, tokens**2)


def streams_cost(network: Network, streams: Streams) -> float:
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
    plain = _block(network, tokens, pairs)
    forked = _block(network, tokens + streams.forked * image, pairs + forked_pairs)
    return sum(
        count * (forked if kind == network.family.fork else plain) for kind, count in network.blocks.items()
    )


def _block(network: Network, tokens: int, pairs: int) -> float:
    return network.family.token_cost * network.width**2 * tokens + 2 * network.width * pairs
