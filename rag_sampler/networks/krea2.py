"""Krea 2: texts fused from the states of many layers of their encoder, then single blocks on [text | image].

All text stands at position 0, so that only the fusion has to be kept apart: each text of a program is fused as in a
run of its own and put in place of what the network made of all of them. There is no hook behind a block. What other
tokens see of a bound region in a block are its keys and values, which ComfyUI's patch of q, k and v shows before
positions are put on; with grouped heads they are smaller than states.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..attention.override import PROGRAM
from .network import IMAGE, REFINED, Family, Network
from .states import FORWARD, Forward, add_patches

BLOCK, KEY, VALUE = "single_block", "key", "value"


def _install(options: dict, forward: Forward) -> None:
    add_patches(options, forward, {"post_input": _put_texts, "attn1_patch": _show_states})


@torch.compiler.disable
def _put_texts(args: dict) -> dict:
    """Fuse each text apart, by the user's own attention function alone."""
    forward = args["transformer_options"][FORWARD]
    if forward.program is None:
        return args
    module, options = forward.network.module, {**args["transformer_options"], PROGRAM: None}

    def fused(text: Tensor) -> Tensor:
        layers = module._unpack_context(text.to(args["txt"]))
        return module.txtmlp(module.txtfusion(layers, transformer_options=options))

    return {**args, "txt": torch.cat([fused(text) for text in forward.refined()], 1)}


@torch.compiler.disable
def _show_states(q: Tensor, k: Tensor, v: Tensor, pe=None, attn_mask=None, extra_options=None) -> dict:
    forward, number = extra_options[FORWARD], extra_options["block_index"]
    for kind, states in ((KEY, k), (VALUE, v)):
        forward.visit(kind, number, states[:, :, extra_options["img_slice"][0] :].transpose(1, 2))
    return {}


def _references(module, conds: dict) -> list[Tensor]:
    """The network leaves them out unless a method says where they stand."""
    method = conds.get("ref_latents_method", module.default_ref_method)
    return conds.get("ref_latents") or [] if method is not None else []


def _kept(network: Network) -> int:
    attention = network.module.blocks[0].attn
    return 2 * network.layers * attention.kvheads * attention.headdim


KREA2 = Family(
    "Krea 2",
    ("Krea2",),
    blocks={BLOCK: "blocks"},
    install=_install,
    references=_references,
    width=lambda module: module.first.out_features,
    kept=_kept,
    token_cost=11.5,
    layers=((r"first", IMAGE), (r"txtfusion|txtmlp", REFINED), (r"blocks|tproj|last", BLOCK)),
)
