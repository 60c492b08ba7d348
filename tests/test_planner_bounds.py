"""Whatever an answer holds: a plan or a refusal, nothing else, and soon."""

import random
import time
from pathlib import Path

import pytest
from rag_pack.rag_sampler import planner
from rag_pack.rag_sampler.canvas import read_linked
from rag_pack.rag_sampler.drawing import drawn_regions
from rag_pack.rag_sampler.layout import LayoutError
from rag_pack.rag_sampler.planner import Plan, PlanError, read_plan
from test_planner import ANSWERS, OBJECT, RAG, README, meaning, script
from test_readers import WRITTEN

SIZE = 100_000
LIMIT = 0.3
"""Seconds of processor time for one answer: six times what the slowest takes alone, as a loaded machine is slower;
a reader that goes over an answer again for each of its characters takes minutes."""

WHOLE = [
    OBJECT,
    f"```json\n{OBJECT}\n```",
    RAG,
    script(*README[0]),
    *(case["text"] for case in ANSWERS),
    *WRITTEN,
]
FOREIGN = ("画面上有一只猫", "кот слева", "θέση", "猫が左に、", "القط على اليسار", "🐱🏺", "‮", "Ḿ̈", "½")


def outcome(text: str) -> Plan | PlanError:
    """What comes of an answer, within the limit; a slow machine gets three attempts."""
    for _ in range(3):
        began = time.process_time()
        try:
            found = read_plan(text)
        except PlanError as error:
            found = error
        if time.process_time() - began < LIMIT:
            return found
    pytest.fail(f"took {time.process_time() - began:.3f} s")


def linked(text: str) -> dict | LayoutError | None:
    """The same of a layout that comes over the link of Region Canvas."""
    for _ in range(3):
        began = time.process_time()
        try:
            found = read_linked(text, 1024, 1024)
        except LayoutError as error:
            found = error
        if time.process_time() - began < LIMIT:
            return found
    pytest.fail(f"took {time.process_time() - began:.3f} s")


def mutated(seed: int) -> str:
    """One of the whole answers, changed once to three times; the same for the same seed."""
    pick = random.Random(seed)
    text = pick.choice(WHOLE)
    for _ in range(pick.randint(1, 3)):
        text = pick.choice(MUTATIONS)(text, pick)
    return text


def cut(text: str, pick: random.Random) -> str:
    return text[: pick.randrange(len(text) + 1)]


def twice(text: str, pick: random.Random) -> str:
    return (
        text
        + pick.choice(["", "\n\n", " or "])
        + text[: pick.choice([len(text), pick.randrange(len(text) + 1)])]
    )


def shuffled(text: str, pick: random.Random) -> str:
    lines = text.splitlines()
    pick.shuffle(lines)
    return "\n".join(lines)


def foreign(text: str, pick: random.Random) -> str:
    words = text.split(" ")
    for _ in range(6):
        words.insert(pick.randrange(len(words) + 1), pick.choice(FOREIGN))
    return " ".join(words)


