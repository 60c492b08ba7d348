"""LoRA hooks of regions: a region's own LoRA.

What tokens can wear beside the network's layers (loras/) needs nothing of ComfyUI. Of the other kinds, which change
weights and which bound regions alone can have, ComfyUI has to know: it registers the hooks of the prompts that a guider
is given before any wrapper runs, and regions join only then. They are therefore registered on the clone of the MODEL
that carries the regions, where ComfyUI finds them.
"""

from __future__ import annotations

from collections.abc import Iterator

from comfy.hooks import EnumHookMode, EnumHookType, EnumWeightTarget, HookGroup, create_target_dict
from comfy.samplers import get_total_hook_groups_in_conds

from ..loras.additions import Unsupported
from ..loras.files import FILE, has_model_part
from ..loras.reading import read
from ..loras.run import Loras
from ..regions import Region, describe


def of_regions(regions: tuple[Region, ...], node: str) -> list:
    """The LoRA hooks of all regions' conditioning; raises ValueError for hooks of another kind."""
    for number, region in enumerate(regions, 1):
        for hook in of_conditioning(region.conditioning):
            if hook.hook_type != EnumHookType.Weight:
                raise ValueError(
                    f"{node}: the conditioning of {describe(number, regions)} carries a hook of the type "
                    f"{hook.hook_type.value}; a region takes LoRA and model hooks (weights) only"
                )
    return [hook for region in regions for hook in of_conditioning(region.conditioning)]


def of_conditioning(conditioning: list) -> list:
    """The hooks of all entries of a CONDITIONING."""
    return [h for _, options in conditioning if options.get("hooks") for h in options["hooks"].hooks]


def check_worn(model, regions: tuple[Region, ...], method: str) -> None:
    """Raise ValueError where a region's LoRA is of a kind that tokens cannot wear."""
    for number, region in enumerate(regions, 1):
        for hook in of_conditioning(region.conditioning):
            try:
                read(hook, model)
            except Unsupported as error:
                raise ValueError(
                    f"the LoRA{name_of(hook)} of {describe(number, regions)} is of the kind {error}, which {method} cannot "
                    f"give to a region alone; LoRA, LoCon, LoHa, LoKr and DoRA on linear layers it can. Hard Binding "
                    f"alone takes any"
                ) from None


def name_of(hook) -> str:
    """The file of a hook, where a node of ours has noted it, as ' "file"'."""
    file = getattr(hook.hook_ref, FILE, "")
    return f' "{file}"' if file else ""


def advice(loras: Loras, name: str) -> Iterator[str]:
    """Which LoRAs do nothing; name: of the model's family."""
    for lora in loras.all.values():
        if lora.strength and not lora.layers and has_model_part(lora.hook.weights):
            yield (
                f"the LoRA{name_of(lora.hook)} of a region fits no layer of this model ({name}) and does nothing: it is for "
                f"a model of another family"
            )


def left_to_comfyui(model, hooks: list) -> list:
    """Those of these hooks that change weights of a MODEL."""
    loras = Loras.of(model, hooks)
    return [hook for hook in hooks if not loras.has(hook)]


def check(model, hooks: list) -> None:
    """Raise ValueError where ComfyUI could not patch the model's weights for these hooks."""
    if hooks and any("GGML" in type(module).__qualname__ for module in model.model.modules()):
        raise ValueError(
            "a region's LoRA hooks change weights while the model runs, and those of a GGUF file are packed, so that "
            "ComfyUI cannot change them: load the model from a safetensors file, or the LoRA for the whole picture "
            "(LoraLoaderModelOnly before this node)"
        )


def register(model, hooks: list) -> None:
    """Make the hooks known to a MODEL clone, each once. Its weights are the same as before: ComfyUI need not load
    them anew, and the record of a run with it is valid for the MODEL that it is a clone of."""
    target, registered = create_target_dict(EnumWeightTarget.Model), HookGroup()
    weights = model.patches_uuid
    for hook in hooks:
        if hook.hook_ref not in model.hook_patches:
            hook.add_hook_patches(model, model.model_options, target, registered)
    model.patches_uuid = weights


def keep_patched_weights(model, conds: dict[str, list]) -> None:
    """Let ComfyUI keep the weights of every group of hooks once regions have made them several: computing them anew
    at each switch is slow. ComfyUI sets the mode for one run, and takes it back after it."""
    if get_total_hook_groups_in_conds(conds) > 1:
        model.hook_mode = EnumHookMode.MaxSpeed


def share(conds: dict[str, list]) -> None:
    """Give entries with the same hooks one group of them: ComfyUI computes and keeps the weights of every group, and
    nodes that add hooks to hooks make a new group each time."""
    groups: dict[tuple, HookGroup] = {}
    for entry in (entry for entries in conds.values() for entry in entries if entry.get("hooks")):
        key = tuple((hook.hook_ref, id(hook.hook_keyframe)) for hook in entry["hooks"].hooks)
        entry["hooks"] = groups.setdefault(key, entry["hooks"])


def sort(entries: list[dict], base: list) -> list[dict]:
    """Entries with the hooks of the main pass first: it has them before and after, so that none is switched twice."""
    hooks = next((entry.get("hooks") for branch in base if branch for entry in branch), None)
    return sorted(entries, key=lambda entry: entry.get("hooks") is not hooks)
