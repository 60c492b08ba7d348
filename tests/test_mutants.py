"""The mutants in the list fit the code, and the runner tells those that tests notice from those that they do not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import mutants
import pytest
from tiny import REPO

LISTED = mutants.read(mutants.LIST.read_text(encoding="utf-8"))


def test_the_list_fits_the_code():
    stale = [m.name for m in LISTED if m.applied(REPO) is None]
    assert LISTED and stale == []
    assert len({m.name for m in LISTED}) == len(LISTED)


def test_the_listed_tests_are_there_and_need_no_server():
    for mutant in LISTED:
        named = [argument for argument in mutant.tests if argument.startswith("tests/")]
        assert named and all((REPO / path.partition("::")[0]).is_file() for path in named), mutant.name
        assert not [path for path in named if path.startswith(("tests/live", "tests/browser"))], mutant.name


TINY = """
@ adds one too many
calc.py: test_calc.py
-    return a + b
+    return a + b + 1

@ the guard goes
calc.py: test_calc.py -k "sum or more"
# no test looks at it
-    if a is None:
-        raise TypeError

@ not there
calc.py: test_calc.py
-    return a - b
+    return b - a

@ there twice
calc.py: test_calc.py
-    pass

@ no such test
calc.py: test_calc.py -k nothing
-    return a + b
"""
CALC = "def add(a, b):\n    if a is None:\n        raise TypeError\n    return a + b\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "calc.py").write_text(CALC + "def one():\n    pass\ndef two():\n    pass\n")
    (tmp_path / "test_calc.py").write_text(
        "from calc import add\ndef test_sum():\n    assert add(1, 2) == 3\n"
    )
    return tmp_path


def test_the_runner_tells_killed_from_survived(checkout: Path, capsys: pytest.CaptureFixture[str]):
    assert mutants.run(checkout, mutants.read(TINY)) == [
        "SURVIVED: the guard goes",
        "stale: not there",
        "stale: there twice",
        "not tested: no such test",
    ]
    assert "adds one too many: FAILED test_calc.py::test_sum" in capsys.readouterr().out
    assert (checkout / "calc.py").read_text().startswith(CALC)


def test_names_choose_mutants():
    tiny = mutants.read(TINY)
    assert [m.name for m in mutants.chosen(tiny, ["guard", "one too"])] == [
        "adds one too many",
        "the guard goes",
    ]
    assert mutants.chosen(tiny, []) == tiny
    with pytest.raises(SystemExit, match="'nonsense'"):
        mutants.chosen(tiny, ["nonsense"])


def test_a_line_without_its_sign_is_refused():
    with pytest.raises(ValueError, match="'    return a'"):
        mutants.read("@ forgotten\ncalc.py: test_calc.py\n    return a\n")
