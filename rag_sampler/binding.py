"""Hard Binding: for the first steps each region is denoised alone, and its prediction replaces the global one.

Every sampler is elementwise in the latent, the history of predictions and the noise, so that replacing the
prediction is the published paste of the regional latent, for every sampler. A region is run on its crop of the
current picture, at its own size, with its own prompt; its states inside the transformer are pasted into the
main pass as well (rag_sampler/networks/states.py), so that the rest of the picture sees the bound object.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import uuid4

from comfy.conds import CONDRegular
from torch import Tensor

from .attention.masks import image_mask
from .picture import Picture
from .regions import Region, TokenRegion, describe

REGION = "rag_region"
"""Key that marks an entry of the positive conditioning as that of a bound region; its value is the number."""

ORIGIN = "rag_origin"
"""Where an entry that another branch runs on a region's crop keeps the uuid of the entry that it is of."""

BOTH = "rag_control_for_both"
"""Where an entry of a region says that its own ControlNet is for the negative, too (the old Apply ControlNet)."""

INHERITED = (
    "guidance",
    "hooks",
    "concat_latent_image",
    "concat_mask",
    "reference_latents",
    "reference_latents_method",
)
"""What a region's entry takes from the base prompt's when it does not bring it itself."""

_CONTROL = ("control", "control_apply_to_uncond")

_CANNOT_CARRY = {
    "area": "an area of its own; the region node says where it lies",
    "mask": "a mask of its own; the region node says where it lies",
}


@dataclass(frozen=True, eq=False)
class Binding:
    """What one Hard Binding node asks for.

    steps: how many steps from the start of the picture are bound; the paper's HB_replace.
    features: paste the region's states inside the transformer too, as published.
    """

    node = "Hard Binding"

    regions: tuple[Region, ...]
    steps: int
    features: bool = True

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"bind_steps is {self.steps}; it has to be 0 or more")
        for number, region in enumerate(self.regions, 1):
            for _, options in region.conditioning:
                for key in sorted(_CANNOT_CARRY.keys() & options.keys()):
                    raise ValueError(
                        f"the conditioning of {describe(number, self.regions)} carries {_CANNOT_CARRY[key]}"
                    )

    @property
    def works(self) -> bool:
        """Whether it changes anything."""
        return self.steps > 0


