"""The ways to make a layout's picture that `dev.py bench layout` compares: same seeds, sampler and steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.demo import Demo
from bench.layouts import Layout
from demo.comfy_setup import pack
from demo.scenes import TOKEN

BIND_STEPS, DELTA = 12, 1.0
"""Of 20 steps: what bench tuning found for the demo model, which decides on shapes late (docs/tuning.md)."""
Method = Callable[[Demo, Layout], tuple[object, list]]
"""The MODEL and the positive conditioning of a layout."""


def plain(demo: Demo, layout: Layout) -> tuple[object, list]:
    """One prompt that says where everything is."""
    return demo.model, demo.encode(layout.text())


def area(demo: Demo, layout: Layout) -> tuple[object, list]:
    """ComfyUI's Conditioning (Set Area with Percentage), combined with the whole prompt."""
    positive = demo.encode(layout.text())
    for (x, y, w, h), text in zip(layout.cells, layout.region_texts(), strict=True):
        part = demo.nodes.ConditioningSetAreaPercentage().append(demo.encode(text), w, h, x, y, 1.0)[0]
        positive = demo.nodes.ConditioningCombine().combine(positive, part)[0]
    return demo.model, positive


def mask(demo: Demo, layout: Layout) -> tuple[object, list]:
    """ComfyUI's Conditioning (Set Mask), combined with the whole prompt."""
    positive = demo.encode(layout.text())
    for cell, text in zip(layout.cells, layout.region_texts(), strict=True):
        shape = _pixels(layout, cell)[None]
        part = demo.nodes.ConditioningSetMask().append(demo.encode(text), shape, "default", 1.0)[0]
        positive = demo.nodes.ConditioningCombine().combine(positive, part)[0]
    return demo.model, positive


def attention_masks(demo: Demo, layout: Layout) -> tuple[object, list]:
    """One dense mask: a cell's tokens see their own text and cell alone, the rest of the picture the whole prompt."""
    parts = [demo.encode(text) for text in (layout.text(), *layout.region_texts())]
    contexts = [part[0][0] for part in parts]
    positive = [[torch.cat(contexts, 1), dict(parts[0][0][1])]]
    texts = torch.cat([torch.full((c.shape[1],), n) for n, c in enumerate(contexts)])
    owner = torch.zeros(layout.height // TOKEN, layout.width // TOKEN, dtype=torch.long)
    for number, cell in enumerate(layout.cells, 1):
        owner[_pixels(layout, cell)[TOKEN // 2 :: TOKEN, TOKEN // 2 :: TOKEN] > 0.5] = number
    groups = torch.cat([texts, owner.flatten()])
    allowed = torch.where(groups[:, None] == groups[None], 0.0, float("-inf"))

    def masked(attention, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **options):
        return attention(q, k, v, heads, mask=allowed.to(q.dtype), **options)

    model = demo.model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = masked
    return model, positive


SOFT_REFINEMENT = "RAGSoftRefinementAttention"
REGIONAL_PROMPTING = "RAGRegionalPrompting"
RPG = "RAGRPGRegionalDiffusion"


def regional(bind_steps: int, attention: str = "", features: bool = True, **settings) -> Method:
    """The pack's Hard Binding and, of its nodes for attention, the one of this id; settings: those that are not its
    defaults."""

    def method(demo: Demo, layout: Layout) -> tuple[object, list]:
        patches, model = pack("nodes.patches"), demo.model
        regions = demo.regions(layout.cells, layout.region_texts())
        if bind_steps:
            model = patches.RAGHardBinding.execute(model, regions, bind_steps, features)[0]
        if attention:
            node = getattr(patches, attention)
            widgets = {i.id: i.default for i in node.define_schema().inputs if hasattr(i, "default")}
            model = node.execute(model, regions, **{**widgets, **settings})[0]
        return model, demo.encode(layout.text())

    return method


def ways(bind_steps: int) -> dict[str, Method]:
    """All ways, by name."""
    return {
        "plain prompt": plain,
        "area conditioning": area,
        "mask conditioning": mask,
        "attention masks alone": attention_masks,
        "Soft Refinement alone": regional(0, SOFT_REFINEMENT, delta=DELTA),
        "Regional Prompting alone": regional(0, REGIONAL_PROMPTING),
        "RPG alone": regional(0, RPG),
        "Hard Binding alone": regional(bind_steps),
        "both": regional(bind_steps, SOFT_REFINEMENT, delta=DELTA),
        "both, delta 0.5": regional(bind_steps, SOFT_REFINEMENT, delta=0.5),
        "Hard Binding, Regional Prompting": regional(bind_steps, REGIONAL_PROMPTING),
        "Hard Binding, RPG": regional(bind_steps, RPG),
    }


METHODS = ways(BIND_STEPS)


def _pixels(layout: Layout, cell: tuple[float, float, float, float]) -> Tensor:
    """The cell as a mask [H, W] of the picture."""
    x, y, w, h = cell
    canvas = torch.zeros(layout.height, layout.width)
    top, bottom = round(y * layout.height), round((y + h) * layout.height)
    canvas[top:bottom, round(x * layout.width) : round((x + w) * layout.width)] = 1
    return canvas
