"""What regions cost, for the log: multiplications of the blocks, relative to the run without regions.

A pair of query and key costs 2 · width, and a token what its family says. Embeddings and the last layer are left out;
bench/cost.py counts everything, and a test holds the two together.
"""

from __future__ import annotations

from ..attention.reads import Program
from ..networks.network import Network


def plain_cost(network: Network, text: int, image: int) -> float:
    """A forward without regions."""
    tokens = text + image
    return network.layers * _block(network, tokens, tokens**2) + _again(network, image)


def program_cost(network: Network, program: Program) -> float:
    """A forward with the reads of a method."""
    total = _again(network, program.image)
    for kind, count in network.blocks.items():
        sequence = program.sequence(kind)
        for number in range(count):
            pairs = sum(read.pairs(sequence) for read in program.reads(kind, number))
            total += _block(network, sequence.tokens, pairs)
    return total


def _again(network: Network, image: int) -> float:
    """Where image tokens attend to each other once more, by projections of their own."""
    return network.family.again(network.module) * (
        4 * network.width**2 * image + 2 * network.width * image**2
    )


def _block(network: Network, tokens: int, pairs: int) -> float:
    return network.family.token_cost * network.width**2 * tokens + 2 * network.width * pairs
