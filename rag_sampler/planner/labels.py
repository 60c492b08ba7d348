"""Plans as labelled lines, as RAG and RPG ask for them, and as the assignments of a Python script."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from .fields import BOX_LISTS, BREAK, LISTS, PATTERNS, RAG, RPG, SETTINGS, Fields, about_settings
from .literals import BLANK, MAX_STRING, Literals, Unreadable, Word

ATTEMPTS = 24
"""Occurrences of a label, from the end, at which a value is sought."""

_LABELS = {
    "base_prompt": PATTERNS["base_prompt"],
    "split_ratio": "final[ _]split[ _]ratio|SR_hw_split_ratio",
    "earlier_ratio": "split[ _]ratio",
    "cells": "regional[ _]prompts?|SR_prompt",
    **{name: name for name in BOX_LISTS},
}
_RATIOS = ("split_ratio", "earlier_ratio")
_LABEL = re.compile(
    r"(?=[bfhrs])(?<![\w.])(?<!horizontal )(?<!vertical )(?:"
    + "|".join(f"(?P<{name}>{pattern})" for name, pattern in _LABELS.items())
    + r")[*_`\"'“”]{0,3}[ \t]*(?:\([^()\n]{0,60}\)[*_]{0,3}[ \t]*)?(?P<sign>[:：]|=(?!=))[*_`]{0,3}",
    re.IGNORECASE,
)
_SETTING = re.compile(
    r"(?:^|[(,])[ \t]*(?P<setting>prompt|Repainting_\w{1,30}|Redux_list|id_images_path|id_weights|"
    r"height, ?width|width, ?height|" + "|".join(SETTINGS) + r")[ \t]*=(?!=)[ \t]*",
    re.MULTILINE,
)
_BLANK_VALUE = re.compile(rf"[\s\"'“\[(*`]{{0,8}}(?:{BLANK.pattern})")
_NUMBERED_LINE = re.compile(
    r"^[-*•#>\t ]{0,8}(?:sub)?(?:region|cell|区域) ?#?(\d{1,3})\b[^\n]*", re.IGNORECASE | re.MULTILINE
)
_UNIT = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?:[ \t]*/[ \t]*(?:\d+(?:\.\d*)?|\.\d+)|[ \t]*%)?"
_RATIO = re.compile(rf"\(?[ \t]*{_UNIT}[ \t]*\)?(?:\s*[,;:，；：、]\s*\(?[ \t]*{_UNIT}[ \t]*\)?)*")
# What may not follow a ratio: more that looks like a part of it.
_NO_REMARK = re.compile(r"\w|[ \t]*(?:[,;，；:：/%+*][ \t]*[^\s,;\]\"'`*]|-[ \t]*\d)")
# What ends the last prompt: a blank line, a fence, a rule, or a heading as Markdown or "e. " write it.
_ENDS_PROMPT = re.compile(
    r"\n[ \t]*(?:\n|```|#{1,6} |-{3,}|\*{2}[^*\n]{1,60}\*{2}:?[ \t]*\n|[a-zA-Z\d]{1,2}[.)] )"
)


def find_labels(text: str) -> Fields:
    """The labelled fields; of each the last occurrence that is a value, else the last one as a Word."""
    labels = list(_LABEL.finditer(text))
    ends = dict(zip(labels, [*(label.start() for label in labels[1:]), len(text)]))
    marks = _without_forms(text, labels)
    reader = Literals(text)
    values: dict[str, Any] = {}
    tried: dict[str, int] = {}
    keeps_order = False
    for mark in marks[::-1]:
        end = ends[mark]
        name = next(name for name in _LABELS if mark[name])
        if tried.get(name, 0) >= ATTEMPTS or (name in values and not isinstance(values[name], Unread)):
            continue
        tried[name] = tried.get(name, 0) + 1
        value = _read_label(name, reader, mark.end(), min(end, mark.end() + 4 * MAX_STRING), mark["sign"])
        if value is None:
            values.setdefault(name, Unread(" ".join(text[mark.end() : min(end, mark.end() + 80)].split())))
        else:
            values[name] = value
            keeps_order |= mark["sign"] == "=" and name in BOX_LISTS
    earlier = values.pop("earlier_ratio", None)
    if (
        "cells" not in values
        and marks
        and (prompts := _numbered_prompts(text, (label.start() for label in labels)))
    ):
        values["cells"] = prompts
    if earlier is not None and isinstance(values.get("split_ratio", Unread()), Unread):
        values["split_ratio"] = earlier
    source = LISTS if keeps_order else RAG if any(name in values for name in BOX_LISTS) else RPG
    found = Fields(source, values, keeps_order=keeps_order)
    if keeps_order:
        _read_settings(text[max(0, marks[0].start() - MAX_STRING) :][: 4 * MAX_STRING], found)
    return found


def _without_forms(text: str, marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """The labels, without those of a run of them whose prompts are placeholders."""
    runs: list[list[re.Match[str]]] = []
    names: set[str] = set()
    for mark in marks:
        name = next(name for name in _LABELS if mark[name])
        if not runs or name in names:
            runs.append([])
            names = set()
        names.add(name)
        runs[-1].append(mark)

    def is_form(mark: re.Match[str]) -> bool:
        return bool((mark["cells"] or mark[BOX_LISTS[0]]) and _BLANK_VALUE.match(text, mark.end()))

    return [mark for run in runs if not any(map(is_form, run)) for mark in run]


def _numbered_prompts(text: str, labels: Iterable[int]) -> list[str]:
    """The prompts behind "Region 0:", "Region 1:" ..., of each number the last one; none unless the numbers follow one
    another. labels: where labels stand."""
    found: dict[int, str] = {}
    lines = list(_NUMBERED_LINE.finditer(text))
    stops = sorted({*labels, *(line.start() for line in lines), len(text)})
    for line in lines:
        stop = stops[bisect_right(stops, line.start())]
        found[int(line[1])] = text[line.start() : min(stop, line.start() + MAX_STRING)]
    numbers = sorted(found)
    if not numbers or numbers[0] > 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return []
    written = _prompts(" BREAK ".join(found[number] for number in numbers))
    return [" ".join(_ENDS_PROMPT.split(piece.strip(), 1)[0].split()) for piece in BREAK.split(written or "")]


class Unread(Word):
    """What follows a label and is no value."""

    __slots__ = ()


def _read_label(name: str, reader: Literals, start: int, end: int, sign: str) -> Any:
    """The value behind a label, a Word where it looks like a value and is none, None where it is no value."""
    text = reader.text
    while start < end and text[start] in (" \t\n\\" if sign == "=" else " \t\n*`_"):
        start += 1
    if start == end:
        return None
    if name in BOX_LISTS:
        return _read_list(reader, start, end)
    value = _read_text(reader, start) if name not in _RATIOS or text[start] != "(" else None
    if name in _RATIOS:
        return _read_ratio(text[start : min(end, start + 2000)]) if value is None else value
    if value is not None or sign == "=":
        return value
    return (
        _prompts(text[start:end]) if name == "cells" else " ".join(text[start:end].split("\n", 1)[0].split())
    )


def _read_list(reader: Literals, start: int, end: int) -> Any:
    first, line = reader.text[start], reader.text[start:end].split("\n", 1)[0]
    if first not in "[(" and not (first in "\"'“.-" or first.isdigit()):
        return None
    try:
        return reader.read(start)[0] if first in "[(" else Literals(f"[{line}]").read(0)[0]
    except Unreadable as error:
        bare = re.match(r"\[([^\[\]\"'\d]+)\]", line)  # prompts without quotes
        return bare[1].split(",") if bare else Word(f"{line[:50]} ({error})")


def _read_text(reader: Literals, start: int) -> Any:
    """A string or a list; None where there is neither."""
    if reader.text[start] not in "\"'“„«([rRuUfFbB":
        return None
    try:
        value = reader.read(start)[0]
    except Unreadable:
        return None
    return value if isinstance(value, (str, list)) and not isinstance(value, Word) else None


def _read_ratio(text: str) -> Any:
    if text[0] not in "[(.-" and not text[0].isdigit():
        return None
    match = _RATIO.match(text.removeprefix("["))
    if not match or _NO_REMARK.match(text.removeprefix("["), match.end()):
        return Word(" ".join(text.split("\n", 1)[0].split()))
    return match[0]


def _prompts(text: str) -> str | None:
    """The prompts with BREAK between them. The last one ends at a blank line, at a heading, or with its line
    where all before it are one line each."""
    *before, last = BREAK.split(text)
    last = last.lstrip()
    if end := _ENDS_PROMPT.search(last):
        last = last[: end.start()]
    if before and not any("\n" in piece.strip() for piece in before):
        last = last.split("\n", 1)[0]
    return " BREAK ".join([*before, last]) if before or last.strip() else None


def _read_settings(text: str, found: Fields) -> None:
    """The base prompt of a pasted script, and its settings, which belong to other nodes."""
    settings: dict[str, Word] = {}
    reader = Literals(text)
    for match in list(_SETTING.finditer(text))[:100]:
        name, value = match["setting"], text[match.end() : match.end() + 100].split("\n", 1)[0].strip(" ,")
        if not re.match(r"[-\d.\"'\[(rRuUfFbB]", value):
            continue  # an expression
        if name == "prompt" and isinstance(prompt := _read_text(reader, match.end()), str):
            found.values.setdefault("base_prompt", prompt)
        elif name != "prompt" and value[0] not in "rRuUfFbB(":
            settings[name] = Word(value)
    found.notes += about_settings(settings)
