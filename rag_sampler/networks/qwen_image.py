"""Qwen-Image and Qwen-Image-Edit: double blocks alone, hooked as FLUX's are. Texts are numbered on all three axes, and
their padding is hidden by a mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .flux import DOUBLE, install
from .network import IMAGE, TEXT, Family


def _masked(conds: dict, texts: Sequence[Tensor], masks: Sequence[Tensor | None]) -> dict:
    """The network's mask, grown to all texts."""
    if all(mask is None for mask in masks):
        return {key: value for key, value in conds.items() if key != "attention_mask"}
    return {**conds, "attention_mask": torch.cat([*map(_additive, texts, masks)], 1)}


def _additive(text: Tensor, mask: Tensor | None) -> Tensor:
    """A text's mask, 1 where a token is seen, or additive, as the latter."""
    if mask is None:
        return text.new_zeros(text.shape[:2])
    if not mask.is_floating_point():
        mask = (mask.to(text) - 1) * torch.finfo(text.dtype).max
    return mask.to(text).expand(text.shape[:2])


QWEN_IMAGE = Family(
    "Qwen-Image (and Edit)",
    ("QwenImage",),
    blocks={DOUBLE: "transformer_blocks"},
    install=install,
    masked=_masked,
    numbers_texts=lambda module: True,
    width=lambda module: module.inner_dim,
    layers=(
        (r"txt_in|transformer_blocks\.\d+\.(txt_|attn\.(add_|to_add))", TEXT),
        (r"img_in|transformer_blocks|norm_out|proj_out", IMAGE),
    ),
)
