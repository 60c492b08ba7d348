"""Which tokens of a forward wear which LoRA.

Every token has one effective weight in every linear layer: the layer's own, and what the LoRAs of its region add to it.
They are added by forward hooks of the layers, which are there for the length of one forward; no weight is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ..picture import Picture
from .effective import Worn, effective
from .places import Places
from .run import Lora, Loras

NARROW = 48
"""Up to so many ranks of all LoRAs together are worked out for all tokens at once, which is quicker than to gather those
of each region: on layers of FLUX.1's sizes by half at 32 ranks, and no more at 64."""


class PerToken(Tensor):
    """What modulates tokens, a row for each [B, tokens, C], where a network expects one row for all, [B, C] or [B, 1, C], and
    puts the axes of tokens in itself.

    grid: their rows and columns, where the network has them apart.
    """

    grid: tuple[int, int] = ()

    @classmethod
    def on(cls, picture: Picture) -> type[PerToken]:
        """Such rows for the tokens of a picture."""
        return type(cls.__name__, (cls,), {"grid": (picture.rows, picture.columns)})

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in (torch.chunk, Tensor.chunk):
            args, kwargs = args[:2], {"dim": -1}
        elif func in (torch.unsqueeze, Tensor.unsqueeze, Tensor.__getitem__):
            return args[0].as_subclass(Tensor)
        elif func is Tensor.reshape and cls.grid:
            return args[0].as_subclass(Tensor).unflatten(1, (1, *cls.grid))
        return super().__torch_function__(func, types, args, kwargs or {})


def eagerly(worn: bool) -> AbstractContextManager:
    """Let nothing run compiled where LoRAs are worn: a graph that was made before their hooks would leave them out, and
    one that is made with them would keep them."""
    return torch.compiler.set_stance("force_eager") if worn else nullcontext()


