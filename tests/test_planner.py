"""What a planner's answer means: in which dress it may come, what is repaired, what is refused and how."""

import json
import re
import subprocess
import sys

import pytest
from rag_pack.rag_sampler.planner import ANSWER_STYLES, RETRY, PlanError, instruction, read_plan
from tiny import GOLDEN, REPO

ANSWERS = json.loads((GOLDEN / "planner_answers.json").read_text())["cases"]

OBJECT = """{
 "version": 1,
 "base_prompt": "a cat beside a vase",
 "split_ratio": "0.5, 0.5",
 "cells": ["A grey cat.", "A tall vase."],
 "regions": [
  {"prompt": "cat", "x": 0.05, "y": 0.1, "w": 0.4, "h": 0.8},
  {"prompt": "vase", "x": 0.55, "y": 0.1, "w": 0.4, "h": 0.8}
 ]
}"""
DRAFT = OBJECT.replace("0.05", "0.2")

RAG = """Final split ratio: 0.5, 0.5
Regional Prompt: A grey cat. BREAK A tall vase.

HB_prompt_list: ["cat", "vase"]
HB_m_offset_list: [0.05, 0.55]
HB_n_offset_list: [0.1, 0.1]
HB_m_scale_list: [0.4, 0.4]
HB_n_scale_list: [0.8, 0.8]
"""


def boxes(plan) -> list[tuple]:
    return [
        (part.prompt, part.shape.x, part.shape.y, part.shape.width, part.shape.height) for part in plan.boxes
    ]


def meaning(plan) -> tuple:
    return plan.split_ratio.replace(" ", ""), [part.prompt for part in plan.cells], boxes(plan)


EXPECTED = (
    "0.5,0.5",
    ["A grey cat.", "A tall vase."],
    [("cat", 0.05, 0.1, 0.4, 0.8), ("vase", 0.55, 0.1, 0.4, 0.8)],
)


def curly(text: str) -> str:
    return re.sub(r'"([^"]*)"', r"“\1”", text)


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case["name"])
def test_golden_answers(case):
    if case["meaning"] == "refused":
        with pytest.raises(PlanError):
            read_plan(case["text"])
        return
    plan, wanted = read_plan(case["text"]), case["meaning"]
    assert plan.split_ratio == wanted["split_ratio"]
    assert [part.prompt for part in plan.cells] == wanted["refinement_prompts"]
    assert boxes(plan) == [
        tuple(box[key] for key in ("prompt", "x", "y", "width", "height")) for box in wanted["boxes"]
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(f"Sure, here it is:\n```json\n{OBJECT}\n```\nEnjoy!", id="code fence"),
        pytest.param(f"<think>Perhaps {DRAFT}? No.</think>\n{OBJECT}", id="reasoning block"),
        pytest.param(f"First {DRAFT}\nBetter, and final:\n{OBJECT}", id="draft, then final"),
        pytest.param(f'The "layout" {{as you asked}}, it\'s here: {OBJECT} That\'s {{all}}.', id="chatter in braces"),
        pytest.param(OBJECT.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(curly(OBJECT), id="smart quotes"),
        pytest.param(OBJECT.replace('"', "'"), id="single quotes"),
        pytest.param(OBJECT.replace("}\n ]", "},\n ],").replace("0.8}", "0.8,}"), id="trailing commas"),
        pytest.param(OBJECT.replace("0.05", "1/20"), id="fraction"),
        pytest.param(OBJECT.replace("0.8}", "80%}").replace("0.05", '"5%"'), id="percentages"),
        pytest.param(OBJECT.replace(' "cells"', " // what is where\n /* each */ cells"), id="comments and bare keys"),
        pytest.param(OBJECT.replace(", ", "，").replace(": ", "："), id="full-width punctuation"),
        pytest.param(f'{{"plan": {OBJECT}, "done": true}}', id="inside another object"),
        pytest.param(OBJECT.replace('"0.5, 0.5"', "[0.5, 0.5]"), id="ratio as a list"),
        pytest.param(OBJECT.replace('"w"', '"width"').replace('"h"', '"height"'), id="long names"),
        pytest.param(RAG, id="RAG"),
        pytest.param(re.sub(r"^(.+?):", r"- **\1**:", RAG, flags=re.M), id="RAG, Markdown"),
        pytest.param(RAG.replace("_", r"\_"), id="RAG, escaped underscores"),
        pytest.param(RAG.replace("\n\n", "\ne. Boxes\n"), id="RAG, heading behind the prompts"),
        pytest.param(RAG.replace("ratio: 0.5, 0.5", "ratio:\n`0.5, 0.5` (two columns)"), id="RAG, remark"),
        pytest.param(RAG.replace("[", "").replace("]", ""), id="RAG, lists without brackets"),
        pytest.param(RAG.replace(":", "：").replace(", ", "，"), id="RAG, full-width punctuation"),
        pytest.param(RAG.replace("\n", " "), id="RAG in one line"),
        pytest.param(RAG.replace("vase.", "vase. BREAK"), id="RAG, BREAK at the end"),
        pytest.param("\n".join(sorted(RAG.splitlines())), id="RAG, other order"),
        pytest.param(RAG.replace("0.05", "0.3") + "Corrected:\n" + RAG, id="RAG, draft, then final"),
        pytest.param(f"{RAG}\nI hope this helps. Note on HB_m_offset_list: it runs from the left.", id="RAG, remark behind"),
    ],
)  # fmt: skip
def test_what_surrounds_a_plan_does_not_matter(answer):
    assert meaning(read_plan(answer)) == EXPECTED


