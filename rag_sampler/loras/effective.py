"""The output of a linear layer under LoRAs of any kind, one after the other as ComfyUI would put them on its weight."""

from __future__ import annotations

import comfy.lora
import comfy.ops
import torch
from torch import Tensor, nn

from .additions import magnitude_of, without_magnitude
from .reading import Patch
from .run import Lora, Loras

Worn = tuple[tuple[Lora, Patch], ...]


def effective(loras: Loras, module: nn.Module, worn: Worn, x: Tensor, y: Tensor) -> Tensor:
    """What the layer makes of x [..., in] under these patches; y [..., out]: what it makes by itself, which is lost."""
    for number, (lora, patch) in enumerate(worn):
        part = y[..., patch.part(0)]
        added = patch.added(loras.place(patch, y), x)
        if patch.decomposed:
            added = _decomposed(loras, module, worn[:number], patch, x, part, added)
        part.add_(added, alpha=lora.strength)
    return y


def _decomposed(
    loras: Loras, module: nn.Module, before: Worn, patch: Patch, x: Tensor, y: Tensor, added: Tensor
) -> Tensor:
    """What a DoRA adds at strength 1: the layer's weight and its own together are scaled by a gain for each output, or
    for each input."""
    gain, bias = (part.to(y) for part in loras.once(
        (patch, y.device, *(lora.strength for lora, _ in before)), lambda: _gain(module, before, patch, y)
    ))  # fmt: skip
    if _by_output(patch, y.shape[-1]):
        return gain * (y - bias + added) - (y - bias)
    scaled = x[..., patch.part(1)] * gain
    whole = effective(loras, module, before, scaled, module.forward(scaled).clone())
    return whole[..., patch.part(0)] + patch.added(loras.place(patch, y), scaled) - y


def _by_output(patch: Patch, outputs: int) -> bool:
    return magnitude_of(patch.adapter).shape[0] == outputs


@torch.no_grad()
def _gain(module: nn.Module, before: Worn, patch: Patch, like: Tensor) -> tuple[Tensor, Tensor]:
    """The gain, read off what ComfyUI makes of the weight, and the bias of the outputs."""
    weight, bias = comfy.ops.cast_bias_weight(module, dtype=torch.float32, device=like.device)
    weight = weight.dequantize() if type(weight).__name__ == "QuantizedTensor" else weight
    weight = comfy.lora.calculate_weight([p.entry(lora.strength) for lora, p in before], weight.clone(), "")
    made = [
        comfy.lora.calculate_weight([patch.entry(1.0, adapter)], weight.clone(), "")[
            patch.part(0), patch.part(1)
        ]
        for adapter in (without_magnitude(patch.adapter), patch.adapter)
    ]
    axis = 1 if _by_output(patch, like.shape[-1]) else 0
    gain = (made[0] * made[1]).sum(axis) / made[0].square().sum(axis)
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return gain, bias[patch.part(0)]
