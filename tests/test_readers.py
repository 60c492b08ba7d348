"""What nodes, language models and other packs write, read by Plan to Regions and Region Canvas alike: as meant and
with a word on how, or refused by the name of what was found."""

import json

import pytest
from rag_pack.nodes.planner import RAGPlanToRegions
from rag_pack.rag_sampler.canvas import read_linked
from rag_pack.rag_sampler.drawing import drawn_regions
from rag_pack.rag_sampler.layout import LayoutError
from rag_pack.rag_sampler.planner import PlanError, read_plan
from rag_pack.rag_sampler.planner.instruction import EXAMPLES
from test_nodes import CLIP
from tiny import GOLDEN

SIZE = (1000, 500)
LEFT, RIGHT = ("a fox", 0.1, 0.2, 0.4, 0.6), ("an owl", 0.6, 0.2, 0.3, 0.6)
COPIED = json.loads((GOLDEN / "copied_answers.json").read_text(encoding="utf-8"))


def listed(key: str, *numbers: list[float], **more) -> str:
    words = ("a fox", "an owl")
    return json.dumps([{key: four, "label": word, **more} for four, word in zip(numbers, words)])


def omost(*calls: str) -> str:
    lines = [f"canvas.add_local_description({call}, tags='', HTML_web_color_name='red')" for call in calls]
    return "\n".join(["```python", "canvas = Canvas()", *lines, "```"])


BOX = '"x": 0.1, "y": 0.2, "w": 0.4, "h": 0.6'
OWL = '"x": 0.6, "y": 0.2, "w": 0.3, "h": 0.6'
PAIR = f'[{{"prompt": "a fox", {BOX}}}, {{"prompt": "an owl", {OWL}}}]'
FORM = '{"base_prompt": "...", "regions": [{"prompt": "<text>", "x": 0, "y": 0, "w": 1, "h": 1}, ...]}'

READ = {
    "Qwen": (listed("bbox_2d", [100, 200, 500, 800], [600, 200, 900, 800]), "bbox_2d was read as [left, top, right, bottom] in thousandths"),
    "Gemini": (listed("box_2d", [200, 100, 800, 500], [200, 600, 800, 900]), "box_2d was read as [top, left, bottom, right] in thousandths"),
    "fractions under a name for thousandths": (listed("bbox_2d", [0.1, 0.2, 0.5, 0.8], [0.6, 0.2, 0.9, 0.8]), "in parts of the picture"),
    "a list of sizes": (listed("xywh", [0.1, 0.2, 0.4, 0.6], [0.6, 0.2, 0.3, 0.6]), "xywh was read as [left, top, width, height]"),
    "elements": (json.dumps([{"type": "obj", "bbox": four, "desc": word} for four, word in (([200, 100, 800, 500], "a fox"), ([200, 600, 800, 900], "an owl"))]), "bbox was read as [top, left, bottom, right] in thousandths"),
    "corners": ('[{"text": "a fox", "x1": 0.1, "y1": 0.2, "x2": 0.5, "y2": 0.8}, {"text": "an owl", "x1": 0.6, "y1": 0.2, "x2": 0.9, "y2": 0.8}]', "read as the prompt: text"),
    "corners from zero": ('[{"text": "a fox", "x0": 0.1, "y0": 0.2, "x1": 0.5, "y1": 0.8}, {"text": "an owl", "x0": 0.6, "y0": 0.2, "x1": 0.9, "y1": 0.8}]', ""),
    "edges": ('[{"Caption": "a fox", "Left": 0.1, "Top": 0.2, "Right": 0.5, "Bottom": 0.8}, {"Caption": "an owl", "left": 0.6, "top": 0.2, "right": 0.9, "bottom": 0.8}]', "read as the prompt: Caption"),
    "sides in an object": ('[{"name": "a fox", "bbox": {"xMin": 0.1, "yMin": 0.2, "xMax": 0.5, "yMax": 0.8}}, {"name": "an owl", "position": {"x": 0.6, "y": 0.2}, "size": {"w": 0.3, "h": 0.6}}]', "read as the prompt: name"),
    "pixels": ('{"boxes": [{"prompt": "a fox", "x": 100, "y": 100, "w": 400, "h": 300}, {"prompt": "an owl", "x": 600, "y": 100, "w": 300, "h": 300}]}', "read as pixels of the 1000 × 500 picture"),
    "pixels of a canvas that the answer states": ('{"width": 500, "height": 250, "boxes": [{"prompt": "a fox", "x1": 50, "y1": 50, "x2": 250, "y2": 200}, {"prompt": "an owl", "x1": 300, "y1": 50, "x2": 450, "y2": 200}]}', "read as pixels of the 500 × 250 picture"),
    "ComfyUI's boxes with words": ('[{"x": 100, "y": 100, "width": 400, "height": 300, "metadata": {"desc": "a fox"}}, {"x": 600, "y": 100, "width": 300, "height": 300, "label": "an owl", "score": 0.9}]', "not read in the boxes: score"),
    "a fence, a comma too many": (f"```json\n{PAIR[:-1]},]\n```", ""),
    "one object a line": (PAIR[1:-1].replace("}, {", "}\n{"), ""),
    "full-width signs": (PAIR.replace("[", "［").replace("]", "］").replace("{", "｛").replace("}", "｝").replace(": ", "：").replace(", ", "，"), ""),
    "full-width numbers": (PAIR.replace("0.1", "０．１").replace("0.6", "０．６"), ""),
    "null": (PAIR.replace("a fox", 'a fox", "color": null, "label": null, "z": "').replace(', "z": ""', ""), ""),
    "a form behind": (f'{{"regions": {PAIR}}}\nThe form was {FORM}', ""),
    "a form before": (f'The form is {FORM}\n{{"regions": {PAIR}}}', ""),
    "a form behind that is no JSON": (f'{{"regions": {PAIR}}}\n{{"regions": [{{"prompt": "...", "x": 0-1, "y": 0-1}}]}}', "a form without words was passed over"),
    "words that lose to others": (PAIR.replace('"prompt"', '"label": "thing", "Prompt"'), "not read in the boxes: label"),
    "a list by a name of its own": (f'{{"things": {PAIR}}}', ""),
}  # fmt: skip
WRITTEN = [text for text, _ in READ.values()]


