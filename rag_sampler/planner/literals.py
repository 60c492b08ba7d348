"""Values as language models and Python scripts write them: JSON with liberties, within bounds, never evaluated.

Understood beyond JSON: trailing commas, comments, single and typographic quotes, bare keys, tuples, True and None,
fractions (1/3), percentages (50%), full-width punctuation. Whatever else is found is an error or a Word.
"""

from __future__ import annotations

import re
from typing import Any

MAX_DEPTH = 8
"""Levels of lists and objects in one another; a plan has four."""

MAX_STRING = 12_000
"""Characters of one string."""

BUDGET = 250_000
"""What all attempts on one text may cost together, in characters: a plan of 100 boxes costs half of it."""

STEP = 80
"""What a value or key costs of it besides its characters."""

NUMBER = re.compile(
    r"([-+]?(?:\d+(?:[.．]\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?:\s*/\s*(\d+(?:\.\d*)?|\.\d+))?(\s*%)?(?![\w.(])"
)
"""A number, a fraction or a percentage."""

BLANK = re.compile(r"\.{3}|…|<[^<>\n]{1,60}>")
"""What stands in forms where a value belongs."""

_SPACE = re.compile(r"(?:\s|//[^\n]*|#[^\n]*|/\*[^*]{0,2000}\*/)*")
_WORD = re.compile(r"[^\W\d][\w.]{0,60}")
_PREFIX = re.compile(r"[rRuUbBfF]{1,2}(?=[\"'])")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|\n|.)", re.DOTALL)
_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")  # of one character, as JSON escapes it
_ESCAPES = {"n": "\n", "t": "\t", "r": "\n", "\n": ""}
_CONSTANTS = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "nan": float("nan"),
    "infinity": float("inf"),
    "inf": float("inf"),
}
_CLOSING = {
    '"': '"',
    "'": "'",
    "`": "`",
    **dict.fromkeys("“”„", '“”"'),
    "‘": "’",
    "’": "’",
    "«": "»",
    "「": "」",
    "＂": "＂",
}


def _string(closing: str) -> re.Pattern[str]:
    """The rest of a string. A quote that no separator, bracket or line end follows belongs to the text."""
    end = rf"[{closing}](?=\s*(?:[,:;，、：；}}\])]|\Z)|[ \t]*(?:\n|\#|//))"
    return re.compile(rf"((?:[^\\{closing}]|\\.|(?!{end})[{closing}]){{0,{MAX_STRING}}})(?:{end})", re.DOTALL)


_STRINGS = {opening: _string(closing) for opening, closing in _CLOSING.items()}


class Word(str):
    """Bare text where a value belongs, such as an identifier. Never looked up."""

    __slots__ = ()


class Unreadable(ValueError):
    """No value: why, where reading stopped, and whether the text ended there."""

    def __init__(self, why: str, place: int, cut: bool = False) -> None:
        super().__init__(why)
        self.place, self.cut = place, cut


def number(text: str) -> float | None:
    """The value of a number, fraction or percentage that fills the text, else None."""
    match = NUMBER.fullmatch(text.strip())
    return _value_of(match) if match and len(text) <= 60 else None


