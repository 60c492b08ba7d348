"""SD3.5 and SD3: double blocks alone, hooked as FLUX's are, without positions of texts.

ComfyUI does not number the blocks, so the hooks do. In some of SD3.5 medium's the image tokens attend to each other
once more, apart from the texts: no method touches that. States are not bound before the first block: a token's place is
added to them there, and it is another in a region's own run.
"""

from __future__ import annotations

from functools import partial

import torch

from .flux import DOUBLE, install, run_block
from .network import IMAGE, TEXT, Family, Network
from .states import FORWARD, Forward


def _install(options: dict, forward: Forward) -> None:
    install(options, forward)
    for number in range(forward.network.layers):
        options["patches_replace"]["dit"][DOUBLE, number] = partial(_block, number=number)


@torch.compiler.disable(recursive=False)
def _block(args: dict, extra: dict, number: int) -> dict:
    options = args["transformer_options"]
    options.update(block_type="double", block_index=number)
    out = run_block((DOUBLE, number), args, extra)
    options[FORWARD].visit(DOUBLE, number, out["img"])
    return out


def _kept(network: Network) -> int:
    return network.layers * network.width


SD3 = Family(
    "SD3.5, SD3",
    ("SD3",),
    blocks={DOUBLE: "joint_blocks"},
    install=_install,
    again=lambda module: sum(block.x_block.x_block_self_attn for block in module.joint_blocks),
    kept=_kept,
    layers=(
        (r"context_embedder|joint_blocks\.\d+\.context_block", TEXT),
        (r"x_embedder|joint_blocks|final_layer", IMAGE),
    ),
)