def test_escapes_of_json_are_read():
    plan = read_plan(OBJECT.replace('"cat"', r'"a \"cat\" \ud83d\udc31 caf\u00e9 \ud800"'))
    assert plan.boxes[0].prompt == 'a "cat" 🐱 café ?'


def test_rpg_answers_have_cells_and_get_a_box_in_each():
    plan = read_plan(
        "### Output:\nHorizontal split ratio: 1;2\nVertical split ratio: 1,(1,1); 2,(2,1)\n"
        "Split ratio: 1,(1,1); 2,(2,1)\nRegional Prompt: \nA window. BREAK\nAn aquarium. BREAK\nA desk. BREAK\nA girl.\n"
    )
    assert plan.split_ratio == "1,1,1; 2,2,1"
    assert [part.prompt for part in plan.cells] == ["A window.", "An aquarium.", "A desk.", "A girl."]
    assert plan.cells[2].shape.edges == (0, 1 / 3, 2 / 3, 1)
    assert boxes(plan)[0] == ("A window.", 0.04, 0.026667, 0.42, 0.28)
    assert "one was made in the middle of each cell" in plan.report


def test_rpg_answer_in_another_language():
    plan = read_plan(
        "Final split ratio: 0.3,1;0.7,0.5,0.5\nRegional Prompt:\n天空高远 BREAK\n旅人 BREAK\n猫\n"
    )
    assert [part.prompt for part in plan.cells] == ["天空高远", "旅人", "猫"]


# Boxes, split ratio, SR_delta and HB_replace of the examples in RAG's README; the prompts are ours.
README = [
    ([(0.1, 0.55, 0.8, 0.4), (0.1, 0.05, 0.8, 0.45)], "0.5; 0.5", 1.0, 2),
    ([(0.05, 0.1, 0.5, 0.8), (0.65, 0.25, 0.3, 0.5)], "0.6, 0.4", 0.5, 2),
    ([(0.05, 0.2, 0.4, 0.4), (0.55, 0.2, 0.4, 0.4)], "0.5,0.5", 0.2, 8),
    ([(0.05, 0.2, 0.4, 0.6), (0.55, 0.2, 0.4, 0.6)], "0.5, 0.5", 0.1, 2),
    ([(0.02, 0.1, 0.29, 0.8), (0.35, 0.1, 0.3, 0.8), (0.68, 0.0, 0.29, 1.0)], "0.33, 0.34, 0.33", 0.0, 3),
]
LISTS = ("HB_m_offset_list", "HB_n_offset_list", "HB_m_scale_list", "HB_n_scale_list")


