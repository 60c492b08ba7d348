"""Pictures and masks of a layout."""

from __future__ import annotations

import colorsys
import contextlib
import re
from bisect import bisect_left
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .layout import TOKEN_PIXELS
from .regions import Region, TokenRegion, bound_tokens, spread

Color = tuple[int, int, int]

_WIDE_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "msyh.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
)
"""Fonts of the usual systems for prompts that Pillow's own font has no signs for."""


def color(index: int) -> Color:
    """The colour of region index (from 0), in the editor too: neighbours in the list are far apart on the wheel."""
    red, green, blue = colorsys.hls_to_rgb((0.58 + 0.381966 * index) % 1.0, 0.5, 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)


def region_color(region: Region, index: int) -> Color:
    """The colour chosen for a region, or that of its place."""
    chosen = region.color.lstrip("#")
    return (int(chosen[:2], 16), int(chosen[2:4], 16), int(chosen[4:], 16)) if chosen else color(index)


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
    """A picture of the layout, [1, height, width, 3]: numbered, coloured regions with their prompts and their
    share of the picture's tokens; what several regions cover is hatched.

    image: [B, h, w, 3], the first of which lies under the layout, fitted to width × height.
    """
    tokens = bound_tokens(regions, width, height)
    masks = [token_mask(each, width, height) for each in tokens]
    canvas = _background(width, height, image)
    line = max(2, min(width, height) // 170)
    tints = [region_color(region, index) for index, region in enumerate(regions)]
    for tint, mask in zip(tints, masks, strict=True):
        canvas = torch.lerp(canvas, _flat(tint, canvas), 0.35 * mask[..., None])
    canvas = torch.lerp(canvas, torch.ones_like(canvas), 0.5 * _hatching(masks, 4 * line)[..., None])
    for tint, mask in zip(tints, masks, strict=True):
        canvas = torch.lerp(canvas, _flat(tint, canvas), (mask - _eroded(mask, line))[..., None])
    picture = Image.fromarray((canvas * 255).round().byte().numpy())
    whole, taken = -(-width // TOKEN_PIXELS) * -(-height // TOKEN_PIXELS), []
    for number, (region, each, tint) in enumerate(zip(regions, tokens, tints, strict=True), 1):
        left, top = each.box.x0 * TOKEN_PIXELS, each.box.y0 * TOKEN_PIXELS
        right, bottom = min(each.box.x1 * TOKEN_PIXELS, width), min(each.box.y1 * TOKEN_PIXELS, height)
        _label(
            picture,
            f"{number}",
            tint,
            each.count / whole,
            region.text or "",
            (left, top, right, bottom),
            taken,
        )
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)[None]


def draw_plan(boxes: tuple[Region, ...], cells: tuple[Region, ...], width: int, height: int) -> Tensor:
    """A picture of a plan, [1, height, width, 3]: the boxes as draw_layout shows them, over the cells' outlines."""
    canvas = _background(width, height, None)
    for mask in region_masks(cells, width, height):
        outline = (mask - _eroded(mask, max(1, min(width, height) // 340)))[..., None]
        canvas = torch.lerp(canvas, torch.full_like(canvas, 0.55), outline)
    return draw_layout(boxes, width, height, canvas[None])


def _flat(tint: Color, canvas: Tensor) -> Tensor:
    return (torch.tensor(tint) / 255).expand_as(canvas)


def _background(width: int, height: int, image: Tensor | None) -> Tensor:
    if image is None:
        return torch.full((height, width, 3), 0.13)
    fitted = F.interpolate(image[:1, ..., :3].movedim(-1, 1).float(), size=(height, width), mode="area")
    return fitted[0].movedim(0, -1).cpu().clamp(0, 1)


def _hatching(masks: list[Tensor], spacing: int) -> Tensor:
    """Diagonal stripes [height, width] where more than one mask is 1."""
    shared = torch.stack(masks).sum(0) > 1
    height, width = shared.shape
    diagonal = torch.arange(height)[:, None] + torch.arange(width)
    return (shared & (diagonal % spacing < spacing // 4)).float()


def _eroded(mask: Tensor, pixels: int) -> Tensor:
    """The mask without a border of so many pixels."""
    padded = F.pad(1 - mask[None, None], (pixels,) * 4, value=1.0)
    return 1 - F.max_pool2d(padded, 2 * pixels + 1, stride=1)[0, 0]


def _label(
    picture: Image.Image,
    number: str,
    tint: Color,
    share: float,
    text: str,
    box: tuple[int, int, int, int],
    taken: list[tuple[float, ...]],
) -> None:
    """Write a region's number, share of the picture and prompt on a dark plate in its upper left corner, or below
    the plates that have taken that place."""
    left, top, right, bottom = box
    size = max(10, min(30, min(picture.size) // 30, (right - left) // 5, (bottom - top) // 3))
    font, pad, line = _font(size, text), max(2, size // 4), size + size // 3
    badge = font.getlength(number) + 2 * pad
    written = f"{share:.0%}" if share >= 0.01 else "<1%"
    head = badge + font.getlength(written) + 2 * pad
    if head > right - left:
        written, head = "", badge
    while top + 2 * line < bottom and any(
        left < x1 and left + head > x0 and top < y1 and top + line > y0 for x0, y0, x1, y1 in taken
    ):
        top += line // 2
    lines = _wrapped(text, font, right - left - 2 * pad, (bottom - top - line) // line)
    wide = max([head, *(font.getlength(words) + 2 * pad for words in lines)])
    plate = (left, top, left + wide, top + line * (1 + len(lines)))
    taken.append(plate)
    draw = ImageDraw.Draw(picture, "RGBA")
    draw.rectangle(plate, fill=(0, 0, 0, 150))
    draw.rectangle((left, top, left + badge, top + line), fill=tint)
    draw.text((left + pad, top + line / 2), number, ink(tint), font, anchor="lm")
    draw.text((left + badge + pad, top + line / 2), written, (255, 255, 255), font, anchor="lm")
    for row, words in enumerate(lines, 1):
        place = (left + pad, top + (row + 0.5) * line)
        draw.text(place, words, (255, 255, 255), font, anchor="lm")


def ink(tint: Color) -> Color:
    """Black or white, whichever is easier to read on this colour."""
    red, green, blue = tint
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _wrapped(text: str, font, width: float, most: int) -> list[str]:
    """The text in at most so many lines of at most so many pixels; the last one ends in … if it was cut."""
    lines, line = [], ""
    pieces = re.findall(r"[\u2e80-\uffef]|[^\s\u2e80-\uffef]+\s*|\s+", " ".join(text.split()))
    for place, piece in enumerate(pieces):
        if not line or font.getlength((line + piece).rstrip()) <= width:
            line += piece
            continue
        if len(lines) + 1 >= most:
            line += "".join(pieces[place:])
            break
        lines.append(line.rstrip())
        line = piece
    return [_cut(words, font, width) for words in [*lines, line.rstrip()] if words][: max(0, most)]


def _cut(line: str, font, width: float) -> str:
    if font.getlength(line) <= width:
        return line
    kept = bisect_left(range(len(line)), True, key=lambda end: font.getlength(line[: end + 1] + "…") > width)
    return line[:kept].rstrip() + "…"


@lru_cache(maxsize=32)
def _font(size: int, text: str = "") -> ImageFont.FreeTypeFont:
    """Pillow's own font, or one of the system's where the text needs more signs than that has."""
    if any(sign > "\u024f" and not "\u2010" <= sign <= "\u2122" for sign in text):
        for name in _WIDE_FONTS:
            with contextlib.suppress(OSError):
                return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)
