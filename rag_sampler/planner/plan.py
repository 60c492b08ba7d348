"""What an answer means: a base prompt, cells and boxes, checked and, where the meaning is plain, repaired."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..lora_tags import without_tags
from .answer import find_fields
from .boxes import read_boxes
from .cells import Part, read_cells
from .copied import refuse_broken_copies, refuse_copies
from .fields import Fields, stated_size
from .literals import Word, number
from .problems import Findings, PlanError, is_placeholder, shown

VERSION = 1
"""Of the JSON object {version, base_prompt, split_ratio, cells: [text], regions: [{prompt, x, y, w, h}]}."""


@dataclass(frozen=True)
class Plan:
    """boxes are for Hard Binding, cells for Soft Refinement (none: the boxes serve for both)."""

    base_prompt: str
    split_ratio: str
    cells: tuple[Part, ...]
    boxes: tuple[Part, ...]
    report: str
    """Where the plan was found, and what was repaired or passed over."""

    def to_json(self) -> str:
        """The plan as JSON: `read_plan` reads it back, and it is a layout for the Region Canvas."""
        plan = {"version": VERSION, "base_prompt": self.base_prompt}
        if self.cells:
            plan |= {"split_ratio": self.split_ratio, "cells": [part.prompt for part in self.cells]}
        regions = []
        for index, part in enumerate(self.boxes, 1):
            box = part.shape
            sides = {"x": box.x, "y": box.y, "w": box.width, "h": box.height}
            rounded = {side: round(value, 6) for side, value in sides.items()}
            regions.append({"id": f"r{index}", "prompt": part.prompt, **rounded})
        return json.dumps(plan | {"regions": regions}, ensure_ascii=False, indent=1)


def read_plan(answer: str, sentence: str | None = None, size: tuple[int, int] | None = None) -> Plan:
    """The plan in a language model's answer, in a layout as JSON, or in published parameter lists.

    sentence: the request: base prompt where the answer brings none, and what an answer is held against that repeats an
    example of the instruction. None: not known.
    size: width and height of the picture; without it, boxes in pixels are refused.
    Raises PlanError, whose message names field, value and fix of everything that is refused.
    """
    try:
        plan = _read(answer, sentence or "", size)
    except PlanError:
        if sentence is not None and (copy := refuse_broken_copies(answer, sentence)):
            raise PlanError([copy]) from None
        raise
    prompts = [part.prompt for part in plan.boxes]
    if sentence is not None and (copy := refuse_copies(plan.base_prompt, prompts, sentence)):
        raise PlanError([copy])
    return plan


def _read(answer: str, sentence: str, size: tuple[int, int] | None) -> Plan:
    fields = find_fields(answer)
    findings = Findings(fields.notes)
    _check_version(fields, findings)
    base = _base_prompt(fields, findings)
    ratio, cells = read_cells(fields.values, findings)
    boxes = read_boxes(fields, cells, stated_size(fields.values) or size, findings)
    if findings.problems:
        raise PlanError(findings.problems)
    if not cells:
        findings.notes.append(
            "there are no cells: Soft Refinement guides the boxes, the base prompt the rest"
        )
    if not base:
        prompts = (without_tags(part.prompt).rstrip(".") for part in cells or boxes)
        base = " ".join(sentence.split()) or ", ".join(prompts)
        took = "the sentence" if sentence.strip() else "all prompts together"
        findings.notes.append(f"there is no base prompt: {took} took its place")
    return Plan(base, ratio, cells, boxes, _report(fields, cells, boxes, findings))


def _check_version(fields: Fields, findings: Findings) -> None:
    version = fields.values.get("version", float(VERSION))
    known = number(version) if type(version) is str else version
    if isinstance(known, bool) or known != VERSION:
        findings.refuse("version", f"is {shown(version)}", f"write {VERSION}")


def _base_prompt(fields: Fields, findings: Findings) -> str:
    value = fields.values.get("base_prompt", "")
    if isinstance(value, str) and not isinstance(value, Word):
        if value.strip() and is_placeholder(value):
            findings.notes.append(f"base_prompt is {shown(value)} and was passed over")
            return ""
        return " ".join(value.split())
    findings.refuse("base_prompt", f"is {shown(value)}", "write a text that describes the whole picture")
    return ""


def _report(fields: Fields, cells: tuple[Part, ...], boxes: tuple[Part, ...], findings: Findings) -> str:
    counts = [f"{len(parts)} {noun}{ending if len(parts) != 1 else ''}" for parts, noun, ending in (
        (cells, "cell", "s"), (boxes, "box", "es"))]  # fmt: skip
    lines = [
        f"Plan read from {fields.source}: {counts[0]}, {counts[1]}.",
        *(f"- {note}" for note in findings.notes),
    ]
    return "\n".join(lines if findings.notes else [*lines, "Nothing had to be repaired."])
