"""The planner's nodes without a server: what they hand on, and what a bad answer gets."""

import json

import pytest
from rag_pack.nodes.planner import RAGPlannerPrompt, RAGPlanToRegions
from rag_pack.rag_sampler.planner import ANSWER_STYLES, RETRY
from test_nodes import CLIP, said
from test_planner import OBJECT, RAG


def test_a_plan_becomes_boxes_cells_and_a_base_prompt():
    binding, refinement, base, preview, report, layout = RAGPlanToRegions.execute(OBJECT, CLIP, 256, 128)
    assert (said(binding), said(refinement)) == (["cat", "vase"], ["A grey cat.", "A tall vase."])
    assert [region.shape.edges for region in refinement] == [(0, 0, 0.5, 1), (0.5, 0, 1, 1)]
    assert base == "a cat beside a vase"
    assert {region.drawn_for for region in (*binding, *refinement)} == {(256, 128)}
    assert preview.shape == (1, 128, 256, 3)
    assert report.startswith("Plan read from JSON object: 2 cells, 2 boxes.")
    assert RAGPlanToRegions.execute(layout, CLIP, 256, 128)[5] == layout


def test_the_preview_shows_boxes_over_the_outlines_of_cells():
    preview = RAGPlanToRegions.execute(OBJECT, CLIP, 256, 128)[3][0]
    assert (preview[80, 40] - preview[80, 200]).abs().max() > 0.05  # two boxes, two colours
    assert preview[3, 127].min() > 0.5 and preview[3, 120].max() < 0.2  # the edge between the cells


def test_without_cells_the_boxes_serve_for_both():
    layout = json.dumps({"version": 1, "regions": [{"prompt": "a fox", "x": 0, "y": 0, "w": 0.5, "h": 1}]})
    binding, refinement, base, *_ = RAGPlanToRegions.execute(layout, CLIP, 256, 128, sentence="a fox in snow")
    assert binding == refinement
    assert base == "a fox in snow"


def test_a_refusal_says_what_to_do_and_can_be_fed_back():
    with pytest.raises(ValueError) as error:
        RAGPlanToRegions.execute(RAG.replace("0.55", "right"), CLIP, 256, 128)
    assert str(error.value).startswith(
        "Plan to Regions: value 2 of HB_m_offset_list is right; write the left edge"
    )
    assert str(error.value).endswith(RETRY)
    again = RAGPlannerPrompt.execute(
        "a cat and a vase", 256, 128, 0, ANSWER_STYLES[0], feedback=str(error.value)
    )[0]
    assert "Plan to Regions: value 2 of HB_m_offset_list is right; write the left edge" in again


def test_a_box_under_one_token_is_refused_by_name():
    with pytest.raises(ValueError, match=r'^Plan to Regions: region 1 of 2 \("cat"\) is 3 × 102 pixels'):
        RAGPlanToRegions.execute(OBJECT.replace('"w": 0.4', '"w": 0.01', 1), CLIP, 256, 128)


def test_widget_texts_are_checked_before_anything_runs():
    assert RAGPlanToRegions.validate_inputs(OBJECT) is True
    assert RAGPlanToRegions.validate_inputs() is True  # the answer is linked
    assert RAGPlanToRegions.validate_inputs("sorry").startswith(
        'Plan to Regions: the plan is missing in "sorry"'
    )
    assert RAGPlannerPrompt.validate_inputs("a fox") is True
    assert RAGPlannerPrompt.validate_inputs(" ").startswith("Planner Prompt: sentence is empty")


def test_an_empty_linked_sentence_is_refused():
    with pytest.raises(ValueError, match="^Planner Prompt: sentence is empty"):
        RAGPlannerPrompt.execute(" \n", 256, 128, 0, ANSWER_STYLES[0])


def test_braces_of_an_answer_are_no_dynamic_prompt():
    """ComfyUI's page replaces {a|b} in texts that are dynamic prompts."""
    answer = next(i for i in RAGPlanToRegions.define_schema().inputs if i.id == "answer")
    assert not answer.dynamic_prompts
