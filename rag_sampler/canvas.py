"""Layouts that other nodes hand to Region Canvas, as drawings, by the rules of the planner."""

from __future__ import annotations

import hashlib
import json
import re
from math import floor
from typing import Any

from .drawing import EXAMPLE, VERSION, Drawing, parse, read_drawing, shown
from .layout import LayoutError
from .picture import TOKEN_PIXELS
from .planner.answer import find_fields
from .planner.boxes import read_boxes, read_part, row_of
from .planner.cells import read_cells
from .planner.fields import (
    BASE_PROMPTS,
    BOX_LISTS,
    LISTS,
    RPG,
    Fields,
    canonical,
    refuse_other_lists,
    settle,
    stated_size,
)
from .planner.keys import COLORS, READ, is_box
from .planner.places import Entry, read_entries
from .planner.problems import Findings, PlanError

MOST_BOXES = 500
"""Boxes of one linked layout."""


def read_linked(
    layout: Any, width: int, height: int, field: str = "bboxes", notes: list[str] | None = None
) -> Drawing | None:
    """The drawing in what another node hands over, for a picture of width × height pixels; None if it is empty.

    layout: boxes as `planner.places` reads them: a text (a drawing, or whatever Plan to Regions reads), ComfyUI's bounding
    boxes in pixels (one, a list, or a list that holds the list of one picture), its elements, or a caption that holds
    them. Boxes in pixels and thousandths move to the nearest token edges. notes: gets what was read and what was not.
    Raises LayoutError.
    """
    data, findings = layout, Findings()
    if isinstance(layout, str):
        data = _from_text(layout, field, findings) if layout.strip() else None
    if isinstance(data, dict) and "regions" not in data and is_box(data):
        data = [data]
    if isinstance(data, list) and data and all(isinstance(frame, list) for frame in data):
        if len(data) > 1:
            raise LayoutError(f"{field} holds the boxes of {len(data)} pictures; connect those of one")
        data = data[0]
    if data is None or data in ([], {}, [{}]):
        return None
    try:
        mark = _fingerprint(data)
    except (TypeError, ValueError, RuntimeError):
        raise LayoutError(
            f"{field} is of the type {type(layout).__name__} and no layout; connect bounding boxes, or a drawing as JSON"
        ) from None
    size = (stated_size(canonical(data)) if isinstance(data, dict) else None) or (width, height)
    drawing, boxes = _boxes_of(data, size, field, findings)
    entries = read_entries(boxes, size, findings, "box", in_pixels=not isinstance(layout, str))
    regions = [_region(entry, width, height, findings) for entry in entries]
    if findings.problems:
        raise LayoutError(f"{field}: {PlanError(findings.problems)}")
    if wordless := sum(not region["prompt"] for region in regions):
        findings.notes.append(f"{wordless} of {len(regions)} boxes bring no prompt: write it on the canvas")
    if notes is not None:
        notes += [f"{field}: {note}" for note in dict.fromkeys(findings.notes)]
    return {**read_drawing(json.dumps({**drawing, "regions": regions}, default=float), field), "linked": mark}


def _from_text(text: str, field: str, findings: Findings) -> Any:
    """What a text holds: JSON, or whatever Plan to Regions reads."""
    try:
        return parse(text, field)
    except LayoutError as strict:
        try:
            fields = find_fields(text)
            findings.notes += fields.notes
            return fields.values
        except PlanError as error:
            raise (
                strict if error.problems[0].field == "the plan" else LayoutError(f"{field}: {error}")
            ) from None


def _boxes_of(
    data: Any, size: tuple[int, int], field: str, findings: Findings
) -> tuple[Drawing, list[tuple[int, dict[str, Any]]]]:
    """What a layout says beside its regions, and its numbered boxes."""
    drawing, boxes = {"version": VERSION}, data
    if isinstance(data, dict):
        values = canonical(data)
        if isinstance(data.get("regions"), list):
            drawing = data  # whose other keys are kept
            known = ("regions", "base_prompt", *BASE_PROMPTS)
            values = {key: value for key, value in values.items() if key in known or isinstance(value, list)}
        findings.notes += settle(values)
        if base := values.get("base_prompt"):
            findings.notes.append(
                f"the base prompt {shown(base)} is not used here: connect it to CLIP Text Encode"
            )
        refuse_other_lists(values, findings)
        boxes = values.get("regions")
        if boxes is None and ({"split_ratio", *BOX_LISTS} & values.keys()):
            source = LISTS if BOX_LISTS[0] in values else RPG
            parts = read_boxes(Fields(source, values), read_cells(values, findings)[1], size, findings)
            boxes = [
                {"prompt": part.prompt, "x": box.x, "y": box.y, "w": box.width, "h": box.height}
                for part in parts
                if (box := part.shape)
            ]
    if findings.problems:
        return drawing, []
    if not isinstance(boxes, list):
        raise LayoutError(f"{field} holds {shown(data)}, which is no drawing; write for example {EXAMPLE}")
    if len(boxes) > MOST_BOXES:
        raise LayoutError(f"{field} holds {len(boxes)} boxes; connect at most {MOST_BOXES}")
    for number, box in enumerate(boxes, 1):
        if not isinstance(box, dict):
            findings.refuse(
                f"box {number}",
                f"is {shown(box)}",
                'write an object such as {"x": 0, "y": 0, "w": 0.5, "h": 1}',
            )
    return drawing, [(number, box) for number, box in enumerate(boxes, 1) if isinstance(box, dict)]


def _region(entry: Entry, width: int, height: int, findings: Findings) -> dict[str, Any]:
    """A box as a region of a drawing. One that is written as a region keeps its other keys."""
    part = read_part(entry.number, row_of(entry), findings, wordless=True)
    if part is None:
        return {"prompt": ""}  # refused
    box, kept = part.shape, {}
    sides = {"x": box.x, "y": box.y, "w": box.width, "h": box.height}
    if entry.exact and not entry.order:
        kept = {key: value for name, (key, value) in entry.given.items() if name not in READ}
    else:
        left, top, right, bottom = box.edges
        sides["x"], sides["w"] = _snapped(left, right, width)
        sides["y"], sides["h"] = _snapped(top, bottom, height)
    tint = next((entry.given[key][1] for key in COLORS if key in entry.given), "")
    tint = tint[0] if isinstance(tint, (list, tuple)) and tint else tint
    color = {"color": tint} if isinstance(tint, str) and re.fullmatch("#[0-9a-fA-F]{6}", tint) else {}
    return {**kept, **sides, "prompt": part.prompt, **color}


def _snapped(start: float, end: float, pixels: int) -> tuple[float, float]:
    """Start and size of a stretch moved to the nearest token edges, at least one token."""
    tokens = pixels / TOKEN_PIXELS
    left, right = _nearest_edge(start, tokens), _nearest_edge(end, tokens)
    if right <= left:
        left = min(left, max(floor(tokens) - 1, 0) / tokens)
        right = min(left + 1 / tokens, 1.0)
    return round(left, 6), round(right - left, 6)


def _nearest_edge(fraction: float, tokens: float) -> float:
    """The image's own border counts as a token edge."""
    edge = min(floor(fraction * tokens + 0.5), floor(tokens)) / tokens
    return 1.0 if abs(1 - fraction) < abs(edge - fraction) else edge


def _fingerprint(data: Any) -> str:
    """Changes when a linked layout does."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=float).encode()).hexdigest()[:16]