def script(rows: list[tuple], ratio: str, delta: float, replace: int) -> str:
    """A script as published: the lists over several lines, then a call that names each of them again."""
    names = [f"thing {index}" for index in range(1, len(rows) + 1)]
    lists = {"HB_prompt_list": names, **{name: list(column) for name, column in zip(LISTS, zip(*rows))}}
    lines = ["pipe = pipe.to('cuda')", 'prompt = "things, side by side"', f"HB_replace = {replace}"]
    lines += [f"{name} =  {json.dumps(values, indent=8)}" for name, values in lists.items()]
    lines += [f"SR_delta = {delta}", f'SR_hw_split_ratio = "{ratio}"']
    lines += [f'SR_prompt = "{" BREAK ".join(f"Much about {name}." for name in names)}"']
    lines += ["height, width = 1024, 1024", "seed = 1234", 'Repainting_SR_prompt = "other BREAK things"']
    lines += [
        "image = pipe(",
        *(f"    {name}={name}," for name in ["SR_hw_split_ratio", "SR_prompt", *lists]),
    ]
    return "\n".join([*lines, "    seed=seed,", "    num_inference_steps=20,", ").images[0]"])


@pytest.mark.parametrize(("rows", "ratio", "delta", "replace"), README)
def test_published_examples_import_in_one_paste(rows, ratio, delta, replace):
    plan = read_plan(script(rows, ratio, delta, replace))
    assert boxes(plan) == [(f"thing {index}", *row) for index, row in enumerate(rows, 1)]
    assert plan.split_ratio == ratio
    assert [part.prompt for part in plan.cells] == [f"Much about thing {i}." for i in range(1, len(rows) + 1)]
    assert plan.base_prompt == "things, side by side"
    assert f"HB_replace = {replace} is not part of a layout: set bind_steps" in plan.report
    assert "seed = 1234; Repainting_SR_prompt" in plan.report


def test_boxes_for_pictures_take_the_prompts_of_their_cells():
    """As in the published example with Redux, which has no HB_prompt_list."""
    rows, ratio, delta, replace = README[2]
    lines = re.sub(
        r"^ *HB_prompt_list[^\]]*?(\]|,)$",
        "Redux_list = ['a.jpg', 'b.jpg']",
        script(rows, ratio, delta, replace),
        flags=re.M,
    )
    plan = read_plan(lines)
    assert boxes(plan) == [(f"Much about thing {index}.", *row) for index, row in enumerate(rows, 1)]
    assert "HB_prompt_list is missing: each box took the prompt of its cell" in plan.report


def test_a_gallery_item_is_json_with_the_published_names():
    rows, ratio, delta, replace = README[0]
    item = {"prompt": "a pair", "HB_replace": replace, "HB_prompt_list": ["low", "high"], "SR_delta": delta}
    item |= dict(zip(LISTS, zip(*rows))) | {"SR_hw_split_ratio": ratio, "SR_prompt": "a BREAK b", "seed": 7}
    plan = read_plan(json.dumps([{"prompt": "something else"}, item]))
    assert boxes(plan) == [("low", *rows[0]), ("high", *rows[1])]
    assert plan.base_prompt == "a pair"
    assert "SR_delta = 1 is not part of a layout: set delta" in plan.report


def test_a_plan_survives_export_and_import():
    plan = read_plan(OBJECT)
    again = read_plan(plan.to_json())
    assert meaning(again) == meaning(plan) == EXPECTED
    assert again.base_prompt == plan.base_prompt == "a cat beside a vase"


def test_a_layout_of_the_canvas_is_a_plan_without_cells():
    region = {
        "id": "r1",
        "x": 0.25,
        "y": 0,
        "w": 0.5,
        "h": 1,
        "prompt": "a fox",
        "enabled": True,
        "color": "#3cb44b",
    }
    layout = {"version": 1, "regions": [region, {**region, "enabled": False}]}
    plan = read_plan(json.dumps(layout), sentence="a fox  in the snow")
    assert boxes(plan) == [("a fox", 0.25, 0, 0.5, 1)]
    assert (plan.cells, plan.base_prompt) == ((), "a fox in the snow")
    assert "region 2 is switched off" in plan.report
    exported = json.loads(plan.to_json())
    assert exported["regions"] == [{"id": "r1", "prompt": "a fox", "x": 0.25, "y": 0, "w": 0.5, "h": 1}]
    assert boxes(read_plan(json.dumps(layout["regions"]))) == boxes(plan)


