"""What the engine asks of a family of networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..picture import Picture, padding_multiple

if TYPE_CHECKING:
    from .states import Forward

TEXT, IMAGE, REFINED = "text", "image", "refined"
"""What the layers of a network see, beside the sequences of kinds of blocks: the tokens of all texts, those of the
picture, or those of one text where each is refined alone."""

JOINT, CROSS = "joint", "cross"
"""Kinds of families: texts and image tokens attend to each other in one sequence; image tokens read the texts apart."""


@dataclass(frozen=True, eq=False)
class Family:
    """One family: a file beside this one describes it, and a row of the package's table names it.

    name: as users know it. classes: of ComfyUI's models.
    blocks: kind of block -> the network's attribute that lists them, in the order in which they run.
    install(options, forward): puts the block hooks of one forward into its own copy of transformer_options; None where
    no states of image tokens can be recorded and pasted.
    kind: JOINT or CROSS. count(blocks): how many calls of attention that texts take part in blocks make.
    least_text: tokens that ComfyUI pads a text to, at its start.
    numbers_texts(module): whether the tokens of all texts are numbered through, so that each has to begin anew.
    behind_text: whether ComfyUI may put the picture behind the end of the text, so that all have to end there instead.
    masked(conds, texts, masks): the model conditions of a forward with the texts of a program, whose masks [B, T] may
    hide padding, or be None.
    references(module, conds): the latents of reference pictures whose tokens follow the picture's.
    fork: the kind of block through which a second image stream can be carried; None where there is none.
    one_stream(network, conds): why these model conditions allow no second image stream; "" where they do.
    control_on_fork(control, image, blocks): a ControlNet's additions for both image streams of so many tokens.
    width(module): channels of a token.
    token_cost: multiplications of one token in one block, in units of its channels squared.
    again(module): in how many blocks image tokens attend to each other once more, apart from the texts.
    kept(network): channels of all states of one image token that its hooks record and paste.
    sized: whether it is told the size of the picture.
    levels: whether its blocks see the picture in fewer and fewer tokens. grid: whether image tokens lie in rows and columns
    in its layers [B, 1, rows, columns, C].
    layers: the beginning of a layer's name, as a regular expression -> what the layer sees: a kind of block stands for
    the sequence there; layers that see no token are left out.
    """

    name: str
    classes: tuple[str, ...]
    blocks: dict[str, str]
    install: Callable[[dict, Forward], None] | None = None
    kind: str = JOINT
    count: Callable[[nn.Module | None], int] = len
    least_text: int = 0
    numbers_texts: Callable[[nn.Module], bool] = lambda module: False
    behind_text: bool = False
    masked: Callable[[dict, tuple, tuple], dict] = lambda conds, texts, masks: conds
    references: Callable[[nn.Module, dict], Sequence[Tensor]] = lambda module, conds: (
        conds.get("ref_latents") or ()
    )
    fork: str | None = None
    one_stream: Callable[[Network, dict], str] = lambda network, conds: ""
    control_on_fork: Callable[[dict, int, int], dict] = lambda control, image, blocks: control
    width: Callable[[nn.Module], int] = lambda module: module.hidden_size
    token_cost: float = 12
    again: Callable[[nn.Module], int] = lambda module: 0
    kept: Callable[[Network], int] = lambda network: (1 + network.layers) * network.width
    sized: bool = False
    levels: bool = False
    grid: bool = False
    layers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Network:
    """A family's description on the network of one MODEL.

    blocks: how many of each kind it has; width: channels of a token, 0 where they differ from level to level.
    """

    family: Family
    module: nn.Module
    blocks: dict[str, int]
    width: int

    @classmethod
    def of(cls, family: Family, module: nn.Module) -> Network:
        blocks = {kind: family.count(getattr(module, name)) for kind, name in family.blocks.items()}
        return cls(family, module, blocks, family.width(module))

    @property
    def layers(self) -> int:
        """All its blocks."""
        return sum(self.blocks.values())

    @property
    def parameters(self) -> int:
        """All its weights' numbers."""
        return sum(weights.numel() for weights in self.module.parameters())

    def sees(self, layer: str) -> str | None:
        """What the layer of a name sees; None for a layer that sees no token."""
        return next((kind for name, kind in self.family.layers if re.match(name, layer)), None)

    @property
    def binds_states(self) -> bool:
        """Whether states of image tokens can be recorded and pasted."""
        return self.family.install is not None

    def text_length(self, text: Tensor) -> int:
        """How many tokens a text [B, T, C] becomes."""
        tokens = max(text.shape[1], self.family.least_text)
        return tokens + -tokens % padding_multiple(self.module)

    def padded(self, text: Tensor) -> Tensor:
        """A text [B, T, C] at the length that it has in the network."""
        missing = self.text_length(text) - text.shape[1]
        return torch.nn.functional.pad(text, (0, 0, missing, 0))

    def at_timestep_zero(self, conds: dict) -> bool:
        """Whether references among the model conditions of a forward are modulated as at timestep zero, apart from the
        picture."""
        default = getattr(getattr(self.module, "params", self.module), "default_ref_method", None)
        method = conds.get("ref_latents_method") or default
        return bool(conds.get("ref_latents")) and method == "index_timestep_zero"

    def references(self, conds: dict, picture: Picture) -> int:
        """Tokens of reference pictures among the model conditions of a forward."""
        latents = self.family.references(self.module, conds)
        return sum(picture.like(latent).tokens for latent in latents)

    def state_bytes(self, tokens: int, itemsize: int) -> int:
        """Memory of the recorded states of so many image tokens."""
        return tokens * self.family.kept(self) * itemsize
