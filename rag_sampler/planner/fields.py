"""The fields that an answer may hold, by whatever names and in whatever dress it writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ..layout import NEAR_BREAK
from .keys import is_box, plain
from .problems import Findings, shown

JSON, RAG, RPG, LISTS = "JSON object", "RAG answer", "RPG answer", "published parameter lists"

BOX_LISTS = ("HB_prompt_list", "HB_m_offset_list", "HB_n_offset_list", "HB_m_scale_list", "HB_n_scale_list")
SETTINGS = ("HB_replace", "SR_delta", "seed", "width", "height", "num_inference_steps", "guidance_scale")

# Canonical field -> how it may be called. In a pattern " " stands for a space, a hyphen, an underscore or nothing.
NAMES = {
    "version": "version",
    "base_prompt": "(?:refined )?base prompt|refined prompt|(?:global|overall|main|scene) (?:prompt|caption|description)"
    "|high level description",
    "split_ratio": "(?:final )?split ratio|SR hw split ratio",
    "cells": "cells|cell prompts|regional prompts?|SR prompt",
    "regions": "regions|boxes|bboxes|objects|elements|detections|annotations|instances|items",
    **{name: name for name in BOX_LISTS},
}
BASE_PROMPTS = ("caption", "scene", "prompt", "description")
"""Keys that hold the base prompt of an object without one of the names above; the first wins."""

PATTERNS = {name: pattern.replace(" ", "[ _-]?") for name, pattern in NAMES.items()}
_KEYS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in PATTERNS.items()}

BREAK = re.compile(r"[*_`]{0,3}\bBREAK\b[*_`]{0,3}[.,;:]?")
_NUMBERED = re.compile(
    r"[-*•#\s]{0,4}(?:sub)?(?:region|cell|区域) ?#?(\d{1,3})[*_]{0,3}(?: ?\([^()\n]{0,60}\))?[*_]{0,3} ?[:：.][*_]{0,3}\s*"
    r"(?:\(Row ?\d[^()\n]{0,60}\)\s*)?",
    re.IGNORECASE,
)


@dataclass
class Fields:
    """What an answer holds: canonical name -> value, as written; where it came from; what was passed over."""

    source: str
    values: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    keeps_order: bool = False


def canonical(found: dict[str, Any], depth: int = 3) -> dict[str, Any]:
    """A JSON object with its keys by the names of the fields, and those of objects in it where it lacks them.

    null is absent; where two keys name one field, the exact name wins; a list of boxes needs no name.
    """
    named: dict[str, Any] = {}
    for given, value in found.items():
        name = next((name for name, key in _KEYS.items() if key.fullmatch(given[:80])), given)
        if value is None:
            continue
        if name in named and name != given:
            name = given  # what has the name already stays
        elif name in named and name == "regions":
            named[f"another {name}"] = named[name]
        named[name] = value
    if depth:
        for value in [
            value for name, value in named.items() if isinstance(value, dict) and name not in NAMES
        ]:
            for name, inner in canonical(value, depth - 1).items():
                named.setdefault(name, inner)
    lists = [name for name, value in named.items() if _holds_boxes(value)]
    if "regions" not in named and len(lists) == 1:
        named["regions"] = named.pop(lists[0])
    return named


def _holds_boxes(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_box(box) for box in value)


def pieces(text: str) -> list[str]:
    """The prompts between the words BREAK; empty ones at the end are dropped."""
    first, *others = BREAK.split(text)
    parts = [first, *(piece.lstrip(NEAR_BREAK) for piece in others)]
    parts = [*(piece.rstrip(NEAR_BREAK) for piece in parts[:-1]), parts[-1]]
    found = [_unquoted(" ".join(piece.split()).strip("*` ")) for piece in parts]
    while len(found) > 1 and not found[-1]:
        found.pop()
    return found


def _unquoted(piece: str) -> str:
    """A prompt without the quotation marks around it, one of which may have gone to its neighbour."""
    marks = [character for character in piece if character in '"“”„']
    around = len(marks) == 2 and piece[0] in marks and piece[-1] in marks
    return piece.strip('"“”„ ') if len(marks) == 1 or around else piece


def numbered(piece: str) -> tuple[int | None, str]:
    """A piece that starts with "Region 2:" as (2, the rest)."""
    match = _NUMBERED.match(piece)
    return (int(match[1]), piece[match.end() :].strip()) if match else (None, piece)


def settle(values: dict[str, Any]) -> list[str]:
    """Give `values` its base prompt by whatever name it has, and say what is not read."""
    notes: list[str] = []
    others = {plain(key): key for key in values if key not in NAMES}
    base = next(
        (others[name] for name in BASE_PROMPTS if isinstance(values.get(others.get(name)), str)), None
    )
    if base and "base_prompt" not in values:
        values["base_prompt"] = values.pop(base)
        notes.append(f"{base} was read as the base prompt")
        del others[plain(base)]
    unread = {
        key: values[key]
        for key in others.values()
        if key not in SETTINGS and key not in ("linked", "id") and values[key] not in ("", [], {})
        and not isinstance(values[key], dict)
    }  # fmt: skip
    if unread:
        told = "; ".join(f"{key} = {shown(value)}" for key, value in list(unread.items())[:12])
        notes.append(f"not read: {told}")
    return notes + about_settings({name: values[name] for name in SETTINGS if name in values})


def refuse_other_lists(values: dict[str, Any], findings: Findings) -> None:
    """Boxes under a second key are not left out without a word."""
    for key, value in values.items():
        if key != "regions" and _holds_boxes(value) and value != values.get("regions"):
            findings.refuse(key, "holds boxes too", "write all boxes in one list, regions")


def stated_size(values: dict[str, Any]) -> tuple[int, int] | None:
    """The width and height in pixels that an answer itself states, which its pixels are of."""
    sides = values.get("width"), values.get("height")
    whole = all(isinstance(side, (int, float)) and 16 <= side <= 1e5 for side in sides)
    return (int(sides[0]), int(sides[1])) if whole else None


def about_settings(settings: dict[str, Any]) -> list[str]:
    """What to do with values that are no part of a layout."""
    notes = []
    nodes = {"HB_replace": "bind_steps of the sampler", "SR_delta": "delta of the sampler"}
    for name, value in settings.items():
        if name in nodes:
            notes.append(f"{name} = {shown(value)} is not part of a layout: set {nodes[name]}")
    others = [f"{name} = {shown(value)}" for name, value in settings.items() if name not in nodes]
    if others:
        notes.append(f"not part of a layout and ignored: {'; '.join(others[:12])}")
    return notes
