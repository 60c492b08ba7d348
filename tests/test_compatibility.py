"""docs/compatibility.md has the rows that the marked tests make, each filled by a run on every version."""

import os
import shutil
import subprocess
import sys

from matrix import VERSIONS, read
from tiny import REPO

TABLE = REPO / "docs" / "compatibility.md"


def test_collecting_the_marked_tests_changes_no_row(tmp_path):
    copy = tmp_path / "table.md"
    shutil.copy(TABLE, copy)
    collect = ["-m", "pytest", "--core", "--collect-only", "-q", f"--matrix={copy}"]
    found = subprocess.run(
        [sys.executable, *collect],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    assert copy.read_text(encoding="utf-8") == TABLE.read_text(encoding="utf-8"), (
        f"run the core part with --matrix={TABLE.relative_to(REPO)} on {', '.join(VERSIONS)}"
    )


def test_every_cell_is_a_run_that_did_not_fail():
    rows = read(TABLE.read_text(encoding="utf-8"))
    assert rows
    found = {row: cells[: len(VERSIONS)] for row, cells in rows.items()}
    assert {cell for cells in found.values() for cell in cells} <= {"works", "warned", "error", "absent"}
    assert all(cells[-1] != "absent" for cells in found.values())  # nothing is tested on old versions alone
