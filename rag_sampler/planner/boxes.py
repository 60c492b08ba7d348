"""The boxes of a plan: one place and one short prompt for each thing."""

from __future__ import annotations

import math
from typing import Any

from ..layout import Box
from .cells import MOST, Part
from .fields import BOX_LISTS, JSON, Fields, refuse_other_lists
from .keys import by_plain_names, keys_of
from .literals import number
from .places import LITTLE, Entry, read_entries
from .problems import Findings, shown

BORDER_SLACK = 2e-3
"""Fraction by which rounded decimals may reach over the border, which `Box` allows."""

MARGIN = 0.08
"""Part of a cell that stays free on each side of a box made for it."""

FIELDS = ("prompt", "x", "y", "w", "h")
MEANING = {
    "x": "the left edge as a part of the picture's width",
    "y": "the top edge as a part of the picture's height",
    "w": "the box's width as a part of the picture's",
    "h": "the box's height as a part of the picture's",
}
REGIONS_FIX = "write one box for each thing, each with prompt, x, y, w and h"

Row = dict[str, tuple[str, Any]]
"""prompt, x, y, w, h of a box, each with the name that messages give it."""


def read_boxes(
    fields: Fields, cells: tuple[Part, ...], size: tuple[int, int] | None, findings: Findings
) -> tuple[Part, ...]:
    """The boxes of an answer for a picture of size (width, height) pixels, in the order of its cells."""
    refuse_other_lists(fields.values, findings)
    if "regions" in fields.values:
        rows = _regions(fields.values["regions"], size, findings)
    elif any(name in fields.values for name in BOX_LISTS):
        rows = _lists(_with_prompts(fields, cells, findings), findings)
    elif fields.source == JSON:
        findings.refuse("regions", "is missing", REGIONS_FIX)
        return ()
    else:
        findings.notes.append(f"{fields.source} without boxes: one was made in the middle of each cell")
        return tuple(Part(_inside(part), part.prompt) for part in cells)
    if len(rows) > MOST:
        findings.refuse("regions", f"holds {len(rows)} boxes", f"write at most {MOST}")
        return ()
    parts = [read_part(index, row, findings) for index, row in enumerate(rows, 1)]
    boxes = tuple(part for part in parts if part)
    return boxes if fields.keeps_order else _in_order(boxes, cells, findings)


def _regions(value: Any, size: tuple[int, int] | None, findings: Findings) -> list[Row]:
    """The boxes of a JSON list."""
    if not isinstance(value, list) or not value:
        findings.refuse(
            "regions", "holds no boxes" if value in ([], {}) else f"is {shown(value)}", REGIONS_FIX
        )
        return []
    boxes = []
    for index, box in enumerate(value, 1):
        if not isinstance(box, dict):
            findings.refuse(
                f"region {index}", f"is {shown(box)}", "write an object with prompt, x, y, w and h"
            )
        elif by_plain_names(box).get("enabled", ("", True))[1] is False:
            findings.notes.append(f"region {index} is switched off and left out")
        else:
            boxes.append((index, box))
    if not boxes and not findings.problems:
        findings.refuse("regions", "holds no box that is switched on", "switch one on")
    if len(boxes) > MOST:
        return [{}] * len(boxes)  # refused by their number
    return [row_of(entry) for entry in read_entries(boxes, size, findings)]


def row_of(entry: Entry) -> Row:
    return {"prompt": entry.prompt, **entry.sides, "keys": ("", keys_of(entry.given))}


def _lists(values: dict[str, Any], findings: Findings) -> list[Row]:
    """The boxes of the published parameter lists."""
    lists = {}
    for name in BOX_LISTS:
        value = values.get(name)
        what = "texts" if name == BOX_LISTS[0] else "numbers from 0 to 1"
        if isinstance(value, list) and value:
            lists[name] = value
        else:
            found = f"is {shown(value)}" if name in values else "is missing"
            findings.refuse(
                name, "holds no boxes" if value == [] else found, f"write a list of {what}, one for a box"
            )
    if len(lists) < len(BOX_LISTS):
        return []
    if len({len(value) for value in lists.values()}) > 1:
        counts = ", ".join(f"{name} {len(value)}" for name, value in lists.items())
        findings.refuse(
            "the number of values", f"differs ({counts})", "write one value for each box in every list"
        )
        return []
    columns = zip(FIELDS, lists.items(), strict=True)
    named = [
        [(field, (f"value {i} of {name}", v)) for i, v in enumerate(vs, 1)] for field, (name, vs) in columns
    ]
    return [dict(row) for row in zip(*named, strict=True)]


