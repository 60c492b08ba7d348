"""How pytest-xdist shares out the tests; `dev.py test` asks for it with `-n auto --dist loadfile`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

MOST = 8
"""A worker holds torch and the pack, about 1 GB, and perhaps a server beside it."""


def unit(file: str) -> str:
    """What stays on one worker: a file, or a folder whose tests share servers (live, browser)."""
    folder = os.path.dirname(file)
    return file if os.path.basename(folder) == "tests" else folder


def units(arguments: Iterable[str]) -> set[str]:
    """The units of what pytest's arguments name."""
    paths = [Path(argument.partition("::")[0]) for argument in arguments]
    files = [file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else [path])]
    return {unit(str(file.absolute())) for file in files}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many workers as cores, but none for a single unit, a table, or what a person follows."""
    followed = config.option.trace or config.option.capture == "no"
    if followed or config.option.matrix:
        return 0
    workers = min(MOST, os.cpu_count() or 1, len(units(config.args)))
    return workers if workers > 1 else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    from xdist.scheduler import LoadFileScheduling

    class ByUnit(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(super()._split_scope(nodeid))

    return ByUnit(config, log) if config.option.dist == "loadfile" else None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Workers are ended by SIGINT, which a shell's background jobs ignore: their servers would be left behind."""
    if hasattr(session.config, "workerinput"):
        signal.signal(signal.SIGINT, signal.default_int_handler)