@pytest.mark.parametrize(("text", "told"), READ.values(), ids=READ)
def test_planner_and_canvas_read_the_same(text, told):
    plan, notes = read_plan(text, size=SIZE), []
    shown = drawn_regions(read_linked(text, *SIZE, notes=notes))
    read = [(one.prompt, one.shape.x, one.shape.y, one.shape.width, one.shape.height) for one in plan.boxes]
    assert read == [(word, *map(pytest.approx, box)) for word, *box in (LEFT, RIGHT)]
    for one, (word, *box) in zip(shown, (LEFT, RIGHT), strict=True):
        found = one.box.x * 1000, one.box.y * 500, one.box.width * 1000, one.box.height * 500
        assert one.prompt == word
        assert found == pytest.approx([side * pixels for side, pixels in zip(box, SIZE * 2)], abs=16.01)
    assert told in plan.report
    assert told in "; ".join(notes)


@pytest.mark.parametrize(
    ("text", "base", "told"),
    [
        (f'{{"base_prompt": "a wood", "elements": {PAIR}}}', "a wood", ""),
        (f'{{"basePrompt": "a wood", "Boxes": {PAIR}}}', "a wood", ""),
        (f'{{"caption": "a wood", "regions": {PAIR}}}', "a wood", "caption was read as the base prompt"),
        (f'{{"Global-Prompt": "a wood", "things": {PAIR}}}', "a wood", ""),
        (f'{{"high_level_description": "a wood", "inner": {{"background": "sky", "elements": {PAIR}}}}}', "a wood", 'not read: background = "sky"'),
        (f'{{"base_prompt": null, "split_ratio": null, "cells": null, "regions": {PAIR}}}', "the request", "the sentence took its place"),
        (f'{{"base_prompt": "...", "regions": {PAIR}}}', "the request", 'base_prompt is "..." and was passed over'),
        (f'Base prompt: a wood\n{PAIR}', "a wood", ""),
        (f'{{"base_prompt": "a wood", "mood": "dark", "regions": {PAIR}}}', "a wood", 'not read: mood = "dark"'),
    ],
)  # fmt: skip
def test_base_prompts_by_many_names_and_what_is_not_read(text, base, told):
    plan = read_plan(text, "the request")
    assert (plan.base_prompt, len(plan.boxes)) == (base, 2)
    assert told in plan.report


