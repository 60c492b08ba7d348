"""Why an answer cannot be used: every refusal names a field, what was found there, and what would be right."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .literals import Word

RETRY = "For a second try, paste this whole message into feedback of Planner Prompt and queue again."
"""What a refusal tells the user; Planner Prompt leaves it out of what the language model reads."""

SHOWN = 8
"""Problems that a message lists."""


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


def shown(value: Any) -> str:
    """A value as messages show it: short, strings in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else str(value)
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

    def prompt(self, value: Any, field: str) -> str:
        """A value that has to be a text that is not empty."""
        if isinstance(value, str) and value.strip():
            return " ".join(value.split())
        found = (
            "is empty" if isinstance(value, str) else "is missing" if value is None else f"is {shown(value)}"
        )
        self.refuse(field, found, "describe in words what is to be seen there")
        return ""
