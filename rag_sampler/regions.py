"""What a region is: a place in the picture and the conditioning that belongs there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .layout import TOKEN_PIXELS, Box, Cell, LayoutError, TokenBox

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mask:
    """A region drawn as a mask, [H, W], 1 = inside, of any size: it is stretched over the picture."""

    pixels: Tensor


@dataclass(frozen=True, eq=False)
class Region:
    """One region. Regions travel as an immutable tuple; where two overlap, the later one wins.

    conditioning: ComfyUI's CONDITIONING list, [[text [1, T, C], options], ...].
    text: the prompt, for previews and messages; None when a conditioning was connected.
    color: "#rrggbb" for previews; empty for that of its place in the list.
    """

    shape: Box | Cell | Mask
    conditioning: list
    text: str | None = None
    color: str = ""


@dataclass(frozen=True, eq=False)
class TokenRegion:
    """The image tokens of a region: a box of tokens and, for masks, which of them are its own.

    own: bool [box.height, box.width], or None where the region fills its box.
    """

    box: TokenBox
    own: Tensor | None = None

    @property
    def count(self) -> int:
        return self.box.area if self.own is None else int(self.own.sum())


def bound_tokens(regions: tuple[Region, ...], width: int, height: int) -> tuple[TokenRegion, ...]:
    """The tokens that Hard Binding replaces for each region of a picture in pixels.

    Raises LayoutError for a region of less than one token, naming it, its size and the least size.
    """
    return tuple(
        _rasterise(region, region.shape, "bound_tokens", number, regions, width, height)
        for number, region in enumerate(regions, 1)
    )


def guided_tokens(regions: tuple[Region, ...], width: int, height: int) -> tuple[TokenRegion, ...]:
    """The tokens that Soft Refinement guides for each region of a picture in pixels; raises as bound_tokens."""
    return tuple(
        _rasterise(region, region.shape, "guided_tokens", number, regions, width, height)
        for number, region in enumerate(regions, 1)
    )


def owners(regions: tuple[TokenRegion, ...], rows: int, columns: int) -> Tensor:
    """The number, from 1, of the last region that covers each token [rows, columns]; 0 where none does."""
    import torch

    owner = torch.zeros((rows, columns), dtype=torch.long)
    for number, region in enumerate(regions, 1):
        box = region.box
        part = owner[box.y0 : box.y1, box.x0 : box.x1]
        part.masked_fill_(torch.tensor(True) if region.own is None else region.own.cpu(), number)
    return owner


def describe(number: int, regions: tuple[Region, ...]) -> str:
    """How messages call region number (from 1): 'region 2 of 4 ("a red ball")'."""
    text = regions[number - 1].text or ""
    short = text if len(text) <= 40 else text[:37] + "..."
    return f"region {number} of {len(regions)}" + (f' ("{short}")' if text else "")


def bounding_box(tokens: Tensor) -> TokenBox:
    """The smallest box around the true values of a bool grid [rows, columns]."""
    ys, xs = tokens.any(1).nonzero(), tokens.any(0).nonzero()
    return TokenBox(int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1)


def spread(tokens: Tensor, side: int, height: int, width: int) -> Tensor:
    """A value for each token [rows, columns] as pixels [height, width], `side` of them to a token's side."""
    return tokens.repeat_interleave(side, 0).repeat_interleave(side, 1)[:height, :width]


def _rasterise(region, shape, method: str, number: int, regions, width: int, height: int) -> TokenRegion:
    if isinstance(shape, Mask):
        return _mask_tokens(shape.pixels, number, regions, width, height)
    box = getattr(shape, method)(width, height)
    if box.area > 0:
        return TokenRegion(box)
    left, top, right, bottom = shape.edges
    raise LayoutError(
        f"{describe(number, regions)} is {(right - left) * width:.0f} × {(bottom - top) * height:.0f} pixels, "
        f"which is less than one token of this {width} × {height} picture: make it at least 16 pixels a side "
        f"({16 / width:.3f} of the width, {16 / height:.3f} of the height)"
    )


def _mask_tokens(pixels: Tensor, number: int, regions, width: int, height: int) -> TokenRegion:
    """A token belongs to a mask whose mean over the token is above one half."""
    import torch.nn.functional as F

    picture = F.interpolate(pixels[None, None].float(), size=(height, width), mode="nearest-exact")
    own = F.avg_pool2d(picture, TOKEN_PIXELS, ceil_mode=True)[0, 0] > 0.5
    if not own.any():
        raise LayoutError(
            f"the mask of {describe(number, regions)} covers no token of this {width} × {height} picture: "
            f"paint more than half of at least one 16 × 16 pixel square white"
        )
    box = bounding_box(own)
    return TokenRegion(box, own[box.y0 : box.y1, box.x0 : box.x1])
