"""Hard Binding (arXiv 2411.06558, section 3.2): for the first steps each region is denoised alone, and its prediction
replaces the global one.

Every sampler is elementwise in the latent, the history of predictions and the noise, so that replacing the
prediction is the published paste of the regional latent, for every sampler. A region is run on its crop of the
current picture, at its own size, with its own prompt; its states inside the network are pasted into the main pass as
well (networks/states.py), so that the rest of the picture sees the bound object.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from comfy.conds import CONDRegular
from comfy.sampler_helpers import convert_cond
from torch import Tensor

from ..attention.masks import image_mask
from ..loras.run import Loras
from ..networks.network import Network
from ..picture import Picture
from ..regions import Region, TokenRegion, bound_tokens, refuse_options
from ..schedule import Schedule, Window, time_range
from . import advice, lora_hooks
from .controls import Controls
from .spec import Layer, Setting, Spec

REGION = "rag_region"
"""Key that marks an entry of the positive conditioning as that of a bound region; its value is the BoundRegion."""

ORIGIN = "rag_origin"
"""Where an entry that another branch runs on a region's crop keeps the uuid of the entry that it is of."""

WORN = "rag_loras"
"""Where an entry of a region has the LoRAs that its tokens wear."""

BOTH = "rag_control_for_both"
"""Where an entry of a region says that its own ControlNet is for the negative, too (the old Apply ControlNet)."""

USUAL_SHARE = 0.25
"""Share of the steps beyond which binding is warned of."""

SMALL = 100_000_000
"""Parameters below which a network is not warned of that: one as small as the demo model's (9 million; the smallest that
people use have 860) needs most steps to tell things apart, and its flat pictures have nothing to look pasted into."""

_INHERITED = (
    "guidance",
    "control",
    "control_apply_to_uncond",
    "concat_latent_image",
    "concat_mask",
    "reference_latents",
    "reference_latents_method",
)
"""What a region's conditioning takes from the base prompt's where it does not bring it itself."""

_CANNOT_CARRY = {"area": "an area of its own", "mask": "a mask of its own"}


