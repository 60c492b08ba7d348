"""Hundreds of runs in one server."""

from __future__ import annotations

from statistics import median

import psutil
import pytest
from live_comfyui import Live, node, sampler
from test_stock import OURS

from demo.workflow import Prompt

RUNS, SETTLED, WINDOW = 200, 10, 20
MIB = 1 << 20
GROWTH = 32 * MIB
"""A run here keeps a record of 4 evaluations, two latents each in 32 bits: 512 KiB at 256 pixels and 128 KiB at 128,
and as much again after Repaint. One run's records left behind each time would be 106 MiB in the 170 runs between the
two windows; ComfyUI's own history of prompts and the allocator's fragments take a few."""
RATIOS = {"1,2": 2, "1; 1": 2, "1,1,1": 3, "2, 1,1; 1, 3": 3, "1, 1,1; 1, 1,1": 4}


@pytest.mark.long
def test_two_hundred_runs_do_not_grow(live: Live):
    """Layouts, prompts and sizes change from run to run, so that no run finds what it needs in ComfyUI's cache."""
    server, used = psutil.Process(live.server.process.pid), []
    for number in range(RUNS):
        assert live.server.run(changing(live, number))
        used.append(server.memory_info().rss)
    early, late = median(used[SETTLED : SETTLED + WINDOW]), median(used[-WINDOW:])
    marks = " ".join(f"{mark / MIB:.0f}" for mark in (used[0], *used[SETTLED - 1 :: SETTLED]))
    print(f"MiB after the first run and every {SETTLED}th: {marks}; grown by {(late - early) / MIB:.1f}")
    assert late - early < GROWTH, marks


def changing(live: Live, number: int) -> Prompt:
    ratio = list(RATIOS)[number % len(RATIOS)]
    side, clip = (128, 256)[number % 2], {"clip": ["clip", 0]}
    texts = " BREAK ".join(f"cell {cell} of picture {number}" for cell in range(RATIOS[ratio]))
    drawing = f'[{{"x": 0.{number % 4}, "y": 0.1, "w": 0.5, "h": 0.8, "prompt": "a circle, {number}"}}]'
    prompt = live.base(side)
    prompt["text"]["inputs"]["text"] = f"picture {number}"
    regions = {"binding_regions": ["boxes", 0], "refinement_regions": ["cells", 0]}
    settings = {
        key: value for key, value in sampler()["inputs"].items() if key not in ("latent_image", "denoise")
    }
    return prompt | {
        "cells": node("RAGSplitRatioLayout", split_ratio=ratio, text=texts, **clip),
        "boxes": node("RAGRegionCanvas", width=side, height=side, regions=drawing, **clip),
        "sampler": sampler("RAGHardBindingSampler", **OURS | {"delta": 0.5, "keep_for_repaint": True}, **regions),
        "mask": node("RAGRegionsToMask", regions=["cells", 0], index=1, width=side, height=side),
        "painted": node(
            "RAGRepaint", prior=["sampler", 0], mask=["mask", 0], delta=1.0, repaint_bind_steps=1, grow=10,
            match_surroundings=True, text=f"a square, {number}", **settings, **clip,
        ),
        "save": node("SaveLatent", samples=["painted", 0], filename_prefix="memory"),
        "show": node("PreviewImage", images=["boxes", 1]),
    }  # fmt: skip
