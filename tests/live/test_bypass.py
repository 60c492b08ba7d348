"""Any one node of the pack muted or bypassed: the graph runs, or ComfyUI says which required input is missing."""

from __future__ import annotations

import pytest
from live_comfyui import WORKFLOWS, Live, skip_if_absent
from test_workflows import DEMO, shrink

from demo.client import PromptError
from demo.workflow import BYPASSED, MUTED, read, to_prompt

PASS_ON = {
    "RAGHardBinding",
    "RAGSoftRefinementAttention",
    "RAGRegionalPrompting",
    "RAGHardBindingSampler",
    "RAGRepaint",
}
"""Nodes that take a MODEL or a LATENT and put one out: bypassed, they hand it on."""


@pytest.mark.parametrize("mode", [MUTED, BYPASSED], ids=["muted", "bypassed"])
@pytest.mark.parametrize("name", DEMO)
def test_a_graph_without_one_of_our_nodes_is_valid(live: Live, name: str, mode: int):
    workflow = read(WORKFLOWS / f"{name}.json")
    skip_if_absent(live, workflow)
    ours = [node for node in workflow["nodes"] if node["type"].startswith("RAG")]
    assert ours
    for node in ours:
        node["mode"] = mode
        where = f"{node['type']} (node {node['id']})"
        said = outcome(live, workflow)
        if mode == BYPASSED and node["type"] in PASS_ON:
            assert said == "", where
        lines = said.removeprefix("Prompt outputs failed validation").splitlines()
        assert all("Required input is missing" in line for line in lines if line), f"without {where}: {said}"
        node["mode"] = 0


def outcome(live: Live, workflow: dict) -> str:
    """Nothing when the graph made a picture, else ComfyUI's words."""
    prompt = to_prompt(workflow, live.server.object_info)
    shrink(prompt)
    try:
        assert [output for output in live.server.run(prompt) if output.kind == "images"]
    except PromptError as error:
        return str(error).split("\n  File")[0]
    return ""
