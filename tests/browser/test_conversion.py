"""demo/workflow.py against the page: the same prompt of every demo workflow, and without each of our nodes."""

from __future__ import annotations

import pytest
from live_comfyui import WORKFLOWS, loading

from demo.page import ComfyPage
from demo.workflow import BYPASSED, MUTED, Prompt, read, to_prompt

CONVERTED = """async ([id, mode]) => {
  const node = app.graph.getNodeById(id);
  node.mode = mode;
  const { output } = await app.graphToPrompt();
  node.mode = 0;
  return output;
}"""


def bare(prompt: Prompt) -> dict[str, tuple]:
    return {key: (node["class_type"], node["inputs"]) for key, node in prompt.items()}


@pytest.mark.parametrize("name", loading("rag_demo_flux.safetensors"))
def test_the_page_makes_the_same_prompt(comfy: ComfyPage, name: str):
    workflow = read(WORKFLOWS / f"{name}.json")
    comfy.load(workflow)
    for node in (node for node in workflow["nodes"] if node["type"].startswith("RAG")):
        for mode in (0, MUTED, BYPASSED):
            node["mode"] = mode
            theirs = comfy.run(CONVERTED, [node["id"], mode])
            ours = to_prompt(workflow, comfy.server.object_info)
            assert bare(ours) == bare(theirs), f"{node['type']} (node {node['id']}), mode {mode}"
        node["mode"] = 0
