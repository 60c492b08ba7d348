"""Tiny random checkpoints of the families, through ComfyUI's own loader where it can be small."""

from pathlib import Path

import comfy.ldm.chroma.model
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
CONFIGS = {
    "FLUX.1-dev": FLUX,
    "FLUX.1-schnell": FLUX | {"guidance_embed": False},
    "FLUX.1-Fill": FLUX | {"in_channels": 96},
    "FLUX.2-dev": FLUX2,
    "FLUX.2-Klein": FLUX2 | {"guidance_embed": False},
}


def _random(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    state = {}
    for key, value in network.state_dict().items():
        spread = 0.6 / value.shape[-1] ** 0.5 if value.ndim > 1 else 0.1
        state[key] = spread * torch.randn(value.shape, generator=generator) + (
            value.ndim == 1 and "norm" in key
        )
    return state


def load(name: str, folder: Path):
    """A MODEL of the family. The loader reads all but Chroma, whose guidance layer it only knows at full size."""
    if name == "Chroma":
        config = comfy.supported_models.Chroma(dict(CHROMA))
        config.set_inference_dtype(torch.float32, torch.float32)
        model = comfy.model_base.Chroma(config)
        model.diffusion_model.load_state_dict(_random(model.diffusion_model))
        return comfy.model_patcher.ModelPatcher(model.eval(), torch.device("cpu"), torch.device("cpu"))
    network = comfy.ldm.flux.model.Flux(
        dtype=torch.float32, operations=comfy.ops.disable_weight_init, **CONFIGS[name]
    )
    path = folder / f"{name}.safetensors"
    save_file(_random(network), path)
    return comfy.sd.load_diffusion_model(str(path), model_options={"dtype": torch.float32})


def conditioning(seed: int, tokens: int = 20, **options) -> list:
    """A CONDITIONING of random text."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(1, tokens, TEXT, generator=generator)
    return [[text, {"pooled_output": torch.randn(1, 16, generator=generator), "guidance": 3.5, **options}]]


def noise(model, rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """Noise for rows × columns tokens."""
    channels = model.get_model_object("latent_format").latent_channels
    side = 1 if channels == 128 else 2
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, side * rows, side * columns, generator=generator)
