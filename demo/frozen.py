"""The training loop of what is trained beside the finished demo model: its LoRA and its ControlNet."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from demo import checkpoint
from demo.data import Batch, batches

WARM_UP, DECAY = 50, 0.5
"""Steps over which the learning rate rises, and the last share of all, over which it falls to zero."""


def fit(
    path: Path,
    module: nn.Module,
    loss_of: Callable[[int, Batch], Tensor],
    make: Callable[[int], Batch],
    steps: int,
    lr: float,
    workers: int = 0,
    save_every: float = 60.0,
) -> None:
    """Trains `module` with Adam on the batches that `make` gives for each step; resumes exactly from `path`."""
    optimizer = torch.optim.Adam(module.parameters(), lr, betas=(0.9, 0.98))
    start = 0
    if path.exists():
        state = torch.load(path)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    if start >= steps:
        return
    began = saved_at = time.time()
    losses: list[float] = []

    def save(step: int) -> None:
        state = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        checkpoint.write(state, path)

    for step, drawn in enumerate(batches(make, start, steps, workers), start):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / WARM_UP, (1 - step / steps) / DECAY)
        loss = loss_of(step, drawn)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if len(losses) == 20 or step + 1 == steps:
            seconds = time.time() - began
            print(f"{path.stem} step {step + 1}/{steps} loss {sum(losses) / len(losses):.4f} {seconds:.0f} s")
            losses.clear()
        if time.time() - saved_at > save_every:
            saved_at = time.time()
            save(step + 1)
    save(steps)
