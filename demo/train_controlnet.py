"""Trains the demo model's ControlNet, which draws what an edge map outlines."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call

from demo.comfy_setup import MODELS
from demo.controlnet import ControlNet, export
from demo.data import Batch, batch
from demo.frozen import fit
from demo.train_transformer import Model, prepared

FILE = MODELS / "controlnet" / "rag_demo_edges.safetensors"
SEED = 19


def train(work: Path, model: Model, steps: int = 1100, tokens: int = 2048, workers: int = 0) -> None:
    """Trains beside the finished `model` and writes `FILE`; the checkpoint is `work`/controlnet.pt."""
    torch.manual_seed(SEED)
    network = ControlNet()
    network.start_from(model.flux)
    weights = {name: p.detach().bfloat16() for name, p in model.flux.named_parameters()}
    half_t5 = {name: p.detach().bfloat16() for name, p in model.t5.named_parameters()}

    def loss_of(step: int, drawn: Batch) -> Tensor:
        (ids, noisy, sigma, pooled, cos, sin), target = prepared(drawn, torch.device("cpu"), SEED, step)
        with torch.no_grad():
            text = functional_call(model.t5, half_t5, (ids,))
        own = {name: p.bfloat16() for name, p in network.named_parameters()}
        hint = drawn.sheet.edges().bfloat16()
        added = functional_call(network, own, (noisy, hint, text, sigma, pooled, cos, sin))
        out = functional_call(model.flux, weights, (noisy, text, sigma, pooled, cos, sin, added))
        return (out.float() - target).square().mean()

    make = partial(batch, SEED, tokens=tokens, hinted=True)
    fit(work / "controlnet.pt", network, loss_of, make, steps, 1.5e-3, workers)
    export(network, FILE)
