"""What Region Canvas reads: its own drawing, written as JSON, and the layouts that other nodes hand it.

A drawing is {"version": 1, "regions": [{"x", "y", "w", "h", "prompt", "enabled", "color", ...}, ...]} with x, y, w
and h in fractions of the image, or that list alone. Keys that are not known are kept. js/canvas/value.js reads it
by the same rules, and tests/canvas_vectors.json holds both to them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from math import floor, isfinite
from numbers import Real
from typing import Any

from .layout import Box, LayoutError
from .picture import TOKEN_PIXELS

VERSION = 1
EXAMPLE = '{"version": 1, "regions": [{"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a red fox"}]}'

Drawing = dict[str, Any]
"""A drawing as parsed: "version", "regions", and "linked" where it came from a linked layout or was edited
after one."""


@dataclass(frozen=True)
class Drawn:
    """One region of a drawing; color is "#rrggbb", or empty where none was chosen."""

    box: Box
    prompt: str
    color: str


def read_drawing(text: str, field: str = "regions") -> Drawing:
    """The drawing in a text, empty for an empty text. Raises LayoutError that names the field and the region."""
    data = _parse(text, field) if text.strip() else []
    if isinstance(data, list):
        data = {"version": VERSION, "regions": data}
    if not isinstance(data, dict) or not isinstance(data.get("regions"), list):
        raise LayoutError(f"{field} holds {_shown(data)}, which is no drawing; write for example {EXAMPLE}")
    version = data.get("version", VERSION)
    if isinstance(version, bool) or version != VERSION:
        raise LayoutError(
            f"{field} is a drawing of version {_shown(version)}, and this node reads version {VERSION}; update the "
            f"node pack, or draw it anew"
        )
    for number, region in enumerate(data["regions"], 1):
        _check(region, f"{field}: region {number}")
    return data


def drawn_regions(drawing: Drawing) -> tuple[Drawn, ...]:
    """The regions of a drawing in their order, without those that are hidden."""
    return tuple(
        Drawn(
            Box(*(float(region[key]) for key in "xywh")), region.get("prompt", ""), region.get("color") or ""
        )
        for region in drawing["regions"]
        if region.get("enabled", True)
    )


def read_linked(layout: Any, width: int, height: int, field: str = "bboxes") -> Drawing | None:
    """The drawing in what another node hands over, for a picture of width × height pixels; None if it is empty.

    layout: a drawing (JSON text, or parsed); ComfyUI's bounding boxes in pixels (one, a list, or a list that
    holds the list of one picture), with the prompt in metadata.desc; or its elements, whose "bbox" is [top, left,
    bottom, right] in thousandths of the picture, with the prompt in desc. Boxes in pixels and elements move to the
    nearest token edges. Raises LayoutError.
    """
    data = layout
    if isinstance(layout, str):
        data = _parse(layout, field) if layout.strip() else None
    if isinstance(data, dict) and "regions" not in data:
        data = [data]
    if isinstance(data, list) and data and all(isinstance(frame, list) for frame in data):
        if len(data) > 1:
            raise LayoutError(f"{field} holds the boxes of {len(data)} pictures; connect those of one")
        data = data[0]
    if data is None or data in ([], [{}]):
        return None
    try:
        mark = _fingerprint(data)
    except (TypeError, ValueError, RuntimeError):
        raise LayoutError(
            f"{field} is of the type {type(layout).__name__} and no layout; connect bounding boxes, or a drawing as JSON"
        ) from None
    if isinstance(data, list):
        data = [
            _drawn_box(box, width, height, f"{field}: box {number}") for number, box in enumerate(data, 1)
        ]
    return {**read_drawing(json.dumps(data, default=float), field), "linked": mark}


def write_drawing(drawing: Drawing) -> str:
    return json.dumps(drawing, ensure_ascii=False, separators=(",", ":"))


def _parse(text: str, field: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise LayoutError(
            f"{field} is no JSON ({error}): it holds {_shown(text)}; write for example {EXAMPLE}"
        ) from None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")


def _shown(value: Any) -> str:
    """A value as messages show it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _check(region: Any, where: str) -> None:
    """Raise LayoutError unless this is a region of a drawing."""
    if not isinstance(region, dict):
        raise LayoutError(
            f'{where} is {_shown(region)}; it has to be an object such as {{"x": 0, "y": 0, "w": 0.5, "h": 1}}'
        )
    numbers = [_number(region.get(key), where, key) for key in "xywh"]
    try:
        Box(*numbers)
    except LayoutError as error:
        raise LayoutError(f"{where}: {error}") from None
    for key, kind, right in (
        ("prompt", str, "a text"),
        ("enabled", bool, "true or false"),
    ):
        if key in region and not isinstance(region[key], kind):
            raise LayoutError(f"{where}: {key} is {_shown(region[key])}; it has to be {right}")
    color = "" if region.get("color") is None else region["color"]
    if not isinstance(color, str) or not re.fullmatch("(#[0-9a-fA-F]{6})?", color):
        raise LayoutError(f'{where}: color is {_shown(color)}; write it like "#3cb44b", or leave it out')


