"""Z-Image and Lumina 2: refiners on text and on image apart, then blocks on [text | image].

A text is embedded, padded and refined before the blocks, and numbered from 1; the picture stands behind its end, and
its own padding before the start, at 0. Each text of a program is refined as in a run of its own and put in place of
what the network made of all of them, and queries and keys are rotated so that every text ends where the picture
stands. Hooks are ComfyUI's patches behind each block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import torch
from comfy.ldm.flux.math import apply_rope1
from torch import Tensor
from torch.nn.functional import pad

from ..attention.override import PROGRAM
from ..attention.reads import Program
from ..picture import Picture
from .network import IMAGE, REFINED, Family, Network
from .states import FORWARD, Forward, add_patches

REFINER, BLOCK = "noise_refiner", "double_block"


def _install(options: dict, forward: Forward) -> None:
    add_patches(options, forward, {REFINER: _after_refiner, BLOCK: _after_block})
    if forward.program is not None:
        steps = _steps(forward.program, forward.picture)
        forward.program.turn = _Turn(forward.network.module.rope_embedder, steps, forward.program.image)


@torch.compiler.disable
def _after_refiner(args: dict) -> dict:
    forward, number = args["transformer_options"][FORWARD], args["block_index"]
    if number == 0 and forward.program is not None:
        _put_texts(args, forward)
    forward.visit(REFINER, number, args["img"][:, -forward.picture.length :])  # behind references
    return {}


@torch.compiler.disable
def _after_block(args: dict) -> dict:
    args["transformer_options"][FORWARD].visit(BLOCK, args["block_index"], args["img"])
    return {}


def _put_texts(args: dict, forward: Forward) -> None:
    """Refine each text apart, by the user's own attention function alone."""
    module, options = forward.network.module, {**args["transformer_options"], PROGRAM: None}
    lengths = [forward.network.text_length(text) for text in forward.texts]
    if args["txt"].shape[1] != sum(lengths):
        raise ValueError(
            "the texts of regions have no place beside reference latents in this model: take them off the base prompt, or "
            "use Hard Binding alone"
        )
    places = args["txt"].split(lengths, 1)
    for place, text in zip(places, forward.refined(), strict=True):
        (states,), (pe,), _ = module.embed_cap(text.to(place), device=place.device, dtype=place.dtype)
        for layer in module.context_refiner:
            states = layer(states, None, pe, transformer_options=options)
        place.copy_(states)


@dataclass(eq=False)
class _Turn:
    """Puts queries or keys of a block, or of the image alone, at the positions of runs with one text.

    steps: by how many positions each token of [texts | image] moves; image: how many are the image's.
    """

    embedder: Callable[[Tensor], Tensor]
    steps: Tensor
    image: int
    rotations: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape[2] not in (self.image, len(self.steps)):
            return x
        if self.rotations is None:
            self.rotations = self.embedder(pad(self.steps[None, :, None].to(x.device), (0, 2)))
        return apply_rope1(x, self.rotations[:, :, -x.shape[2] :])


def _steps(program: Program, picture: Picture) -> Tensor:
    """The picture's tokens stay; its padding stands as before the text that it follows."""
    total = sum(program.texts)
    texts = [
        torch.full((n,), total - end) for n, end in zip(program.texts, accumulate(program.texts), strict=True)
    ]
    padding = torch.full((picture.length - picture.tokens,), total - program.texts[program.last])
    return torch.cat((*texts, torch.zeros(picture.tokens), padding))


def _kept(network: Network) -> int:
    return (len(network.module.noise_refiner) + network.layers) * network.width


LUMINA = Family(
    "Z-Image, Lumina 2",
    ("Lumina2",),
    blocks={BLOCK: "layers"},
    install=_install,
    width=lambda module: module.dim,
    kept=_kept,
    layers=(
        (r"x_embedder|noise_refiner", IMAGE),
        (r"cap_embedder|context_refiner", REFINED),
        (r"layers|final_layer", BLOCK),
    ),
)
