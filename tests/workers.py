"""How pytest-xdist shares out the tests; `dev.py test` asks for it with `-n auto --dist loadfile`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

MOST = 8
"""A worker holds torch and the pack, about 1 GB, and perhaps a server beside it."""
FRONTENDS, RENDERERS = ("pinned", "newest"), ("classic", "nodes2")
PAGES = [f"{frontend}-{renderer}" for frontend in FRONTENDS for renderer in RENDERERS]


def unit(test: str) -> str:
    """What stays on one worker: a file, a folder whose tests share a server (live), a page on one (browser)."""
    file, _, name = test.partition("::")
    folder = os.path.dirname(file)
    if os.path.basename(folder) == "tests":
        return file
    return folder + next((f" {page}" for page in PAGES if f"[{page}" in name), "")


def units(arguments: Iterable[str]) -> set[str]:
    """The units of what pytest's arguments name."""
    paths = [Path(argument.partition("::")[0]) for argument in arguments]
    files = [file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else [path])]
    pages = {file: PAGES if file.parent.name == "browser" else [""] for file in files}
    return {unit(f"{file.absolute()}::[{page}") for file in files for page in pages[file]}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores, as tests of the page wait most of their time; none for a single unit, a table, or
    what a person follows."""
    followed = config.option.trace or config.option.capture == "no"
    if followed or config.option.matrix:
        return 0
    workers = min(MOST, 1 + (os.cpu_count() or 1), len(units(config.args)))
    return workers if workers > 1 else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    from xdist.scheduler import LoadFileScheduling

    class ByUnit(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    return ByUnit(config, log) if config.option.dist == "loadfile" else None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Workers are ended by SIGINT, which a shell's background jobs ignore: their servers would be left behind."""
    if hasattr(session.config, "workerinput"):
        signal.signal(signal.SIGINT, signal.default_int_handler)