def _with_prompts(fields: Fields, cells: tuple[Part, ...], findings: Findings) -> dict[str, Any]:
    """The lists, with the cells' prompts where a script has pictures in place of prompts, as with Redux."""
    offsets = fields.values.get(BOX_LISTS[1])
    unnamed = BOX_LISTS[0] not in fields.values and isinstance(offsets, list)
    if not (fields.keeps_order and unnamed and len(cells) == len(offsets)):
        return fields.values
    findings.notes.append(f"{BOX_LISTS[0]} is missing: each box took the prompt of its cell")
    return {**fields.values, BOX_LISTS[0]: [part.prompt for part in cells]}


def read_part(index: int, row: Row, findings: Findings, wordless: bool = False) -> Part | None:
    """One box. wordless: whether it may lack a prompt."""
    without = wordless and row["prompt"][1] in (None, "")
    prompt = (
        "" if without else findings.prompt(row["prompt"][1], row["prompt"][0], row.get("keys", ("", ""))[1])
    )
    sides = {name: _side(name, *row[name], findings) for name in ("x", "y", "w", "h")}
    if None in sides.values():
        return None
    who = f'box {index} ("{prompt[:40]}")'
    x, width = _inside_image(who, "x", "w", sides["x"], sides["w"], findings)
    y, height = _inside_image(who, "y", "h", sides["y"], sides["h"], findings)
    return (
        Part(Box(x, y, width, height), prompt) if (prompt or without) and width > 0 and height > 0 else None
    )


def _side(name: str, field: str, value: Any, findings: Findings) -> float | None:
    """One number of a box, which may lie a little outside 0 to 1."""
    fix = f"write {MEANING[name]}, a number from 0 to 1"
    if type(value) is str and (read := number(value)) is not None:
        findings.repaired(f"{field} was in quotes")
        value = read
    if not isinstance(value, float) or not math.isfinite(value):
        findings.refuse(field, "is missing" if value is None else f"is {shown(value)}", fix)
        return None
    if value > 1 + LITTLE:
        findings.refuse(field, f"is {shown(value)}", f"{fix} (pixels divided by the picture's size)")
        return None
    if value < (-LITTLE if name in "xy" else 0) or (value == 0 and name in "wh"):
        findings.refuse(field, f"is {shown(value)}", fix)
        return None
    return value


def _inside_image(
    who: str, start_name: str, size_name: str, start: float, size: float, findings: Findings
) -> tuple[float, float]:
    """Start and size with what reaches a little over the border cut off; size 0 where that is not possible."""
    end = start + size
    if start >= 0 and end <= 1 + BORDER_SLACK:
        return start, size
    cut, rest = max(start, 0.0), round(min(end, 1.0) - max(start, 0.0), 6)
    if end > 1 + LITTLE + 1e-9 or rest <= 0:
        found = f"reaches from {start_name} {start:g} to {start_name} + {size_name} = {end:g}"
        findings.refuse(who, found, "keep both ends between 0 and 1")
        return cut, 0.0
    side = {"x": ("left", "right"), "y": ("top", "bottom")}[start_name][end > 1 + BORDER_SLACK]
    findings.repaired(f"{who} reached over the {side} border and was cut there ({start:g} to {end:g})")
    return cut, rest


def _inside(part: Part) -> Box:
    left, top, right, bottom = part.shape.edges
    width, height = right - left, bottom - top
    keep = 1 - 2 * MARGIN
    return Box(
        *(round(v, 6) for v in (left + MARGIN * width, top + MARGIN * height, keep * width, keep * height))
    )


def _in_order(boxes: tuple[Part, ...], cells: tuple[Part, ...], findings: Findings) -> tuple[Part, ...]:
    """The boxes in the order of the cells that hold their middles, unless that changed which one lies on top."""
    homes = [_home(part, cells) for part in boxes]
    order = sorted(range(len(boxes)), key=homes.__getitem__)
    if order == list(range(len(boxes))):
        return boxes
    turned = ((a, b) for b in range(len(boxes)) for a in range(b) if homes[a] > homes[b])
    if any(_overlap(boxes[a], boxes[b]) for a, b in turned):
        return boxes
    findings.repaired(
        f"boxes were put into the order of their cells ({', '.join(str(i + 1) for i in order)})"
    )
    return tuple(boxes[index] for index in order)


def _home(part: Part, cells: tuple[Part, ...]) -> int:
    left, top, right, bottom = part.shape.edges
    x, y = (left + right) / 2, (top + bottom) / 2
    for index, cell in enumerate(cells):
        left, top, right, bottom = cell.shape.edges
        if left <= x <= right and top <= y <= bottom:
            return index
    return 0


def _overlap(a: Part, b: Part) -> bool:
    (left, top, right, bottom), (left_b, top_b, right_b, bottom_b) = a.shape.edges, b.shape.edges
    return left < right_b and left_b < right and top < bottom_b and top_b < bottom
