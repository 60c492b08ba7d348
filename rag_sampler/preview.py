"""Pictures and masks of a layout."""

from __future__ import annotations

import colorsys
from textwrap import wrap

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .layout import TOKEN_PIXELS
from .regions import Region, TokenRegion, bound_tokens, spread


def color(index: int) -> tuple[int, int, int]:
    """The colour of region index (from 0): neighbours in the list are far apart on the colour wheel."""
    red, green, blue = colorsys.hls_to_rgb((0.58 + 0.381966 * index) % 1.0, 0.5, 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)


def token_mask(tokens: TokenRegion, width: int, height: int) -> Tensor:
    """A region's tokens as a mask [height, width] in pixels, 1 inside."""
    box = tokens.box
    mask = torch.zeros((-(-height // TOKEN_PIXELS), -(-width // TOKEN_PIXELS)))
    mask[box.y0 : box.y1, box.x0 : box.x1] = 1.0 if tokens.own is None else tokens.own.float().cpu()
    return spread(mask, TOKEN_PIXELS, height, width)


def region_masks(regions: tuple[Region, ...], width: int, height: int) -> Tensor:
    """The masks of all regions of a picture in pixels, [R, height, width]; raises as bound_tokens does."""
    return torch.stack([token_mask(tokens, width, height) for tokens in bound_tokens(regions, width, height)])


def draw_layout(regions: tuple[Region, ...], width: int, height: int, image: Tensor | None = None) -> Tensor:
    """A picture of the layout, [1, height, width, 3]: numbered, coloured regions with their prompts.

    image: [B, h, w, 3], the first of which lies under the layout, fitted to width × height.
    """
    masks = region_masks(regions, width, height)
    canvas = _background(width, height, image)
    for index, mask in enumerate(masks):
        tint = torch.tensor(color(index)) / 255
        border = (mask - _eroded(mask, max(2, min(width, height) // 170)))[..., None]
        canvas = torch.lerp(canvas, tint.expand_as(canvas), 0.3 * mask[..., None])
        canvas = torch.lerp(canvas, tint.expand_as(canvas), border)
    picture = Image.fromarray((canvas * 255).round().byte().numpy())
    for index, (region, mask) in enumerate(zip(regions, masks, strict=True)):
        _label(picture, index, region.text or "", mask)
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)[None]


def draw_plan(boxes: tuple[Region, ...], cells: tuple[Region, ...], width: int, height: int) -> Tensor:
    """A picture of a plan, [1, height, width, 3]: the boxes as draw_layout shows them, over the cells' outlines."""
    canvas = _background(width, height, None)
    for mask in region_masks(cells, width, height):
        outline = (mask - _eroded(mask, max(1, min(width, height) // 340)))[..., None]
        canvas = torch.lerp(canvas, torch.full_like(canvas, 0.55), outline)
    return draw_layout(boxes, width, height, canvas[None])


def _background(width: int, height: int, image: Tensor | None) -> Tensor:
    if image is None:
        return torch.full((height, width, 3), 0.13)
    fitted = F.interpolate(image[:1, ..., :3].movedim(-1, 1).float(), size=(height, width), mode="area")
    return fitted[0].movedim(0, -1).cpu().clamp(0, 1)


def _eroded(mask: Tensor, pixels: int) -> Tensor:
    """The mask without a border of so many pixels."""
    padded = F.pad(1 - mask[None, None], (pixels,) * 4, value=1.0)
    return 1 - F.max_pool2d(padded, 2 * pixels + 1, stride=1)[0, 0]


def _label(picture: Image.Image, index: int, text: str, mask: Tensor) -> None:
    """Write a region's number, share of the picture and prompt into its upper left corner."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    top, left = int(rows[0]), int(columns[0])
    wide, high = int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
    size = max(9, min(28, min(picture.size) // 26, wide // 5, high // 3))
    font, pad = ImageFont.load_default(size), size // 3
    draw = ImageDraw.Draw(picture)
    share = float(mask.mean())
    number = f"{index + 1}"
    badge = draw.textlength(number, font) + 2 * pad
    draw.rectangle((left, top, left + badge, top + size + 2 * pad), fill=color(index))
    draw.text((left + pad, top + pad), number, (255, 255, 255), font)
    draw.text((left + badge + pad, top + pad), f"{share:.0%}", (235, 235, 235), font)
    per_line = max(4, int((wide - 2 * pad) / draw.textlength("n", font)))
    lines = wrap(text, per_line)[: max(0, (high - size - 4 * pad) // (size + pad))]
    for row, line in enumerate(lines):
        place = (left + pad, top + size + 3 * pad + row * (size + pad // 2))
        draw.text(place, line, (255, 255, 255), font, stroke_width=max(1, size // 14), stroke_fill=(0, 0, 0))
