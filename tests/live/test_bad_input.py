"""Bad input, and the sentence it gets through the API."""

from __future__ import annotations

import pytest
from live_comfyui import Live, node, sampler

from demo.client import PromptError

CLIP = {"clip": ["clip", 0]}
TEXT = CLIP | {"text": "a red circle"}
CONDITIONING = {"conditioning": ["text", 0]}
BOX = {"x": 0.0, "y": 0.0, "width": 0.5, "height": 0.5}


def layout(split_ratio: str, text: str):
    return node("RAGSplitRatioLayout", split_ratio=split_ratio, text=text, **CLIP)


def box(**inputs):
    return node("RAGRegionBox", **BOX | inputs)


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        pytest.param(layout("0.5; x", "a BREAK b"), ["0.5; x", "x"], id="split ratio that does not parse"),
        pytest.param(
            layout("1,1,1; 1,1,1", "a BREAK b BREAK c"), ["3", "4"], id="prompts that do not match cells"
        ),
        pytest.param(box(**TEXT, x=0.8), ["0.8", "1.3"], id="box outside the image"),
        pytest.param(box(**TEXT, **CONDITIONING), ["text", "conditioning"], id="both sources"),
        pytest.param(box(), ["text", "conditioning"], id="no source"),
        pytest.param(box(text="a red circle"), ["clip"], id="text without clip"),
        pytest.param(box(**TEXT, width=0.01), ["token", "128"], id="box under one token"),
    ],
)
def test_bad_region_is_refused_in_words(live: Live, regions, said):
    """Each gets an error of the node that it concerns, with what was found in it."""
    binding = {"bind_steps": 2, "bind_features": True}
    prompt = live.base() | {
        "regions": regions,
        "patched": node("RAGHardBinding", model=["model", 0], regions=["regions", 0], **binding),
        "sampler": sampler(model=["patched", 0]),
    }
    with pytest.raises(PromptError) as error:
        live.sampled(prompt)
    first = str(error.value).split("Traceback")[0]
    assert [word for word in said if word not in first] == [], first
