"""The tables of docs/compatibility.md: which models the methods work on, and what works beside regions, on which
ComfyUI, as the marked tests found it.
`python3 dev.py test --comfyui VERSION --core --matrix=docs/compatibility.md` writes what they found on a version.

One line above a test makes its row; a name in braces is a parameter of the test:

    @pytest.mark.feature("{node}", "Hard Binding", order="before and after")

    feature  what stands beside the regions      found  what it means that the test passes: "works" (default), or
    method   the method or methods beside it            "error" where it asserts that the combination is refused
    order    its place in the chain of MODEL nodes, seen from the regions'; "" where it has none

A feature "family NAME" is a cell of the table of models, in the column of its method.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import dropwhile, takewhile
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


FAMILY = "family "
MODELS, FEATURES = "| model |", "| feature |"
"""How the two tables begin."""


def read(text: str) -> dict[Row, list[str]]:
    """Each row's cells, one a version, and its tests."""
    methods, *models, tests = cells_of(text, MODELS)
    _, *features = cells_of(text, FEATURES)
    return {Row(*cells[:3]): cells[3:] for cells in features} | {
        Row(FAMILY + model, method, ""): [*by_version(cell), shown]
        for model, *cells in models
        for method, cell, shown in zip(methods[1:], cells, tests[1:], strict=True)
        if cell
    }


def cells_of(text: str, head: str) -> list[list[str]]:
    """The lines of a table but the one below its head, each a list of cells."""
    lines = takewhile(
        lambda line: line.startswith("|"),
        dropwhile(lambda line: not line.startswith(head), text.splitlines()),
    )
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return [cells[0], *cells[2:]]


def written(text: str, rows: dict[Row, list[str]]) -> str:
    """The document with these rows in its tables' place."""
    features = {row: cells for row, cells in rows.items() if not row.feature.startswith(FAMILY)}
    ordered = sorted(features, key=lambda row: [part.casefold() for part in row])
    table = [
        ["feature", "beside", "order", *VERSIONS, "shown by"],
        *([*row, *features[row]] for row in ordered),
    ]
    return put(put(text, MODELS, of_models(rows)), FEATURES, table)


def of_models(rows: dict[Row, list[str]]) -> list[list[str]]:
    """The table of models: a line for each, a column for each method; the last line has the tests of each column."""
    found = {row: cells for row, cells in rows.items() if row.feature.startswith(FAMILY)}
    features, methods = (
        sorted(names, key=str.casefold) for names in ({row[part] for row in found} for part in (0, 1))
    )
    tests = {
        method: {test for row in found if row.method == method for test in found[row][-1].split(", ")}
        for method in methods
    }
    return [
        ["model", *methods],
        *(
            [
                feature.removeprefix(FAMILY),
                *(in_one_cell(found.get(Row(feature, m, ""), [])) for m in methods),
            ]
            for feature in features
        ),
        ["shown by", *(", ".join(sorted(tests[method])) for method in methods)],
    ]


def in_one_cell(found: list[str]) -> str:
    """What was found on the oldest version, then each change with the version that brought it."""
    changes = zip(VERSIONS[1:], found, found[1:], strict=False)
    return "; ".join([*found[:1], *(f"{version}: {new}" for version, old, new in changes if new != old)])


def by_version(cell: str) -> list[str]:
    """The inverse of `in_one_cell`."""
    oldest, *changes = cell.split("; ")
    changed, found = dict(change.split(": ") for change in changes), [oldest]
    for version in VERSIONS[1:]:
        found.append(changed.get(version, found[-1]))
    return found


def put(text: str, head: str, table: list[list[str]]) -> str:
    """The document with this table in place of the one that begins so."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(head))
    end = next((n for n in range(start, len(lines)) if not lines[n].startswith("|")), len(lines))
    marked = [table[0], ["---"] * len(table[0]), *table[1:]]
    return "\n".join([*lines[:start], *(f"| {' | '.join(line)} |" for line in marked), *lines[end:], ""])


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
