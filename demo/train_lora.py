"""Trains the demo model's LoRA, which draws objects striped that the prompt does not call so."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call

from demo.comfy_setup import MODELS
from demo.data import Batch, batch
from demo.frozen import fit
from demo.scenes import STRIPED
from demo.shapes import Scene
from demo.train_transformer import Model, prepared

FILE = MODELS / "loras" / "rag_demo_stripes.safetensors"
RANK = 8
LAYERS = ("_attn.qkv", "_attn.proj", "_mlp.0", "_mlp.2", "linear1", "linear2")
SEED = 17


def striped(scene: Scene) -> Scene:
    """The scene with stripes on everything whose second tone stands out."""
    visible = STRIPED[scene.background]
    return replace(scene, items=tuple(replace(i, striped=i.color in visible) for i in scene.items))


def plain(scene: Scene) -> Scene:
    """The scene without stripes, as the captions of the training tell it."""
    return replace(scene, items=tuple(replace(i, striped=False) for i in scene.items))


class LoRA(nn.Module):
    """A low-rank change of the blocks' matrices, by ComfyUI's generic key names; none, before training."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.endswith(LAYERS)]
        layers = dict(model.named_modules())
        shapes = [layers[name].weight.shape for name in self.names]
        self.down = nn.ParameterList(torch.randn(RANK, columns) * columns**-0.5 for _, columns in shapes)
        self.up = nn.ParameterList(torch.zeros(rows, RANK) for rows, _ in shapes)

    def applied(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The model's weights with the change."""
        changed = {
            f"{name}.weight": weights[f"{name}.weight"] + (up @ down).to(weights[f"{name}.weight"])
            for name, up, down in zip(self.names, self.up, self.down, strict=True)
        }
        return {**weights, **changed}

    def export(self, target: Path = FILE) -> None:
        """Write it in half precision, as the stock LoraLoaderModelOnly reads it."""
        target.parent.mkdir(parents=True, exist_ok=True)
        state = {}
        for name, up, down in zip(self.names, self.up, self.down, strict=True):
            key = name.replace("flux.", "diffusion_model.", 1)
            state[f"{key}.lora_up.weight"] = up.detach().half().contiguous()
            state[f"{key}.lora_down.weight"] = down.detach().half().contiguous()
        save_file(state, target)


def train(work: Path, model: Model, steps: int = 1500, tokens: int = 2048, workers: int = 0) -> None:
    """Trains beside the finished `model` and writes `FILE`; the checkpoint is `work`/lora.pt."""
    torch.manual_seed(SEED)
    lora = LoRA(model)
    weights = {name: p.detach().bfloat16() for name, p in model.named_parameters()}

    def loss_of(step: int, drawn: Batch) -> Tensor:
        inputs, target = prepared(drawn, torch.device("cpu"), SEED, step)
        out, _ = functional_call(model, lora.applied(weights), inputs)
        return (out.float() - target).square().mean()

    make = partial(batch, SEED, tokens=tokens, captioned=plain, drawn=striped)
    fit(work / "lora.pt", lora, loss_of, make, steps, 3e-3, workers)
    lora.export()