@pytest.mark.parametrize(
    ("answer", "found", "said"),
    [
        (OBJECT.replace("0.55", "0.65"), ("vase", 0.65, 0.1, 0.35, 0.8), 'box 2 ("vase") reached over the right border'),
        (OBJECT.replace("0.55", "0.65").replace("0.1,", "-0.05,"), ("vase", 0.65, 0, 0.35, 0.75), "over the top border"),
        (OBJECT.replace("0.55", '"0.55"'), ("vase", 0.55, 0.1, 0.4, 0.8), "x of region 2 was in quotes"),
        (OBJECT.replace("0.05", "0.5500").replace("0.55,", "0.05,"), ("cat", 0.55, 0.1, 0.4, 0.8), "order of their cells (2, 1)"),
        (RAG.replace("[0.05, 0.55]", "[0.55, 0.05]"), ("cat", 0.55, 0.1, 0.4, 0.8), "order of their cells (2, 1)"),
        (f"{OBJECT}\n{OBJECT[:90]}", ("vase", 0.55, 0.1, 0.4, 0.8), "repeats the plan and breaks off"),
    ],
)  # fmt: skip
def test_repairs_are_reported(answer, found, said):
    plan = read_plan(answer)
    assert boxes(plan)[1] == found
    assert said in plan.report


def test_a_ratio_that_does_not_sum_to_one_is_scaled():
    plan = read_plan(OBJECT.replace('"0.5, 0.5"', '"0.5, 1; 0.3, 1"'))
    assert plan.split_ratio == "0.625, 1; 0.375, 1"
    assert 'split_ratio "0.5, 1; 0.3, 1" sums to 0.8; its parts were scaled to 1' in plan.report
    assert "scaled" not in read_plan(OBJECT.replace('"0.5, 0.5"', '"2, 3"')).report


def test_cells_with_numbers_are_put_into_their_order():
    numbered = RAG.replace(
        "A grey cat. BREAK A tall vase.", "\nRegion 1: A tall vase. BREAK\nRegion 0: A grey cat."
    )
    objects = '[{"cell": 2, "prompt": "A tall vase."}, {"cell": 1, "prompt": "A grey cat."}]'
    for answer in (numbered, OBJECT.replace('["A grey cat.", "A tall vase."]', objects)):
        plan = read_plan(answer)
        assert meaning(plan) == EXPECTED
        assert "cells were put into the order of their numbers" in plan.report


def test_boxes_that_overlap_keep_their_order():
    """The later one lies on top, so another order would be another picture."""
    plan = read_plan(OBJECT.replace("0.05", "0.3").replace("0.55", "0.2"))
    assert [part.prompt for part in plan.boxes] == ["cat", "vase"]


