"""What a user should know of a layout before the first step: warnings that name the cause."""

from __future__ import annotations

from collections.abc import Iterator

from ..picture import Picture
from ..regions import Region, TokenRegion, describe

SMALL_SHARE = 0.02
"""Share of the picture below which a region is called small."""


def on_prompts(node: str, regions: tuple[Region, ...]) -> Iterator[str]:
    """Which prompts are empty."""
    for number, region in enumerate(regions, 1):
        if region.text is not None and not region.text.strip():
            yield f"{node}: the prompt of {describe(number, regions)} is empty"


def on_tokens(
    node: str, regions: tuple[Region, ...], tokens: tuple[TokenRegion, ...], picture: Picture
) -> Iterator[str]:
    """Which regions are small."""
    for number, region in enumerate(tokens, 1):
        share = region.count / picture.tokens
        if share < SMALL_SHARE:
            yield (
                f"{node}: {describe(number, regions)} has {region.count} of {picture.tokens} tokens ({share:.1%} of the "
                f"picture); under {SMALL_SHARE:.0%} there is hardly room for a thing"
            )
