"""LoRA files, found and loaded as Load LoRA does: hooks for a region's conditioning, and what they do to its text."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from pathlib import Path

import comfy.lora
import comfy.lora_convert
import comfy.utils
import folder_paths
from comfy.hooks import HookGroup, create_hook_lora

from ..lora_tags import LoraTag, find_name

FILE = "rag_file"
"""Where the reference of a hook, which its clones share, notes the LoRA's file."""

_TEXT = ("lora_te", "lora_prior_te", "text_encoder")
"""What the names of layers of text encoders begin with, as comfy.lora.model_lora_keys_clip has them."""


def installed() -> list[str]:
    """The files that Load LoRA lists."""
    return folder_paths.get_filename_list("loras")


def hook(file: str, strength: float, clip_strength: float = 0.0) -> HookGroup:
    """A LoRA hook of an installed file."""
    path = Path(folder_paths.get_full_path_or_raise("loras", file))
    made = create_hook_lora(_weights(path, path.stat().st_mtime_ns), strength, clip_strength)
    setattr(made.hooks[0].hook_ref, FILE, file)
    return made


def hook_of_tag(tag: LoraTag) -> HookGroup | None:
    """The hook that a tag means; None where it changes nothing. Raises ValueError where its name means no file."""
    file = find_name(tag.name, installed())
    return hook(file, tag.model, tag.clip) if tag.model or tag.clip else None


def text_layers(weights: dict) -> int:
    """How many layers of text encoders a file changes."""
    keys = (key for key in weights if key.startswith(_TEXT))
    return len(
        {re.split(r"[._]lora|\.(?:hada|lokr|oft|alpha|dora|diff)", key, maxsplit=1)[0] for key in keys}
    )


def has_model_part(weights: dict | None) -> bool:
    """Whether a file changes more than text encoders."""
    return any(not key.startswith(_TEXT) for key in weights or ())


def worn_by(clip, hooks: HookGroup | None):
    """The CLIP with what files of ours change in it, as Load LoRA loads them; itself where that is nothing."""
    for one in hooks.hooks if hooks is not None else ():
        file = getattr(one.hook_ref, FILE, None)
        if file is None or not one.strength_clip:
            continue
        keys = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, {})
        patches = comfy.lora.load_lora(comfy.lora_convert.convert_lora(one.weights), keys, log_missing=False)
        if patches:
            clip = clip.clone()
            clip.add_patches(patches, one.strength_clip)
        elif layers := text_layers(one.weights):
            logging.warning(
                'RAG: the %d layers of text encoders in the LoRA "%s" fit none of this clip', layers, file
            )
    return clip


@lru_cache(maxsize=4)
def _weights(path: Path, changed: int) -> dict:
    """Of a file, as it was at a time of change."""
    return comfy.utils.load_torch_file(str(path), safe_load=True)
