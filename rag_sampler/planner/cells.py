"""The cells of a plan: a split ratio and one prompt for each cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..layout import Box, Cell, LayoutError, describe_edges, parse_split_ratio, plain_ratio
from .fields import numbered, pieces
from .literals import Word, number
from .problems import Findings, shown

MOST = 100
"""Cells, and boxes, of one plan."""

SUM_SLACK = 0.005
"""By how much rounded fractions of a ratio may miss 1 without a word."""

RATIO_FIX = 'write columns as "0.4, 0.6" and rows as "0.3, 1; 0.7, 0.5, 0.5", each row with its height first'


@dataclass(frozen=True)
class Part:
    """A place in the picture and its prompt."""

    shape: Box | Cell
    prompt: str


def read_cells(values: dict[str, Any], findings: Findings) -> tuple[str, tuple[Part, ...]]:
    """The split ratio and its cells; both empty where the answer has neither."""
    has_ratio, has_prompts = "split_ratio" in values, "cells" in values
    ratio, cells = _ratio(values["split_ratio"], findings) if has_ratio else ("", ())
    prompts = _prompts(values["cells"], findings) if has_prompts else []
    if has_ratio and not has_prompts:
        findings.refuse("cells", "is missing beside split_ratio", "write one text for each cell")
    elif has_prompts and not has_ratio:
        findings.refuse("split_ratio", "is missing beside cells", RATIO_FIX)
    elif cells and prompts and len(cells) != len(prompts):
        listed = "; ".join(f"{i} {describe_edges(cell.edges)}" for i, cell in enumerate(cells[:12], 1))
        found = f"holds {len(prompts)} and split_ratio {shown(ratio)} makes {len(cells)}"
        findings.refuse("cells", found, f"write one text for each cell, in this order: {listed}")
    return ratio, tuple(Part(cell, prompt) for cell, prompt in zip(cells, prompts))


def _ratio(value: Any, findings: Findings) -> tuple[str, tuple[Cell, ...]]:
    text = _written(value)
    if text is None:
        findings.refuse("split_ratio", f"is {shown(value)}", RATIO_FIX)
        return "", ()
    try:
        cells = parse_split_ratio(text)
    except LayoutError as error:
        reason = str(error).removeprefix(f'split_ratio "{text}": ').split("; write", 1)[0]
        findings.refuse("split_ratio", f"is {shown(value)}: {reason}", RATIO_FIX)
        return "", ()
    if len(cells) > MOST:
        findings.refuse("split_ratio", f"makes {len(cells)} cells", f"make at most {MOST}")
        return "", ()
    text = _summing_to_one(text, findings)
    return text, parse_split_ratio(text)


def _written(value: Any) -> str | None:
    """A ratio as text, from text, a number, or a list of numbers or of rows; RPG's brackets are left out."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        rows = value if any(isinstance(row, list) for row in value) else [value]
        value = "; ".join(
            ", ".join(_word(part) for part in (row if isinstance(row, list) else [row])) for row in rows
        )
    if not isinstance(value, str) or isinstance(value, Word) or len(value) > 1000:
        return None
    text = plain_ratio(re.sub(r"[()\[\]]", "", value))
    return " ".join(text.split()).strip(" ,;.")


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _summing_to_one(text: str, findings: Findings) -> str:
    """The ratio with every sum of fractions made 1; whole numbers are relations and stay."""
    rows = [[number(word) or 0.0 for word in row.split(",")] for row in text.split(";")]
    groups = [[row[0] for row in rows], *(row[1:] for row in rows)] if len(rows) > 1 else rows
    off = [sum(group) for group in groups if group and max(group) < 1 and abs(sum(group) - 1) > SUM_SLACK]
    if not off:
        return text
    findings.repaired(f"split_ratio {shown(text)} sums to {off[0]:.4g}; its parts were scaled to 1")
    scaled = [[value / sum(group) for value in group] for group in groups]
    if len(rows) > 1:
        scaled = [[height, *row] for height, row in zip(scaled[0], scaled[1:], strict=True)]
    return "; ".join(", ".join(f"{value:.6g}" for value in row) for row in scaled)


def _prompts(value: Any, findings: Findings) -> list[str]:
    entries = pieces(value) if isinstance(value, str) and not isinstance(value, Word) else value
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST:
        findings.refuse(
            "cells", f"is {shown(value)}", f"write a list with one text for each cell, at most {MOST}"
        )
        return []
    labels, prompts = [], []
    for index, entry in enumerate(entries, 1):
        label, text = None, entry
        if isinstance(entry, dict):
            label, text = entry.get("cell", entry.get("index")), entry.get("prompt", entry.get("text"))
        elif isinstance(entry, str):
            label, text = numbered(entry)
        labels.append(label)
        prompts.append(findings.prompt(text, f"text of cell {index}"))
    if all(type(label) in (int, float) for label in labels) and len(set(labels)) == len(labels):
        order = sorted(range(len(labels)), key=labels.__getitem__)
        if order != sorted(order):
            findings.repaired("cells were put into the order of their numbers")
            prompts = [prompts[index] for index in order]
    return prompts
