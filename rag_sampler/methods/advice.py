"""What a user should know of a layout before the first step: warnings that name the cause. What is wrong whoever takes
the regions does not name the method: two of them would say it twice."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ..page import at
from ..picture import Picture
from ..regions import Mask, Region, TokenRegion, describe

SMALL_SHARE = 0.02
"""Share of the picture below which a region is called small."""


ASPECT_SLACK = 0.05
"""Share by which a mask's aspect may miss the picture's, as sizes rounded to tokens do."""


def on_prompts(regions: tuple[Region, ...]) -> Iterator[str]:
    """Which prompts are empty."""
    for number, region in enumerate(regions, 1):
        if region.text is not None and not region.text.strip():
            yield at(region.node_id, f"the prompt of {describe(number, regions)} is empty")


def on_tokens(
    regions: tuple[Region, ...], tokens: tuple[TokenRegion, ...], picture: Picture
) -> Iterator[str]:
    """Which regions are small, which masks are stretched to another aspect, and which layouts to another picture."""
    whole = picture.in_pixels
    sizes = dict.fromkeys((*region.drawn_for, region.node_id) for region in regions if region.drawn_for)
    for wide, high, node_id in sizes:
        slack = whole.patch
        if abs(wide - whole.width) >= slack or abs(high - whole.height) >= slack:
            yield at(
                node_id,
                f"the regions were drawn for {wide} × {high} and this picture is {whole.width} × {whole.height}; "
                "the whole layout is spread over it. Give layout and latent one size; in a detailer, a crop or a tile use "
                "a MODEL without regions",
            )
    for number, region in enumerate(regions, 1):
        if not isinstance(region.shape, Mask) or region.drawn_for:
            continue
        high, wide = region.shape.pixels.shape
        if abs(high * whole.width / (wide * whole.height) - 1) > ASPECT_SLACK:
            yield at(
                region.node_id,
                f"the mask of {describe(number, regions)} is {wide} × {high} and the picture {whole.width} × "
                f"{whole.height}; it is stretched over it",
            )
    for number, (region, own) in enumerate(zip(regions, tokens, strict=True), 1):
        share = own.count / picture.tokens
        if share < SMALL_SHARE:
            yield at(
                region.node_id,
                f"{describe(number, regions)} has {own.count} of {picture.tokens} tokens ({share:.1%} of the "
                f"picture); under {SMALL_SHARE:.0%} there is hardly room for a thing",
            )


def on_hidden(node: str, regions: tuple[Region, ...], cells: tuple[Tensor, ...]) -> Iterator[str]:
    """Which regions have nothing of their own left; cells: the image token numbers of each."""
    for number, (region, cell) in enumerate(zip(regions, cells, strict=True), 1):
        if len(cell) == 0:
            yield at(region.node_id, f"{node}: {describe(number, regions)} is hidden by later regions")
