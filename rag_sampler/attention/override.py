"""ComfyUI's attention hook: the calls of a network's blocks are computed by the reads of a method."""

from __future__ import annotations

from functools import partial

import torch

from .reads import Program

OVERRIDE = "optimized_attention_override"
"""ComfyUI's slot for an attention function in transformer_options."""

PREVIOUS = "rag_previous_override"
PROGRAM = "rag_program"


@torch.compiler.disable
def attention_override(
    func,
    q,
    k,
    v,
    heads,
    mask=None,
    *,
    skip_reshape=False,
    skip_output_reshape=False,
    transformer_options,
    **kwargs,
):
    """Regional where the call is one of the program's sequence, else as without us.

    A module-level function that finds everything in transformer_options, because core's TorchCompileModel
    drops the guards on them; an override that was there before is called for every read.
    """
    previous = transformer_options.get(PREVIOUS)
    call = partial(
        func if previous is None else partial(previous, func),
        transformer_options=transformer_options,
        **kwargs,
    )

    def attend(q, k, v, mask):
        return call(q, k, v, heads, mask=mask, skip_reshape=True, skip_output_reshape=True)

    def by_head(x):
        if x.ndim == 3:
            x = x.unflatten(2, (heads, -1))
        return x if skip_reshape else x.transpose(1, 2)

    program: Program | None = transformer_options.get(PROGRAM)
    if program is not None:
        if program.turn is not None:
            q, k = program.turn(q), program.turn(k)
        compute = program.computes((q.shape[-2], k.shape[-2]), transformer_options)
        if compute is not None:
            out = compute(attend, *map(by_head, (q, k, v)), mask)
            return out if skip_output_reshape else out.transpose(1, 2).flatten(2)
    return call(q, k, v, heads, mask=mask, skip_reshape=skip_reshape, skip_output_reshape=skip_output_reshape)


def install_override(transformer_options: dict, program: Program | None) -> None:
    """Put the override into transformer_options (a copy made for one forward), chained onto what is there."""
    transformer_options[PREVIOUS] = transformer_options.get(OVERRIDE)
    transformer_options[OVERRIDE] = attention_override
    transformer_options[PROGRAM] = program
