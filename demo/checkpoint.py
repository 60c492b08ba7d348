"""Checkpoints of a training."""

from __future__ import annotations

from pathlib import Path

import torch


def write(state: dict, path: Path) -> None:
    """Put the state at `path`, whole or not at all: a stop while it is written leaves the one before."""
    partial = path.with_suffix(".tmp")
    torch.save(state, partial)
    partial.replace(path)