def _number(value: Any, where: str, key: str, right: str = "a number from 0 to 1") -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # an integer of hundreds of digits
            if isfinite(float(value)):
                return float(value)
    found = "missing" if value is None else _shown(value)
    raise LayoutError(f"{where}: {key} is {found}; it has to be {right}")


def _drawn_box(box: Any, width: int, height: int, where: str) -> Any:
    """A bounding box or an element as a region of a drawing; anything else as it is."""
    if not isinstance(box, dict):
        return box
    if "bbox" in box:
        edges = box["bbox"]
        if not isinstance(edges, (list, tuple)) or len(edges) != 4:
            raise LayoutError(
                f"{where}: bbox is {_shown(edges)}; it has to be [top, left, bottom, right] from 0 to 1000"
            )
        y0, x0, y1, x1 = (
            _number(edge, where, "bbox", "four numbers from 0 to 1000") / 1000 for edge in edges
        )
        said, palette = box, box.get("color_palette")
    elif "width" in box and "height" in box:
        x0, y0, w, h = (
            _number(box.get(key), where, key, "a number of pixels") for key in ("x", "y", "width", "height")
        )
        if max(x0, y0, w, h) <= 1:
            raise LayoutError(
                f"{where}: width is {w:g} and height {h:g}; with these names they are pixels. For fractions of the "
                f"picture write x, y, w and h"
            )
        x0, y0, x1, y1 = x0 / width, y0 / height, (x0 + w) / width, (y0 + h) / height
        said = box.get("metadata") if isinstance(box.get("metadata"), dict) else {}
        palette = said.get("palette")
    else:
        return box
    color = str(palette[0]) if isinstance(palette, (list, tuple)) and palette else ""
    x, w = _snapped(x0, x1, width, f"{where}: across")
    y, h = _snapped(y0, y1, height, f"{where}: down")
    return {
        "x": x,
        "y": y,
        "w": w,
        "h": h,
        "prompt": _prompt(said),
        **({"color": color} if re.fullmatch("#[0-9a-fA-F]{6}", color) else {}),
    }


def _prompt(said: dict) -> str:
    """The prompt of a box: its description, after the words that shall stand there if it is one of text."""
    words = f'"{said["text"]}"' if said.get("type") == "text" and said.get("text") else ""
    return ", ".join(part for part in (words, str(said.get("desc") or "")) if part)


def _snapped(start: float, end: float, pixels: int, where: str) -> tuple[float, float]:
    """Start and size of a stretch moved to the nearest token edges, within the picture, at least one token."""
    start, end = max(min(start, end), 0.0), min(max(start, end), 1.0)
    if start >= end:
        raise LayoutError(f"{where} it has no part in the picture of {pixels} pixels; move it inside")
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