def test_the_canvas_says_that_it_has_no_place_for_a_base_prompt_and_which_boxes_lack_words():
    notes: list[str] = []
    read_linked(f'{{"caption": "a wood", "elements": {PAIR}}}', *SIZE, notes=notes)
    assert any('the base prompt "a wood" is not used here' in note for note in notes)
    notes.clear()
    read_linked([[{"x": 0, "y": 0, "width": 500, "height": 500}]], *SIZE, notes=notes)
    assert notes == ["bboxes: 1 of 1 boxes bring no prompt: write it on the canvas"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"bbox": [0, 0, 500, 1000], "desc": "a"}]', "bbox of {} 1 is [0, 0, 500, 1000], which does not say the order"),
        ('[{"box": [0.1, 0.2, 0.3, 0.4], "desc": "a"}]', "box of {} 1 is [0.1, 0.2, 0.3, 0.4], which does not say the order"),
        ('[{"type": "obj", "bbox": [0, 0, 1.0, 0.5], "desc": "a"}]', "bbox of {} 1 is [0, 0, 1, 0.5]; write thousandths"),
        ('[{"type": "obj", "bbox": [0, 0, 500, 1200], "desc": "a"}]', "reach to 1200 and bbox holds thousandths"),
        ('[{"bbox_2d": [0, 0, 500], "desc": "a"}]', "bbox_2d of {} 1 is [0, 0, 500]; write [left, top, right, bottom]"),
        ('[{"bbox_2d": [500, 0, 100, 900], "desc": "a"}]', "right in bbox_2d of {} 1 is 100 and left in bbox_2d of {} 1 is 500"),
        ('[{"bbox_2d": [0, 0, 500, 500], "label": "a"}, {"bbox_2d": [0, 0, 0.5, 0.5], "label": "b"}]', "bbox_2d of {} 2 is [0, 0, 0.5, 0.5]; write thousandths"),
        ('[{"prompt": "a", "x": 10, "y": 10, "w": 40, "h": 40}]', "which may be pixels or parts of 100"),
        ('[{"prompt": "a", "x": 10, "y": 10, "w": 1400, "h": 40}]', "reach to 1410 across and 50 down in a picture of 1000 × 500 pixels"),
        ('[{"prompt": "a", "x": 0.1, "y": 0.1, "x2": "far", "y2": 0.4}]', 'x2 of {} 1 is "far"; write the right edge'),
        ('[{"prompt": "a", "where": "left"}, {"prompt": "b", "x": 0, "y": 0, "w": 1, "h": 1}]', "the place of {} 1 is missing among its keys prompt, where"),
        ('[{"prompt": "...", "x": 0, "y": 0, "w": 1, "h": 1}, {"prompt": "a", "x": 0, "y": 0, "w": 1, "h": 1}]', 'prompt of {} 1 is "..."'),
        (PAIR[:-30], "breaks off"),
        (PAIR[1:-30].replace("}, {", "}\n{"), "breaks off"),
        (f'{{"above": {PAIR}, "below": {PAIR.replace("0.1", "0.2")}}}', "above holds boxes too; write all boxes in one list"),
        (f'{{"elements": {PAIR}, "boxes": {PAIR.replace("0.1", "0.2")}}}', "boxes holds boxes too; write all boxes in one list"),
    ],
)  # fmt: skip
def test_what_has_two_meanings_is_refused_by_its_name(text, said):
    with pytest.raises(PlanError) as planner:
        read_plan(text, size=SIZE)
    assert said.format(*["region"] * 2) in str(planner.value)
    with pytest.raises(LayoutError) as canvas:
        read_linked(text, *SIZE)
    assert said.format(*["box"] * 2) in str(canvas.value)


def test_a_prompt_by_an_unknown_name_is_refused_with_the_names_that_were_found():
    with pytest.raises(PlanError, match="prompt of region 1 is missing among the keys thing, x, y, w, h"):
        read_plan(f'[{{"thing": "a fox", {BOX}}}]')


def test_pixels_need_a_size():
    answer = '[{"prompt": "a", "x": 300, "y": 10, "w": 400, "h": 40}]'
    with pytest.raises(PlanError, match="the picture's size is not known, and the boxes are in pixels"):
        read_plan(answer)
    assert RAGPlanToRegions.validate_inputs(answer) is True
    assert RAGPlanToRegions.execute(answer, CLIP, 1024, 512)[0][0].shape.x == pytest.approx(300 / 1024)


