"""FLUX.1, FLUX.2, Chroma and LongCat-Image: double blocks on text and image apart, then single blocks on [text | image].

The hooks are ComfyUI's `patches_replace`, chained onto what other packs put there. They show every block's image
states to the Forward, let the positions of each text begin anew where the family numbers its texts (FLUX.2,
LongCat-Image), and carry the second image stream through the single blocks, [text | image | fork].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .network import IMAGE, TEXT, Family, Network
from .states import FORWARD, INPUT, Forward

DOUBLE, SINGLE = "double_block", "single_block"
PREVIOUS = "rag_previous_blocks"


def install(options: dict, forward: Forward) -> None:
    """Hooks for the double and single blocks that a family has."""
    options[FORWARD] = forward
    replace = options["patches_replace"] = dict(options.get("patches_replace", {}))
    options[PREVIOUS] = replace.get("dit", {})
    ours = {(kind, i): _HOOKS[kind] for kind, count in forward.network.blocks.items() for i in range(count)}
    replace["dit"] = {**options[PREVIOUS], **ours}


def run_block(place: tuple[str, int], args: dict, extra: dict) -> dict:
    """The block of a kind and number, as other packs' hooks have it."""
    previous: Callable | None = args["transformer_options"][PREVIOUS].get(place)
    return extra["original_block"](args) if previous is None else previous(args, extra)


# The hooks run outside compiled graphs and call the block, which is compiled by itself: core's TorchCompileModel
# drops the guards on transformer_options, so that a graph must never hold what a hook has to do. For the same
# reason they are there in every forward, and do nothing where there is nothing to do.


@torch.compiler.disable(recursive=False)
def _double_block(args: dict, extra: dict) -> dict:
    options = args["transformer_options"]
    forward, number = options[FORWARD], options["block_index"]
    if number == 0:
        forward.visit(INPUT, 0, args["img"])
    args = _restart(args, forward)
    out = run_block((DOUBLE, number), args, extra)
    forward.visit(DOUBLE, number, out["img"])
    return out


@torch.compiler.disable(recursive=False)
def _single_block(args: dict, extra: dict) -> dict:
    options = args["transformer_options"]
    forward, number = options[FORWARD], options["block_index"]
    args = _restart(args, forward)
    forks = forward.program is not None and forward.program.fork == SINGLE
    if forks:
        args = _fork(args, forward, first=number == 0)
    out = run_block((SINGLE, number), args, extra)
    forward.visit(SINGLE, number, out["img"][:, options["img_slice"][0] :])
    if forks and number + 1 == options["total_blocks"]:
        out = {**out, "img": out["img"][:, : -forward.program.image]}
    return out


@torch.compiler.disable
def _restart(args: dict, forward: Forward) -> dict:
    """Let the positions of each text begin anew, where the network gives texts positions; where the picture stands
    behind their end, all texts end there."""
    network = forward.network
    if forward.program is None or not network.family.numbers_texts(network.module):
        return args
    if "restarted" not in forward.made:
        pe, texts = args["pe"], forward.program.texts
        total, shift = sum(texts), args["transformer_options"].get("rope_options", {}).get("shift_y")
        behind = network.family.behind_text and shift == total
        own = [torch.arange(count) + (total - count) * behind for count in texts]
        image = torch.arange(total, pe.shape[2])
        forward.made["restarted"] = pe[:, :, torch.cat([*own, image]).to(pe.device)]
    return {**args, "pe": forward.made["restarted"]}


@torch.compiler.disable
def _fork(args: dict, forward: Forward, first: bool) -> dict:
    """Append the second image stream at the first single block; repeat its positions at every one."""
    image = forward.program.image
    if first:
        args = {**args, "img": torch.cat((args["img"], args["img"][:, -image:]), 1)}
        forward.made["forked"] = torch.cat((args["pe"], args["pe"][:, :, -image:]), 2)
    return {**args, "pe": forward.made["forked"]}


_HOOKS = {DOUBLE: _double_block, SINGLE: _single_block}


def _control_on_fork(control: dict, image: int, blocks: int) -> dict:
    """Additions to the single blocks reach the second image stream too, which ends in the last of them."""

    def twice(add: Tensor | None) -> Tensor | None:
        if add is None:
            return None
        padded = torch.nn.functional.pad(add, (0, 0, 0, image - add.shape[1]))
        return torch.cat((padded, padded), 1)

    output = control.get("output") or []
    return {**control, "output": [twice(add) if i + 1 < blocks else add for i, add in enumerate(output)]}


def _one_stream(network: Network, conds: dict) -> str:
    """References at timestep zero are modulated by their place behind the picture, where the fork's tokens lie."""
    if network.at_timestep_zero(conds):
        return 'which the reference method "index_timestep_zero" does not allow'
    return ""


def _numbers_texts(module) -> bool:
    params = getattr(module, "params", None)
    return bool(getattr(params, "txt_ids_dims", ()) or getattr(params, "use_sequential_txt_ids", False))


def _family(name: str, *classes: str, least_text: int = 0, behind_text: bool = False) -> Family:
    return Family(
        name,
        classes,
        blocks={DOUBLE: "double_blocks", SINGLE: "single_blocks"},
        install=install,
        numbers_texts=_numbers_texts,
        behind_text=behind_text,
        fork=SINGLE,
        one_stream=_one_stream,
        control_on_fork=_control_on_fork,
        layers=(
            (r"img_in|double_blocks\.\d+\.img_|double_stream_modulation_img|final_layer", IMAGE),
            (r"txt_in|double_blocks\.\d+\.txt_|double_stream_modulation_txt", TEXT),
            (r"single_", SINGLE),
        ),
        least_text=least_text,
    )


FLUX1 = _family("FLUX.1 (dev, schnell, Krea, Kontext, Fill and their fine-tunes)", "Flux")
FLUX2 = _family("FLUX.2 (dev, Klein)", "Flux2", least_text=512)
CHROMA = _family("Chroma, Chroma Radiance", "Chroma", "ChromaRadiance")
LONGCAT = _family("LongCat-Image", "LongCatImage", behind_text=True)
