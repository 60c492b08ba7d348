"""The demo's autoencoder: TAESD layout with 16 latent channels, so that the stock VAELoader reads it.

The encoder is set by hand and exact: a latent pixel holds the 16 lowest cosine coefficients of its 8×8
block of pixels, centred, scaled and rotated. Only the decoder is trained: it draws sharp edges from them,
and is trained under noise, so that it also cleans what a small transformer leaves. Being linear in the
picture, the latents are smooth and cheap: training data for the transformer needs no network at all.

The rotation turns the mean colours towards ComfyUI's Flux preview factors, so that live previews show colours.
"""

from __future__ import annotations

import time
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from demo import checkpoint
from demo.comfy_setup import start_comfyui
from demo.data import Batch, batch, batches

BLOCK = 8
"""Pixels a latent pixel."""
FLUX_SCALE, FLUX_SHIFT = 0.3611, 0.1159
"""ComfyUI's Flux latent format. As vae_scale and vae_shift they make the sampler's space the decoder's."""
TOKENS = 2048
"""Of the drawings that a step's crops are cut from."""
LUMA = (0.299, 0.587, 0.114)
LUMA_WAVES = ((1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (0, 3), (3, 0))


def _waves() -> np.ndarray:
    """The 16 analysis filters [16, 3, 8, 8] on RGB in [0, 1]: 3 means, 6 slopes, 7 finer waves of the luma."""
    n = np.arange(BLOCK) + 0.5
    cosine = np.stack([np.ones(BLOCK)] + [np.sqrt(2) * np.cos(np.pi * k * n / BLOCK) for k in range(1, 4)])
    plane = {(u, v): np.outer(cosine[u], cosine[v]) / BLOCK**2 for u in range(4) for v in range(4)}
    filters = []
    for wave in ((0, 0), (0, 1), (1, 0)):
        for channel in range(3):
            one = np.zeros((3, BLOCK, BLOCK))
            one[channel] = plane[wave]
            filters.append(one)
    filters += [np.array(LUMA)[:, None, None] * plane[w] for w in LUMA_WAVES]
    return np.stack(filters)


# Means and gains bring the coefficients of drawn scenes to unit spread for the mean colours,
# less for slopes and finer waves, which matter less to the eye and are mostly zero.
_MEAN = np.array([0.5] * 3 + [0.0] * 13)
_GAIN = np.array([4.2] * 3 + [9.0] * 6 + [14.0] * 7)


@cache
def _rotation() -> np.ndarray:
    """An orthonormal [16, 16] whose first three columns lie along ComfyUI's Flux preview factors."""
    start_comfyui()
    from comfy.latent_formats import Flux

    factors = np.array(Flux().latent_rgb_factors)
    u, _, vt = np.linalg.svd(factors, full_matrices=True)
    return np.concatenate([u[:, :3] @ vt, u[:, 3:]], axis=1)


@cache
def analysis(device: torch.device) -> tuple[Tensor, Tensor]:
    """The encoder as one linear map: filters [16, 3, 8, 8] on RGB in [0, 1] and offsets [16]."""
    rotation = _rotation()
    filters = np.einsum("ij,jchw->ichw", rotation * _GAIN, _waves())
    options = {"dtype": torch.float32, "device": device}
    return torch.tensor(filters, **options), torch.tensor(-rotation @ (_GAIN * _MEAN), **options)


def encode(pictures: Tensor) -> Tensor:
    """Latents [B, 16, H/8, W/8] in the sampler's space of pictures [B, 3, H, W], 0..1."""
    filters, offsets = analysis(pictures.device)
    return nn.functional.conv2d(pictures, filters, offsets, stride=BLOCK)


@torch.no_grad()
def set_encoder(encoder: nn.Sequential) -> None:
    """Writes the linear map into TAESD's encoder. Pixels are gathered by the strided convolutions
    (3 → 12 → 48 non-negative channels), the last of which computes ± every coefficient for the ReLUs."""
    for parameter in encoder.parameters():
        parameter.zero_()
    for c in range(3):
        encoder[0].weight[c, c, 1, 1] = 1
    for layer, channels in ((2, 3), (6, 12)):
        for out in range(4 * channels):
            c, dy, dx = out // 4, out % 4 // 2, out % 2
            encoder[layer].weight[out, c, 1 + dy, 1 + dx] = 1
    rotation = torch.tensor(_rotation(), dtype=torch.float32)
    waves = torch.tensor(_GAIN[:, None, None, None] * _waves(), dtype=torch.float32)
    for index in range(48):
        c, y1, x1, y0, x0 = index // 16, index % 4 // 2, index % 2, index // 4 % 4 // 2, index // 4 % 2
        for y2 in range(2):
            for x2 in range(2):
                tap = waves[:, c, 4 * y2 + 2 * y1 + y0, 4 * x2 + 2 * x1 + x0]
                encoder[10].weight[:16, index, 1 + y2, 1 + x2] = tap
                encoder[10].weight[16:32, index, 1 + y2, 1 + x2] = -tap
    encoder[14].weight[:, :16, 1, 1] = rotation
    encoder[14].weight[:, 16:32, 1, 1] = -rotation
    encoder[14].bias.copy_(-rotation @ torch.tensor(_GAIN * _MEAN, dtype=torch.float32))


def build() -> nn.Module:
    """ComfyUI's TAESD with the encoder set and the decoder at its random start."""
    start_comfyui()
    from comfy.taesd.taesd import TAESD

    model = TAESD(latent_channels=16)
    set_encoder(model.taesd_encoder)
    for module in model.taesd_decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.Conv2d.reset_parameters(module)
    model.vae_scale.data.fill_(FLUX_SCALE)
    model.vae_shift.data.fill_(FLUX_SHIFT)
    return model.requires_grad_(False)


def _crops(drawings: Batch, rng: np.random.Generator, count: int, size: int, device: torch.device) -> Tensor:
    """Parts [count, 3, size, size] of drawn pictures, cut at whole latent pixels."""
    pictures = drawings.on(device).draw()
    height, width = pictures.shape[-2:]
    crops = []
    for i in rng.integers(len(pictures), size=count):
        y, x = (int(rng.integers((n - size) // BLOCK + 1)) * BLOCK for n in (height, width))
        crops.append(pictures[i, :, y : y + size, x : x + size])
    return torch.stack(crops)


def train(
    work: Path,
    steps: int = 4000,
    count: int = 48,
    size: int = 64,
    device: str = "cpu",
    workers: int = 0,
    seed: int = 7,
    save_every: float = 60.0,
) -> None:
    """Trains the decoder on `count` crops a step; writes `work`/autoencoder.pt, from which it resumes exactly."""
    path = work / "autoencoder.pt"
    torch.manual_seed(seed)
    device = torch.device(device)
    model = build().to(device, memory_format=torch.channels_last)
    decoder = model.taesd_decoder.requires_grad_(True)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-3, betas=(0.9, 0.99))
    start = 0
    if path.exists():
        state = torch.load(path, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    begin = saved_at = time.time()
    for step, drawings in enumerate(
        batches(partial(batch, seed, tokens=TOKENS), start, steps, workers), start
    ):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 100) * float(0.5 + 0.5 * np.cos(np.pi * step / steps))
        target = _crops(drawings, np.random.default_rng((seed, step)), count, size, device)
        noise = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
        latents = encode(target)
        spread = 0.3 * torch.rand(count, 1, 1, 1, generator=noise, device=device)
        latents = latents + spread * torch.randn(latents.shape, generator=noise, device=device)
        with torch.autocast(device.type, torch.bfloat16):
            out = decoder(latents.to(memory_format=torch.channels_last))
        error = out.float() - target
        loss = error.abs().mean() + 2 * error.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            seconds = time.time() - begin
            print(f"autoencoder step {step + 1}/{steps} loss {loss.item():.4f} {seconds:.0f} s", flush=True)
        if time.time() - saved_at > save_every or step + 1 == steps:
            saved_at = time.time()
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            checkpoint.write(state, path)


def export(work: Path, target: Path) -> None:
    """Writes the trained autoencoder in half precision, as the stock VAELoader reads it."""
    state = torch.load(work / "autoencoder.pt", map_location="cpu")["model"]
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in state.items()}, target)
