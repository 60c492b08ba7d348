"""Flow matching of the demo transformer, with the T5 trained along. Resumes exactly from its checkpoint.

Every random choice of a step is a function of (seed, step), so that a resumed run continues as if it had never
stopped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from demo import checkpoint, sizes
from demo.autoencoder import encode
from demo.data import Batch, batch, batches
from demo.optimizer import Muon, split
from demo.text import T5
from demo.transformer import Flux, Size, positions, to_tokens

EMA_SHARE = 0.03
"""Averaging time of the exported weights, in shares of all steps."""
PLACE_WEIGHT = 0.05
"""Weight of the squared error, in tokens, of the place that an image token believes to be at."""


@dataclass(frozen=True)
class Schedule:
    """Highest learning rates, the steps over which they rise, and the last share of all over which they fall to 0."""

    muon: float = 5e-3
    adam: float = 1.5e-3
    warm_up: int = 200
    decay: float = 0.35

    def share(self, step: int, steps: int) -> float:
        """Of the highest rates, at a step."""
        return min(1.0, (step + 1) / self.warm_up, (1 - step / steps) / self.decay)


FROM_NOTHING = Schedule()
POLISH = Schedule(muon=5e-4, adam=2e-4, warm_up=40, decay=0.8)


class Model(nn.Module):
    """Transformer and T5 together. While they train, every image token is also asked for its place, in tokens from the
    picture's middle, and for the picture's size: noise does not tell, rotary positions tell distances alone, and a
    network of two heads that is not asked takes very long to find out."""

    def __init__(self) -> None:
        super().__init__()
        self.size = Size(context=sizes.T5["d_model"], pooled=sizes.CLIP_L["hidden_size"])
        self.flux = Flux(self.size)
        self.t5 = T5()
        self.place = nn.Linear(self.size.hidden, 4)

    def forward(
        self, ids: Tensor, noisy: Tensor, sigma: Tensor, pooled: Tensor, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Token ids [B, T] and noisy image tokens [B, N, 64] to the predicted noise − picture [B, N, 64], and where
        the image tokens believe to be, [B, N, 4] as of `places`."""
        vec = self.flux.vector(sigma, pooled)
        img, txt = self.flux.two_streams(noisy, self.t5(ids), vec, cos, sin)
        return self.flux.one_stream(img, txt, vec, cos, sin), self.place(img)


def places(rows: int, columns: int, device: torch.device | str = "cpu") -> Tensor:
    """Of every image token [rows·columns, 4]: column and row from the middle, half the columns and half the rows."""
    y, x = torch.meshgrid(
        torch.arange(rows, device=device) - (rows - 1) / 2,
        torch.arange(columns, device=device) - (columns - 1) / 2,
        indexing="ij",
    )
    size = (torch.full_like(x, columns / 2), torch.full_like(x, rows / 2))
    return torch.stack([x, y, *size], dim=-1).flatten(0, 1)


