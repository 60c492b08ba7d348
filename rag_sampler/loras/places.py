"""Where the tokens of a forward lie in what a layer of the network sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..networks.network import IMAGE, REFINED, TEXT
from ..networks.states import Forward


def of_forwards(numbers: list[int | None], wearers: int, device) -> Callable[[str], Tensor]:
    """A batch of forwards each of which wears one of so many groups of LoRAs, or none, in all of its tokens."""
    worn = torch.zeros(wearers, len(numbers), 1, dtype=torch.bool, device=device)
    for forward, number in enumerate(numbers):
        if number is not None:
            worn[number, forward] = True
    return lambda layer: worn


@dataclass(eq=False)
class OfTexts:
    """The forward of a program, in which texts wear LoRAs, and with each the image tokens of its region.

    texts: numbers of the texts, one for each wearer. owner: of each image token the number of its region's text.
    """

    forward: Forward
    texts: tuple[int, ...]
    owner: Tensor
    device: object
    made: dict[str | int | None, Tensor | None] = field(default_factory=dict)

    def __call__(self, layer: str) -> Tensor | None:
        kind = self.forward.network.sees(layer)
        if kind == REFINED:
            return self._of_text(self.forward.refining)
        if kind not in self.made:
            self.made[kind] = None if kind is None else self._of(kind).to(self.device)[:, None]
        return self.made[kind]

    def _of_text(self, refining: int | None) -> Tensor | None:
        if refining is None:
            return None  # all texts in one, which nothing reads
        if refining not in self.made:
            mine = torch.tensor([text == refining for text in self.texts], device=self.device)
            self.made[refining] = mine[:, None, None]
        return self.made[refining]

    def _of(self, kind: str) -> Tensor:
        """bool [wearers, tokens]"""
        program, number = self.forward.program, torch.tensor(self.texts)[:, None]
        text = torch.arange(len(program.texts)).repeat_interleave(torch.tensor(program.texts))
        image = torch.zeros(program.image, dtype=torch.long)
        image[: len(self.owner)] = self.owner
        streams = {TEXT: [text], IMAGE: [image]}.get(kind)
        if streams is None:
            streams = [text, image, *[image] * program.sequence(kind).forked]
        return torch.cat(streams) == number
