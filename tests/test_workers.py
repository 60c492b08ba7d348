"""How tests are shared out among the cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import workers
from tiny import REPO


@pytest.mark.parametrize(
    ("named", "cores", "settings", "expected"),
    [
        ("tests", 2, {}, 3),
        ("tests", 64, {}, 8),
        ("tests", 1, {}, 2),
        ("tests/test_js.py tests/test_dev.py", 4, {}, 2),
        ("tests/test_dev.py::test_one tests/test_dev.py::test_two", 4, {}, 0),
        ("tests/live", 4, {}, 0),
        ("tests/browser", 4, {}, 4),
        ("tests/live/test_smoke.py tests/live/test_demo.py tests/test_js.py", 4, {}, 2),
        ("tests", 4, {"matrix": Path("table.md")}, 0),
        ("tests", 4, {"capture": "no"}, 0),
        ("tests", 4, {"trace": True}, 0),
    ],
)
def test_number_of_workers(named: str, cores: int, settings: dict, expected: int, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    option = SimpleNamespace(**{"capture": "fd", "trace": False, "matrix": None, **settings})
    config = SimpleNamespace(option=option, args=[str(REPO / name) for name in named.split()])
    assert workers.pytest_xdist_auto_num_workers(config) == expected


def pytest_on_two(folder: Path, **options: Any) -> subprocess.Popen[str]:
    """Pytest on folder/tests with two workers."""
    (folder / "tests" / "conftest.py").write_text("from workers import *\n")
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-q", "tests"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=env, **piped, **options)


RECORDING = """
import os, pytest

@pytest.mark.parametrize("page", {pages})
def test_it(page):
    with open({log!r}, "a") as log:
        log.write(os.environ["PYTEST_XDIST_WORKER"] + " {unit}" + page + "\\n")
"""


def test_what_shares_a_server_or_a_page_stays_on_one_worker(tmp_path: Path):
    """A folder, a folder of two pages and two files on two workers, each test writing down where it ran."""
    places = ["live/test_a", "live/test_b", "live/test_c", "live/test_d", "browser/test_e", "browser/test_f"]
    for place in [*places, "test_g", "test_h"]:
        pages = workers.PAGES[:2] if place.startswith("browser") else ("",)
        path = tmp_path / "tests" / f"{place}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        name = place.rpartition("/")[0] or place
        path.write_text(RECORDING.format(log=str(tmp_path / "log"), unit=name, pages=pages))
    with pytest_on_two(tmp_path) as running:
        said = running.communicate()[0]
    assert running.returncode == 0, said
    ran = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    where = {unit: {worker for worker, name in ran if name == unit} for _, unit in ran}
    assert len(ran) == 10 and len(where) == 5 and all(len(each) == 1 for each in where.values()), ran
    assert len(set.union(*where.values())) == 2


WAITING = """
import pathlib, time, pytest

@pytest.fixture
def server():
    pathlib.Path({place!r} + ".started").touch()
    yield
    pathlib.Path({place!r} + ".ended").touch()

def test_it(server):
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="a matter of signals, which Windows has not")
def test_a_killed_run_in_the_background_ends_its_servers(tmp_path: Path):
    (tmp_path / "tests").mkdir()
    for name in "ab":
        (tmp_path / "tests" / f"test_{name}.py").write_text(WAITING.format(place=str(tmp_path / name)))
    until = time.monotonic() + 60
    in_background = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with pytest_on_two(tmp_path, **in_background) as running:
        while len(list(tmp_path.glob("*.started"))) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        running.terminate()
        said = running.communicate()[0]
    assert sorted(path.name for path in tmp_path.glob("*.ended")) == ["a.ended", "b.ended"], said
