"""The keys of a box in JSON, in any case and dress: which are sides, which are words."""

from __future__ import annotations

import re
from typing import Any

PROMPTS = (
    "prompt", "regionprompt", "textprompt", "positiveprompt", "description", "desc", "caption", "phrase", "text", "label",
    "object", "subject", "content", "class", "classname", "category", "name", "title",
)  # fmt: skip
"""Keys of a prompt, as `plain` writes them; the first that holds one wins."""

STARTS = {"x": ("x", "left", "xmin", "xstart", "x0", "x1"), "y": ("y", "top", "ymin", "ystart", "y0", "y1")}
ENDS = {"w": ("right", "xmax", "xend", "x2", "x1"), "h": ("bottom", "ymax", "yend", "y2", "y1")}
SIZES = {"w": ("w", "width"), "h": ("h", "height")}
ORDERS = {
    **dict.fromkeys(("bbox2d", "xyxy", "bboxxyxy", "boxxyxy"), ("left", "top", "right", "bottom")),
    **dict.fromkeys(("box2d", "yxyx", "bboxyxyx", "boxyxyx"), ("top", "left", "bottom", "right")),
    **dict.fromkeys(("xywh", "bboxxywh", "boxxywh"), ("left", "top", "width", "height")),
}
"""Keys of four numbers whose name says their order."""

ELEMENT = ("top", "left", "bottom", "right")
"""The order of "bbox" in ComfyUI's elements, which are those with a type, in thousandths."""

UNORDERED = (
    "bbox",
    "box",
    "boundingbox",
    "bounds",
    "rect",
    "rectangle",
    "coordinates",
    "coords",
    "position",
    "location",
    "size",
)
"""Keys whose value may be an object of sides; four numbers under them have no known order."""

PLACES = {name for names in (*STARTS.values(), *ENDS.values()) for name in names} | {*ORDERS, *UNORDERED}
COLORS = ("color", "colorpalette", "palette")
READ = {*PROMPTS, *PLACES, *(name for names in SIZES.values() for name in names), *COLORS, "metadata"}
"""Keys that are read, or are known to matter to nothing here."""


def plain(key: str) -> str:
    """A key without case, spaces, hyphens and underscores: "basePrompt" and "Base prompt" are one."""
    return re.sub(r"[\s_-]+", "", key[:80]).lower()


def by_plain_names(found: dict[Any, Any]) -> dict[str, tuple[str, Any]]:
    """A JSON object's keys as (as written, value) by their plain names; null is absent, the name itself wins."""
    named: dict[str, tuple[str, Any]] = {}
    for key, value in found.items():
        if value is not None and isinstance(key, str) and (plain(key) not in named or plain(key) == key):
            named[plain(key)] = key, value
    return named


def is_box(found: Any) -> bool:
    return isinstance(found, dict) and bool(PLACES & by_plain_names(found).keys())


def words_of(given: dict[str, tuple[str, Any]]) -> tuple[str, Any, list[str]]:
    """The key of the prompt, the prompt (None where there is none), and the keys of other words."""
    found = {name: given[name] for name in PROMPTS if name in given and isinstance(given[name][1], str)}
    found = {name: entry for name, entry in found.items() if entry[1].strip()}
    kind, text = given.get("type", ("", ""))[1], found.get("text", ("", ""))[1]
    if kind == "text" and text:
        key, rest, others = words_of(
            {name: entry for name, entry in given.items() if name not in ("text", "type")}
        )
        return key or "text", ", ".join([f'"{text}"', *([rest] if key else [])]), others
    if not found:
        return "", next((given[name][1] for name in PROMPTS if name in given), None), []
    first, *others = found.values()
    return first[0], first[1], [key for key, value in others if value != first[1]]


def keys_of(given: dict[str, tuple[str, Any]]) -> str:
    return ", ".join([key for key, _ in given.values()][:12]) or "none"
