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

from .picture import Picture
from .regions import Region, TokenRegion, bound_tokens

Color = tuple[int, int, int]

_WIDE_FONTS = (
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "arial.ttf",
    "Arial.ttf",
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


def region_mask(regions: tuple[Region, ...], width: int, height: int, number: int = 0) -> Tensor:
    """The mask of a region (from 1), or of all together (0), [height, width], 1 inside; raises as bound_tokens does."""
    tokens = bound_tokens(regions, Picture.of_pixels(width, height))
    mask = torch.zeros((height, width))
    for each in tokens if number == 0 else tokens[number - 1 : number]:
        part = _part(mask, each)
        part.copy_(torch.maximum(part, _inside(each, part).float()))
    return mask


def draw_layout(regions: tuple[Region, ...], width: int, height: int, image: Tensor | None = None) -> Tensor:
    """A picture of the layout, [1, height, width, 3]: numbered, coloured regions with their prompts, their share of
    the picture's tokens and their strength; what several regions cover is hatched.

    image: [B, h, w, 3], the first of which lies under the layout, fitted to width × height.
    """
    whole = Picture.of_pixels(width, height)
    tokens, taken = bound_tokens(regions, whole), []
    canvas = _background(width, height, image)
    line = max(2, min(width, height) // 170)
    tints = [region_color(region, index) for index, region in enumerate(regions)]
    for tint, each in zip(tints, tokens, strict=True):
        part = _part(canvas, each)
        part.lerp_(_flat(tint, part), 0.35 * _inside(each, part).float()[..., None])
    _hatch(canvas, tokens, 4 * line)
    for tint, each in zip(tints, tokens, strict=True):
        _outline(canvas, each, _flat(tint, canvas), line)
    picture = Image.fromarray(canvas.mul_(255).round_().byte().numpy())
    for number, (region, each, tint) in enumerate(zip(regions, tokens, tints, strict=True), 1):
        rows, columns = whole.slices(each.box)
        _label(
            picture,
            f"{number}",
            tint,
            _told(each.count / whole.tokens, region.strength),
            region.text or "",
            (columns.start, rows.start, columns.stop, rows.stop),
            taken,
        )
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)[None]


def draw_plan(boxes: tuple[Region, ...], cells: tuple[Region, ...], width: int, height: int) -> Tensor:
    """A picture of a plan, [1, height, width, 3]: the boxes as draw_layout shows them, over the cells' outlines."""
    canvas = _background(width, height, None)
    for cell in bound_tokens(cells, Picture.of_pixels(width, height)):
        _outline(canvas, cell, torch.tensor(0.55), max(1, min(width, height) // 340))
    return draw_layout(boxes, width, height, canvas[None])


def _part(picture: Tensor, tokens: TokenRegion) -> Tensor:
    """The part of a picture [height, width, ...] in the region's box, as a view."""
    return picture[Picture.of_pixels(picture.shape[1], picture.shape[0]).slices(tokens.box)]


def _inside(tokens: TokenRegion, part: Tensor) -> Tensor:
    """Which pixels [h, w] of its part of a picture are the region's own, bool."""
    if tokens.own is None:
        return torch.ones(part.shape[:2], dtype=torch.bool)
    return Picture.of_pixels(part.shape[1], part.shape[0]).spread(tokens.own.cpu())


def _flat(tint: Color, canvas: Tensor) -> Tensor:
    return (torch.tensor(tint) / 255).to(canvas)


def _background(width: int, height: int, image: Tensor | None) -> Tensor:
    if image is None:
        return torch.full((height, width, 3), 0.13)
    fitted = F.interpolate(image[:1, ..., :3].movedim(-1, 1).float(), size=(height, width), mode="area")
    return fitted[0].movedim(0, -1).cpu().clamp(0, 1).contiguous()


def _hatch(canvas: Tensor, tokens: tuple[TokenRegion, ...], spacing: int) -> None:
    """Lighten diagonal stripes where several regions lie, in place."""
    height, width = canvas.shape[:2]
    covers = torch.zeros((height, width), dtype=torch.int16)
    for each in tokens:
        part = _part(covers, each)
        part += _inside(each, part)
    diagonal = torch.arange(height, dtype=torch.int32)[:, None] + torch.arange(width, dtype=torch.int32)
    stripes = (covers > 1) & (diagonal % spacing < spacing // 4)
    canvas.lerp_(torch.ones(()), 0.5 * stripes.float()[..., None])


def _outline(canvas: Tensor, tokens: TokenRegion, tint: Tensor, pixels: int) -> None:
    """Paint the border of a region, so many pixels wide, in place."""
    part = _part(canvas, tokens)
    inside = _inside(tokens, part)
    part[inside & ~_eroded(inside, pixels)] = tint


def _eroded(inside: Tensor, pixels: int) -> Tensor:
    """A bool grid [h, w] without a border of so many pixels, by running sums along either side."""
    for axis in (0, 1):
        window = 2 * pixels + 1
        sums = F.pad(inside.movedim(axis, -1).int(), (pixels + 1, pixels)).cumsum(-1, dtype=torch.int32)
        inside = (sums[:, window:] - sums[:, :-window] == window).movedim(-1, axis)
    return inside


def _told(share: float, strength: float) -> str:
    """Share of the picture and strength, "25% · 0.6"; a strength of 1 is not told."""
    return (f"{share:.0%}" if share >= 0.01 else "<1%") + (f" · {strength:g}" if strength < 1 else "")


def _label(
    picture: Image.Image,
    number: str,
    tint: Color,
    told: str,
    text: str,
    box: tuple[int, int, int, int],
    taken: list[tuple[float, ...]],
) -> None:
    """Write a region's number, what is told of it and its prompt on a dark plate in its upper left corner, or below
    the plates that have taken that place."""
    left, top, right, bottom = box
    size = max(10, min(30, min(picture.size) // 30, (right - left) // 5, (bottom - top) // 3))
    font, pad, line = _font(size, text), max(2, size // 4), size + size // 3
    badge = font.getlength(number) + 2 * pad
    head = badge + font.getlength(told) + 2 * pad
    if head > right - left:
        told, head = "", badge
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
    draw.text((left + badge + pad, top + line / 2), told, (255, 255, 255), font, anchor="lm")
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
    """Pillow's own font, or the first of the system's that has every sign of the text where that has not."""
    own = ImageFont.load_default(size)
    if _has_signs(own, text):
        return own
    for name in _WIDE_FONTS:
        with contextlib.suppress(OSError):
            font = ImageFont.truetype(name, size)
            if _has_signs(font, text):
                return font
    return own


def _has_signs(font: ImageFont.FreeTypeFont, text: str) -> bool:
    """Whether a font draws each sign as something else than its box for those that it lacks."""
    box = bytes(font.getmask("\uffff"))
    return all(bytes(font.getmask(sign)) != box for sign in set(text) if sign > "~")
