"""Plans as JSON objects, wherever in an answer they stand."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Any

from .fields import BOX_LISTS, JSON, LISTS, PATTERNS, SETTINGS, Fields, about_settings, canonical
from .literals import Literals, Unreadable
from .problems import Problem

ATTEMPTS = 24
"""Places of an answer, from its end, at which an object is tried."""

_ANCHOR = re.compile(
    rf"(?=[bcfhorsv])\b(?:{'|'.join(PATTERNS.values())})\b[\"'`“”„‘’«»]?\s*[:：]", re.IGNORECASE
)


def find_object(text: str) -> tuple[Fields | None, Problem | None]:
    """The last JSON object with a plan's keys, or why the last attempt at one failed."""
    reader, problem, broken_off = Literals(text), None, None
    anchors = [match.start() for match in _ANCHOR.finditer(text)]
    for start in _starts(text, anchors):
        try:
            value, end = reader.read(start)
        except Unreadable as error:
            following = anchors[bisect_left(anchors, start) :]
            if following[0] > error.place:
                continue  # it held no field of a plan
            fix = "let the model write more (max_length)" if error.cut else "write valid JSON"
            problem = problem or Problem("the JSON object", str(error), fix)
            if error.cut:
                broken_off = start
            elif len(following) > 1:
                break  # it was to be the plan; one before it is a draft
            continue
        values = canonical(value) if isinstance(value, dict) else {}
        if not {"regions", "split_ratio", "cells", BOX_LISTS[0]} & values.keys():
            continue
        if broken_off is not None and not text[start:end].startswith(text[broken_off:].rstrip()):
            break  # this is a draft of the plan that breaks off
        return _fields(values, repeated=broken_off is not None), None
    return None, problem


def _fields(values: dict[str, Any], repeated: bool) -> Fields:
    published = BOX_LISTS[0] in values
    found = Fields(LISTS if published else JSON, values, keeps_order=published or _has_ids(values))
    if repeated:
        found.notes.append("the answer repeats the plan and breaks off; the whole one was read")
    if "prompt" in values:
        values.setdefault("base_prompt", values["prompt"])
    found.notes += about_settings({name: values[name] for name in SETTINGS if name in values})
    return found


def _has_ids(values: dict[str, Any]) -> bool:
    """Whether the boxes have ids, as in an export or from the Region Canvas: then their order is the user's."""
    boxes = values.get("regions")
    return isinstance(boxes, list) and any(isinstance(box, dict) and "id" in box for box in boxes)


def _starts(text: str, anchors: list[int]) -> list[int]:
    """Where a plan's object may start, last first: braces next before a plan's keys."""
    near: set[int] = set()
    for place in anchors[-64:]:
        for _ in range(3):
            place = text.rfind("{", 0, place)
            if place < 0:
                break
            near.add(place)
    return sorted(near, reverse=True)[:ATTEMPTS]


def find_boxes(text: str) -> Fields | None:
    """A list of boxes that no object holds."""
    reader, place = Literals(text), len(text)
    for _ in range(ATTEMPTS):
        place = text.rfind("[", 0, place)
        if place < 0:
            break
        if not text[place + 1 : place + 20].lstrip().startswith("{"):
            continue
        try:
            value, _ = reader.read(place)
        except Unreadable:
            continue
        if isinstance(value, list) and all(
            isinstance(box, dict) and {"x", "left"} & box.keys() for box in value
        ):
            return Fields(JSON, {"regions": value})
    return None
