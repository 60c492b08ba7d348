"""The LoRAs of a run's regions: read once, and placed once where forwards want them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from comfy.hooks import HookGroup, WeightHook
from torch import Tensor, cat

from .. import networks
from .additions import Addition, LowRank, Unsupported
from .reading import Patch, read


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA hook and what it does to which layer of the network."""

    hook: WeightHook
    layers: dict[str, tuple[Patch, ...]]

    @property
    def strength(self) -> float:
        """At the keyframe that is current."""
        return self.hook.strength_model


@dataclass(frozen=True, eq=False)
class Loras:
    """All of a run: by their hook's reference and keyframes, which clones of a hook share."""

    model: object = None
    all: dict[tuple, Lora] = field(default_factory=dict)
    made: dict[tuple, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model, hooks: Iterable[WeightHook]) -> Loras:
        """Those of these hooks that can be worked out beside the layers of a MODEL's network."""
        found, layers, network = cls(model), {}, networks.of(model)
        for hook in hooks if network is not None else ():
            if hook.hook_ref not in layers:
                try:
                    layers[hook.hook_ref] = read(hook, model)
                except Unsupported:
                    layers[hook.hook_ref] = None
            if layers[hook.hook_ref] is not None:
                found.all.setdefault(_key(hook), Lora(hook, layers[hook.hook_ref]))
        return found

    def has(self, hook: WeightHook) -> bool:
        return _key(hook) in self.all

    def group(self, hooks: HookGroup | None) -> tuple[Lora, ...]:
        """Those of a group of hooks, in its order."""
        found = [self.all.get(_key(hook)) for hook in hooks.hooks] if hooks is not None else []
        return tuple(lora for lora in found if lora is not None)

    def rest(self, hooks: HookGroup | None) -> HookGroup | None:
        """The hooks of a group that are left to ComfyUI."""
        left = [hook for hook in hooks.hooks if not self.has(hook)] if hooks is not None else []
        if not left:
            return None
        group = HookGroup()
        for hook in left:
            group.add(hook)
        return group

    @property
    def size(self) -> int:
        """The numbers that they consist of."""
        layers = {id(lora.layers): lora.layers for lora in self.all.values()}
        return sum(
            patch.addition.size for each in layers.values() for patches in each.values() for patch in patches
        )

    def start(self) -> None:
        """Begin a run at the first keyframes."""
        for lora in self.all.values():
            lora.hook.initialize_timesteps(self.model.model)

    def advance(self, sigma: Tensor, transformer_options: dict) -> None:
        """Go on to the keyframes of a sigma, as ComfyUI does, which compares in the tensor's type."""
        for lora in self.all.values():
            lora.hook.hook_keyframe.prepare_current_keyframe(sigma, transformer_options)

    def place(self, patch: Patch, like: Tensor) -> Addition:
        """What a patch adds, where a tensor is and in its type."""
        return self.once((patch, like.device, like.dtype), lambda: patch.addition.on(like.device, like.dtype))

    def beside(self, patches: tuple[Patch, ...], like: Tensor, inputs: int) -> LowRank:
        """Patches of a low rank as one that has the ranks of all; like: the output of their layer."""

        def laid() -> LowRank:
            parts = [patch.whole(like.shape[-1], inputs) for patch in patches]
            one = LowRank(cat([part.down for part in parts]), cat([part.up for part in parts], 1))
            return one.on(like.device, like.dtype)

        return self.once((patches, like.device, like.dtype), laid)

    def once(self, key: tuple, make: Callable[[], Any]) -> Any:
        """What is made at the first call with a key, and kept for the run."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


def _key(hook: WeightHook) -> tuple:
    return hook.hook_ref, id(hook.hook_keyframe)