@dataclass(frozen=True, eq=False)
class Binding(Spec):
    """What one Hard Binding node asks for.

    steps: how many steps from the start of the picture are bound; the paper's HB_replace.
    features: paste the region's states inside the network too, as published.
    """

    node = "Hard Binding"
    method = "Hard Binding"

    regions: tuple[Region, ...]
    steps: int
    features: bool = True

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"bind_steps is {self.steps}; it has to be 0 or more")
        refuse_options(self.regions, _CANNOT_CARRY, "the region node says where it lies")

    @property
    def changes_anything(self) -> bool:
        return self.steps > 0

    def check(self, model) -> None:
        lora_hooks.check(model, lora_hooks.left_to_comfyui(model, self.hooks()))

    def hooks(self) -> list:
        return lora_hooks.of_regions(self.regions, self.node)

    def advice(self, schedule: Schedule, patches: dict[str, list]) -> Iterator[str]:
        if schedule.continues:
            return
        if schedule.from_picture and self.steps > 0:
            yield (
                f"this run starts from a picture, and {self.node} builds the whole layout into it anew; in a detailer, a "
                f"crop or a tile that squeezes all of it in there. For those and for second passes use the MODEL from "
                f"before {self.node}, or bind_steps 0"
            )
        if self.steps == 0:
            yield f"{self.node} has bind_steps 0 and changes nothing"
        elif self.steps > schedule.steps:
            yield f"{self.node} has bind_steps {self.steps}, but the run has {schedule.steps} steps; all are bound"
        weak = [f"{number}" for number, region in enumerate(self.regions, 1) if region.strength < 1]
        if weak:
            yield (
                f"{self.node} binds regions whole; the strength of region {', '.join(weak)} counts in attention "
                f"methods alone"
            )
        yield from advice.on_prompts(self.regions)
        if self.steps > 0 and any(_shows_a_picture(patch) for each in patches.values() for patch in each):
            yield (
                f"a node that patches the MODEL with a picture (a ControlNet of Z-Image, Qwen-Image or Anima by "
                f"ModelPatchLoader, for example) shows all of it to every bound region, squeezed; give it a MODEL without "
                f"{self.node}, or bind_steps 0"
            )

    def lay_out(self, setting: Setting) -> Layer:
        if setting.schedule.continues:
            logging.info(
                "RAG: this run continues an earlier one; regions are bound in a picture's first steps only"
            )
            return Layer(self)
        boxes = bound_tokens(self.regions, setting.picture)
        window = setting.schedule.first(self.steps)
        network = setting.network
        features = self.features and network is not None and network.binds_states
        told = [
            *self._on_steps(setting.schedule.steps, network),
            *advice.on_tokens(self.regions, boxes, setting.picture),
        ]
        if self.features and not features:
            cause = "no adapter" if network is None else "no place for them"
            told.append(
                f"features are not bound: there is {cause} for the family {setting.family}; latents are"
            )
        bound = tuple(
            BoundRegion(
                region.conditioning,
                tokens,
                window,
                features,
                Controls(setting.picture, tokens.box),
                setting.loras,
            )
            for region, tokens in zip(self.regions, boxes, strict=True)
        )
        return Layer(self, bound=bound, advice=tuple(told))

    def _on_steps(self, steps: int, network: Network | None) -> Iterator[str]:
        usual = max(1, int(steps * USUAL_SHARE))
        if usual < self.steps <= steps and (network is None or network.parameters >= SMALL):
            yield (
                f"{self.node} binds {self.steps} of {steps} steps, more than a quarter: regions may look pasted in; "
                f"bind_steps {usual} is usually enough"
            )

    def report(self, layer: Layer, setting: Setting, log) -> str:
        if not layer.bound:
            return ""
        share = sum(region.tokens.count for region in layer.bound) / setting.picture.tokens
        steps = len(set().union(*(log.bound_steps[region] for region in layer.bound)))
        asked = min(self.steps, setting.schedule.steps)
        return (
            f"{len(layer.bound)} regions ({share:.0%} of the tokens) bound at {steps} of {setting.schedule.steps} steps "
            f"{f'({asked} were asked for) ' if steps < asked else ''}"
            f"{'with' if layer.bound[0].features and not log.unseen else 'without'} features"
        )


