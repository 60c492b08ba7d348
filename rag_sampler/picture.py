"""The tokens of a picture: how many rows and columns of them a latent has, and where each lies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TOKEN_PIXELS = 16
"""Side of one image token in pixels, for the families that the layouts of nodes are drawn for."""


@dataclass(frozen=True)
class TokenBox:
    """A rectangle of image tokens: rows y0 <= y < y1, columns x0 <= x < x1."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def area(self) -> int:
        return max(self.height, 0) * max(self.width, 0)


@dataclass(frozen=True)
class Picture:
    """A latent as the model's tokens see it.

    height, width: in latent pixels; a side that the patch does not divide is padded by the model.
    patch: latent pixels to a token's side; scale: pixels of the picture to a latent pixel's side.
    multiple: the network pads its tokens, at their end, to a multiple of so many.
    """

    height: int
    width: int
    patch: int = 2
    scale: int = TOKEN_PIXELS // 2
    multiple: int = 1

    @classmethod
    def of_latent(cls, latent: Tensor, model) -> Picture:
        """The picture of a latent [..., height, width] of a MODEL."""
        scale = getattr(model.get_model_object("latent_format"), "spacial_downscale_ratio", cls.scale)
        network = model.model.diffusion_model
        return cls(*latent.shape[-2:], patch_size(network), scale, padding_multiple(network))

    @classmethod
    def of_pixels(cls, width: int, height: int) -> Picture:
        """A picture in pixels, each of them a latent pixel."""
        return cls(height, width, TOKEN_PIXELS, 1)

    @property
    def rows(self) -> int:
        return ceil(self.height / self.patch)

    @property
    def columns(self) -> int:
        return ceil(self.width / self.patch)

    @property
    def tokens(self) -> int:
        return self.rows * self.columns

    @property
    def length(self) -> int:
        """Its tokens and what the network pads them with."""
        return self.tokens + -self.tokens % self.multiple

    @property
    def token_pixels(self) -> int:
        """A token's side in pixels of the picture."""
        return self.patch * self.scale

    @property
    def in_pixels(self) -> Picture:
        """The same tokens over the picture's own pixels."""
        return Picture(self.height * self.scale, self.width * self.scale, self.token_pixels, 1)

    def like(self, latent: Tensor) -> Picture:
        """The picture of another latent [..., height, width] of the same model: a region's crop, a reference."""
        return replace(self, height=latent.shape[-2], width=latent.shape[-1])

    def within(self, box: TokenBox) -> Picture:
        """The part of it in a box of tokens, as a picture."""
        rows, columns = self.slices(box)
        return replace(self, height=rows.stop - rows.start, width=columns.stop - columns.start)

    def level(self, rows: int, columns: int) -> Picture:
        """The same picture as the tokens of a network's level see it: so many rows and columns, spread over it."""
        return Picture(rows, columns, 1, ceil(self.in_pixels.height / rows))

    def slices(self, box: TokenBox) -> tuple[slice, slice]:
        """The rows and columns of latent pixels in a box of tokens."""
        p = self.patch
        return slice(box.y0 * p, min(box.y1 * p, self.height)), slice(box.x0 * p, min(box.x1 * p, self.width))

    def crop(self, latent: Tensor, box: TokenBox) -> Tensor:
        """The part of a latent [..., height, width] in a box of tokens, as a view."""
        rows, columns = self.slices(box)
        return latent[..., rows, columns]

    def spread(self, values: Tensor) -> Tensor:
        """A value for each token [rows, columns] as one for each latent pixel [height, width]."""
        p = self.patch
        return values.repeat_interleave(p, 0).repeat_interleave(p, 1)[: self.height, : self.width]


def check_latent(latent: Tensor, name: str) -> None:
    """Raise ValueError unless a latent holds one picture a batch entry, [B, C, height, width] or [B, C, 1, height, width]."""
    if latent.ndim == 5 and latent.shape[2] > 1:
        raise ValueError(f"{name} holds {latent.shape[2]} frames: regions work on pictures, not on video")
    if latent.ndim not in (4, 5):
        raise ValueError(
            f"{name} has the shape {tuple(latent.shape)}; regions need one picture a batch entry, "
            f"[batch, channels, height, width]"
        )


def patch_size(network) -> int:
    """Latent pixels to a token's side; 2 (16 pixels of the picture) where a network does not say."""
    patch = getattr(network, "patch_size", 2)
    return patch if isinstance(patch, int) else patch[-1]


def padding_multiple(network) -> int:
    """The multiple to which a network pads the tokens of a text, and those of a picture; 1 where it does not."""
    return getattr(network, "pad_tokens_multiple", None) or 1
