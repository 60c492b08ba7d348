"""What the kinds of LoRA add to the output of a linear layer, worked out beside the layer: its weight stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear


class Unsupported(ValueError):
    """A kind of LoRA, or a part of one, that cannot be worked out beside a layer; its message names it."""


class Addition:
    """A function of a layer's input that is linear, as the layer is.

    size: the numbers that it consists of; cost: multiplications for one token.
    """

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def on(self, device, dtype) -> Self:
        """The same there."""
        moved = {k: v.to(device, dtype) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    @property
    def size(self) -> int:
        return sum(part.numel() for part in vars(self).values() if isinstance(part, Tensor))

    @property
    def cost(self) -> int:
        return self.size


@dataclass(frozen=True, eq=False)
class LowRank(Addition):
    """LoRA: up · down; down [rank, in], up [out, rank]."""

    down: Tensor
    up: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return linear(linear(x, self.down), self.up)


@dataclass(frozen=True, eq=False)
class Kronecker(Addition):
    """LoKr: outer [m, n] ⊗ inner [k, l], for inputs of n · l channels."""

    outer: Tensor
    inner: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        inner = linear(x.unflatten(-1, (self.outer.shape[1], -1)), self.inner)
        return linear(inner.mT, self.outer).mT.flatten(-2)

    @property
    def cost(self) -> int:
        return self.outer.shape[1] * self.inner.numel() + self.outer.numel() * self.inner.shape[0]


@dataclass(frozen=True, eq=False)
class Convolution(Addition):
    """LoCon: down [rank, in, h, w] with the layer's stride and padding, up [out, rank]."""

    down: Tensor
    up: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]

    def __call__(self, x: Tensor) -> Tensor:
        return conv2d(conv2d(x, self.down, None, self.stride, self.padding), self.up[..., None, None])


def addition_of(adapter, module: nn.Module) -> Addition:
    """What an adapter as ComfyUI has read it adds to a layer, at strength 1; raises Unsupported."""
    reader = _READERS.get(type(adapter))
    if reader is None:
        raise Unsupported(adapter.name)
    made = reader(adapter.weights)
    kernel = getattr(module, "kernel_size", None)
    if kernel is None:
        return made
    if type(made) is not LowRank or module.groups != 1 or len(kernel) != 2:
        raise Unsupported(f"{adapter.name} on a convolution")
    down = made.down.unflatten(1, (-1, *(kernel if made.down.shape[1] % module.in_channels == 0 else (1, 1))))
    return Convolution(down, made.up, module.stride, module.padding)


def _lora(weights: tuple) -> LowRank:
    up, down, alpha, mid, _, reshape = weights
    if reshape is not None:
        raise Unsupported("LoRA that changes the shape of a layer")
    if mid is not None:
        raise Unsupported("LoCon with a middle part")
    up, down = up.flatten(1).float(), down.flatten(1).float()
    return LowRank(down, up * _scale(alpha, down.shape[0]))


def _loha(weights: tuple) -> LowRank:
    """(a1 · b1) ∘ (a2 · b2) of ranks r and s is a LoRA of rank r · s: its columns are products of columns."""
    a1, b1, alpha, a2, b2, t1, t2, _ = weights
    if t1 is not None or t2 is not None:
        raise Unsupported("LoHa with a core tensor")
    a1, b1, a2, b2 = (part.flatten(1).float() for part in (a1, b1, a2, b2))
    up = torch.einsum("or,os->ors", a1, a2).flatten(1)
    down = torch.einsum("ri,si->rsi", b1, b2).flatten(0, 1)
    return LowRank(down, up * _scale(alpha, b1.shape[0]))


def _lokr(weights: tuple) -> Kronecker:
    w1, w2, alpha, a1, b1, a2, b2, core, _ = weights
    if core is not None:
        raise Unsupported("LoKr with a core tensor")
    if w2 is not None and w2.ndim != 2:
        raise Unsupported("lokr on a convolution")
    ranks = [part.shape[0] for part in (b1, b2) if part is not None]  # ComfyUI takes the last
    outer = (a1.float() @ b1.float() if w1 is None else w1.float()) * _scale(
        alpha if ranks else None, *ranks[-1:]
    )
    return Kronecker(outer, a2.float() @ b2.float() if w2 is None else w2.float())


def _scale(alpha: float | None, rank: int = 1) -> float:
    return 1.0 if alpha is None else alpha / rank


_READERS = {LoRAAdapter: _lora, LoHaAdapter: _loha, LoKrAdapter: _lokr}


_MAGNITUDES = {LoRAAdapter: 4, LoHaAdapter: 7, LoKrAdapter: 8}
"""Where an adapter's weights have the magnitude of a DoRA."""


def magnitude_of(adapter) -> Tensor | None:
    """The magnitude of a DoRA; None for other kinds."""
    return adapter.weights[_MAGNITUDES[type(adapter)]]


def without_magnitude(adapter):
    """The same as no DoRA."""
    place = _MAGNITUDES[type(adapter)]
    weights = tuple(None if i == place else weight for i, weight in enumerate(adapter.weights))
    return type(adapter)(adapter.loaded_keys, weights)
