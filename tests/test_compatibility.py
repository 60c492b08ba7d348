"""docs/compatibility.md has the rows that the marked tests make, each filled by a run on every version."""

import os
import shutil
import subprocess
import sys

import pytest
from matrix import VERSIONS, read
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
