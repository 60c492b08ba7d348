"""The fields that an answer may hold, by whatever names and in whatever dress it writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .problems import shown

JSON, RAG, RPG, LISTS = "JSON object", "RAG answer", "RPG answer", "published parameter lists"

BOX_LISTS = ("HB_prompt_list", "HB_m_offset_list", "HB_n_offset_list", "HB_m_scale_list", "HB_n_scale_list")
SETTINGS = ("HB_replace", "SR_delta", "seed", "width", "height", "num_inference_steps", "guidance_scale")

# Canonical field -> how it may be called. In a pattern " " stands for a space, a hyphen or an underscore.
NAMES = {
    "version": "version",
    "base_prompt": "(?:refined )?base prompt|refined prompt",
    "split_ratio": "(?:final )?split ratio|SR hw split ratio",
    "cells": "cells|cell prompts|regional prompts?|SR prompt",
    "regions": "regions|boxes|objects",
    **{name: name for name in BOX_LISTS},
}
PATTERNS = {name: pattern.replace(" ", "[ _-]") for name, pattern in NAMES.items()}
_KEYS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in PATTERNS.items()}

BREAK = re.compile(r"[*_`]{0,3}\bBREAK\b[*_`]{0,3}[.,;:]?")
_NUMBERED = re.compile(
    r"[-*•#\s]{0,4}(?:sub)?(?:region|cell) ?#?(\d{1,3})[*_]{0,3}(?: ?\([^()\n]{0,60}\))?[*_]{0,3} ?[:：.][*_]{0,3}\s",
    re.IGNORECASE,
)


@dataclass
class Fields:
    """What an answer holds: canonical name -> value, as written; where it came from; what was passed over."""

    source: str
    values: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    keeps_order: bool = False


def canonical(found: dict[str, Any]) -> dict[str, Any]:
    """A JSON object with its keys by the names of the fields; where two keys name one field, the exact name wins."""
    named = {
        next((name for name, key in _KEYS.items() if key.fullmatch(given)), given): given for given in found
    }
    exact = {name: name for name in named if name in found}
    return {name: found[given] for name, given in (named | exact).items()}


def pieces(text: str) -> list[str]:
    """The prompts between the words BREAK; empty ones at the end are dropped."""
    found = [_unquoted(" ".join(piece.split()).strip("*` ")) for piece in BREAK.split(text)]
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
