"""Small models and runs for tests."""

import json
from pathlib import Path

import comfy.controlnet
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.supported_models
import torch
from safetensors.torch import load_file

from demo.controlnet import ControlNet, export
from demo.transformer import Size

REPO = Path(__file__).resolve().parent.parent
GOLDEN = REPO / "tests" / "golden"


def load_k128():
    """The golden network with 128-wide heads, through ComfyUI's own loader, fp32."""
    return comfy.sd.load_diffusion_model(
        str(GOLDEN / "tiny128_flux_bfl.safetensors"), model_options={"dtype": torch.float32}
    )


def load_tiny(operations=None):
    """The golden network with 16-wide heads, which the loader does not detect, as a MODEL, fp32.

    operations: layers of a loader's own, as comfy.ops has them.
    """
    config = json.loads((GOLDEN / "tiny_flux_config.json").read_text())["comfy_flux"]
    model_config = comfy.supported_models.Flux(config)
    model_config.set_inference_dtype(torch.float32, torch.float32)
    model_config.custom_operations = operations
    model = comfy.model_base.Flux(model_config)
    weights = load_file(GOLDEN / "tiny_flux_bfl.safetensors")
    weights = {key.replace("_norm.scale", "_norm.weight"): value for key, value in weights.items()}
    model.diffusion_model.load_state_dict(weights)
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model.eval(), device, device)


def load_control(folder: Path, seed: int):
    """A random ControlNet in FLUX's format that fits `load_k128`, through ComfyUI's own loader."""
    network = ControlNet(Size(hidden=128, double=1, single=0, context=32, pooled=16))
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        spread = (2 if parameter.ndim == 4 else 0.8) / parameter[0].numel() ** 0.5
        spread = spread if parameter.ndim > 1 else 0.1
        parameter.data = spread * torch.randn(parameter.shape, generator=generator)
    export(network, folder / f"control_{seed}.safetensors")
    return comfy.controlnet.load_controlnet(str(folder / f"control_{seed}.safetensors"))


LOADERS = {"tiny128_flux_bfl.safetensors": load_k128, "tiny_flux_bfl.safetensors": load_tiny}


def conditioning(texts: dict, key: str, **options) -> list:
    """The CONDITIONING of a golden text."""
    return [[texts[f"t5.{key}"], {"pooled_output": texts[f"pooled.{key}"], **options}]]


class GivenNoise:
    """A NOISE for SamplerCustomAdvanced that is a given latent."""

    def __init__(self, noise: torch.Tensor, seed: int = 0):
        self.noise, self.seed = noise, seed

    def generate_noise(self, latent: dict) -> torch.Tensor:
        return self.noise


def basic_guider(model, positive):
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds({"positive": positive})
    return guider


def cfg_guider(model, positive, negative, cfg):
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    return guider


def run(guider, noise, sigmas, sampler: str = "euler", latent=None, seed: int = 0, denoise_mask=None):
    """Sample; returns the latents before each step and the final one in the model's space, [steps + 1, ...].

    Also returns the callback's predictions (x0), [steps, ...].
    """
    latents, predictions = [], []

    def callback(step, x0, x, total):
        latents.append(x.clone())
        predictions.append(x0.clone())

    start = torch.zeros_like(noise) if latent is None else latent
    final = guider.sample(
        noise, start, comfy.samplers.sampler_object(sampler), sigmas, denoise_mask, callback, True, seed
    )
    final = guider.model_patcher.model.process_latent_in(final)
    return torch.stack([*latents, final]), torch.stack(predictions)


def sample(model, positive, noise, sigmas, **kwargs) -> torch.Tensor:
    """The latents of a run with one prompt, as `run`."""
    return run(basic_guider(model, positive), noise, sigmas, **kwargs)[0]


def schedule(model, steps: int, scheduler: str = "simple") -> torch.Tensor:
    return comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, steps)


def noise_for(height: int, width: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Noise [B, 16, height, width] in latent pixels."""
    return torch.randn(batch, 16, height, width, generator=torch.Generator().manual_seed(seed))