@dataclass(frozen=True, eq=False)
class BoundRegion:
    """A bound region laid out on one picture.

    number: its place among all bound regions of the run.
    until: bound while sigma is above this.
    picture: the whole one.
    controls: id of a base ControlNet -> its copy with the hint cropped to the region.
    """

    number: int
    tokens: TokenRegion
    until: float
    features: bool
    picture: Picture
    controls: dict[int, object] = field(default_factory=dict)

    def active(self, sigma: float) -> bool:
        """Whether it is bound; the slack absorbs samplers that compute the schedule's sigma anew."""
        return sigma > self.until * (1 + 1e-5)

    @property
    def cropped(self) -> Picture:
        """Its part of the picture, as a picture."""
        rows, columns = self.picture.slices(self.tokens.box)
        return replace(self.picture, height=rows.stop - rows.start, width=columns.stop - columns.start)

    def crop(self, latent: Tensor) -> Tensor:
        """Its part of a latent [..., H, W], as a view."""
        return self.picture.crop(latent, self.tokens.box)

    def works(self, own_entries: list[list], sigma: float) -> bool:
        """Whether there is anything to run; own_entries: of each branch those that carry a region's mark, none at
        all where a guider runs its branches one at a time and this is another."""
        mine = [entry for own in own_entries for entry in own if entry[REGION] == self.number]
        return self.active(sigma) and (any(in_time(e, sigma) for e in mine) or not any(own_entries))

    def conditions(self, branches: list, own_entries: list[list], x: Tensor, owned: Tensor) -> list:
        """The conditions of its own run: its entries, and the other branches' base entries on the same crop.

        branches: the base entries of each branch (None where a branch is not run); own_entries: as for `works`;
        owned: [1, H, W], 1 where its prediction is wanted. Masks of base entries count only there.
        """
        rows, columns = self.picture.slices(self.tokens.box)
        area = {"area": (self.cropped.height, self.cropped.width, rows.start, columns.start)}
        shared = {}
        for entry in (entry for own in own_entries for entry in own if entry[REGION] == self.number):
            shared = {"control": entry["control"]} if entry.get(BOTH) else shared
        result = []
        for base, own in zip(branches, own_entries, strict=True):
            mine = [entry for entry in own if entry[REGION] == self.number]
            if base is None:
                result.append(None)
            elif mine:
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

    def adopt_controls(self, conds: dict[str, list]) -> None:
        """Crop the ControlNets of the whole picture, once a run and before ComfyUI prepares them."""
        for entry in (entry for branch in conds.values() for entry in branch if "control" in entry):
            self.controls.setdefault(id(entry["control"]), self.crop_control(entry["control"]))

    def entries(self, base: dict, converted: list[dict]) -> list[dict]:
        """The entries of its own conditioning, completed by what it inherits from a base entry."""
        inherited = {key: base[key] for key in INHERITED if key in base}
        control = base.get("control")
        if control is not None:
            inherited["control"] = self.controls[id(control)]
        entries = []
        for entry in converted:
            entry = {**inherited, **entry, REGION: self.number}
            # ComfyUI would give the cropped one to the whole negative
            both = entry.pop("control_apply_to_uncond", False)
            if entry.get("control") is not inherited.get("control"):
                entry["control"] = self.crop_control(entry["control"])
                entry[BOTH] = both
            entries.append(entry)
        return entries

    def prompt(self, conditioning: list, base: dict | None = None) -> list:
        """A CONDITIONING for a sampler that gets the region's crop as its picture, completed by what it inherits
        from the options of a base prompt."""
        inherited = {key: value for key, value in (base or {}).items() if key in (*INHERITED, *_CONTROL)}
        result = []
        for text, own in conditioning:
            options = {**inherited, **own}
            control = options.get("control")
            if control is not None:
                crop = self.controls.get(id(control)) or self.crop_control(control)
                options["control"] = self.controls[id(control)] = crop
            for key in options.keys() & {"concat_latent_image", "concat_mask"}:
                options[key] = self._crop_hint(options[key])
            result.append([text, options])
        return result

    def crop_control(self, control):
        """A copy of a ControlNet, and of those chained to it, that sees only the region's part of the hint."""
        copy = control.copy()
        copy.cond_hint_original = self._crop_hint(control.cond_hint_original)
        copy.extra_concat_orig = [self._crop_hint(hint) for hint in control.extra_concat_orig]
        if control.previous_controlnet is not None:
            copy.set_previous_controlnet(self.crop_control(control.previous_controlnet))
        for device, clone in getattr(control, "multigpu_clones", {}).items():
            copy.multigpu_clones[device] = self.crop_control(clone)
        return copy

    def _crop_hint(self, hint: Tensor | None) -> Tensor | None:
        """The region's part of an image [B, C, h, w], which ComfyUI cuts in its middle to the picture's aspect."""
        if hint is None or hint.shape[-1] == 1:
            return hint
        height, width = self.picture.height, self.picture.width
        seen_height = min(hint.shape[-2], round(hint.shape[-1] * height / width))
        seen_width = min(hint.shape[-1], round(hint.shape[-2] * width / height))
        top, left = round((hint.shape[-2] - seen_height) / 2), round((hint.shape[-1] - seen_width) / 2)
        box, p = self.tokens.box, self.picture.patch
        vertical, horizontal = seen_height * p / height, seen_width * p / width
        y0, x0 = top + round(box.y0 * vertical), left + round(box.x0 * horizontal)
        y1, x1 = top + round(box.y1 * vertical), left + round(box.x1 * horizontal)
        return hint[..., y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]

    def _on_crop(self, entry: dict) -> dict:
        """A processed entry without what belongs to the whole picture, its ControlNet cropped."""
        dropped = ("set_area_to_bounds", "default", "control")
        plain = {key: value for key, value in entry.items() if key not in dropped}
        mask = image_mask(entry, self.cropped)
        if mask is not None:
            plain["model_conds"] = {**entry["model_conds"], "attention_mask": CONDRegular(mask)}
        control = entry.get("control") if REGION in entry else self.controls.get(id(entry.get("control")))
        return plain if control is None else {**plain, "control": control}


def in_time(entry: dict, sigma: float) -> bool:
    """Whether ComfyUI would run an entry at this sigma."""
    return entry.get("timestep_end", 0.0) <= sigma <= entry.get("timestep_start", float("inf"))
