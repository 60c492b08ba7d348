"""Image states inside the transformer: recorded in a region's own run, pasted into the main pass.

During the bound steps the published method lets the rest of the picture attend to the bound object: after the
input projection and after every block, the region's tokens of the main pass are overwritten by the states of
the region's own run (rag_sampler/binding.py decides when). The hooks are ComfyUI's `patches_replace`, chained
onto what other packs put there. They also carry the second image stream of Soft Refinement through the single
blocks (rag_sampler/attention.py says why).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .attention import Streams
from .regions import TokenRegion

FORWARD = "rag_forward"
"""Key of the Forward in transformer_options."""

PREVIOUS_BLOCKS = "rag_previous_blocks"

INPUT, DOUBLE, SINGLE = "input", "double_block", "single_block"


@dataclass(eq=False)
class Recording:
    """Image states of one step: of a region's own run, or of a replayed picture.

    double_only: branches of which nothing reads the states of single blocks.
    first: branch -> uuid of the conditioning entry that stands for the branch where entries differ.
    states: (branch, entry's uuid, kind, block number) -> [B, tokens, C]; branch counts as cond_or_uncond does.
    """

    region: TokenRegion
    double_only: frozenset[int] = frozenset()
    first: dict[int, object] = field(default_factory=dict)
    states: dict[tuple, Tensor] = field(default_factory=dict)

    def find(self, branch: int, entry: object, kind: str, number: int) -> Tensor | None:
        """The states for an entry of the main pass: its own on this region, else the branch's first."""
        for uuid in (entry, self.first.get(branch)):
            if (branch, uuid, kind, number) in self.states:
                return self.states[branch, uuid, kind, number]
        return None


@dataclass(eq=False)
class Forward:
    """What the hooks have to do in one forward.

    rows, columns: image tokens of what is being denoised (the picture, or a region's crop).
    entries: branch and conditioning entry of each chunk of the batch (cond_or_uncond, uuids), and where to keep
        its states, if anywhere; a chunk of a batch may belong to one region, the next to another.
    text_positions: whether the family gives text tokens positions; those of each text then begin anew.
    restarted, forked: the positions of this forward's tokens once they are made, without and with the fork.
    """

    rows: int
    columns: int
    entries: tuple[tuple[int, object, Recording | None], ...]
    paste: tuple[Recording, ...] = ()
    streams: Streams | None = None
    text_positions: bool = False
    restarted: Tensor | None = None
    forked: Tensor | None = None

    @torch.compiler.disable
    def visit(self, kind: str, number: int, image: Tensor) -> None:
        """Record or overwrite image states [branches · B, tokens, C], in place, after one block."""
        image = image[:, : self.rows * self.columns].unflatten(1, (self.rows, self.columns))
        chunks = image.unflatten(0, (len(self.entries), -1))
        for states, (branch, entry, record) in zip(chunks, self.entries, strict=True):
            for recording in self.paste:
                source = recording.find(branch, entry, kind, number)
                if source is not None:
                    _overwrite(states, source.to(states), recording.region)
            if record is not None and not (kind == SINGLE and branch in record.double_only):
                record.states[branch, entry, kind, number] = states.clone()


def _overwrite(states: Tensor, source: Tensor, region: TokenRegion) -> None:
    """Put a region's states [B, h, w, C] into those of the picture [B, rows, columns, C]."""
    box = region.box
    target = states[:, box.y0 : box.y1, box.x0 : box.x1]
    if region.own is None:
        target.copy_(source)
    else:
        target.copy_(torch.where(region.own.to(source.device)[None, :, :, None], source, target))


def install_hooks(transformer_options: dict, forward: Forward, blocks: dict[str, int]) -> None:
    """Put the hooks into transformer_options (a copy made for one forward).

    blocks: how many blocks of each kind the model has, {DOUBLE: d, SINGLE: s}.
    """
    transformer_options[FORWARD] = forward
    replace = transformer_options["patches_replace"] = dict(transformer_options.get("patches_replace", {}))
    previous = replace.get("dit", {})
    ours = {(kind, i): hook for kind, hook in _HOOKS.items() for i in range(blocks[kind])}
    replace["dit"] = {**previous, **ours}
    transformer_options[PREVIOUS_BLOCKS] = previous


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
    previous: Callable | None = options[PREVIOUS_BLOCKS].get((DOUBLE, number))
    out = extra["original_block"](args) if previous is None else previous(args, extra)
    forward.visit(DOUBLE, number, out["img"])
    return out


@torch.compiler.disable(recursive=False)
def _single_block(args: dict, extra: dict) -> dict:
    options = args["transformer_options"]
    forward, number = options[FORWARD], options["block_index"]
    args = _restart(args, forward)
    forks = forward.streams is not None and forward.streams.forked
    if forks:
        args = _fork(args, forward, first=number == 0)
    previous: Callable | None = options[PREVIOUS_BLOCKS].get((SINGLE, number))
    out = extra["original_block"](args) if previous is None else previous(args, extra)
    forward.visit(SINGLE, number, out["img"][:, options["img_slice"][0] :])
    if forks and number + 1 == options["total_blocks"]:
        out = {**out, "img": out["img"][:, : -forward.streams.image]}
    return out


@torch.compiler.disable
def _restart(args: dict, forward: Forward) -> dict:
    """Let the positions of each text begin anew, where the family gives texts positions."""
    if forward.streams is None or not forward.text_positions:
        return args
    if forward.restarted is None:
        pe, texts = args["pe"], forward.streams.texts
        own = [torch.arange(count) for count in texts]
        image = torch.arange(forward.streams.text, pe.shape[2])
        forward.restarted = pe[:, :, torch.cat([*own, image]).to(pe.device)]
    return {**args, "pe": forward.restarted}


@torch.compiler.disable
def _fork(args: dict, forward: Forward, first: bool) -> dict:
    """Append the second image stream at the first single block; repeat its positions at every one."""
    image = forward.streams.image
    if first:
        args = {**args, "img": torch.cat((args["img"], args["img"][:, -image:]), 1)}
        forward.forked = torch.cat((args["pe"], args["pe"][:, :, -image:]), 2)
    return {**args, "pe": forward.forked}


_HOOKS = {DOUBLE: _double_block, SINGLE: _single_block}
