"""Answers that repeat the examples of the instruction, as small language models do, in place of planning the request."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .instruction import EXAMPLES
from .problems import Problem, shown

_TEXT = re.compile(r'["“]([^"“”\n]{8,400})')
_OPENING = 5
"""Words by which a prompt of an example is known again: models vary its end."""


def _words(text: str) -> list[str]:
    """Words without the s of a plural."""
    return [word.rstrip("s") for word in re.findall(r"\w+", text[:400].lower())]


_OPENINGS = {
    tuple(_words(prompt)[:_OPENING])
    for _, _, plan in EXAMPLES
    for prompt in _TEXT.findall(plan)
    if re.match("[A-Za-z]+ ", prompt)
}


def refuse_copies(base: str, prompts: Iterable[str], sentence: str) -> Problem | None:
    """Why a plan is none of the request: its base prompt, or every prompt, is one of an example's."""
    prompts, request = set(prompts), set(_words(sentence))
    copies = [prompt for prompt in sorted(prompts) if _is_copy(prompt, request)]
    return _problem([base] if _is_copy(base, request) else copies if len(copies) == len(prompts) else [])


def refuse_broken_copies(answer: str, sentence: str) -> Problem | None:
    """The same of an answer that holds no plan: any of its texts is one of an example's."""
    request = set(_words(sentence))
    return _problem([text for text in _TEXT.findall(answer)[:200] if _is_copy(text, request)])


def _is_copy(prompt: str, request: set[str]) -> bool:
    """Whether a prompt begins as one of an example and the request speaks of little of it."""
    words = _words(prompt)
    told = {word for word in words[:8] if len(word) > 3}
    begins = any(tuple(words[: len(opening)]) == opening for opening in _OPENINGS)
    return begins and 3 * len(told & request) < len(told)


def _problem(copies: list[str]) -> Problem | None:
    if not copies:
        return None
    found = f"repeats an example of the instruction ({shown(copies[0])}) and does not plan the request"
    return Problem(
        "the plan", found, "plan the request itself; if this comes again, take a larger language model"
    )
