"""How the gallery lays out its pictures: a sheet for each, all sheets on one page, and thumbnails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

PANEL, THUMBNAIL, SHRUNK = 512, 512, 800
"""Longer side of a sheet's panels and of a thumbnail, and width of a sheet on the page of all, in pixels."""
GAP, HEAD, FOOT = 16, 72, 40
INK, PALE, LINE = (31, 35, 40), (101, 109, 118), (208, 215, 222)


def panel_size(width: int, height: int, multiple: int = 1) -> tuple[int, int]:
    """A picture's size at which its longer side is a panel's."""
    scale = PANEL / max(width, height)
    return tuple(max(multiple, round(side * scale / multiple) * multiple) for side in (width, height))


def sheet(title: str, pictures: Mapping[str, Image.Image], settings: str) -> Image.Image:
    """The pictures side by side, each under its name, with a title above and the settings below."""
    panels = {name: one.convert("RGB").resize(panel_size(*one.size)) for name, one in pictures.items()}
    height = max(one.height for one in panels.values())
    width = sum(one.width + GAP for one in panels.values()) + GAP
    page = Image.new("RGB", (width, HEAD + height + FOOT), "white")
    pen, left = ImageDraw.Draw(page), GAP
    pen.text((GAP, 8), title, INK, font(26))
    for name, one in panels.items():
        pen.text((left, HEAD - 28), name, PALE, font(19))
        page.paste(one, (left, HEAD))
        pen.rectangle((left, HEAD, left + one.width - 1, HEAD + one.height - 1), outline=LINE)
        left += one.width + GAP
    pen.text((GAP, HEAD + height + 8), fitting(settings, width - 2 * GAP, font(17)), PALE, font(17))
    return page


def fitting(text: str, width: int, face: ImageFont.FreeTypeFont) -> str:
    """As much of the text as fits into so many pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(f"{text} …") > width:
        text = text.rpartition(" ")[0]
    return f"{text} …"


def together(sheets: Sequence[Image.Image]) -> Image.Image:
    """All sheets in two columns, in order, each where there is room first."""
    small = [one.resize((SHRUNK, round(one.height * SHRUNK / one.width))) for one in sheets]
    bottoms, places = [0, 0], []
    for one in small:
        column = bottoms.index(min(bottoms))
        places.append((column * SHRUNK, bottoms[column]))
        bottoms[column] += one.height
    page = Image.new("RGB", (SHRUNK * min(2, len(small)), max(bottoms)), "white")
    for one, place in zip(small, places, strict=True):
        page.paste(one, place)
    return page


def thumbnail(picture: Image.Image) -> Image.Image:
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return small


def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own, the same on every machine."""
    return ImageFont.load_default(size)