class Literals:
    """Reads values out of one text. All reading shares one budget, so hostile input takes bounded time."""

    def __init__(self, text: str) -> None:
        self.text, self.budget = text, BUDGET

    def read(self, start: int) -> tuple[Any, int]:
        """The value that starts at `start` (floats for numbers, str, Word, bool, None, list, dict), and its end.

        Raises Unreadable.
        """
        return self._value(start, 0)

    def _value(self, start: int, depth: int) -> tuple[Any, int]:
        place = self._skip(start)
        if prefix := _PREFIX.match(self.text, place):
            place = prefix.end()
        first = self.text[place : place + 1]
        if first in _STRINGS:
            return self._read_string(place)
        if first in ("{", "[", "("):
            if depth == MAX_DEPTH:
                raise Unreadable(f"is nested deeper than {MAX_DEPTH} levels", place)
            self._spent(place, place + 1)
            return self._object(place + 1, depth) if first == "{" else self._list(place, depth)
        if match := NUMBER.match(self.text, place):
            value = _value_of(match) if match.end() - place <= 60 else None
            return Word(match[0][:80]) if value is None else value, self._spent(place, match.end())
        if match := _WORD.match(self.text, place):
            word = match[0]
            return _CONSTANTS.get(word.lower(), Word(word)), self._spent(place, match.end())
        if match := BLANK.match(self.text, place):
            return Word(match[0]), self._spent(place, match.end())
        raise self._stopped("a value", place)

    def _object(self, place: int, depth: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        while True:
            place = self._skip(place)
            if self._is(place, "}"):
                return found, place + 1
            key, place = self._value(place, MAX_DEPTH)  # a key holds no list and no object
            if not isinstance(key, str):
                raise self._stopped("a key", place)
            place = self._skip(place)
            if isinstance(key, Word) and BLANK.fullmatch(key) and self._is(place, ",，}"):
                place = self._separator(place, "}")  # "..." for further keys
                continue
            if not self._is(place, ":："):
                raise self._stopped('":"', place)
            found[key], place = self._value(place + 1, depth + 1)
            place = self._separator(place, "}")

    def _list(self, start: int, depth: int) -> tuple[Any, int]:
        """A list, or in round brackets a tuple or Python's adjacent strings, which are one."""
        closing, found, place = ("]" if self._is(start, "[") else ")"), [], start + 1
        commas = 0
        while True:
            place = self._skip(place)
            if self._is(place, closing):
                break
            value, place = self._value(place, depth + 1)
            if closing == ")" and len(found) > commas and isinstance(value, str):
                found[-1] += value
            else:
                found.append(value)
            place = self._skip(place)
            if self._is(place, ",，、"):
                commas, place = commas + 1, place + 1
            elif not self._is(place, closing) and not (closing == ")" and isinstance(found[-1], str)):
                raise self._stopped(f'"," or "{closing}"', place)
        single = closing == ")" and len(found) == 1 and not commas
        return (found[0] if single else found), place + 1

    def _separator(self, place: int, closing: str) -> int:
        place = self._skip(place)
        if self._is(place, ",，、"):
            return place + 1
        if self._is(place, closing):
            return place
        raise self._stopped(f'"," or "{closing}"', place)

    def _read_string(self, place: int) -> tuple[str, int]:
        quote = self.text[place]
        if self.text.startswith(quote * 3, place):
            end = self.text.find(quote * 3, place + 3)
            if end < 0 or end - place > MAX_STRING:
                raise Unreadable("holds a string without an end", place, cut=end < 0)
            return _unescape(self.text[place + 3 : end]), self._spent(place, end + 3)
        match = _STRINGS[quote].match(self.text, place + 1)
        if match is None:
            self._spent(place, min(place + MAX_STRING, len(self.text)))
            cut = len(self.text) - place <= MAX_STRING
            why = "holds a string without an end" if cut else f"holds a string above {MAX_STRING} characters"
            raise Unreadable(why, place, cut)
        return _unescape(match[1]), self._spent(place, match.end())

    def _skip(self, place: int) -> int:
        end = _SPACE.match(self.text, place).end()
        return self._spent(place, end, step=0) if end > place else place

    def _spent(self, start: int, end: int, step: int = STEP) -> int:
        self.budget -= end - start + step
        if self.budget < 0:
            raise Unreadable("is too long to be a plan", end)
        return end

    def _is(self, place: int, characters: str) -> bool:
        return place < len(self.text) and self.text[place] in characters

    def _stopped(self, expected: str, place: int) -> Unreadable:
        if place >= len(self.text):
            return Unreadable("breaks off before its end", place, cut=True)
        near = " ".join(self.text[place : place + 20].split())
        return Unreadable(f'has "{near}" where {expected} belongs', place)


def _value_of(match: re.Match[str]) -> float | None:
    """The value of a NUMBER match; None for a division by zero."""
    whole, divisor, percent = match.groups()
    whole = whole.replace("．", ".")
    bottom = float(divisor or 1) * (100 if percent else 1)
    return float(whole) / bottom if bottom else None


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    joined = _HALVES.sub(
        lambda m: m[0].encode("utf-16", "surrogatepass").decode("utf-16"), _ESCAPE.sub(character, text)
    )
    return joined.encode("utf-8", "replace").decode("utf-8")
