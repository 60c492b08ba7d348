"""Tiny random checkpoints of the families, through ComfyUI's own loader where it can be small."""

from pathlib import Path

import comfy.ldm.chroma.model
import comfy.ldm.chroma_radiance.model
import comfy.ldm.flux.model
import comfy.model_base
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import torch
from safetensors.torch import save_file

TEXT = 24
FLUX = {
    "in_channels": 16, "out_channels": 16, "vec_in_dim": 16, "context_in_dim": TEXT, "hidden_size": 128,
    "mlp_ratio": 4.0, "num_heads": 1, "depth": 2, "depth_single_blocks": 3, "axes_dim": [16, 56, 56], "theta": 10000,
    "patch_size": 2, "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
FLUX2 = FLUX | {
    "in_channels": 128, "out_channels": 128, "vec_in_dim": None, "mlp_ratio": 3.0, "axes_dim": [32, 32, 32, 32],
    "theta": 2000, "patch_size": 1, "qkv_bias": False, "ops_bias": False, "txt_ids_dims": [3],
    "global_modulation": True, "mlp_silu_act": True,
}  # fmt: skip
CHROMA = {k: v for k, v in FLUX.items() if k != "guidance_embed"} | {
    "image_model": "chroma", "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 128, "hidden_dim": 64,
    "n_layers": 1,
}  # fmt: skip
UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 2, 2], "transformer_depth": [0, 1, 1], "transformer_depth_output": [0, 0, 1, 1, 1, 1],
    "transformer_depth_middle": 1, "num_head_channels": 16, "use_spatial_transformer": True, "context_dim": TEXT,
    "legacy": False,
}  # fmt: skip
SD = UNET | {"transformer_depth": [1, 1, 0], "transformer_depth_output": [1, 1, 1, 1, 0, 0]}
SDXL = UNET | {
    "use_linear_in_transformer": True, "num_classes": "sequential", "adm_in_channels": 16 + 6 * 256,
}  # fmt: skip
LUMINA2 = {
    "patch_size": 2, "in_channels": 16, "dim": 64, "n_layers": 2, "n_refiner_layers": 1, "n_heads": 2,
    "multiple_of": 32, "qk_norm": True, "cap_feat_dim": TEXT, "axes_dims": [8, 12, 12], "axes_lens": [64, 64, 64],
}  # fmt: skip
RADIANCE = comfy.ldm.chroma_radiance.model.ChromaRadianceParams
SEQUENTIAL = {"use_sequential_txt_ids": True} if "use_sequential_txt_ids" in RADIANCE.__annotations__ else {}
CONFIGS = {
    "FLUX.1-dev": FLUX,
    "FLUX.1-schnell": FLUX | {"guidance_embed": False},
    "FLUX.1-Fill": FLUX | {"in_channels": 96},
    "FLUX.2-dev": FLUX2,
    "FLUX.2-Klein": FLUX2 | {"guidance_embed": False},
}
"""FLUX: what the loader reads at any size."""

OTHERS = {
    "Chroma": ("Chroma", CHROMA),
    "Chroma Radiance": ("ChromaRadiance", CHROMA | {
        "in_channels": 3, "out_channels": 3, "patch_size": 16, "nerf_hidden_size": 16, "nerf_mlp_ratio": 2,
        "nerf_depth": 1, "nerf_max_freqs": 4, "nerf_tile_size": 0, "nerf_final_head_type": "conv",
        "nerf_embedder_dtype": torch.float32, "use_x0": False,
    } | SEQUENTIAL),
    "LongCat-Image": ("LongCatImage", FLUX | {
        "vec_in_dim": None, "guidance_embed": False, "txt_ids_dims": [1, 2],
    }),
    "Z-Image": ("ZImage", LUMINA2 | {
        "dim": 256, "n_heads": 8, "z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32,
    }),
    "Lumina 2": ("Lumina2", LUMINA2 | {"n_kv_heads": 1}),
    "Qwen-Image": ("QwenImage", {
        "num_layers": 2, "attention_head_dim": 32, "num_attention_heads": 2, "joint_attention_dim": TEXT,
        "axes_dims_rope": (8, 12, 12),
    }),
    "Krea 2": ("Krea2", {
        "features": 64, "tdim": 32, "txtdim": 16, "heads": 2, "kvheads": 1, "multiplier": 2, "layers": 2,
        "txtheads": 2, "txtkvheads": 2,
    }),
    "Anima": ("Anima", {
        "max_img_h": 64, "max_img_w": 64, "max_frames": 4, "in_channels": 16, "out_channels": 16, "patch_spatial": 2,
        "patch_temporal": 1, "model_channels": 64, "num_blocks": 2, "num_heads": 2, "crossattn_emb_channels": TEXT,
        "pos_emb_cls": "rope3d", "use_adaln_lora": True, "adaln_lora_dim": 16,
    }),
    "SD3.5": ("SD3", {
        "input_size": None, "in_channels": 16, "depth": 2, "num_blocks": 2, "adm_in_channels": 32,
        "num_patches": 24 * 24, "pos_embed_max_size": 24, "qk_norm": "rms", "x_block_self_attn_layers": [0],
        "context_size": 4096, "context_embedder_config": {
            "target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 128},
        },
    }),
    "SD1.5": ("SD15", SD),
    "SD2": ("SD20", SD | {"use_linear_in_transformer": True}),
    "SDXL": ("SDXL", SDXL),
    "AuraFlow": ("AuraFlow", {
        "cond_seq_dim": TEXT, "dim": 64, "n_layers": 3, "n_double_layers": 1, "n_heads": 2, "global_conddim": 64,
    }),
    "KOALA": ("KOALA_700M", SDXL | {"transformer_depth_middle": -2}),
}  # fmt: skip
"""The class of comfy.supported_models and the network's arguments. The text that each reads is as wide as that of
tests/encoders.py; Krea 2's is twelve layers of `txtdim`, SD3.5's is padded to 4096 by its encoder."""


