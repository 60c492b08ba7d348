"""Plans as JSON objects, and boxes as JSON lists, wherever in an answer they stand."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Any

from .fields import BOX_LISTS, JSON, LISTS, PATTERNS, Fields, canonical, settle
from .keys import PLACES, by_plain_names, is_box, plain, words_of
from .literals import BLANK, Literals, Unreadable
from .problems import Problem, is_placeholder

ATTEMPTS = 24
"""Places of an answer, from its end, at which an object is tried."""

_ANCHOR = re.compile(
    rf"(?=[abcdefghimorsv])\b(?:{'|'.join(PATTERNS.values())})\b[\"'`“”„‘’«»]?\s*[:：]", re.IGNORECASE
)
_LIST = re.compile(r"\[\s*\{")
_KEY = re.compile(r"[\"'“]?(\w[\w -]{0,20})[\"'”]?\s*[:：]")


def find_object(text: str) -> tuple[Fields | None, Problem | None]:
    """The last JSON object with a plan's keys, or why the last attempt at one failed."""
    reader, problem, broken_off, form = Literals(text), None, None, None
    anchors = [match.start() for match in _ANCHOR.finditer(text)]
    for start in _starts(text, anchors):
        try:
            value, end = reader.read(start)
        except Unreadable as error:
            following = anchors[bisect_left(anchors, start) :]
            if following[0] > error.place:
                continue  # it held no field of a plan
            if BLANK.search(text, start, error.place + 20):
                form = form or _form(text[start : error.place + 20])
                continue
            problem = problem or _broken("the JSON object", error)
            if error.cut:
                broken_off = start
            elif len(following) > 1:
                break  # it was to be the plan; one before it is a draft
            continue
        values = canonical(value) if isinstance(value, dict) else {}
        if not {"regions", "split_ratio", "cells", BOX_LISTS[0]} & values.keys():
            continue
        if _is_form(values):
            form = form or _form(text[start:end])
            continue
        if broken_off is not None and not text[start:end].startswith(text[broken_off:].rstrip()):
            break  # this is a draft of the plan that breaks off
        found = _fields(_with_surroundings(values, reader, start, end))
        if broken_off is not None:
            found.notes.append("the answer repeats the plan and breaks off; the whole one was read")
        if form:
            found.notes.append("a form without words was passed over")
        return found, None
    return None, problem or form


def find_boxes(text: str) -> tuple[Fields | None, Problem | None]:
    """Boxes that no object holds: a list, or objects one after the other."""
    reader = Literals(text)
    for match in list(_LIST.finditer(text))[: -ATTEMPTS - 1 : -1]:
        try:
            value, end = reader.read(match.start())
        except Unreadable as error:
            if _may_be_box(text, match.start()):
                return None, _broken("the list of boxes", error)
            continue
        if isinstance(value, list) and any(is_box(box) for box in value) and not _is_form({"regions": value}):
            return _fields(_with_surroundings({"regions": value}, reader, match.start(), end)), None
    found: list[dict[str, Any]] = []  # one after the other, as one object a line
    place = text.find("{")
    for _ in range(4 * ATTEMPTS):
        if place < 0:
            break
        try:
            value, end = reader.read(place)
        except Unreadable as error:
            if _may_be_box(text, place):
                return None, _broken("the box", error)
            value, end = None, place + 1
        if is_box(value):
            found.append(value)
        place = text.find("{", end)
    return (_fields({"regions": found}) if found and not _is_form({"regions": found}) else None), None


def _may_be_box(text: str, start: int) -> bool:
    return any(plain(key[1]) in PLACES for key in _KEY.finditer(text, start, start + 400))


def _broken(what: str, error: Unreadable) -> Problem:
    return Problem(
        what, str(error), "let the model write more (max_length)" if error.cut else "write valid JSON"
    )


def _fields(values: dict[str, Any]) -> Fields:
    published = BOX_LISTS[0] in values
    notes = settle(values)
    return Fields(LISTS if published else JSON, values, notes, keeps_order=published or _has_ids(values))


def _with_surroundings(values: dict[str, Any], reader: Literals, start: int, end: int) -> dict[str, Any]:
    """The fields, with those that they lack from the objects around them."""
    place = start
    for _ in range(3):
        place = reader.text.rfind("{", 0, place)
        if place < 0 or {"base_prompt", "regions"} <= values.keys():
            break
        try:
            outer, stop = reader.read(place)
        except Unreadable:
            continue
        if stop >= end and isinstance(outer, dict):
            values = {**canonical(outer), **values}
    return values


def _is_form(values: dict[str, Any]) -> bool:
    """Whether every prompt is a placeholder: what was asked for, not an answer."""
    texts: list[Any] = []
    for entry in (*_entries(values, "regions"), *_entries(values, "cells"), *_entries(values, BOX_LISTS[0])):
        texts.append(words_of(by_plain_names(entry))[1] if isinstance(entry, dict) else entry)
    return bool(texts) and all(isinstance(text, str) and is_placeholder(text) for text in texts)


def _entries(values: dict[str, Any], name: str) -> list[Any]:
    found = values.get(name, [])
    return found if isinstance(found, list) else []


def _form(text: str) -> Problem:
    short = " ".join(text[:200].split())
    return Problem(
        "the plan", f"is a form without words ({short[:57]}...)", "write the plan for the request itself"
    )


def _has_ids(values: dict[str, Any]) -> bool:
    """Whether the boxes have ids, as in an export or from the Region Canvas: then their order is the user's."""
    return any(isinstance(box, dict) and "id" in box for box in _entries(values, "regions"))


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
