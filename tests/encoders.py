"""Tiny CLIPs: each family's text encoders as ComfyUI builds them, at a small size with random weights.

The tokenizers are ComfyUI's own, but for two whose vocabulary comes with the checkpoint: Gemma's reads that of a T5
which ComfyUI has, and in place of Mistral's, which not every version of transformers can make, stands one of CLIP's
vocabulary that starts, ends and pads a text like it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import comfy.sd
import comfy.text_encoders as te
import torch
from comfy import sd1_clip, sdxl_clip
from families import TEXT, random_state


def clip(name: str, width: int) -> dict:
    sizes = {"hidden_size": width, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    return {f"{name}_model_config": sizes}


def t5(width: int, name: str = "t5xxl") -> dict:
    sizes = {"d_model": width, "d_ff": 32, "d_kv": 16, "num_heads": 2, "num_layers": 2}
    return {f"{name}_model_config": sizes}


def llama(name: str, width: int, layers: int = 3) -> dict:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": 32}
    return {f"{name}_model_config": {**sizes, "num_attention_heads": 1, "num_key_value_heads": 1}}


ENCODERS: dict[str, Callable[[], tuple]] = {
    "FLUX.1-dev": lambda: (te.flux.flux_clip(), te.flux.FluxTokenizer, clip("clip_l", 16) | t5(TEXT)),
    "FLUX.1-schnell": lambda: (te.flux.flux_clip(), te.flux.FluxTokenizer, clip("clip_l", 16) | t5(TEXT)),
    "FLUX.2-dev": lambda: (te.flux.flux2_te(), te.flux.Flux2Tokenizer, llama("mistral3_24b", TEXT // 3, 31)),
    "FLUX.2-Klein": lambda: (te.flux.klein_te(), te.flux.KleinTokenizer, llama("qwen3_4b", TEXT // 3, 28)),
    "Chroma": lambda: (te.pixart_t5.pixart_te(), te.pixart_t5.PixArtTokenizer, t5(TEXT)),
    "Chroma Radiance": lambda: (te.pixart_t5.pixart_te(), te.pixart_t5.PixArtTokenizer, t5(TEXT)),
    "LongCat-Image": lambda: (
        te.longcat_image.te(), te.longcat_image.LongCatImageTokenizer, llama("qwen25_7b", TEXT)
    ),
    "Z-Image": lambda: (te.z_image.te(), te.z_image.ZImageTokenizer, llama("qwen3_4b", TEXT)),
    "Lumina 2": lambda: (te.lumina2.te(), te.lumina2.LuminaTokenizer, llama("gemma2_2b", TEXT)),
    "Qwen-Image": lambda: (te.qwen_image.te(), te.qwen_image.QwenImageTokenizer, llama("qwen25_7b", TEXT)),
    "Krea 2": lambda: (te.krea2.te(), te.krea2.Krea2Tokenizer, llama("qwen3vl_4b", 16, 36)),
    "Anima": lambda: (te.anima.te(), te.anima.AnimaTokenizer, llama("qwen3_06b", TEXT)),
    "SD3.5": lambda: (
        te.sd3_clip.sd3_clip(t5=False), te.sd3_clip.SD3Tokenizer, clip("clip_l", 16) | clip("clip_g", 16)
    ),
    "SD1.5": lambda: (sd1_clip.SD1ClipModel, sd1_clip.SD1Tokenizer, clip("clip_l", TEXT)),
    "SD2": lambda: (te.sd2_clip.SD2ClipModel, te.sd2_clip.SD2Tokenizer, clip("clip_h", TEXT)),
    "SDXL": lambda: (sdxl_clip.SDXLClipModel, sdxl_clip.SDXLTokenizer, clip("clip_l", 8) | clip("clip_g", 16)),
    "AuraFlow": lambda: (te.aura_t5.AuraT5Model, te.aura_t5.AuraT5Tokenizer, t5(TEXT, "pile_t5xl")),
}  # fmt: skip
"""Class, tokenizer and sizes of the encoder for each network of tests/families.py. FLUX.2 and Krea 2 join the states
of several layers; SD3.5 goes without its T5, which is optional and has to be 4096 wide."""

MISTRAL_TOKENIZER = partial(
    sd1_clip.SDTokenizer, embedding_key="mistral3_24b", has_end_token=False, pad_to_max_length=False, pad_token=11,
    max_length=99999999, min_length=1, pad_left=True,
)  # fmt: skip
GEMMA_VOCABULARY = Path(te.t5.__file__).parent / "t5_pile_tokenizer" / "tokenizer.model"


def load(name: str) -> comfy.sd.CLIP:
    """The CLIP of a family, its texts as wide as the family's tiny network reads them."""
    encoder, tokenizer, sizes = ENCODERS[name]()
    vocabularies = {
        "mistral3_24b_tokenizer_class": MISTRAL_TOKENIZER,
        "spiece_model": torch.tensor(list(GEMMA_VOCABULARY.read_bytes()), dtype=torch.uint8),
    }
    loaded = comfy.sd.CLIP(
        SimpleNamespace(params={}, clip=encoder, tokenizer=tokenizer),
        tokenizer_data=vocabularies,
        model_options={**sizes, "dtype": torch.float32},
    )
    network = loaded.cond_stage_model
    for part in network.children():
        if hasattr(part.transformer, "visual"):
            del part.transformer.visual  # as large as the real one, and no text goes through it
    network.load_state_dict(random_state(network))
    return loaded
