"""The shortest proof that a ComfyUI version runs this pack: a demo workflow becomes pictures."""

from __future__ import annotations

from live_comfyui import WORKFLOWS, Live

from demo.run import FOUR_REGIONS, PLAIN_SAMPLER
from demo.workflow import override, read, to_prompt


def test_four_regions_become_a_picture(live: Live):
    bound, plain = (picture(live, changes) for changes in ({}, PLAIN_SAMPLER))
    assert bound.shape == plain.shape
    assert bound.std() > 5
    assert abs(bound.astype(int) - plain).mean() > 1  # the regions changed the picture


def picture(live: Live, changes):
    prompt = to_prompt(read(WORKFLOWS / f"{FOUR_REGIONS}.json"), live.server.object_info)
    override(prompt, changes)
    decoded = [key for key, node in prompt.items() if node["class_type"] == "VAEDecode"]
    outputs = live.server.run(prompt)
    shown = [o for o in outputs if prompt[o.node]["inputs"].get("images", [None])[0] in decoded]
    return live.picture(shown[0])
