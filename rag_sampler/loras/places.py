"""Where the tokens of a forward lie in what a layer of the network sees."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from ..networks.network import IMAGE, REFINED, TEXT
from ..networks.states import Forward

if TYPE_CHECKING:
    from ..methods.spec import Guided

Grid = tuple[int, int]


class Places(Protocol):
    """Which tokens wear which of several groups of LoRAs."""

    def worn(self, layer: str, x: Tensor, output: Tensor) -> Tensor | None:
        """bool [groups, forwards or 1, tokens or 1] on the processor, for a layer's input and output, the same tensor for
        the same places; None where it sees no token that wears any."""

    def watches(self, network: nn.Module, layers: set[str]) -> Iterator[tuple[nn.Module, Callable]]:
        """Modules and forward hooks that it needs to know the places in these layers."""


@dataclass(frozen=True, eq=False)
class OfForwards:
    """A batch of forwards each of which wears one of so many groups, by its number, or none, in all of its tokens."""

    groups: int
    numbers: list[int | None]

    def __post_init__(self) -> None:
        worn = torch.zeros(self.groups, len(self.numbers), 1, dtype=torch.bool)
        for forward, number in enumerate(self.numbers):
            if number is not None:
                worn[number, forward] = True
        object.__setattr__(self, "all", worn)

    def worn(self, layer: str, x: Tensor, output: Tensor) -> Tensor:
        return self.all

    def watches(self, network: nn.Module, layers: set[str]) -> Iterator:
        return iter(())


@dataclass(eq=False)
class OfTexts:
    """The forward of a program, in which regions wear LoRAs: their words and their image tokens.

    regions: their numbers, one for each group. guided: says what is theirs. grid: rows and columns of the level that is
    run, where the network has levels.
    moved: layers whose tokens another node has put elsewhere.
    """

    forward: Forward
    regions: tuple[int, ...]
    guided: Guided
    grid: Grid | None = None
    made: dict[object, Tensor] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)

    def worn(self, layer: str, x: Tensor, output: Tensor) -> Tensor | None:
        network, place = self.forward.network, self.forward.network.sees(layer)
        if place is None or (place == REFINED and self.forward.refining is None):
            return None
        if place == REFINED:
            place = self.forward.refining
        elif place == IMAGE and network.family.levels:
            place = tuple(output.shape[-2:]) if output.ndim == 4 else self.grid
        if place not in self.made:
            self.made[place] = self._of(place)[:, None]
        found = self.made[place]
        if x.ndim == 3 and not self._fits(x.shape[1], found.shape[2]):
            self.moved.add(layer)
            return None
        return found

    def watches(self, network: nn.Module, layers: set[str]) -> Iterator[tuple[nn.Module, Callable]]:
        """What the parts of a UNet begin with, which sees its rows and columns before they are tokens."""

        def note(module: nn.Module, args: tuple, output: Tensor) -> None:
            self.grid = tuple(output.shape[-2:])

        found = (re.match(r"(.+)\.(emb_layers|transformer_blocks|proj_)", layer) for layer in layers)
        for part, first in {match.group(1, 2) for match in found if match}:
            if self.forward.network.family.levels:
                yield (
                    network.get_submodule(f"{part}.{'in_layers' if first == 'emb_layers' else 'norm'}"),
                    note,
                )

    def _fits(self, tokens: int, expected: int) -> bool:
        """A row for all tokens, one for each, or for each but those that pad the picture later."""
        return tokens <= 2 or expected in (1, tokens) or tokens == self.forward.picture.tokens

    def _of(self, place: str | int | Grid) -> Tensor:
        """bool [groups, tokens]"""
        program, number = self.forward.program, torch.tensor(self.regions)[:, None]
        if isinstance(place, int):
            return number == place
        if isinstance(place, tuple):
            return self.guided.owner(self.forward.picture.level(*place)) == number
        text = self.guided.words(program.texts)
        if place == TEXT:
            return text == number
        image = torch.zeros(program.image, dtype=torch.long)
        owner = self.guided.owner(None)
        image[: len(owner)] = owner
        if place == IMAGE:
            return image == number
        return torch.cat((text, image, *[image] * program.sequence(place).forked)) == number
