"""The drawing of Region Canvas, written as JSON.

{"version": 1, "regions": [{"x", "y", "w", "h", "prompt", "enabled", "color", "strength", "loras", "points", ...}, ...]}
with x, y, w and h in fractions of the image, or that list alone; "points" are the corners of a polygon in that box,
"loras" [{"name", "strength"}, ...]. Keys that are not known are kept. js/canvas/value.js reads it by the same rules, and
tests/canvas_vectors.json holds both to them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

from .layout import BORDER_SLACK, Box, LayoutError

VERSION = 1
EXAMPLE = '{"version": 1, "regions": [{"x": 0, "y": 0, "w": 0.5, "h": 1, "prompt": "a red fox"}]}'


Drawing = dict[str, Any]
"""A drawing as parsed: "version", "regions", and "linked" where it came from a linked layout or was edited
after one."""


@dataclass(frozen=True)
class Drawn:
    """One region of a drawing.

    color: "#rrggbb", or empty where none was chosen. strength: share of its own result, 0..1.
    loras: names and strengths of LoRA files. points: corners of a polygon in the box, fractions of the image; none where
    the region is the box.
    """

    box: Box
    prompt: str
    color: str
    strength: float = 1.0
    loras: tuple[tuple[str, float], ...] = ()
    points: tuple[tuple[float, float], ...] = ()

    def element(self, prompt: str) -> dict[str, Any]:
        """The region as ComfyUI's Create Bounding Boxes hands it to nodes that build prompts; edges in thousandths. The
        colour only tells regions apart: in a color_palette it would be one of the picture's."""
        left, top, right, bottom = (round(1000 * edge) for edge in self.box.edges)
        return {"type": "obj", "bbox": [top, left, bottom, right], "desc": prompt}


def read_drawing(text: str, field: str = "regions", notes: list[str] | None = None) -> Drawing:
    """The drawing in a text, empty for an empty text. Regions that leave the picture are cut; notes: gets which.

    Raises LayoutError that names the field and the region.
    """
    data = parse(text, field) if text.strip() else []
    if isinstance(data, list):
        data = {"version": VERSION, "regions": data}
    if not isinstance(data, dict) or not isinstance(data.get("regions"), list):
        raise LayoutError(f"{field} holds {shown(data)}, which is no drawing; write for example {EXAMPLE}")
    version = data.get("version", VERSION)
    if isinstance(version, bool) or version != VERSION:
        raise LayoutError(
            f"{field} is a drawing of version {shown(version)}, and this node reads version {VERSION}; update the "
            f"node pack, or draw it anew"
        )
    regions = []
    for number, region in enumerate(data["regions"], 1):
        regions.append(_cut(region))
        _check(regions[-1], f"{field}: region {number}")
        if notes is not None and regions[-1] is not region:
            notes.append(f"{field}: region {number} leaves the picture and is cut at its border")
    return {**data, "regions": regions}


def drawn_regions(drawing: Drawing) -> tuple[Drawn, ...]:
    """The regions of a drawing in their order, without those that are hidden."""
    return tuple(
        Drawn(
            Box(*(float(region[key]) for key in "xywh")),
            region.get("prompt", ""),
            region.get("color") or "",
            float(region.get("strength", 1)),
            tuple((lora["name"], float(lora["strength"])) for lora in region.get("loras", ())),
            tuple((float(x), float(y)) for x, y in region.get("points", ())),
        )
        for region in drawing["regions"]
        if region.get("enabled", True)
    )


def write_drawing(drawing: Drawing) -> str:
    return json.dumps(drawing, ensure_ascii=False, separators=(",", ":"))


def parse(text: str, field: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise LayoutError(
            f"{field} is no JSON ({error}): it holds {shown(text)}; write for example {EXAMPLE}"
        ) from None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")


def shown(value: Any) -> str:
    """A value as messages show it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _cut(region: Any) -> Any:
    """The part of a region that lies in the picture; the region itself where it has none, or does not leave it."""
    sides = [region.get(key) for key in "xywh"] if isinstance(region, dict) else []
    if not sides or not all(map(_is_number, sides)):
        return region
    x, y, w, h = map(float, sides)
    left, top, right, bottom = map(_in_picture, (x, y, x + w, y + h))
    leaves = min(x, y) < 0 or max(x + w, y + h) > 1 + BORDER_SLACK
    if not leaves or min(w, h) <= 0 or right <= left or bottom <= top:
        return region
    region = {**region, "x": left, "y": top, "w": right - left, "h": bottom - top}
    points = region.get("points")
    if isinstance(points, list) and all(map(_is_pair, points)):
        region["points"] = [[_in_picture(x), _in_picture(y)] for x, y in points]
    return region


def _in_picture(edge: float) -> float:
    return min(max(edge, 0.0), 1.0)


def _check(region: Any, where: str) -> None:
    """Raise LayoutError unless this is a region of a drawing."""
    if not isinstance(region, dict):
        raise LayoutError(
            f'{where} is {shown(region)}; it has to be an object such as {{"x": 0, "y": 0, "w": 0.5, "h": 1}}'
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
            raise LayoutError(f"{where}: {key} is {shown(region[key])}; it has to be {right}")
    color = "" if region.get("color") is None else region["color"]
    if not isinstance(color, str) or not re.fullmatch("(#[0-9a-fA-F]{6})?", color):
        raise LayoutError(f'{where}: color is {shown(color)}; write it like "#3cb44b", or leave it out')
    if not _is_share(region.get("strength", 1)):
        raise LayoutError(
            f"{where}: strength is {shown(region['strength'])}; it has to be a number from 0 to 1"
        )
    loras = region.get("loras", [])
    if not isinstance(loras, list) or not all(map(_is_lora, loras)):
        raise LayoutError(
            f'{where}: loras is {shown(loras)}; write a list such as [{{"name": "fox.safetensors", "strength": 1}}]'
        )
    points = region.get("points")
    if "points" in region and not (
        isinstance(points, list) and len(points) >= 3 and all(map(_is_corner, points))
    ):
        raise LayoutError(
            f"{where}: points is {shown(points)}; it has to be a list of at least three [x, y] from 0 to 1"
        )


def _is_number(value: Any) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return isfinite(float(value))
    except OverflowError:  # an integer of hundreds of digits
        return False


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_lora(value: Any) -> bool:
    """Whether this is a LoRA's file and strength."""
    name = value.get("name") if isinstance(value, dict) else None
    return isinstance(name, str) and bool(name) and _is_number(value.get("strength"))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_corner(value: Any) -> bool:
    return _is_pair(value) and all(map(_is_share, value))


def _number(value: Any, where: str, key: str) -> float:
    if _is_number(value):
        return float(value)
    found = "missing" if value is None else shown(value)
    raise LayoutError(f"{where}: {key} is {found}; it has to be a number from 0 to 1")
