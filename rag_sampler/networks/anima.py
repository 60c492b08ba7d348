"""Anima: image tokens attend to each other, and read the text in cross-attention, in every block.

Its text is not what the encoder hands on: an adapter in the model makes it of that and of T5's token numbers, when
ComfyUI encodes the conditioning. There is no hook behind a block. What other tokens see of a bound region in the next
one is its input of self-attention, which ComfyUI's patch of that shows since 0.30; states are not bound before.
"""

from __future__ import annotations

from inspect import signature

import torch
from comfy.ldm.cosmos.predict2 import Attention
from torch import Tensor

from .network import CROSS, IMAGE, TEXT, Family
from .states import FORWARD, Forward, add_patches

BLOCK = "block"


def _install(options: dict, forward: Forward) -> None:
    add_patches(options, forward, {"attn1_patch": _show_states}, first=True)


@torch.compiler.disable
def _show_states(q: Tensor, k: Tensor, v: Tensor, pe=None, attn_mask=None, extra_options=None) -> dict:
    """Before other patches (a ControlNet's) queries, keys and values are made of one tensor."""
    extra_options[FORWARD].visit(BLOCK, extra_options["block_index"], k)
    return {}


ANIMA = Family(
    "Anima",
    ("Anima",),
    blocks={BLOCK: "blocks"},
    install=_install if "transformer_options" in signature(Attention.compute_qkv).parameters else None,
    kind=CROSS,
    width=lambda module: module.model_channels,
    kept=lambda network: network.layers * network.width,
    grid=True,
    layers=((r"blocks\.\d+\.cross_attn\.[kv]_proj", TEXT), (r"x_embedder|blocks|final_layer", IMAGE)),
)
