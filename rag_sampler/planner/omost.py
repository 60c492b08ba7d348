"""Plans as the calls on a Canvas that Omost's language models write. The calls are read, never run."""

from __future__ import annotations

import re
from typing import Any

from .fields import Fields
from .literals import Literals, Unreadable
from .problems import PlanError, Problem, shown

OMOST = "Omost canvas"

MOST_CALLS = 200

_CALL = re.compile(r"\b(set_global_description|add_local_description)\s*\(")
_ARGUMENT = re.compile(r"[\s,]*(\w{1,40})\s*=\s*")

# Omost's grid of 90 × 90: middles, shifts of them, and sizes.
_LOW, _MIDDLE, _HIGH = 15, 45, 75
LOCATIONS = {
    "in the center": (_MIDDLE, _MIDDLE),
    "on the left": (_LOW, _MIDDLE),
    "on the right": (_HIGH, _MIDDLE),
    "on the top": (_MIDDLE, _LOW),
    "on the bottom": (_MIDDLE, _HIGH),
    "on the top-left": (_LOW, _LOW),
    "on the top-right": (_HIGH, _LOW),
    "on the bottom-left": (_LOW, _HIGH),
    "on the bottom-right": (_HIGH, _HIGH),
}
OFFSETS = {
    "no offset": (0, 0),
    "slightly to the left": (-10, 0),
    "slightly to the right": (10, 0),
    "slightly to the upper": (0, -10),
    "slightly to the lower": (0, 10),
    "slightly to the upper-left": (-10, -10),
    "slightly to the upper-right": (10, -10),
    "slightly to the lower-left": (-10, 10),
    "slightly to the lower-right": (10, 10),
}
AREAS = {
    f"a {size} {shape} area": extent
    for size, extents in (
        ("small", ((50, 50), (40, 60), (60, 40))),
        ("medium-sized", ((60, 60), (50, 80), (80, 50))),
        ("large", ((70, 70), (60, 90), (90, 60))),
    )
    for shape, extent in zip(("square", "vertical", "horizontal"), extents)
}


def find_omost(text: str) -> Fields | None:
    """The regions of the calls in a text, the farthest first, so that nearer ones win; None where there are none.

    Raises PlanError where a call cannot be read.
    """
    calls = list(_CALL.finditer(text))[:MOST_CALLS]
    start = max(
        (i for i, call in enumerate(calls) if call[1].startswith("set")), default=0
    )  # the last canvas
    calls = calls[start:]
    if not any(call[1].startswith("add") for call in calls):
        return None
    reader, base, placed, unread = Literals(text), "", [], {}
    for call in calls:
        local = call[1].startswith("add")
        name = f"region {len(placed) + 1}" if local else "the global description"
        try:
            given = _arguments(reader, call.end())
        except Unreadable as error:
            fix = (
                "let the model write more (max_length)"
                if error.cut
                else "write location=..., offset=..., area=..."
            )
            raise PlanError([Problem(f"{call[1]} of {name}", str(error), fix)]) from None
        unread |= dict.fromkeys(
            key for key in ("tags", "atmosphere", "style", "quality_meta") if given.get(key)
        )
        if not local:
            base = _words(given)
            continue
        box = {"prompt": _words(given) or None, **_place(name, given)}
        distance = given.get("distance_to_viewer")
        placed.append((distance if isinstance(distance, float) else 1.0, box))
    placed.sort(key=lambda one: -one[0])
    notes = [f"not read: {', '.join(unread)}"] if unread else []
    values = {"base_prompt": base, "regions": [box for _, box in placed]}
    return Fields(OMOST, values, notes, keeps_order=True)


def _arguments(reader: Literals, place: int) -> dict[str, Any]:
    """The keyword arguments of a call that begin at `place`."""
    found: dict[str, Any] = {}
    while match := _ARGUMENT.match(reader.text, place):
        found[match[1]], place = reader.read(match.end())
    rest = reader.text[place : place + 200].lstrip(" \t\n,")
    if not rest.startswith(")"):
        raise Unreadable(
            "breaks off" if not rest else f"has {shown(rest[:20])} where an argument belongs", place, not rest
        )
    return found


def _words(given: dict[str, Any]) -> str:
    details = given.get("detailed_descriptions")
    parts = [given.get("description"), *(details if isinstance(details, list) else [])]
    return ". ".join(part.strip(" .") for part in parts if isinstance(part, str) and part.strip(" ."))


def _place(name: str, given: dict[str, Any]) -> dict[str, float]:
    """x, y, w and h in fractions of the picture, cut at its border."""
    found = []
    for key, known in (("location", LOCATIONS), ("offset", OFFSETS), ("area", AREAS)):
        value = given.get(key, "no offset" if key == "offset" else None)
        word = " ".join(value.lower().split()) if isinstance(value, str) else None
        if word not in known:
            fix = f"write one of: {', '.join(known)}"
            raise PlanError(
                [Problem(f"{key} of {name}", "is missing" if value is None else f"is {shown(value)}", fix)]
            )
        found.append(known[word])
    (x, y), (right, down), (width, height) = found
    middles = ((x + right, width), (y + down, height))
    (left, far), (top, low) = (
        (max(middle - size // 2, 0), min(middle + size // 2, 90)) for middle, size in middles
    )
    return {side: round(part / 90, 6) for side, part in zip("xywh", (left, top, far - left, low - top))}
