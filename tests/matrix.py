"""The table of docs/compatibility.md: what works beside regions on which ComfyUI, as the marked tests found it.
`python3 dev.py test --comfyui VERSION --core --matrix=docs/compatibility.md` writes the column of a version.

One line above a test makes its row; a name in braces is a parameter of the test:

    @pytest.mark.feature("{node}", "Hard Binding", order="before and after")

    feature  what stands beside the regions      found  what it means that the test passes: "works" (default), or
    method   the method or methods beside it            "error" where it asserts that the combination is refused
    order    its place in the chain of MODEL nodes, seen from the regions'; "" where it has none
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

VERSIONS = ("0.16.3", "0.20.1", "0.24.1", "0.30.0")
FOUND = ("works", "warned", "error", "absent", "fails")
"""A cell is the last of these that its tests found; "absent" is what this ComfyUI does not have (the test skips)."""


class Row(NamedTuple):
    feature: str
    method: str
    order: str


def rows_of(item: pytest.Item) -> dict[Row, str]:
    """The rows that a test stands for, each with what its passing means."""
    names = item.callspec.params if hasattr(item, "callspec") else {}
    rows = {}
    for mark in item.iter_markers("feature"):
        settings = {"order": "", "found": "works", **mark.kwargs}
        feature, method = (text.format(**names) for text in mark.args)
        rows[Row(feature, method, settings["order"])] = settings["found"]
    return rows


def read(text: str) -> dict[Row, list[str]]:
    """Each row's cells, one a version, and its tests."""
    lines = [line.strip("|\n ").split("|") for line in text.splitlines() if line.startswith("|")][2:]
    return {Row(*cells[:3]): cells[3:] for cells in ([cell.strip() for cell in line] for line in lines)}


def written(text: str, rows: dict[Row, list[str]]) -> str:
    """The document with these rows in its table's place."""
    lines = text.splitlines()
    at = [number for number, line in enumerate(lines) if line.startswith("|")]
    head = ["feature", "beside", "order", *VERSIONS, "shown by"]
    ordered = sorted(rows, key=lambda row: [part.casefold() for part in row])
    table = [head, ["---"] * len(head), *([*row, *rows[row]] for row in ordered)]
    return "\n".join(
        [*lines[: at[0]], *(f"| {' | '.join(line)} |" for line in table), *lines[at[-1] + 1 :], ""]
    )


class Matrix:
    """A plugin of pytest: writes the outcomes of the marked tests as one version's column.

    A run of named files leaves the other rows as they are; a run of all drops those that no test stands for.
    """

    def __init__(self, path: Path, version: str) -> None:
        self.path, self.version = path, version
        self.rows: dict[str, dict[Row, str]] = {}
        self.tests: dict[Row, set[str]] = defaultdict(set)
        self.found: dict[Row, set[str]] = defaultdict(set)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self.rows[item.nodeid] = rows_of(item)
            for row in self.rows[item.nodeid]:
                self.tests[row].add(f"`{item.path.name}::{item.originalname}`")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for row, found in self.rows[report.nodeid].items():
            if report.failed:
                self.found[row].add("fails")
            elif report.skipped:
                self.found[row].add("absent")
            elif report.when == "call":
                self.found[row].add(found)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        text = self.path.read_text(encoding="utf-8")
        before = read(text)
        named = session.config.args_source is pytest.Config.ArgsSource.ARGS
        rows = dict(before) if named else {}
        for row, tests in self.tests.items():
            rows[row] = [*before.get(row, ["?"] * len(VERSIONS))[: len(VERSIONS)], ", ".join(sorted(tests))]
        for row, found in self.found.items():
            rows[row][VERSIONS.index(self.version)] = max(found, key=FOUND.index)
        self.path.write_text(written(text, rows), encoding="utf-8")