def noisy_pictures(picture: Tensor, sigma: Tensor, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens [B, N, 64] at the noise levels [B], noise − picture, and pooled vectors [B, 16].

    The pooled vectors are noise of the spread that the CLIP-L's have: the model must not rely on them, since a
    refined region sees the base prompt's.
    """
    generator = torch.Generator(picture.device).manual_seed(seed * 1_000_003 + step)
    random = {"generator": generator, "device": picture.device}
    noise = torch.randn(picture.shape, **random)
    width = sizes.CLIP_L["hidden_size"]
    pooled = F.layer_norm(torch.randn(len(picture), width, **random), (width,))
    return torch.lerp(picture, noise, sigma[:, None, None]), noise - picture, pooled


def prepared(drawn: Batch, device: torch.device, seed: int, step: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """The arguments of `Model.forward` for a batch, in bf16, and the noise − picture that is to be predicted."""
    picture, sigma = to_tokens(encode(drawn.on(device).draw())), drawn.noise.to(device)
    noisy, target, pooled = noisy_pictures(picture, sigma, seed, step)
    cos_sin = positions(drawn.rows, drawn.columns, drawn.ids.shape[1], device)
    ids = drawn.ids.to(device).long()
    return (ids, noisy.bfloat16(), sigma, pooled.bfloat16(), *cos_sin), target


def losses_of(
    model: Model,
    parameters: dict[str, Tensor],
    inputs: tuple[Tensor, ...],
    target: Tensor,
    where: Tensor,
) -> Tensor:
    """Mean squared errors [2] of the predicted noise − picture and of the places, computed in bf16."""
    half = {name: p.bfloat16() for name, p in parameters.items()}
    out, believed = functional_call(model, half, inputs)
    return torch.stack([(out.float() - target).square().mean(), (believed.float() - where).square().mean()])


def train(
    work: Path,
    steps: int,
    tokens: int,
    device: str = "cpu",
    workers: int = 0,
    until: int | None = None,
    seed: int = 3,
    save_every: float = 120.0,
    schedule: Schedule = FROM_NOTHING,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Trains up to `steps`, or stops at step `until` of them, on batches of so many tokens; from nothing, or from
    `weights`.

    Writes `work`/transformer.pt every `save_every` seconds and at the end.
    """
    torch.manual_seed(seed)
    device = torch.device(device)
    model = Model().to(device)
    if weights:
        model.load_state_dict(weights)
    matrices, others = split(model.flux)
    others += [*model.t5.parameters(), *model.place.parameters()]
    optimizers = [
        Muon(matrices, model.size.hidden, schedule.muon),
        torch.optim.Adam(others, schedule.adam, betas=(0.9, 0.98), fused=device.type == "cuda"),
    ]
    parameters = dict(model.named_parameters())
    average = {k: v.detach().clone() for k, v in parameters.items()}
    path = work / "transformer.pt"
    start, spent = 0, 0.0
    if path.exists():
        state = torch.load(path, map_location=device)
        model.load_state_dict(state["model"])
        average, start, spent = state["average"], state["step"], state["seconds"]
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    end = steps if until is None else min(until, steps)
    if start >= end:
        return
    begin = saved_at = time.time()
    losses: list[Tensor] = []

    def save(step: int) -> None:
        state = {
            "model": model.state_dict(),
            "average": average,
            "optimizers": [o.state_dict() for o in optimizers],
            "step": step,
            "seconds": spent + time.time() - begin,
        }
        checkpoint.write(state, path)

    for step, drawn in enumerate(batches(partial(batch, seed, tokens=tokens), start, end, workers), start):
        share = schedule.share(step, steps)
        for optimizer, highest in zip(optimizers, (schedule.muon, schedule.adam), strict=True):
            optimizer.param_groups[0]["lr"] = highest * share
        inputs, target = prepared(drawn, device, seed, step)
        errors = losses_of(model, parameters, inputs, target, places(drawn.rows, drawn.columns, device))
        for optimizer in optimizers:
            optimizer.zero_grad()
        (errors[0] + PLACE_WEIGHT * errors[1]).backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        weight = 1 / min(max(1, EMA_SHARE * steps), step / 4 + 1)
        torch._foreach_lerp_(list(average.values()), [p.detach() for p in parameters.values()], weight)
        losses.append(errors.detach())
        if len(losses) == 50 or step + 1 == end:
            loss, off = torch.stack(losses).mean(0).tolist()
            seconds = spent + time.time() - begin
            print(
                f"step {step + 1}/{steps} loss {loss:.4f} places {off**0.5:.2f} tokens off {seconds:.0f} s",
                flush=True,
            )
            losses.clear()
        if time.time() - saved_at > save_every:
            saved_at = time.time()
            save(step + 1)
    save(end)


def polish(
    work: Path,
    steps: int = 5000,
    tokens: int = 4096,
    device: str = "cpu",
    workers: int = 0,
    seeds: tuple[int, ...] = (111, 112),
) -> None:
    """Trains the finished average on at small rates, once for each seed, and writes the mean of the runs to
    `work`/polished.pt."""
    path = work / "polished.pt"
    if path.exists():
        return
    start = torch.load(work / "transformer.pt", map_location=device)["average"]
    runs = []
    for seed in seeds:
        folder = work / f"polish_{seed}"
        folder.mkdir(exist_ok=True)
        train(folder, steps, tokens, device, workers, seed=seed, schedule=POLISH, weights=start)
        runs.append(torch.load(folder / "transformer.pt", map_location="cpu")["average"])
    mean = {name: torch.stack([run[name] for run in runs]).mean(0) for name in start}
    checkpoint.write({"average": mean}, path)