def test_an_answer_that_is_a_form_is_refused():
    for form in (FORM, FORM.replace(", ...", "")):
        with pytest.raises(PlanError, match="the plan is a form without words"):
            read_plan(form)


def test_a_form_of_lists_does_not_win_over_the_answer():
    answer = "Final split ratio: 2, 1\nRegional Prompt: A fox BREAK An owl\n"
    form = "The form was\nFinal split ratio: 1, 1\nRegional Prompt: <prompt 1> BREAK <prompt 2>\n"
    for text in (answer + form, form + answer):
        plan = read_plan(text)
        assert (plan.split_ratio, [part.prompt for part in plan.cells]) == ("2, 1", ["A fox", "An owl"])


def test_numbered_regions_are_the_cells_of_a_ratio():
    ratio = "Final split ratio: 1:1\n"
    for text in (
        ratio + "Region 0 (left): a fox\nRegion 1 (right): an owl",
        ratio + "- **Region 2**: an owl\n- **Region 1**: a fox",
        "Region0:(Row0,width=0.5) a fox\nRegion1 (Row0, width=0.5): an owl\n" + ratio,
    ):
        plan = read_plan(text)
        assert plan.split_ratio == "1,1"
        assert [part.prompt for part in plan.cells] == ["a fox", "an owl"]


def test_omost():
    fox = "location='on the left', offset='slightly to the right', area='a medium-sized vertical area', distance_to_viewer=2.0, description='a fox', detailed_descriptions=['with a red coat']"
    sky = "location='on the top', offset='no offset', area='a large horizontal area', distance_to_viewer=9.0, description='the sky', detailed_descriptions=[]"
    text = omost(fox, sky).replace(
        "Canvas()",
        "Canvas()\ncanvas.set_global_description(description='a wood', detailed_descriptions=[], tags='', HTML_web_color_name='white')",
    )
    plan = read_plan(text)
    assert plan.base_prompt == "a wood"
    assert [part.prompt for part in plan.boxes] == [
        "the sky",
        "a fox. with a red coat",
    ]  # the nearer one wins
    assert plan.boxes[0].shape.edges == pytest.approx((0, 0, 1, 0.5))
    assert plan.boxes[1].shape.edges == pytest.approx((0, 5 / 90, 50 / 90, 85 / 90), abs=1e-6)
    assert [one.prompt for one in drawn_regions(read_linked(text, *SIZE))] == [
        "the sky",
        "a fox. with a red coat",
    ]
    with pytest.raises(PlanError, match='location of region 1 is "nowhere"; write one of: in the center'):
        read_plan(text.replace("on the left", "nowhere"))
    with pytest.raises(PlanError, match="add_local_description of region 1 breaks off"):
        read_plan(text[: text.index("a fox") - 15])


@pytest.mark.parametrize("case", COPIED, ids=lambda case: case["sentence"])
def test_a_small_models_copies_of_the_examples_are_refused_with_that_reason(case):
    """Three answers of SmolLM2-135M-Instruct to Planner Prompt."""
    with pytest.raises(
        ValueError, match=r"^Plan to Regions: the plan repeats an example of the instruction \(.A still life"
    ):
        RAGPlanToRegions.execute(case["text"], CLIP, 1024, 1024, sentence=case["sentence"])


@pytest.mark.parametrize(("canvas", "request_", "plan"), EXAMPLES)
def test_an_example_is_a_plan_for_its_own_request_alone(canvas, request_, plan):
    assert read_plan(plan, request_).boxes
    for other in ("three red apples", "a fox in the snow", ""):
        with pytest.raises(PlanError, match="repeats an example"):
            read_plan(plan, other)


def test_a_request_may_speak_of_what_the_examples_show():
    answer = '{"base_prompt": "a bakery", "regions": [{"prompt": "a round loaf of bread", "x": 0.1, "y": 0.1, "w": 0.4, "h": 0.4}]}'
    assert read_plan(answer, "a loaf of bread in a bakery").boxes
    with pytest.raises(PlanError, match="repeats an example"):
        read_plan(answer, "three red apples")
