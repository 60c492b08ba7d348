"""LoRAs of regions by the names of their files, which ComfyUI lists under loras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from comfy.hooks import set_hooks_for_conditioning

from ..lora_tags import find_name
from ..regions import Region, describe
from .files import hook, installed


def with_loras(
    regions: tuple[Region, ...], loras: Sequence[Sequence[tuple[str, float]]]
) -> tuple[Region, ...]:
    """Regions with the LoRAs of each, names and strengths, as hooks of their conditioning; strength 0 is none. Regions
    with the same LoRA at one strength share its hook.

    Raises ValueError that names the region for a file that is not there.
    """
    shared, worn = cache(hook), []
    for number, (region, own) in enumerate(zip(regions, loras, strict=True), 1):
        conditioning = region.conditioning
        for name, strength in own:
            try:
                file = find_name(name, installed())
            except ValueError as error:
                raise ValueError(f"{describe(number, regions)}: loras: {error}") from None
            if strength:
                conditioning = set_hooks_for_conditioning(conditioning, shared(file, strength))
        worn.append(replace(region, conditioning=conditioning))
    return tuple(worn)
