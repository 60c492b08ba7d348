"""From an answer, with all that surrounds a plan in it, to the plan's fields."""

from __future__ import annotations

import re

from .fields import BOX_LISTS, Fields
from .labels import find_labels
from .objects import find_boxes, find_object
from .omost import find_omost
from .problems import PlanError, Problem, shown

MAX_ANSWER = 200_000
"""Characters of the longest answer that is read."""

_BRACKETS = str.maketrans("｛｝［］", "{}[]")
_REASONING = re.compile(r"<(/?)(?:think|thinking|thought|reasoning|analysis|reflection|scratchpad)>", re.I)


def find_fields(answer: str) -> Fields:
    """The fields of an answer; of several plans the last one. Raises PlanError where there is none."""
    text = _clean(answer)
    found, problem = find_object(text) if "{" in text else (None, None)
    if found:
        return found
    labelled = find_labels(text)
    if {"cells", *BOX_LISTS, *([] if problem else ["split_ratio"])} & labelled.values.keys():
        return labelled
    if problem is None:
        boxes, problem = find_boxes(text)
        if boxes:
            if base := labelled.values.get("base_prompt"):
                boxes.values.setdefault("base_prompt", base)
            return boxes
    if omost := find_omost(text):
        return omost
    raise PlanError([problem or _nothing(text)])


def _clean(answer: str) -> str:
    """The text behind the reasoning, with one kind of line end and without invisible characters."""
    if len(answer) > MAX_ANSWER:
        fix = f"give at most {MAX_ANSWER}, the plan alone"
        raise PlanError([Problem("the answer", f"has {len(answer)} characters", fix)])
    text = answer.encode("utf-8", "replace").decode("utf-8")  # halves of characters become "?"
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\\_", "_")  # HB\_prompt\_list in Markdown
    text = text.translate({**_BRACKETS, 0: " ", 0xA0: " ", 0xFEFF: None, 0x200B: None, 0x2060: None})
    if not text.strip():
        fix = "connect the language model's text, or paste an answer"
        raise PlanError([Problem("the answer", "is empty", fix)])
    marks = list(_REASONING.finditer(text))
    start = max((mark.end() for mark in marks if mark[1]), default=0)
    end = min((mark.start() for mark in marks if not mark[1] and mark.start() >= start), default=len(text))
    if not text[start:end].strip():
        fix = "let the model write more (max_length), or switch its thinking off"
        raise PlanError([Problem("the answer", "ends inside its reasoning", fix)])
    return text[start:end]


def _nothing(text: str) -> Problem:
    fix = "write the JSON object that Planner Prompt asks for"
    return Problem("the plan", f"is missing in {shown(text)}", fix)
