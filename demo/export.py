"""Writes trained weights as the files that ComfyUI loads, and checks the mirrors against ComfyUI itself."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from demo.comfy_setup import MODELS, start_comfyui
from demo.data import token_ids
from demo.sample import load
from demo.text import T5_FILE, load_clip, write_t5
from demo.train_transformer import Model
from demo.transformer import positions, to_latents, to_tokens

TRANSFORMER = MODELS / "diffusion_models" / "rag_demo_flux.safetensors"
VAE = MODELS / "vae" / "rag_demo_vae.safetensors"


def export(work: Path) -> None:
    """Writes the averaged transformer and T5 of the last checkpoint in half precision.

    Without a guidance embedder ComfyUI takes the file for FLUX.1-schnell: its noise levels fall evenly. Dev's
    stay near 1 for the first steps, where a picture of 256 tokens keeps next to nothing of what is bound.
    """
    model = load(work)
    TRANSFORMER.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in model.flux.state_dict().items()}, TRANSFORMER)
    write_t5(MODELS / "text_encoders" / T5_FILE, model.t5.state_dict())


def load_files() -> Model:
    """The training mirror with the weights of the exported files."""
    model = Model()
    model.flux.load_state_dict({k: v.float() for k, v in load_file(TRANSFORMER).items()})
    model.t5.load_state_dict({k: v.float() for k, v in load_file(MODELS / "text_encoders" / T5_FILE).items()})
    return model.eval()


@torch.no_grad()
def check() -> dict[str, float]:
    """Largest difference between the mirrors (with the exported weights) and what ComfyUI's loaders compute."""
    start_comfyui()
    import comfy.model_management
    import comfy.sd

    model = load_files()
    patcher = comfy.sd.load_diffusion_model(str(TRANSFORMER), model_options={"dtype": torch.float32})
    comfy.model_management.load_models_gpu([patcher])
    clip = load_clip()
    text = "a red circle to the left of a blue square on a beige background"
    ((context, extra),) = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    difference = {"T5": (model.t5(token_ids([text]).long()) - context).abs().max().item()}
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((4, 7), (16, 16)):
        x = torch.randn(1, 16, 2 * rows, 2 * columns, generator=generator)
        sigma = torch.tensor([0.7])
        pooled = extra["pooled_output"]
        theirs = patcher.model.diffusion_model(x, sigma, context, pooled, guidance=torch.tensor([3.5]))
        ours = model.flux(to_tokens(x), context, sigma, pooled, *positions(rows, columns, context.shape[1]))
        name = f"transformer {rows}x{columns}"
        difference[name] = (to_latents(ours, rows, columns) - theirs).abs().max().item()
    return difference