@dataclass(frozen=True, eq=False)
class BoundRegion:
    """A bound region laid out on one picture.

    window: sigmas at which it is bound; features: whether its states are pasted. loras: of the run.
    """

    conditioning: list
    tokens: TokenRegion
    window: Window
    features: bool
    controls: Controls
    loras: Loras

    @property
    def picture(self) -> Picture:
        """The whole one."""
        return self.controls.picture

    def crop(self, latent: Tensor) -> Tensor:
        """Its part of a latent [..., H, W], as a view."""
        return self.picture.crop(latent, self.tokens.box)

    def mine(self, entries: list[dict]) -> list[dict]:
        """Those of a branch's entries that are its own."""
        return [entry for entry in entries if entry.get(REGION) is self]

    def runs(self, marked: list[list], sigma: float) -> bool:
        """Whether there is anything to run; marked: of each branch the entries that carry a region's mark, none at
        all where a guider runs its branches one at a time and this is another."""
        mine = [entry for entries in marked for entry in self.mine(entries)]
        return sigma in self.window and (any(in_time(e, sigma) for e in mine) or not any(marked))

    def entries(self, base: dict) -> list[dict]:
        """The entries of its own conditioning, completed by what it inherits from a base entry."""
        entries = []
        for own in convert_cond(self.conditioning):
            hooks = own.pop("hooks", None)
            if left := self.loras.rest(hooks):
                own["hooks"] = left
            entry = {**_completed(own, base, self.controls), REGION: self, WORN: self.loras.group(hooks)}
            # ComfyUI would give the cropped one to the whole negative
            both = entry.pop("control_apply_to_uncond", False)
            entries.append({**entry, BOTH: both} if "control" in own else entry)
        return entries

    def conditions(self, branches: list, marked: list[list], x: Tensor, owned: Tensor) -> list:
        """The conditions of its own run: its entries, and the other branches' base entries on the same crop.

        branches: the base entries of each branch (None where a branch is not run); marked: as for `runs`;
        owned: [1, ..., H, W], 1 where its prediction is wanted. Masks of base entries count only there.
        """
        (rows, columns), part = self.picture.slices(self.tokens.box), self.picture.within(self.tokens.box)
        area = {"area": (part.height, part.width, rows.start, columns.start)}
        shared = {}
        for entry in (entry for entries in marked for entry in self.mine(entries)):
            shared = {"control": entry["control"]} if entry.get(BOTH) else shared
        result = []
        for base, entries in zip(branches, marked, strict=True):
            if base is None:
                result.append(None)
            elif mine := self.mine(entries):
                result.append([{**self._on_crop(entry), **area, "mask": owned} for entry in mine])
            else:
                whole = [entry for entry in base if "area" not in entry] or base
                here = [entry for entry in whole if "mask" not in entry or self.crop(entry["mask"]).any()]
                parts = []
                for entry in here or whole:
                    mask = entry["mask"] * owned if here and "mask" in entry else owned
                    own_run = {"mask": mask, "uuid": uuid4(), ORIGIN: entry["uuid"]}
                    parts.append({**self._on_crop(entry), **area, **own_run, **shared})
                result.append(parts)
        return result

    def _on_crop(self, entry: dict) -> dict:
        """A processed entry without what belongs to the whole picture, its ControlNet cropped."""
        dropped = ("set_area_to_bounds", "default", "control")
        plain = {key: value for key, value in entry.items() if key not in dropped}
        mask = image_mask(entry, self.picture.within(self.tokens.box))
        if mask is not None:
            plain["model_conds"] = {**entry["model_conds"], "attention_mask": CONDRegular(mask)}
        control = entry.get("control")
        if control is not None:
            plain["control"] = control if REGION in entry else self.controls.of(control)
        return plain


def _shows_a_picture(patch) -> bool:
    """Whether a model patch holds a hint: ComfyUI's keep it as an IMAGE [B, H, W, C]."""
    image = getattr(patch, "image", None)
    return isinstance(image, Tensor) and image.ndim == 4


def base_entry(entries: list[dict], schedule: Schedule) -> dict:
    """The one of a base prompt's entries that regions inherit from: for the whole picture, and in its time when the
    run starts. entries: of a guider, or the options of a CONDITIONING."""
    whole = [entry for entry in entries if "area" not in entry] or entries
    start = float(schedule.sigmas[0])
    live = [entry for entry in whole if start in schedule.between(*time_range(entry))]
    return (live or whole)[0]


def cropped_prompt(conditioning: list, controls: Controls, base: dict | None = None) -> list:
    """A CONDITIONING for a sampler that gets a box of the picture as its own, completed by what it inherits from the
    options of a base prompt."""
    result = []
    for text, own in conditioning:
        options = _completed(own, base or {}, controls)
        for key in options.keys() & {"concat_latent_image", "concat_mask"}:
            options[key] = controls.hint(options[key])
        result.append([text, options])
    return result


def _completed(own: dict, base: dict, controls: Controls) -> dict:
    """The options of a region's conditioning with those that it inherits, its ControlNet cropped. LoRA hooks of the
    base prompt are for the whole picture: the region's own come on top."""
    inherited = {key: base[key] for key in _INHERITED if key in base}
    if "control" in own:
        inherited.pop("control_apply_to_uncond", None)
    options = {**inherited, **own}
    if base.get("hooks") is not None:
        options["hooks"] = base["hooks"].clone_and_combine(own.get("hooks"))
    if options.get("control") is not None:
        options["control"] = controls.of(options["control"])
    return options


def in_time(entry: dict, sigma: float) -> bool:
    """Whether ComfyUI would run an entry at this sigma."""
    return entry.get("timestep_end", 0.0) <= sigma <= entry.get("timestep_start", float("inf"))