@dataclass(eq=False)
class Wearing:
    """The LoRAs of one forward.

    wearers: groups of LoRAs that tokens wear together. places: which tokens wear which. batch: of the network's input.
    timestep_zero: whether reference tokens are modulated apart from the others, so that no row for each token has a place.
    rows: what modulates every token by itself, where the network wants more of it than one axis of tokens.
    cost: multiplications so far. left_out: layers that could not be changed.
    """

    loras: Loras
    wearers: tuple[tuple[Lora, ...], ...]
    places: Places
    batch: int
    timestep_zero: bool = False
    rows: type[PerToken] | None = None
    cost: float = 0.0
    left_out: set[str] = field(default_factory=set)
    made: dict[tuple, Any] = field(default_factory=dict)

    @property
    def layers(self) -> set[str]:
        """The names of the layers that any of them changes."""
        return {name for loras in self.wearers for lora in loras for name in lora.layers}

    def fitting(self, values: Tensor, x: Tensor) -> Tensor:
        """Values [forwards or 1, tokens or 1, N] for a layer's input [B, tokens or 1, C]: a forward may hold several
        pictures, what modulates references may stand behind all, and what pads tokens may come later."""
        if len(values) > 1 and x.shape[1] <= 2 and len(x) == 2 * self.batch:
            return self.fitting(values, x[: self.batch]).repeat(2, 1, 1)
        if len(values) > 1:
            values = values.repeat_interleave(len(x) // len(values), 0)
        return values[:, : x.shape[1]] if x.shape[1] > 2 else values

    @contextmanager
    def on(self, network: nn.Module) -> Iterator[None]:
        """Have them in a network's layers."""
        if not self.layers:
            yield
            return
        handles = []
        try:
            ours = ((network.get_submodule(name), _Hook.of(self, name)) for name in self.layers)
            for module, hook in (*self.places.watches(network, self.layers), *ours):
                handles.append(module.register_forward_hook(hook))
            yield
        finally:
            for handle in handles:
                handle.remove()


@dataclass(frozen=True, eq=False)
class _Hook:
    """The forward hook of one layer; patches: those of each wearer."""

    wearing: Wearing
    name: str
    patches: tuple[Worn, ...]

    @classmethod
    def of(cls, wearing: Wearing, name: str) -> _Hook:
        def patches(loras: tuple[Lora, ...]) -> Worn:
            return tuple((lora, patch) for lora in loras for patch in lora.layers.get(name, ()))

        return cls(wearing, name, tuple(map(patches, wearing.wearers)))

    def __call__(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        wearing, kind, output = self.wearing, type(output), output.as_subclass(Tensor)
        x = args[0].as_subclass(Tensor).to(output)
        worn = wearing.places.worn(self.name, x, output)
        tokens = x.shape[1] if x.ndim > 2 else 1
        if worn is None or (wearing.timestep_zero and tokens <= 2 and tokens < worn.shape[2]):
            wearing.left_out.add(self.name)
            return output.as_subclass(kind)
        if isinstance(module, nn.Conv2d):
            return self._on_pixels(worn, x, output)
        x, out = _by_token(x), _by_token(output)
        all_patches = tuple(dict.fromkeys(pair for patches in self.patches for pair in patches))
        if all(patch.low for _, patch in all_patches) and _ranks(all_patches) <= NARROW:
            out = self._at_once(all_patches, worn, x, out)
        else:
            out = self._one_by_one(module, worn, x, out)
        if out.shape[1] == output.shape[:-1].numel() // len(out):
            return out.view(output.shape).as_subclass(kind)
        if ".emb_layers" in self.name:  # of a UNet, which adds it to the channels of pictures
            return out.mT.unflatten(2, wearing.places.grid)
        rows = wearing.rows or (PerToken if output.ndim == 2 else Tensor)
        return out.as_subclass(rows)

    def _on_pixels(self, worn: Tensor, x: Tensor, out: Tensor) -> Tensor:
        for number, patches in enumerate(self.patches):
            where = self.wearing.fitting(worn[number][..., None], x.flatten(2).mT).to(out.device)
            grid = out.shape[-2:] if where.shape[1] > 1 else (1, 1)
            for lora, patch in patches:
                added = self.wearing.loras.place(patch, out)(x)
                out = out + added * (lora.strength * where.unflatten(1, grid).movedim(-1, 1))
                self.wearing.cost += len(x) * out.shape[-2:].numel() * patch.addition.cost
        return out

    def _at_once(self, patches: Worn, worn: Tensor, x: Tensor, out: Tensor) -> Tensor:
        """All of them as one LoRA of many ranks, of which each token takes those that it wears."""
        one = self.wearing.loras.beside(tuple(patch for _, patch in patches), out, x.shape[-1])
        shares = self.wearing.fitting(self._shares(patches, worn, out), x)
        hidden = linear(x, one.down) * shares
        self.wearing.cost += hidden.shape[0] * hidden.shape[1] * one.cost
        if hidden.shape[:2] != out.shape[:2]:
            return out + linear(hidden, one.up)
        out.flatten(0, 1).addmm_(hidden.flatten(0, 1), one.up.T)
        return out

    def _shares(self, patches: Worn, worn: Tensor, like: Tensor) -> Tensor:
        """How much of each rank each token takes [forwards or 1, tokens or 1, ranks], where a tensor is and in its type."""
        made = self.wearing.made
        key = id(worn), like.device, like.dtype, *((pair[0], _ranks((pair,))) for pair in patches)
        if key not in made:
            wearers = [
                [number for number, mine in enumerate(self.patches) if pair in mine] for pair in patches
            ]
            shares = [
                (worn[who].sum(0) * pair[0].strength)[..., None].expand(-1, -1, _ranks((pair,)))
                for pair, who in zip(patches, wearers, strict=True)
            ]
            made[key] = torch.cat(shares, -1).to(like)
        return made[key]

    def _one_by_one(self, module: nn.Module, worn: Tensor, x: Tensor, out: Tensor) -> Tensor:
        """The tokens of each wearer alone."""
        fitting = [self.wearing.fitting(where[..., None], x)[..., 0] for where in worn]
        tokens = max(x.shape[1], fitting[0].shape[1])  # one row may modulate all tokens
        x, out = x.expand(-1, tokens, -1), out if tokens == out.shape[1] else out.repeat(1, tokens, 1)
        for number, (patches, where) in enumerate(zip(self.patches, fitting, strict=True)):
            if patches:
                key = id(worn), number, len(x), tokens, out.device
                if key not in self.wearing.made:
                    found = where.expand(len(x), tokens).nonzero(as_tuple=True)
                    self.wearing.made[key] = tuple(index.to(out.device) for index in found)
                places = self.wearing.made[key]
                out[places] = effective(self.wearing.loras, module, patches, x[places], out[places])
                self.wearing.cost += len(places[0]) * sum(patch.addition.cost for _, patch in patches)
        return out


def _by_token(x: Tensor) -> Tensor:
    """[B, tokens, C] of [B, C] or [B, ..., C]."""
    return x.reshape(len(x), -1, x.shape[-1])


def _ranks(patches: Worn) -> int:
    return sum(len(patch.addition.down) for _, patch in patches)
