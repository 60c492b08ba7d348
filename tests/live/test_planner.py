"""From one sentence to a picture on the demo model, with a stand-in for the language model."""

from __future__ import annotations

import pytest
from live_comfyui import WORKFLOWS, Live, core_nodes, node
from test_workflows import assert_pictures, on_demo_model

from demo.client import PromptError
from demo.workflow import Prompt, override, read, replace, to_prompt

PLAN = """{"version": 1, "base_prompt": "a red circle left of a blue square", "split_ratio": "0.5, 0.5",
"cells": ["a red circle", "a blue square"], "regions": [
{"prompt": "a red circle", "x": 0.05, "y": 0.25, "w": 0.4, "h": 0.5},
{"prompt": "a blue square", "x": 0.55, "y": 0.25, "w": 0.4, "h": 0.5}]}"""
ANSWER = f"<think>Two things.</think>\nOf course:\n```json\n{PLAN}\n```"
WRONG = ANSWER.replace("0.55", '"right"')


def planner(live: Live, name: str) -> Prompt:
    """A FLUX workflow with a planner, on the demo model."""
    prompt = to_prompt(read(WORKFLOWS / f"{name}.json"), core_nodes(live.server.object_info))
    on_demo_model(live, prompt)
    override(prompt, {("PrimitiveInt", "value"): 128})
    return prompt


@pytest.mark.feature("workflow Plan FLUX regions with a local model", "as in the file")
def test_generate_text_with_a_local_model(live: Live):
    prompt = planner(live, "Plan FLUX regions with a local model")
    replace(prompt, "CLIPLoader", "RAGTestLanguageModel", {"answer": ANSWER})
    assert_pictures(live, prompt)


@pytest.mark.feature("workflow Plan FLUX regions with an API", "as in the file")
def test_a_chat_node(live: Live):
    prompt = planner(live, "Plan FLUX regions with an API")
    replace(prompt, "OpenAIChatNode", "PrimitiveStringMultiline", {"value": ANSWER})
    assert_pictures(live, prompt)


def plan(feedback: str = "") -> Prompt:
    """Sentence, instruction, answer and regions, without a picture; the first answer is wrong."""
    size = {"width": 128, "height": 128}
    asked = {
        "sentence": "a circle and a square",
        "region_count": 0,
        "answer_style": "JSON only",
        "feedback": feedback,
    }
    generate = {"prompt": ["ask", 0], "max_length": 2048, "sampling_mode": "off"}
    return {
        "clip": node("RAGDemoCLIPLoader"),
        "model": node("RAGTestLanguageModel", answer=WRONG, second_answer=ANSWER),
        "ask": node("RAGPlannerPrompt", **asked, **size),
        "text": node("TextGenerate", clip=["model", 0], **generate),
        "plan": node("RAGPlanToRegions", answer=["text", 0], clip=["clip", 0], **size),
    }


def test_a_refused_answer_and_a_second_try(live: Live):
    with pytest.raises(PromptError) as error:
        live.server.run(plan())
    said = str(error.value).split("Traceback")[0]
    assert 'Plan to Regions: x of region 2 is "right"; write the left edge' in said
    refusal = said[said.index("Plan to Regions:") : said.index("  File")] if "  File" in said else said
    (preview,) = live.server.run(plan(feedback=refusal))
    assert live.picture(preview).shape == (128, 128, 3)


def test_a_bad_answer_in_the_widget_is_refused_before_anything_runs(live: Live):
    prompt = plan()
    prompt["plan"]["inputs"]["answer"] = "sorry"
    with pytest.raises(PromptError, match='Plan to Regions: the plan is missing in "sorry"'):
        live.server.run(prompt)
