"""What a region is: a place in the picture and the conditioning that belongs there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from .layout import Box, Cell, LayoutError
from .page import executing_node
from .picture import Picture, TokenBox

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mask:
    """A region drawn as a mask, [H, W], 1 = inside, of any size: it is stretched over the picture."""

    pixels: Tensor

    @classmethod
    def of_polygon(cls, points: Sequence[tuple[float, float]], width: int, height: int) -> Mask:
        """The pixels whose middle lies inside a polygon by the even-odd rule, bool [height, width]; points (x, y) are in
        fractions of the picture, the last one joined to the first."""
        import torch

        inside = torch.zeros((height, width), dtype=torch.bool)
        middles = torch.arange(width, dtype=torch.float64) + 0.5
        for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
            first, last = (ceil(y * height - 0.5) for y in sorted((y0, y1)))
            down = (torch.arange(first, last, dtype=torch.float64) + 0.5) / height - y0
            if len(down):
                crossed = (x0 + down * (x1 - x0) / (y1 - y0)) * width
                inside[first:last] ^= middles < crossed[:, None]
        return cls(inside)


@dataclass(frozen=True, eq=False)
class Region:
    """One region. Regions travel as an immutable tuple; where two overlap, the later one wins.

    conditioning: ComfyUI's CONDITIONING list, [[text [1, T, C], options], ...].
    text: the prompt, for previews and messages; None when a conditioning was connected.
    color: "#rrggbb" for previews; empty for that of its place in the list.
    drawn_for: width and height in pixels of the picture that it was drawn for; None where nobody said.
    strength: share of its own result in attention methods, 0..1.
    node_id: of the node that made it, where a server runs.
    """

    shape: Box | Cell | Mask
    conditioning: list
    text: str | None = None
    color: str = ""
    drawn_for: tuple[int, int] | None = None
    strength: float = 1.0
    node_id: str = field(default_factory=executing_node)


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


def bound_tokens(regions: tuple[Region, ...], picture: Picture) -> tuple[TokenRegion, ...]:
    """The tokens that Hard Binding replaces for each region.

    Raises LayoutError for a region of less than one token, naming it, its size and the least size.
    """
    return _rasterised(regions, picture, lambda shape: shape.bound_tokens(picture))


def guided_tokens(regions: tuple[Region, ...], picture: Picture) -> tuple[TokenRegion, ...]:
    """The tokens that attention methods guide for each region; raises as bound_tokens."""
    return _rasterised(regions, picture, lambda shape: shape.guided_tokens(picture))


def sampled_tokens(regions: tuple[Region, ...], picture: Picture) -> tuple[TokenRegion, ...]:
    """As guided_tokens, but that a mask is read at one place in each token, its top left."""
    return _rasterised(regions, picture, lambda shape: shape.guided_tokens(picture), _sampled)


def level_tokens(regions: tuple[Region, ...], level: Picture) -> tuple[TokenRegion, ...]:
    """As guided_tokens, on a level of a network: a region may have no token there."""
    return tuple(_tokens(region.shape, level, lambda shape: shape.guided_tokens(level)) for region in regions)


def owners(regions: Sequence[TokenRegion], picture: Picture) -> Tensor:
    """The number, from 1, of the last region that covers each token [rows, columns]; 0 where none does."""
    import torch

    owner = torch.zeros((picture.rows, picture.columns), dtype=torch.long)
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


def told_strengths(regions: tuple[Region, ...]) -> str:
    """How messages go on about the strengths, ' and strengths 1, 0.6'; empty where all are 1."""
    strengths = [region.strength for region in regions]
    if all(strength == 1 for strength in strengths):
        return ""
    return f" and strengths {', '.join(f'{strength:g}' for strength in strengths)}"


def refuse_options(regions: tuple[Region, ...], refused: dict[str, str], why: str) -> None:
    """Raise ValueError where a region's conditioning carries an option of these; refused: how messages call each."""
    for number, region in enumerate(regions, 1):
        for _, options in region.conditioning:
            carried = {key for key in options if options[key] is not None}
            for key in sorted(refused.keys() & carried):
                raise ValueError(
                    f"the conditioning of {describe(number, regions)} carries {refused[key]}; {why}"
                )


def bounding_box(tokens: Tensor) -> TokenBox:
    """The smallest box around the true values of a bool grid [rows, columns]."""
    ys, xs = tokens.any(1).nonzero(), tokens.any(0).nonzero()
    return TokenBox(int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1)


def _covered(mask: Mask, picture: Picture) -> Tensor:
    """The tokens, bool [rows, columns], over which a mask's mean is above one half."""
    import torch.nn.functional as F

    whole = picture.in_pixels
    size = (whole.height, whole.width)
    fitted = F.interpolate(mask.pixels[None, None].float(), size=size, mode="nearest-exact")
    return F.avg_pool2d(fitted, whole.patch, ceil_mode=True)[0, 0] > 0.5


def _sampled(mask: Mask, picture: Picture) -> Tensor:
    """The tokens, bool [rows, columns], at whose top left a mask is above one half."""
    import torch.nn.functional as F

    size = (picture.rows, picture.columns)
    return F.interpolate(mask.pixels[None, None].float(), size=size, mode="nearest")[0, 0] > 0.5


def _rasterised(
    regions: tuple[Region, ...],
    picture: Picture,
    place: Callable[[Box | Cell], TokenBox],
    inside: Callable[[Mask, Picture], Tensor] = _covered,
) -> tuple[TokenRegion, ...]:
    found = tuple(_tokens(region.shape, picture, place, inside) for region in regions)
    for number, (region, tokens) in enumerate(zip(regions, found, strict=True), 1):
        if tokens.box.area == 0:
            raise LayoutError(_too_small(region.shape, picture, describe(number, regions)))
    return found


def _tokens(
    shape: Box | Cell | Mask,
    picture: Picture,
    place: Callable[[Box | Cell], TokenBox],
    inside: Callable[[Mask, Picture], Tensor] = _covered,
) -> TokenRegion:
    if not isinstance(shape, Mask):
        return TokenRegion(place(shape))
    own = inside(shape, picture)
    if not own.any():
        return TokenRegion(TokenBox(0, 0, 0, 0))
    box = bounding_box(own)
    return TokenRegion(box, own[box.y0 : box.y1, box.x0 : box.x1])


def _too_small(shape: Box | Cell | Mask, picture: Picture, name: str) -> str:
    """What a region of less than one token is told."""
    whole = picture.in_pixels
    if isinstance(shape, Mask):
        return (
            f"the mask of {name} covers no token of this {whole.width} × {whole.height} picture: more than half of at "
            f"least one {whole.patch} × {whole.patch} pixel square has to lie in it"
        )
    left, top, right, bottom = shape.edges
    return (
        f"{name} is {(right - left) * whole.width:.0f} × {(bottom - top) * whole.height:.0f} pixels, which is less "
        f"than one token of this {whole.width} × {whole.height} picture: make it at least {whole.patch} pixels a "
        f"side ({whole.patch / whole.width:.3f} of the width, {whole.patch / whole.height:.3f} of the height)"
    )
