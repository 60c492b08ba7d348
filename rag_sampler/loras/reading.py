"""A LoRA hook read as data, for one network: what it does to which layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import comfy.lora
import comfy.lora_convert
from comfy.hooks import WeightHook
from torch import Tensor, nn

from .additions import Addition, LowRank, Unsupported, addition_of, magnitude_of

PREFIX, WEIGHT = "diffusion_model.", ".weight"


@dataclass(frozen=True, eq=False)
class Patch:
    """What one LoRA does to one layer, or to a part of its outputs or inputs where the layer joins several.

    adapter, offset, turn: as ComfyUI has read it; offset: (axis of the weight, start, length); turn: a change of the
    order of the outputs, the first axis, where the file has another.
    """

    addition: Addition
    adapter: object
    offset: tuple[int, int, int] | None = None
    turn: Callable[[Tensor], Tensor] | None = None

    @property
    def decomposed(self) -> bool:
        """Whether it is a DoRA."""
        return magnitude_of(self.adapter) is not None

    @property
    def low(self) -> bool:
        """Whether it is of a low rank, and can be laid beside others."""
        return isinstance(self.addition, LowRank) and not self.decomposed

    def part(self, axis: int) -> slice:
        """The outputs (axis 0) or inputs (1) that it is for."""
        if self.offset is None or self.offset[0] != axis:
            return slice(None)
        return slice(self.offset[1], self.offset[1] + self.offset[2])

    def added(self, addition: Addition, x: Tensor) -> Tensor:
        """What is added to its outputs at strength 1; addition: its own, placed where x is."""
        out = addition(x[..., self.part(1)])
        return out if self.turn is None else self.turn(out.movedim(-1, 0)).movedim(0, -1)

    def entry(self, strength: float, adapter=None) -> tuple:
        """It as comfy.lora.calculate_weight takes it; adapter: in place of its own."""
        return strength, adapter or self.adapter, 1.0, self.offset, self.turn

    def whole(self, outputs: int, inputs: int) -> LowRank:
        """One of a low rank for all outputs and inputs, with zeros where it has none."""
        up = self.addition.up if self.turn is None else self.turn(self.addition.up)
        placed = up.new_zeros(outputs, up.shape[1]), up.new_zeros(len(self.addition.down), inputs)
        placed[0][self.part(0)], placed[1][:, self.part(1)] = up, self.addition.down
        return LowRank(placed[1], placed[0])


def read(hook: WeightHook, model) -> dict[str, tuple[Patch, ...]]:
    """What a hook does to the layers of a MODEL's network, by their names. Raises Unsupported, whose message names the
    kind and the place, where a part of it cannot be worked out beside a layer."""
    layers: dict[str, list[Patch]] = {}
    for key, adapter in _adapters(hook, model).items():
        key, *place = key if isinstance(key, tuple) else (key,)
        name = key.removeprefix(PREFIX).removesuffix(WEIGHT)
        try:
            if isinstance(adapter, tuple) or not key.endswith(WEIGHT):
                raise Unsupported(adapter[0])
            module = model.model.diffusion_model.get_submodule(name)
            addition = addition_of(adapter, module)
            if magnitude_of(adapter) is not None and not _readable(module):
                raise Unsupported("DoRA, for which the packed weights of this file have to be read")
        except Unsupported as error:
            raise Unsupported(f"{error} ({key})") from None
        layers.setdefault(name, []).append(Patch(addition, adapter, *place))
    return {name: tuple(patches) for name, patches in layers.items()}


def _readable(module: nn.Module) -> bool:
    """Whether ComfyUI can make the weight of a linear layer, as a loader's own layers may not let it."""
    weight = getattr(module, "weight", None)
    whole = weight is not None and tuple(weight.shape) == (module.out_features, module.in_features)
    return whole and weight.is_floating_point() and "GGML" not in type(module).__qualname__


def _adapters(hook: WeightHook, model) -> dict:
    """What ComfyUI makes of the hook's weights, by the key of the MODEL's state."""
    if not hook.need_weight_init:
        return hook.weights or {}
    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    return comfy.lora.load_lora(comfy.lora_convert.convert_lora(hook.weights), keys, log_missing=False)