REGIONS = OBJECT.index(' "regions"')


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", ["the answer is empty"]),
        ("I am sorry, I cannot do that.", ["the plan is missing", '"I am sorry', "Planner Prompt"]),
        (OBJECT.replace("0.05", '"left"'), ['x of region 1 is "left"', "the left edge", "from 0 to 1"]),
        (OBJECT.replace("0.05", "left"), ["x of region 1 is left", "from 0 to 1"]),
        (OBJECT.replace("0.05", "true"), ["x of region 1 is true", "from 0 to 1"]),
        (OBJECT.replace("0.05", "NaN"), ["x of region 1 is nan", "from 0 to 1"]),
        (OBJECT.replace("0.05", "1e999"), ["x of region 1 is inf", "from 0 to 1"]),
        (OBJECT.replace("0.05", "1/0"), ["x of region 1 is 1/0", "from 0 to 1"]),
        (OBJECT.replace("0.05", "512"), ["x of region 1 is 512", "pixels divided by the picture's size"]),
        (OBJECT.replace("0.05", "-0.5"), ["x of region 1 is -0.5", "from 0 to 1"]),
        (OBJECT.replace("0.55", "0.9"), ['box 2 ("vase") reaches from x 0.9 to x + w = 1.3', "between 0 and 1"]),
        (OBJECT.replace('"w": 0.4', '"w": 0'), ["2 problems", "w of region 1 is 0", "w of region 2 is 0"]),
        (OBJECT.replace('"prompt": "cat", ', ""), ["prompt of region 1 is missing", "describe"]),
        (OBJECT[:REGIONS].rstrip(",\n ") + "}", ["regions is missing", "one box for each thing"]),
        (OBJECT[:REGIONS] + '"regions": []}', ["regions holds no boxes", "one box for each thing"]),
        (OBJECT.replace(', "A tall vase."', ""), ['cells holds 1 and split_ratio "0.5, 0.5" makes 2', "(50-100 % across"]),
        (OBJECT.replace('"0.5, 0.5"', '"0.5, x"'), ['split_ratio is "0.5, x"', '"x" is not a number above 0', '"0.4, 0.6"']),
        (OBJECT.replace('"version": 1', '"version": 2'), ["version is 2", "write 1"]),
        (OBJECT[:200], ["the JSON object breaks off", "max_length"]),
        (f"{DRAFT}\nFinal: {OBJECT[:200]}", ["the JSON object breaks off", "max_length"]),
        (f"{DRAFT}\nFinal: {OBJECT.replace('0.05,', '0.05')}", ["the JSON object has", "valid JSON"]),
        (f"<think>{OBJECT}", ["ends inside its reasoning", "max_length"]),
        (RAG.replace("[0.05, 0.55]", "__import__('os').getcwd()"), ["HB_m_offset_list is __import__", "list of numbers"]),
        (RAG.replace("[0.05, 0.55]", '[0.05, "right"]'), ['value 2 of HB_m_offset_list is "right"', "from 0 to 1"]),
        (RAG.replace("[0.4, 0.4]", "[0.4]"), ["the number of values differs", "HB_m_scale_list 1", "every list"]),
        (RAG.replace("HB_n_scale_list", "heights"), ["HB_n_scale_list is missing", "list of numbers"]),
        (RAG.replace("ratio: 0.5, 0.5", "ratio: 0.5, x"), ["split_ratio is 0.5, x", '"0.4, 0.6"']),
        (RAG.replace("ratio: 0.5, 0.5", "ratio: None"), ["split_ratio is None", '"0.4, 0.6"']),
        (RAG.replace(" BREAK", ""), ["cells holds 1 and split_ratio", "(50-100 % across"]),
    ],
)  # fmt: skip
def test_refusals_name_field_value_and_fix(answer, said):
    with pytest.raises(PlanError) as error:
        read_plan(answer)
    assert [words for words in said if words not in str(error.value)] == []
    assert all(problem.field and problem.found and problem.fix for problem in error.value.problems)


def test_the_examples_of_the_instruction_are_what_it_asks_for():
    """Read without a repair; no overlaps; every box inside one cell."""
    examples = re.findall(r"^\{.*\}$", instruction("anything", 1024, 1024), flags=re.MULTILINE)
    assert [len(read_plan(example).boxes) for example in examples] == [3, 7]
    for example in examples:
        plan = read_plan(example)
        assert plan.report.endswith("Nothing had to be repaired.")
        edges = [part.shape.edges for part in plan.boxes]
        homes = [cell.shape.edges for cell in plan.cells]
        assert not any(
            a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
            for a in edges
            for b in edges
            if a != b
        )
        assert all(
            any(c[0] <= e[0] and c[1] <= e[1] and e[2] <= c[2] and e[3] <= c[3] for c in homes) for e in edges
        )


def test_the_instruction_carries_what_was_asked():
    text = instruction("a {red}\nfox", 1536, 768, regions=3, style=ANSWER_STYLES[1])
    assert all(
        part in text
        for part in ("Request: a {red} fox\n", "1536 x 768", "wider than high", "exactly 3 boxes")
    )
    assert text.endswith("as the last thing in your answer.")
    assert "make one box for each" in instruction("a fox", 64, 64)
    with pytest.raises(ValueError, match="sentence is empty"):
        instruction(" ", 64, 64)


def test_a_refusal_can_be_fed_back():
    with pytest.raises(PlanError) as error:
        read_plan(OBJECT.replace("0.05", '"left"'))
    text = instruction("a cat and a vase", 1024, 1024, feedback=f"Plan to Regions: {error.value}\n{RETRY}")
    assert 'could not be used:\nPlan to Regions: x of region 1 is "left"; write the left edge' in text
    assert RETRY not in text


def test_the_planner_needs_neither_torch_nor_comfyui():
    code = "import sys, rag_sampler.planner; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPO, check=False).returncode == 0