def noisy(text: str, pick: random.Random) -> str:
    noise = "".join(chr(pick.choice([pick.randrange(9, 127), pick.randrange(0xD7FF)])) for _ in range(2000))
    place = pick.choice([0, len(text), pick.randrange(len(text) + 1)])
    return text[:place] + noise * (SIZE // 2000) + text[place:]


def nested(text: str, pick: random.Random) -> str:
    bomb = pick.choice(["[", '{"a":', '{"regions":[', "(", '[{"x":']) * pick.choice([9, 100, 20_000])
    place = pick.choice([0, text.find(":") + 1, len(text)])
    return text[:place] + bomb + text[place:]


def typed(text: str, pick: random.Random) -> str:
    """Single characters lost, doubled or replaced."""
    for _ in range(pick.randint(1, 8)):
        place = pick.randrange(len(text) + 1)
        text = text[:place] + pick.choice("\"'{}[]:,;\\/.0 \n-eE%") * pick.randint(0, 2) + text[place + 1 :]
    return text


def renumbered(text: str, pick: random.Random) -> str:
    values = [
        "-1",
        "2",
        "1e999",
        "NaN",
        "true",
        "null",
        '"0.5"',
        "1/3",
        "40%",
        "left",
        "1/0",
        "[0.5]",
        "9" * 5000,
    ]
    return text.replace(
        pick.choice(["0.5", "0.05", "0.8", "0.4", "1"]), pick.choice(values), pick.randint(1, 3)
    )


MUTATIONS = [cut, twice, shuffled, foreign, noisy, nested, typed, renumbered]


@pytest.mark.parametrize("seed", range(200))
def test_mutated_answers_become_a_plan_or_a_refusal(seed):
    found = outcome(mutated(seed))
    if isinstance(found, Plan):
        assert found.base_prompt and found.boxes
        assert all(part.prompt.strip() for part in (*found.boxes, *found.cells))
        assert all(0 <= edge <= 1 for part in (*found.boxes, *found.cells) for edge in part.shape.edges)
        again = read_plan(found.to_json())
        assert (again.cells, again.base_prompt) == (found.cells, found.base_prompt)
        assert [part.prompt for part in again.boxes] == [part.prompt for part in found.boxes]
    else:
        assert str(found)
        assert all(problem.field and problem.found and problem.fix for problem in found.problems)


@pytest.mark.parametrize("seed", range(200))
def test_mutated_layouts_become_a_drawing_or_a_refusal(seed):
    found = linked(mutated(seed))
    if isinstance(found, LayoutError):
        assert str(found).startswith("bboxes")
    elif found is not None:
        assert all(0 <= edge <= 1 for one in drawn_regions(found) for edge in one.box.edges)


def test_mutations_leave_some_plans_and_refuse_some():
    found = [isinstance(outcome(mutated(seed)), Plan) for seed in range(200)]
    assert 40 < sum(found) < 160


HOSTILE = [
    "{", "[", "(", "<", "`", "*", "_", "#", "/*", "//", ":", ",", "=", "-", "\n", "\r\n", "\t(", " ", "1", "1.", "1/", "½",
    '"', "'", "“", '""', '" ', "\\", '\\"', "\\u0041", "\ud800", "\x00", "{}", "[],", "()", '{"', '{"a":1}', '{"level":"info","n":1}\n',
    "regions:", "{regions:", '{"regions":', '{"regions":[', '{"regions":[{"cells":[', '{"regions":{"regions":', '{"regions":"a', "{'regions':'a' ",
    '[{"x":', '[{"x":1},', "[ {", "<think>", "</think>", "<think></think>x", "BREAK ", "Regional Prompt: a BREAK ", "Regional Prompt: Region 1: a BREAK ",
    "Final split ratio: 1,1;", "Final split ratio: ", "split ratio: (", "HB_prompt_list: [", 'HB_prompt_list = ["a", ', 'HB_prompt_list: ("a" ',
    '{"bbox_2d":[', '[{"bbox_2d":[1,2,3,4]},', '{"box_2d":[1,2,3,4],"label":"a"}\n', '{"prompt":"..."},', '{"elements":[{"box":', '{"a":{"b":',
    "...", "<a>", "｛", "canvas.add_local_description(", "canvas.add_local_description(location='on the left')", "Region 0: a\n", "区域",
    "HB_m_offset_list: [0.1, ", "HB_m_offset_list: [0.1]\n", "SR_prompt = '", "prompt = ", "height = 1\n", "HB_replace = 1, ",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE, ids=ascii)
def test_repetition_takes_bounded_time_and_hides_no_plan_before_its_end(unit):
    """100 kB of it alone; and before a plan, which is read as if it stood alone, unless inside reasoning."""
    noise = (unit * (SIZE // len(unit) + 1))[: SIZE - len(unit)]
    outcome(noise)
    linked(noise)
    for plan in (OBJECT, RAG):
        found = outcome(f"{noise[: SIZE - 1000]}\n{plan}")
        if unit.startswith("<think"):
            assert isinstance(found, PlanError)
        else:
            assert meaning(found) == meaning(read_plan(plan))


@pytest.mark.parametrize(
    "head",
    [
        '{"regions":',
        '{"regions":[',
        '{"regions":"',
        "HB_prompt_list: [",
        "Final split ratio: ",
        "Regional Prompt: ",
    ],
)
@pytest.mark.parametrize(
    "unit",
    [
        "1,",
        "[",
        "{",
        '"',
        "\\",
        " ",
        "9",
        '{"prompt":"a","x":0.1,"y":0.1,"w":0.3,"h":0.3},',
        '"a":1,',
        "[],",
        '"a",',
    ],
    ids=ascii,
)
def test_an_endless_value_takes_bounded_time(head, unit):  # fmt: skip
    outcome(head + (unit * (SIZE // len(unit) + 1))[:SIZE])


def test_an_answer_beyond_all_bounds_is_refused_unread():
    with pytest.raises(PlanError, match="has 200001 characters; give at most 200000"):
        read_plan("x" * 200_001)


def test_nothing_is_evaluated():
    sources = [path.read_text(encoding="utf-8") for path in Path(planner.__file__).parent.glob("*.py")]
    assert len(sources) > 5
    for call in ("eval(", "exec(", "literal_eval", "compile(", "__import__", "import ast", "pickle"):
        assert not any(call in source.replace("re.compile(", "") for source in sources)
