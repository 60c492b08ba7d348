"""docs/compatibility.md has the rows that the marked tests make, each filled by a run on every version."""

import os
import shutil
import subprocess
import sys

import pytest
from matrix import FAMILY, VERSIONS, Row, by_version, in_one_cell, read, written
from tiny import REPO

TABLE = REPO / "docs" / "compatibility.md"


def pytest_in_the_checkout(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )


def test_collecting_the_marked_tests_changes_no_row(tmp_path):
    copy = tmp_path / "table.md"
    shutil.copy(TABLE, copy)
    found = pytest_in_the_checkout("--core", "--collect-only", "-q", f"--matrix={copy}")
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    assert copy.read_text(encoding="utf-8") == TABLE.read_text(encoding="utf-8"), (
        f"run the core part with --matrix={TABLE.relative_to(REPO)} on {', '.join(VERSIONS)}"
    )


def test_workers_write_no_table(tmp_path):
    """Each would write what it alone ran."""
    done = pytest_in_the_checkout("tests/test_js.py", "-n", "2", f"--matrix={tmp_path / 'table.md'}")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR and "--matrix" in done.stderr, done.stderr


def test_every_cell_is_a_run_that_did_not_fail():
    rows = read(TABLE.read_text(encoding="utf-8"))
    assert rows
    found = {row: cells[: len(VERSIONS)] for row, cells in rows.items()}
    assert {cell for cells in found.values() for cell in cells} <= {"works", "warned", "error", "absent"}
    assert all(cells[-1] != "absent" for cells in found.values())  # nothing is tested on old versions alone


@pytest.mark.parametrize(
    ("found", "cell"),
    [
        (["works", "works", "works", "works"], "works"),
        (["absent", "absent", "absent", "works"], "absent; 0.30.0: works"),
        (["error", "warned", "warned", "works"], "error; 0.20.1: warned; 0.30.0: works"),
    ],
)
def test_a_cell_of_the_table_of_models_tells_every_version(found, cell):
    assert in_one_cell([*found, "`test_x.py::test_x`"]) == cell
    assert by_version(cell) == found


def test_both_tables_are_read_as_they_were_written():
    text = TABLE.read_text(encoding="utf-8")
    rows = read(text)
    assert written(text, rows) == text
    model = Row(f"{FAMILY}A model", "Repaint", "")
    assert model not in rows
    changed = written(text, rows | {model: ["absent", "works", "works", "error", "`test_x.py::test_x`"]})
    assert read(changed)[model][:-1] == ["absent", "works", "works", "error"]
    assert "| A model |" in changed and "| family" not in changed


def test_every_method_was_tried_on_every_model_through_its_node():
    rows = read(TABLE.read_text(encoding="utf-8"))
    models = {row: cells for row, cells in rows.items() if row.feature.startswith(FAMILY)}
    assert {(row.feature, row.method) for row in models} == {
        (one.feature, other.method) for one in models for other in models
    }
    tests = {test for cells in models.values() for test in cells[-1].split(", ")}
    assert {test.strip("`").partition("::")[0] for test in tests} == {
        "test_encoders.py",
        "test_encoders_further.py",
    }
