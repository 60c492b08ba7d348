"""Draws pictures with the training mirror, to watch a training; ComfyUI is used for the texts and the decoder only."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from demo.autoencoder import build
from demo.data import token_ids
from demo.train_transformer import Model
from demo.transformer import positions, to_latents

PROMPTS = (
    ("a red circle on a white background", 6, 6),
    ("a blue star on a beige background", 6, 6),
    ("a green heart on a gray background", 7, 7),
    ("a yellow triangle on a black background", 7, 7),
    ("a pink ring on a blue background", 8, 6),
    ("a purple cross on a white background", 5, 8),
    ("a brown diamond on a beige background", 10, 6),
    ("an orange square", 4, 4),
    ("a red circle to the left of a blue square on a white background", 16, 16),
    ("a blue square to the left of a red circle on a white background", 16, 16),
    ("a green star above a pink heart on a black background", 16, 16),
    ("a pink heart above a green star on a black background", 16, 16),
    (
        "a cyan diamond on the left, a red cross in the middle and a black ring on the right, beige background",
        16,
        16,
    ),
    (
        "a yellow triangle at the top left and a purple circle at the bottom right on a gray background",
        16,
        16,
    ),
    ("a white heart on a blue background", 16, 16),
    ("a black cross under an orange ring", 16, 16),
)
"""Text and canvas (columns, rows in tokens) of the pictures of a sheet."""


@torch.no_grad()
def generate(
    model: Model, texts: list[str], columns: int, rows: int, seed: int = 0, steps: int = 20
) -> Tensor:
    """Euler sampling. Returns latents [B, 16, 2·rows, 2·columns]."""
    device = next(model.parameters()).device
    context = model.t5(token_ids(texts).long().to(device))
    pooled = context.new_zeros(len(texts), model.size.pooled)
    cos_sin = positions(rows, columns, context.shape[1], device)
    generator = torch.Generator(device).manual_seed(seed)
    shape = (len(texts), rows * columns, model.size.channels)
    x = torch.randn(shape, generator=generator, device=device)
    sigmas = torch.linspace(1, 0, steps + 1).to(device)  # ComfyUI's "simple" for FLUX.1-schnell
    for sigma, following in itertools.pairwise(sigmas):
        velocity = model.flux(x, context, sigma.expand(len(texts)), pooled, *cos_sin)
        x = x + (following - sigma) * velocity
    return to_latents(x, rows, columns)


def load(work: Path) -> Model:
    """The polished weights, or, while there are none, the averaged ones of the last checkpoint, ready to sample."""
    polished = work / "polished.pt"
    file = polished if polished.exists() else work / "transformer.pt"
    model = Model()
    model.load_state_dict(torch.load(file, map_location="cpu")["average"])
    return model.eval()


@torch.no_grad()
def sheet(work: Path, target: Path, seeds: int = 2) -> None:
    """Writes a contact sheet of PROMPTS: prompts across, seeds down."""
    model = load(work)
    autoencoder = build()
    autoencoder.load_state_dict(torch.load(work / "autoencoder.pt", map_location="cpu")["model"])
    page = Image.new("RGB", (8 * 260, 2 * seeds * 260), (64, 64, 64))
    for number, (text, columns, rows) in enumerate(PROMPTS):
        for seed in range(seeds):
            latents = generate(model, [text], columns, rows, seed)
            rgb = autoencoder.taesd_decoder(latents)[0].clamp(0, 1).permute(1, 2, 0)
            picture = Image.fromarray((rgb * 255).round().byte().numpy())
            page.paste(picture, (number % 8 * 260, (number // 8 * seeds + seed) * 260))
    page.save(target)
