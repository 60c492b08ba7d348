"""Families of networks: one file each, one row here. What the engine asks of them is in network.py."""

from __future__ import annotations

from .anima import ANIMA
from .flux import CHROMA, FLUX1, FLUX2, LONGCAT
from .krea2 import KREA2
from .lumina import LUMINA
from .names import shown
from .network import Family, Network
from .qwen_image import QWEN_IMAGE
from .sd3 import SD3
from .unet import SD, SDXL

FAMILIES: tuple[Family, ...] = (
    FLUX1, FLUX2, CHROMA, LONGCAT, LUMINA, KREA2, QWEN_IMAGE, SD3, ANIMA, SD, SDXL,
)  # fmt: skip
"""Families that attention methods know, and the binding of features where they have block hooks."""


def of(model) -> Network | None:
    """The network of a MODEL; None without an adapter, or where a loader put a network of its own in its place."""
    family = _family(model)
    return Network.of(family, model.model.diffusion_model) if family and _has_blocks(family, model) else None


def name_of(model) -> str:
    """What a MODEL's architecture is called, and a loader's own network if that has no blocks that we know."""
    family, name = _family(model), shown(getattr(model.model, "model_config", None), model.model)
    if family is None or _has_blocks(family, model):
        return name
    return f"{name} as {type(model.model.diffusion_model).__name__}"


def _family(model) -> Family | None:
    name = type(model.model).__name__
    return next((family for family in FAMILIES if name in family.classes), None)


def _has_blocks(family: Family, model) -> bool:
    return all(hasattr(model.model.diffusion_model, name) for name in family.blocks.values())
