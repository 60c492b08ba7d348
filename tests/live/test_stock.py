"""What ComfyUI itself computes stays as it is, to the bit: beside our nodes, and after them."""

from __future__ import annotations

import numpy as np
import pytest
from live_comfyui import Live, node, sampler

from demo.client import Interrupted, PromptError
from demo.workflow import Prompt

OURS = {
    "bind_steps": 2,
    "bind_features": True,
    "delta": 1.0,
    "fidelity": "published",
    "keep_for_repaint": False,
}
LAYOUT = {"split_ratio": "0.5; 0.5", "text": "a red circle BREAK a blue square", "clip": ["clip", 0]}


def stock(live: Live) -> np.ndarray:
    return live.sampled(live.base() | {"sampler": sampler()})


def regional(live: Live, **changes) -> Prompt:
    """Both of our patches under the stock sampler; the MODEL is the one that `stock` uses."""
    layout = node("RAGSplitRatioLayout", **LAYOUT)
    binding = {"model": ["model", 0], "regions": ["layout", 0], "bind_steps": 2, "bind_features": True}
    refinement = {"model": ["bound", 0], "regions": ["layout", 0], "delta": 0.5, "fidelity": "published"}
    return live.base() | {
        "layout": layout,
        "bound": node("RAGHardBinding", **binding),
        "refined": node("RAGSoftRefinementAttention", start_percent=0.0, end_percent=1.0, **refinement),
        "sampler": sampler(**{"model": ["refined", 0]} | changes),
    }


def finish(live: Live, before: np.ndarray) -> None:
    assert not np.array_equal(live.sampled(regional(live)), before)  # the patches did something


def fail(live: Live, before: np.ndarray) -> None:
    """A box too small for this picture, which shows only when sampling starts."""
    prompt = regional(live)
    source = {"clip": ["clip", 0], "text": "a red circle"}
    prompt["layout"] = node("RAGRegionBox", x=0.0, y=0.0, width=0.01, height=0.5, **source)
    with pytest.raises(PromptError, match="token"):
        live.sampled(prompt)


def interrupt(live: Live, before: np.ndarray) -> None:
    """Stopped after the first of many steps, so in the middle of the bound ones."""

    def stop(_: str, step: int, steps: int) -> None:
        if 0 < step < steps:
            live.server.interrupt()

    with pytest.raises(Interrupted):
        live.sampled(regional(live, steps=60), progress=stop)


@pytest.mark.parametrize("end", [finish, fail, interrupt])
def test_the_model_is_as_before(live: Live, end):
    before = stock(live)
    end(live, before)
    assert np.array_equal(stock(live), before)


@pytest.mark.parametrize("changes", [{}, {"cfg": 3.0, "sampler_name": "dpmpp_2m"}, {"denoise": 0.6}])
def test_sampler_with_nothing_connected_is_the_stock_sampler(live: Live, changes):
    expected = live.sampled(live.base() | {"sampler": sampler(**changes)})
    found = live.sampled(live.base() | {"sampler": sampler("RAGHardBindingSampler", **OURS, **changes)})
    assert np.array_equal(found, expected)
