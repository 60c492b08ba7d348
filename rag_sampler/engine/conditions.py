"""The guider's conditions with those of the regions: what is added to them, once a run, before ComfyUI encodes them, and
what is taken from them, encoded."""

from __future__ import annotations

import comfy.sampler_helpers
from comfy.conds import CONDList, CONDRegular
from comfy.sampler_helpers import convert_cond

from ..methods.binding import base_entry
from ..methods.record import ORIGINAL, Trajectory
from ..methods.spec import Spec
from ..picture import Picture
from ..regions import describe
from .plan import Plan

TEXTS = "rag_texts"
"""The model condition that brings the regional texts, be it none, to APPLY_MODEL: what has it is to be guided."""


def base_role(conds: dict[str, list]) -> str:
    """Which of a guider's prompts is the base prompt."""
    return "positive" if "positive" in conds else next(iter(conds))


TEXT = "rag_text"
"""Key that marks an entry of the positive conditioning as the text of a guided region, there to be encoded alone."""


def add_regions(model, conds: dict[str, list], plan: Plan) -> dict[str, list]:
    """The guider's conditions with the entries of bound regions and the texts of attention methods."""
    role = base_role(conds)
    if role != "positive" and len(conds) > 1:
        raise ValueError(
            f"RAG: this guider has the prompts {', '.join(conds)} and none called positive, so that it is open which "
            f"one the regions belong to; use a guider with a positive prompt, such as BasicGuider or CFGGuider"
        )
    positive = conds[role]
    base = base_entry(positive, plan.schedule)
    for layer in plan.layers:
        _check_width(base, layer.spec)
    if hasattr(comfy.sampler_helpers, "preprocess_multigpu_conds"):
        # Each device gets a copy of a ControlNet's weights; made now, all crops of it share that copy.
        own = [options for region in plan.bound for _, options in region.conditioning]
        comfy.sampler_helpers.preprocess_multigpu_conds({**conds, "regions": own}, model, {})
    entries = []
    for region in plan.bound:
        for entry in (entry for branch in conds.values() for entry in branch):
            region.controls.of(entry.get("control"))  # cut before ComfyUI prepares them
        entries += region.entries(base)
    if plan.guided:
        positive = [{**c, "model_conds": {**c["model_conds"], TEXTS: CONDList([])}} for c in positive]
    # no group of hooks and no pooled text of their own is asked of texts
    shared = {key: base[key] for key in ("hooks", "pooled_output") if key in base}
    for entry in convert_cond([entry for guided in plan.guided for entry in guided.conditioning]):
        entry.pop("hooks", None)
        entries.append({**shared, **entry, TEXT: True})
    return {**conds, role: [*positive, *entries]}


def add_original(model, conds: dict[str, list], plan: Plan, trajectory: Trajectory) -> dict[str, list]:
    """The guider's conditions with those of a recorded run, marked."""
    original = {"positive": convert_cond(trajectory.positive), "negative": convert_cond(trajectory.negative)}
    for role, entries in add_regions(model, original, plan).items():
        marked = [
            {k: v for k, v in c.items() if k != "control_apply_to_uncond"} | {ORIGINAL: True} for c in entries
        ]
        conds = {**conds, role: [*conds.get(role, ()), *marked]}
    return conds


def with_texts(entries: list[dict]) -> list[dict]:
    """A branch's entries without those of guided regions, whose texts, as the model itself makes them of what their
    encoder says, go with the base prompt's."""
    texts = CONDList([entry["model_conds"]["c_crossattn"].cond for entry in entries if TEXT in entry])

    def given(entry: dict) -> dict:
        conds = entry["model_conds"]
        return {**entry, "model_conds": {**conds, TEXTS: texts}} if TEXTS in conds else entry

    return [given(entry) for entry in entries if TEXT not in entry]


def alone(model, entry: dict, picture: Picture, device) -> dict:
    """An entry that ComfyUI has encoded, as it would be for a run of this picture alone, whose size the model is told
    unless the conditioning says another."""
    whole = picture.in_pixels
    options = {"width": whole.width, "height": whole.height, "device": device, **entry}
    told = {"y": CONDRegular(model.encode_adm(**options))}
    return {**entry, "model_conds": {**entry["model_conds"], **told}}


def _check_width(base: dict, spec: Spec) -> None:
    """Texts of another encoder would fail deep inside the model; say it here."""
    if base.get("cross_attn") is None:
        return
    expected = base["cross_attn"].shape[-1]
    for number, region in enumerate(spec.regions, 1):
        for text, _ in region.conditioning:
            if text.shape[-1] != expected:
                raise ValueError(
                    f"{spec.node}: the conditioning of {describe(number, spec.regions)} has {text.shape[-1]} "
                    f"channels and the base prompt's has {expected}: encode both with the same CLIP"
                )
