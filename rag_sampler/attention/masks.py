"""Masks of the attention that conditionings bring, as Redux and IP-Adapter-like nodes make them."""

from __future__ import annotations

import torch
from comfy.utils import upscale_dit_mask
from torch import Tensor

from ..picture import Picture


def image_mask(options: dict, picture: Picture) -> Tensor | None:
    """The mask [B, T + image, T + image] of a conditioning's options, additive, for a picture's tokens; None where
    there is none.

    A mask is one of image tokens only if it says their number: the encoders of FLUX.2 and others hand on one of the
    text alone, which ComfyUI gives to the families that read it.
    """
    if options.get("attention_mask") is None or options.get("attention_mask_img_shape") is None:
        return None
    mask, size = options["attention_mask"], (picture.rows, picture.columns)
    fitted = upscale_dit_mask(mask.float(), options["attention_mask_img_shape"], size)
    if mask.dtype == torch.bool:  # true is seen; some attention functions of ComfyUI add what they are given
        return torch.zeros_like(fitted).masked_fill(fitted < 0.5, float("-inf"))
    return fitted


def text_mask(options: dict) -> Tensor | None:
    """The mask [B, T] of a conditioning's text alone, which hides its padding in the families that read it."""
    return None if "attention_mask_img_shape" in options else options.get("attention_mask")
