"""What a run warns of reaches the page that queued it, at the node that it is about."""

from __future__ import annotations

import json

from live_comfyui import Live, node, sampler

from demo.workflow import Prompt


def canvas(live: Live, prompt: str) -> Prompt:
    """Two bound halves of a picture, drawn on a Region Canvas, the right one with this prompt."""
    halves = [{"x": x, "y": 0, "w": 0.5, "h": 1, "prompt": text} for x, text in ((0, "a fox"), (0.5, prompt))]
    drawn = {"width": 128, "height": 128, "clip": ["clip", 0], "regions": json.dumps(halves)}
    return live.base() | {
        "5:3": node("RAGRegionCanvas", **drawn),  # as one in a subgraph is called
        "bound": node(
            "RAGHardBinding", model=["model", 0], regions=["5:3", 0], bind_steps=1, bind_features=True
        ),
        "sampler": sampler(model=["bound", 0], steps=2),
    }


def test_an_empty_prompt_is_told_at_the_canvas_until_it_has_words(live: Live):
    live.sampled(canvas(live, ""))
    assert live.server.told == {"5:3": "the prompt of region 2 of 2 is empty", "bound": ""}
    live.sampled(canvas(live, "a bear"))
    assert live.server.told == {"5:3": "", "bound": ""}


def test_of_two_canvases_alike_each_is_told_its_own(live: Live):
    """ComfyUI must not hand one what it kept of the other, with the other's id."""
    live.sampled(canvas(live, ""))
    prompt = canvas(live, "")
    prompt["7"] = prompt.pop("5:3")
    prompt["bound"]["inputs"]["regions"] = ["7", 0]
    live.sampled(prompt)
    assert live.server.told.keys() == {"7", "bound"} and live.server.told["7"]
