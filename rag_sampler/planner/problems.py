"""Why an answer cannot be used: every refusal names a field, what was found there, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .literals import Word

RETRY = "For a second try, paste this whole message into feedback of Planner Prompt and queue again."
"""What a refusal tells the user; Planner Prompt leaves it out of what the language model reads."""

SHOWN = 8
"""Problems that a message lists."""


_PLACEHOLDER = re.compile(
    r"[.…\s_*-]*|<[^<>]*>|[\[{(](?:[.…]+|(?:[\w ]* )?(?:prompt|text|description|here)(?: [\w ]*)?)[\]})]"
    r"|your [\w ]*|string",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Problem:
    """One refusal: field "x of region 2", found 'is "left"', fix "write a number from 0 to 1"."""

    field: str
    found: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field} {self.found}; {self.fix}"


class PlanError(ValueError):
    """An answer that is no usable plan. `problems` holds every refusal."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(f"and {len(self.problems) - SHOWN} more")
        several = "\n".join([f"{len(self.problems)} problems", *(f"- {line}" for line in lines)])
        super().__init__(lines[0] if len(lines) == 1 else several)


def is_placeholder(text: str) -> bool:
    """Whether a text says where words belong, as "..." and "<text>" do."""
    return len(text) < 200 and _PLACEHOLDER.fullmatch(text.strip()) is not None


def shown(value: Any) -> str:
    """A value as messages show it: short, strings in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return f"{value:g}" if not isinstance(value, int) or abs(value) < 1e18 else "a huge number"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    text = " ".join(value.split())
    short = text if len(text) <= 60 else text[:57] + "..."
    return short or "empty" if isinstance(value, Word) else f'"{short}"'


class Findings:
    """What is refused, and what was repaired or passed over, on the way from an answer to a plan."""

    def __init__(self, notes: Iterable[str] = ()) -> None:
        self.problems: list[Problem] = []
        self.notes = list(notes)

    def refuse(self, field: str, found: str, fix: str) -> None:
        self.problems.append(Problem(field, found, fix))

    def repaired(self, what: str) -> None:
        self.notes.append(f"repaired: {what}")

    def prompt(self, value: Any, field: str, keys: str = "") -> str:
        """A value that has to be a text that is not empty. keys: among which it is missing."""
        if isinstance(value, str) and not is_placeholder(value):
            return " ".join(value.split())
        empty = "is empty" if isinstance(value, str) and not value.strip() else f"is {shown(value)}"
        found = f"is missing{f' among the keys {keys}' if keys else ''}" if value is None else empty
        self.refuse(field, found, "describe in words what is to be seen there")
        return ""
