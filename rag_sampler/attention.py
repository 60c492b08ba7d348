"""The attention of Soft Refinement: every region's text guides its own image tokens, in one pass.

A forward of FLUX sees the sequence [text_0 | text_1 … text_R | image], text_0 being the base prompt's and
text_r region r's. FLUX gives all text the same position, so that the appended texts are streams of their own
as long as attention keeps them apart:

    text_r                    attends to  text_r + image
    image token of region r   attends to  text_r + image   -> regional result
    image token               attends to  text_0 + image   -> base result
    image result = delta · regional + (1 - delta) · base; outside all regions it is the base result

At 0 < delta < 1 the published method runs the single blocks on two image streams, [… | image | fork]: the
regional attention reads the fork, which takes the regional result alone. This module computes both cases by
calls of the user's own attention function on gathered queries. No mask is ever made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

OVERRIDE = "optimized_attention_override"
"""ComfyUI's slot for an attention function in transformer_options."""

PREVIOUS_OVERRIDE = "rag_previous_override"
STREAMS = "rag_streams"


@dataclass(eq=False)
class Streams:
    """Where the streams of one forward lie, and how they are mixed.

    texts: token counts of text_0 … text_R; text_0 counts 0 where nothing reads it.
    image: image tokens, reference images included.
    cells: image token numbers of each region, [n_r] each, disjoint.
    rest: image token numbers of no region.
    masks: additive masks [T_r + n_r, T_r + image] of regions that bring one, else None; empty for none at all.
    """

    texts: tuple[int, ...]
    image: int
    cells: tuple[Tensor, ...]
    rest: Tensor
    delta: float
    forked: bool
    masks: tuple[Tensor | None, ...] = ()
    hits: int = 0

    @property
    def text(self) -> int:
        return sum(self.texts)


def regional_attention(
    attend: Callable, q: Tensor, k: Tensor, v: Tensor, streams: Streams, mask=None
) -> Tensor:
    """Attention over the streams; q, k, v and the result are [B, H, L, D] with L as in the module's text.

    attend(q, k, v, mask) is plain attention on [B, H, *, D]; mask ([…, text_0 + image, text_0 + image],
    additive, as IP-Adapter-like conditionings bring it) belongs to the base result.
    """
    first = streams.text
    main = slice(first, first + streams.image)
    guided = slice(q.shape[2] - streams.image, q.shape[2])
    ends = [sum(streams.texts[: r + 1]) for r in range(len(streams.texts))]
    texts = [slice(end - count, end) for end, count in zip(ends, streams.texts, strict=True)]
    out = torch.empty_like(q)
    out_main, out_guided = out[:, :, main], out[:, :, guided]
    forked = guided != main

    def read(text: slice, image: slice, rows: Tensor | slice, mask=None) -> Tensor:
        """The result of the given rows of an image stream on that stream and a text; writes the text's own."""
        queries = torch.cat((q[:, :, text], q[:, :, image][:, :, rows]), 2)
        keys, values = (torch.cat((x[:, :, text], x[:, :, image]), 2) for x in (k, v))
        result = attend(queries, keys, values, mask)
        out[:, :, text], result = result.tensor_split((text.stop - text.start,), 2)
        return result

    if forked and len(streams.rest):
        free_mask = _mask_rows(mask, texts[0], streams.rest)
        out_guided[:, :, streams.rest] = read(texts[0], guided, streams.rest, free_mask)
    if streams.delta < 1 or len(streams.rest):
        base_rows = streams.rest if streams.delta == 1 else slice(None)
        out_main[:, :, base_rows] = read(texts[0], main, base_rows, _mask_rows(mask, texts[0], base_rows))
    masks = streams.masks or (None,) * len(streams.cells)
    for text, cell, own in zip(texts[1:], streams.cells, masks, strict=True):
        regional = read(text, guided, cell, None if own is None else own.to(q))
        if forked:
            out_guided[:, :, cell] = regional
        if streams.delta < 1:
            regional = torch.lerp(out_main[:, :, cell], regional, streams.delta)
        out_main[:, :, cell] = regional
    return out


def _mask_rows(mask: Tensor | None, text: slice, rows: Tensor | slice) -> Tensor | None:
    """The rows of a base mask that belong to the text and to the given image tokens."""
    if mask is None or isinstance(rows, slice) or mask.shape[-2] == 1:
        return mask
    tokens = text.stop - text.start
    return torch.cat((mask[..., :tokens, :], mask[..., tokens:, :][..., rows, :]), -2)


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
    """ComfyUI's attention hook: regional where the sequence is the one of the streams, else as without us.

    A module-level function that finds everything in transformer_options, because core's TorchCompileModel
    drops the guards on them; an override that was there before is called for every part.
    """
    previous = transformer_options.get(PREVIOUS_OVERRIDE)
    call = partial(
        func if previous is None else partial(previous, func),
        transformer_options=transformer_options,
        **kwargs,
    )
    streams = transformer_options.get(STREAMS)
    length = q.shape[2] if q.ndim == 4 else -1
    known = streams is not None and skip_reshape and k.shape[2] == length
    if not known or length - streams.text not in (streams.image, 2 * streams.image):
        return call(
            q, k, v, heads, mask=mask, skip_reshape=skip_reshape, skip_output_reshape=skip_output_reshape
        )

    def attend(q, k, v, mask):
        return call(q, k, v, heads, mask=mask, skip_reshape=True, skip_output_reshape=True)

    streams.hits += 1
    out = regional_attention(attend, q, k, v, streams, mask)
    return out if skip_output_reshape else out.transpose(1, 2).flatten(2)


def install_override(transformer_options: dict, streams: Streams | None) -> None:
    """Put the override into transformer_options (a copy made for one forward), chained onto what is there."""
    transformer_options[PREVIOUS_OVERRIDE] = transformer_options.get(OVERRIDE)
    transformer_options[OVERRIDE] = attention_override
    transformer_options[STREAMS] = streams
