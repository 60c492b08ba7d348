"""The boxes that nodes and language models write: which numbers are which side, in which unit, and which words are
the prompt. Planner and canvas read by these rules; what has two meanings is refused, and what was read is said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isfinite
from numbers import Real
from typing import Any

from .keys import (
    ELEMENT,
    ENDS,
    ORDERS,
    PLACES,
    READ,
    SIZES,
    STARTS,
    UNORDERED,
    by_plain_names,
    keys_of,
    plain,
    words_of,
)
from .literals import number
from .problems import Findings, shown

LITTLE = 0.1
"""Fraction of the image by which a box may leave it and is cut at the border; beyond, it is refused."""

SIZE = "the picture's size"
"""The field of the refusal of pixels where no size is given."""


@dataclass
class Entry:
    """One box: its keys by their plain names as (as written, value), its numbers, and what was found of its words.

    sides: x, y, w and h, each as (name in messages, number or whatever was found), in fractions of the picture once
    `to_parts` has been there. exact: whether they were written so.
    """

    number: int
    name: str
    given: dict[str, tuple[str, Any]]
    sides: dict[str, tuple[str, Any]]
    order: tuple[str, ...]
    """Of four numbers under one key; empty where each has its own."""
    key: str
    prompt: tuple[str, Any]
    exact: bool = True

    @property
    def numbers(self) -> list[float] | None:
        """x, y, w and h, or None where one is no number."""
        values = [value for _, value in self.sides.values()]
        return values if all(isinstance(value, float) and isfinite(value) for value in values) else None

    @property
    def in_parts(self) -> bool:
        return max(map(abs, self.numbers)) <= 1 + LITTLE

    @property
    def in_units(self) -> bool:
        """Whether these are pixels or thousandths."""
        return not self.in_parts and min(self.numbers[2:]) >= 1


def read_entries(
    boxes: Iterable[tuple[int, dict[str, Any]]],
    size: tuple[int, int] | None,
    findings: Findings,
    noun: str = "region",
    in_pixels: bool = False,
) -> list[Entry]:
    """Numbered boxes with their places as fractions of the picture, as far as they can be read.

    size: width and height of the picture in pixels; None refuses pixels. in_pixels: the boxes come from a node, whose
    pixels are certain and may lie outside.
    """
    entries = [entry for index, box in boxes if (entry := _entry(index, f"{noun} {index}", box, findings))]
    for key in dict.fromkeys(entry.key for entry in entries):
        _to_parts(
            [entry for entry in entries if entry.key == key and entry.numbers], size, findings, in_pixels
        )
    for entry in entries:
        if entry.numbers is None:  # what is no number gets the message; the unit of the others is not known
            entry.sides = {
                side: (label, 0.5 if isinstance(value, float) and isfinite(value) else value)
                for side, (label, value) in entry.sides.items()
            }
    _say_words(entries, findings)
    return [entry for entry in entries if entry.sides]


def _entry(index: int, name: str, box: dict[str, Any], findings: Findings) -> Entry | None:
    given = by_plain_names(box)
    for inner in ("metadata", *UNORDERED):
        if inner in given and isinstance(given[inner][1], dict):
            given = {**by_plain_names(given.pop(inner)[1]), **given}
    key, words, _ = words_of(given)
    prompt = f"{key or 'prompt'} of {name}", words
    listed = next((given[known] for known in given if known in ORDERS), None)
    if listed:
        order = ORDERS[plain(listed[0])]
    elif "bbox" in given and given.get("type", ("", ""))[1] in ("obj", "text"):
        listed, order = given["bbox"], ELEMENT
    if listed:
        sides = _listed(name, *listed, order, findings)
        return Entry(index, name, given, sides, order, listed[0], prompt) if sides else None
    used = [_first(given, names) for names in STARTS.values()]
    if not PLACES & given.keys():
        findings.refuse(
            f"the place of {name}", f"is missing among its keys {keys_of(given)}", "write x, y, w and h"
        )
        return None
    unordered = next((given[known] for known in UNORDERED if known in given), None)
    if unordered and not any(used):
        why = (
            ", which does not say the order of its numbers" if isinstance(unordered[1], (list, tuple)) else ""
        )
        fix = "write x, y, w and h, or bbox_2d for [left, top, right, bottom] or box_2d for [top, left, bottom, right]"
        findings.refuse(f"{unordered[0]} of {name}", f"is {_list(unordered[1])}{why}", fix)
        return None
    sides = _named(name, given, used, findings)
    return Entry(index, name, given, sides, (), "", prompt) if sides else None


def _named(name: str, given: dict, used: list[str | None], findings: Findings) -> dict | None:
    """x, y, w and h of a box that has a key for each side."""
    starts = {side: _number(name, given, key, side, findings) for side, key in zip("xy", used)}
    sizes: dict[str, tuple[str, Any]] = {}
    for start, extent, edge in (("x", "w", "right"), ("y", "h", "bottom")):
        key, end = _first(given, SIZES[extent]), _first(given, ENDS[extent], *used)
        sizes[extent] = _number(name, given, key or end, extent, findings)
        if end and not key:
            sizes[extent] = _size(starts[start], sizes[extent], edge, findings)
    return None if None in sizes.values() else {**starts, **sizes}


def _listed(name: str, key: str, value: Any, order: tuple[str, ...], findings: Findings) -> dict | None:
    """x, y, w and h of four numbers."""
    numbers = (
        [_float(one) for one in value] if isinstance(value, (list, tuple)) and len(value) == 4 else [None]
    )
    if not all(isinstance(one, float) and isfinite(one) for one in numbers):
        findings.refuse(f"{key} of {name}", f"is {_list(value)}", f"write [{', '.join(order)}], four numbers")
        return None
    found = {side: (f"{side} in {key} of {name}", one) for side, one in zip(order, numbers)}
    if "right" in found:
        found["width"] = _size(found["left"], found["right"], "right", findings)
        found["height"] = _size(found["top"], found["bottom"], "bottom", findings)
    sides = dict(zip("xywh", (found["left"], found["top"], found["width"], found["height"])))
    return None if None in sides.values() else sides


def _size(
    start: tuple[str, Any], end: tuple[str, Any], edge: str, findings: Findings
) -> tuple[str, Any] | None:
    """The size between two edges."""
    if not isinstance(end[1], float) or not isfinite(end[1]):
        findings.refuse(end[0], f"is {shown(end[1])}", f"write the {edge} edge, a number from 0 to 1")
        return None
    if not isinstance(start[1], float):
        return start[0], None
    if end[1] <= start[1]:
        fix = f"write the {edge} edge, which lies behind it"
        findings.refuse(end[0], f"is {end[1]:g} and {start[0]} is {start[1]:g}", fix)
        return None
    return end[0], round(end[1] - start[1], 9)


def _first(given: dict, names: tuple[str, ...], *but: str | None) -> str | None:
    return next((name for name in names if name in given and name not in but), None)


def _number(name: str, given: dict, key: str | None, side: str, findings: Findings) -> tuple[str, Any]:
    if key is None:
        return f"{side} of {name}", None
    written, value = given[key]
    label, read = f"{written} of {name}", _float(value)
    if isinstance(value, str) and isinstance(read, float):
        findings.repaired(f"{label} was in quotes")
    return label, read


def _float(value: Any) -> Any:
    """A number as float, from text too; anything else as it is."""
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # an integer of hundreds of digits
            return inf
    read = number(value) if type(value) is str else None
    return value if read is None else read


def _list(value: Any) -> str:
    if not isinstance(value, (list, tuple)) or len(value) > 6:
        return shown(list(value) if isinstance(value, tuple) else value)
    return f"[{', '.join(shown(_float(one)) for one in value)}]"


def _to_parts(
    entries: list[Entry], size: tuple[int, int] | None, findings: Findings, in_pixels: bool
) -> None:
    """Turn boxes that are written alike into fractions of the picture, all from one unit. Refused ones lose their sides."""
    if not entries:
        return
    first, listed = entries[0], bool(entries[0].order)
    is_element = listed and first.key == "bbox"
    units = [entry for entry in entries if entry.in_units]
    if is_element or (listed and units):
        for entry in entries:
            if not entry.in_units:
                found = f"is {_list(entry.given[plain(entry.key)][1])}"
                fix = "write thousandths of the picture, 0 to 1000, or x, y, w and h from 0 to 1"
                findings.refuse(f"{entry.key} of {entry.name}", found, fix)
                entry.sides = {}
    elif len(units) < len(entries):  # a value that is out of range is named by its side
        _say_place(first, "parts of the picture", findings, told=in_pixels and "width" in first.given)
        return
    if not units:
        return
    reach = [max(entry.numbers[i] + entry.numbers[i + 2] for entry in units) for i in (0, 1)]
    if listed and max(reach) <= 1000:
        scale, unit = (1000, 1000), "thousandths of the picture"
    elif problem := None if in_pixels and not is_element else _no_pixels(reach, size, listed, is_element):
        findings.refuse(*problem)
        for entry in units:
            entry.sides = {}
        return
    else:
        scale, unit = size, f"pixels of the {size[0]} × {size[1]} picture"
    _say_place(first, unit, findings, told=not in_pixels)
    for entry in units:
        numbers = [round(value / side, 9) for value, side in zip(entry.numbers, (*scale, *scale))]
        entry.exact = False
        entry.sides = {
            side: (label, value) for (side, (label, _)), value in zip(entry.sides.items(), numbers)
        }
        if in_pixels:
            _cut(entry, findings)


def _no_pixels(
    reach: list[float], size: tuple[int, int] | None, listed: bool, is_element: bool
) -> tuple[str, str, str] | None:
    """Why boxes that reach so far across and down are not in pixels of the picture, or may not be."""
    fix = "write parts of the picture, from 0 to 1"
    if is_element:
        return "the boxes", f"reach to {max(reach):g} and bbox holds thousandths, 0 to 1000", fix
    if size is None:
        return SIZE, "is not known, and the boxes are in pixels", fix
    found = f"reach to {reach[0]:g} across and {reach[1]:g} down in a picture of {size[0]} × {size[1]} pixels"
    if any(end > side * (1 + LITTLE) for end, side in zip(reach, size)):
        return "the boxes", found, fix
    grid = next((grid for grid in (100, 1000) if max(reach) <= grid and 2 * grid < min(size)), None)
    if grid and not listed:
        return "the boxes", f"{found}, which may be pixels or parts of {grid}", fix
    return None


def _cut(entry: Entry, findings: Findings) -> None:
    """Cut a box that reaches over the picture's border, however far."""
    for start, extent, where in (("x", "w", "across"), ("y", "h", "down")):
        left, right = entry.sides[start][1], entry.sides[start][1] + entry.sides[extent][1]
        if right <= 0 or left >= 1:
            findings.refuse(entry.name, f"has {where} no part in the picture", "move it inside")
            entry.sides = {}
            return
        if left < 0 or right > 1:
            findings.repaired(
                f"{entry.name} reached over the border ({where} {left:g} to {right:g}) and was cut there"
            )
            left, right = max(left, 0.0), min(right, 1.0)
            entry.sides |= {
                start: (entry.sides[start][0], left),
                extent: (entry.sides[extent][0], right - left),
            }


def _say_place(entry: Entry, unit: str, findings: Findings, told: bool) -> None:
    if entry.order:
        findings.notes.append(f"{entry.key} was read as [{', '.join(entry.order)}] in {unit}")
    elif told:
        findings.notes.append(f"the boxes were read as {unit}")


def _say_words(entries: list[Entry], findings: Findings) -> None:
    """Which keys were read as prompts, and which were passed over."""
    found = [words_of(entry.given) for entry in entries]
    keys = dict.fromkeys(key for key, _, _ in found if key and plain(key) != "prompt")
    if keys:
        findings.notes.append(f"read as the prompt: {', '.join(keys)}")
    unread = dict.fromkeys(key for _, _, others in found for key in others)
    known = {*READ, "id", "enabled", "locked", "type"}
    unread |= dict.fromkeys(
        key
        for entry in entries
        for name, (key, value) in entry.given.items()
        if name not in known and value not in ("", [])
    )
    if unread:
        findings.notes.append(f"not read in the boxes: {', '.join(list(unread)[:12])}")
