"""LoRAs named in a prompt, <lora:name:0.8>, as other programs write them: read, taken out, and looked up by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePosixPath

STRONGEST = 20.0
"""As Create Hook LoRA has it."""

_TAG = re.compile(r"[<＜]\s*lora\b([^<>＜＞]*)([>＞]?)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_HOLE = "\0"
"""Stands where a tag was."""

_GAP = re.compile(r"[\s,，、\0]+")
_EMPTIED = re.compile(r"(?<!\\)[(\[{][\s,，、]*\0[\s,，、\0]*([:：][^()\[\]{}\0]*)?[)\]}]")


@dataclass(frozen=True)
class LoraTag:
    """A LoRA that a prompt names.

    name: as written. model, clip: strengths for the model and for the text encoder.
    """

    name: str
    model: float = 1.0
    clip: float = 1.0


def read_tags(text: str) -> tuple[str, tuple[LoraTag, ...]]:
    """A prompt without its tags, and what they say.

    <lora:name> has strength 1, <lora:name:0.8> for model and text encoder, <lora:name:0.8:0.5> for each of them. Raises
    ValueError, which shows the tag and the right form, for any other.
    """
    return without_tags(text), tuple(map(_read, _TAG.finditer(text)))


def without_tags(text: str) -> str:
    """A prompt without its tags; the commas, spaces and brackets that were theirs are gone, too. One that has none is
    left as it is."""
    text, left = _TAG.subn(_HOLE, text)
    if not left:
        return text
    while left:  # a weight's brackets, and those around them
        text, left = _EMPTIED.subn(_HOLE, text)
    return _GAP.sub(_joint, text)


def find_name(name: str, installed: Sequence[str]) -> str:
    """The installed file that a name means: by its path, its path without extension, then the same without folders,
    each first in the same and then in any case. Raises ValueError, with near names where none fits and with all that fit
    where several do."""
    wanted = name.replace("\\", "/")
    for form in (_path, _without_extension, _file, _stem):
        for cased in (str, str.casefold):
            found = [each for each in installed if cased(form(each)) == cased(wanted)]
            if len(found) > 1:
                raise ValueError(
                    f"the LoRA {name!r} may be {_listed(found)}; write which one, with its folder"
                )
            if found:
                return found[0]
    if not installed:
        raise ValueError(f"there is no LoRA {name!r}: none are installed; put its file into models/loras")
    known = {_stem(each).casefold(): each for each in installed}
    near = [known[each] for each in get_close_matches(_stem(wanted).casefold(), known, cutoff=0.5)]
    raise ValueError(
        f"there is no LoRA {name!r} among the {len(installed)} that are installed"
        + (f"; near it are {_listed(near)}" if near else "; Load LoRA lists them")
    )


def _read(found: re.Match) -> LoraTag:
    behind, *parts = (part.strip() for part in re.split("[:：]", found[1]))
    name, strengths = (parts or [""])[0], parts[1:]
    shown = found[0] if len(found[0]) <= 60 else found[0][:57] + "..."
    if behind or not name or not found[2] or len(strengths) > 2 or not all(map(_NUMBER.fullmatch, strengths)):
        raise ValueError(
            f"{shown} is no LoRA's tag; write <lora:name>, <lora:name:0.8>, or <lora:name:0.8:0.5> with the strengths for "
            f"the model and for the text encoder"
        )
    numbers = [float(strength) for strength in strengths] or [1.0]
    if not all(abs(number) <= STRONGEST for number in numbers):
        raise ValueError(f"a strength of {shown} is out of range; it has to lie between -20 and 20")
    return LoraTag(name, numbers[0], numbers[-1])


def _joint(gap: re.Match) -> str:
    """What stands between the words on both sides of a gap: what did, or where a tag was, at most one comma."""
    if _HOLE not in gap[0]:
        return gap[0]
    before, after = gap.string[: gap.start()][-1:], gap.string[gap.end() :][:1]
    if not before or not after or before in "([{" or after in ")]}:：.;!?。；！？":
        return ""
    comma = next((sign for sign in gap[0] if sign in ",，、"), "")
    return comma + ("\n" if "\n" in gap[0] else "" if comma in ("，", "、") else " ")


def _path(file: str) -> str:
    return file.replace("\\", "/")


def _without_extension(file: str) -> str:
    return str(PurePosixPath(_path(file)).with_suffix(""))


def _file(file: str) -> str:
    return PurePosixPath(_path(file)).name


def _stem(file: str) -> str:
    return PurePosixPath(_path(file)).stem


def _listed(files: Sequence[str]) -> str:
    return ", ".join(files[:8]) + (f" and {len(files) - 8} more" if len(files) > 8 else "")
