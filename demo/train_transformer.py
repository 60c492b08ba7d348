"""Flow matching of the demo transformer, with the T5 trained along. Resumes exactly from its checkpoint.

Every random choice of a step is a function of (seed, step), so that a resumed run continues as if it had never
stopped. Progress and samples go to the work folder.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from demo.data import FULL, PHRASINGS, TEXT, Bucket, load
from demo.optimizer import Muon, split
from demo.text import T5, loader
from demo.transformer import Flux, Size, positions

TOKENS_PER_STEP = 4096
"""Image and text tokens of a batch: 60 pictures of 6×6 tokens, or 14 of 16×16."""
NOISE_SHIFT = 6.0
"""Noise levels are drawn as shift·u / (1 + (shift − 1)·u), u uniform: more of the high ones, which decide shapes."""
DECAY = 0.3
"""The last share of the steps, over which the learning rate falls to zero."""
EMA_STEPS = 400
"""Averaging time of the exported weights, in steps."""


class Model(nn.Module):
    """Transformer and T5 together."""

    def __init__(self) -> None:
        super().__init__()
        config = loader().T5_CONFIG
        self.size = Size(context=config["d_model"], pooled=loader().CLIP_L_CONFIG["hidden_size"])
        self.flux = Flux(self.size)
        self.t5 = T5(config)

    def forward(
        self, ids: Tensor, noisy: Tensor, sigma: Tensor, pooled: Tensor, cos: Tensor, sin: Tensor
    ) -> Tensor:
        """Token ids [B, T] and noisy image tokens [B, N, 64] to the predicted noise − picture [B, N, 64]."""
        return self.flux(noisy, self.t5(ids), sigma, pooled, cos, sin)


def _choose(buckets: list[Bucket], rng: np.random.Generator, progress: float) -> Bucket:
    """Whole pictures in a quarter of the first quarter's steps, then in half; else one of the other canvases."""
    full = [b for b in buckets if (b.columns, b.rows) == FULL]
    others = [b for b in buckets if (b.columns, b.rows) != FULL]
    share = 0.25 if progress < 0.25 else 0.5
    pool = full if rng.random() < share else others
    return pool[int(rng.integers(len(pool)))]


def loss_of(model: Model, bucket: Bucket, rng: np.random.Generator) -> Tensor:
    """Mean squared error of the predicted noise − picture for one random batch of the bucket."""
    count = bucket.rows * bucket.columns
    batch = TOKENS_PER_STEP // (count + TEXT)
    index = torch.as_tensor(rng.integers(len(bucket.tokens), size=batch))
    phrase = torch.as_tensor(rng.integers(PHRASINGS, size=batch))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    picture = bucket.tokens[index].float()
    pooled = bucket.pooled[index, phrase]
    foreign = torch.rand(batch, 1, generator=generator) < 0.5  # the pooled vector must not be relied upon:
    pooled = torch.where(foreign, pooled.roll(1, 0), pooled)  # a refined region sees the base prompt's
    u = (torch.randperm(batch, generator=generator) + torch.rand(batch, generator=generator)) / batch
    sigma = NOISE_SHIFT * u / (1 + (NOISE_SHIFT - 1) * u)
    noise = torch.randn(picture.shape, generator=generator)
    noisy = torch.lerp(picture, noise, sigma[:, None, None])
    half = {name: p.bfloat16() for name, p in model.named_parameters()}
    cos, sin = positions(bucket.rows, bucket.columns, TEXT)
    inputs = (noisy, sigma, pooled, cos, sin)
    ids = bucket.ids[index, phrase].long()
    out = functional_call(model, half, (ids, *(x.bfloat16() if x is not sigma else x for x in inputs)))
    return (out.float() - (noise - picture)).square().mean()


def train(
    work: Path, steps: int, seed: int = 3, save_every: float = 240.0, muon: float = 5e-3, adam: float = 1.5e-3
):
    """Trains up to `steps`; writes `work`/transformer.pt every `save_every` seconds and at the end."""
    torch.manual_seed(seed)
    model = Model()
    matrices, others = split(model.flux)
    others += list(model.t5.parameters())
    optimizers = [Muon(matrices, model.size.hidden, muon), torch.optim.Adam(others, adam, betas=(0.9, 0.98))]
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    path = work / "transformer.pt"
    start, spent = 0, 0.0
    if path.exists():
        state = torch.load(path)
        model.load_state_dict(state["model"])
        average, start, spent = state["average"], state["step"], state["seconds"]
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    buckets = load(work)
    begin = saved_at = time.time()
    losses: list[float] = []
    for step in range(start, steps):
        progress = step / steps
        rate = min(1.0, (step + 1) / 200, (1 - progress) / DECAY)
        for optimizer, peak in zip(optimizers, (muon, adam), strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate
        rng = np.random.default_rng((seed, step))
        loss = loss_of(model, _choose(buckets, rng, progress), rng)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        weight = 1 / min(EMA_STEPS, step / 4 + 1)
        for name, value in model.state_dict().items():
            average[name].lerp_(value, weight)
        losses.append(loss.item())
        now = time.time()
        if len(losses) == 50 or step + 1 == steps:
            print(
                f"step {step + 1}/{steps} loss {np.mean(losses):.4f} {spent + now - begin:.0f} s", flush=True
            )
            losses.clear()
        if now - saved_at > save_every or step + 1 == steps:
            saved_at = now
            _save(path, model, average, optimizers, step + 1, spent + now - begin)


def _save(
    path: Path, model: Model, average: dict[str, Tensor], optimizers: list, step: int, seconds: float
) -> None:
    state = {
        "model": model.state_dict(),
        "average": average,
        "optimizers": [o.state_dict() for o in optimizers],
        "step": step,
        "seconds": float(seconds),
    }
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