TEMPLATES = {
    "Draw regions with Z-Image Turbo": ("Z-Image", "image_z_image_turbo"),
    "Draw regions with Krea 2 Turbo": ("Krea 2", "image_krea2_turbo_t2i"),
    "Draw regions with Qwen-Image": ("Qwen-Image", "image_qwen_image"),
    "Draw regions with FLUX.2 Klein": ("FLUX.2-Klein", "image_flux2_klein_text_to_image"),
    "Draw regions with Anima": ("Anima", "image_anima_base_v1"),
    "Draw regions with SDXL": ("SDXL", "sdxl_simple_example"),
}
"""Of each template on other models' files than FLUX.1's: the family whose tiny network stands in for them, and the
template of ComfyUI that it has files and settings from."""


def random_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    state = {}
    for key, value in network.state_dict().items():
        inputs = value[0].numel() if value.ndim == 4 else value.shape[-1:].numel()
        spread = 0.6 / inputs**0.5 if value.ndim > 1 else 0.1
        gain = value.ndim == 1 and key.endswith(("weight", "scale"))
        state[key] = spread * torch.randn(value.shape, generator=generator) + gain
    return state


def exists(name: str) -> bool:
    """Whether this ComfyUI has the family."""
    return name in CONFIGS or hasattr(comfy.supported_models, OTHERS[name][0])


def load(name: str, folder: Path):
    """A MODEL of the family, through ComfyUI's loader where that reads every size from the weights."""
    if name in OTHERS:
        return built(*OTHERS[name])
    network = comfy.ldm.flux.model.Flux(
        dtype=torch.float32, operations=comfy.ops.disable_weight_init, **CONFIGS[name]
    )
    path = folder / f"{name}.safetensors"
    save_file(random_state(network), path)
    return comfy.sd.load_diffusion_model(str(path), model_options={"dtype": torch.float32})


def built(family: str, arguments: dict):
    """A MODEL of the class of comfy.supported_models with its network's arguments."""
    config = getattr(comfy.supported_models, family)(dict(arguments))
    config.unet_config = dict(arguments)  # not the heads that SD1.5's class adds
    config.set_inference_dtype(torch.float32, torch.float32)
    model = config.get_model({})
    network = model.diffusion_model
    if family == "Anima":  # of its adapter the arguments say nothing
        network.llm_adapter = comfy.ldm.anima.model.LLMAdapter(
            TEXT, TEXT, TEXT, num_layers=1, num_heads=2, operations=comfy.ops.disable_weight_init
        )
    state = random_state(network)
    if family == "AuraFlow":  # as loud as 256 tokens of nearly nothing but padding need it
        state |= {key: 8 * value for key, value in state.items() if ".mod" in key}
    network.load_state_dict(state)
    return comfy.model_patcher.ModelPatcher(model.eval(), torch.device("cpu"), torch.device("cpu"))


def conditioning(seed: int, tokens: int = 20, **options) -> list:
    """A CONDITIONING of random text."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(1, tokens, TEXT, generator=generator)
    return [[text, {"pooled_output": torch.randn(1, 16, generator=generator), "guidance": 3.5, **options}]]


def noise(model, rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """Noise for rows × columns tokens."""
    latent = model.get_model_object("latent_format")
    side = 16 // latent.spacial_downscale_ratio
    frames = (1,) if latent.latent_dimensions == 3 else ()
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, latent.latent_channels, *frames, side * rows, side * columns, generator=generator)
