"""LoRAs of random values for a MODEL, as hooks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import comfy.hooks
import torch

MODULATES = re.compile(r"_mod\.|\.modulation\.")


def lora(model, rank: int, seed: int, modulations: bool = True) -> comfy.hooks.HookGroup:
    """A hook that adds a small random matrix to every linear layer of the blocks, on the weights' device.

    modulations: those that make what modulates tokens, too, as many trainers have them.
    """
    weights = {}
    for key, value in model.model.state_dict().items():
        if value.ndim == 2 and "_blocks." in key and (modulations or not MODULATES.search(key)):
            name, make = key.removesuffix(".weight"), {"device": value.device}
            if value.device.type != "meta":
                make["generator"] = torch.Generator().manual_seed(seed)
                seed += 1000
            weights[f"{name}.lora_up.weight"] = 0.01 * torch.randn(value.shape[0], rank, **make)
            weights[f"{name}.lora_down.weight"] = torch.randn(rank, value.shape[1], **make)
    return comfy.hooks.create_hook_lora(lora=weights, strength_model=1.0, strength_clip=0.0)


def wearing(regions: Iterable, hooks: Iterable[comfy.hooks.HookGroup | None]) -> tuple:
    """Regions with hooks on their conditioning, each its own."""
    return tuple(
        replace(region, conditioning=comfy.hooks.set_hooks_for_conditioning(region.conditioning, group))
        for region, group in zip(regions, hooks, strict=True)
    )
