"""Puts mistakes into the code, one at a time, to see that tests notice: `python3 dev.py test --mutants [NAME ...]`.

tests/mutants.diff lists them. Every mistake gets a copy of the checkout of its own and runs the tests named beside
it, as many at once as there are cores.

    killed     a test failed, as it should        stale          the old lines do not stand in the file exactly once
    SURVIVED   no test noticed                    not tested     pytest found no test or could not start
                                                  out of time    still running after 15 minutes
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path.append(str(REPO))  # behind tests/, where it runs as a script

import dev  # noqa: E402

LIST = REPO / "tests" / "mutants.diff"
SECONDS = 900


@dataclass(frozen=True)
class Mutant:
    """A mistake: whole lines of a file, what stands in their place, and pytest's arguments that should notice."""

    name: str
    file: str
    tests: tuple[str, ...]
    old: str
    new: str

    def applied(self, root: Path) -> str | None:
        """The file's text with the mistake; None unless the old lines stand in it exactly once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        made, count = re.subn(f"^{re.escape(self.old)}$", lambda _: self.new, text, flags=re.MULTILINE)
        return made if count == 1 else None


def read(text: str) -> list[Mutant]:
    """The mutants of a list in the form of tests/mutants.diff; ValueError where it has another form."""
    mutants = []
    for block in re.split(r"^@ ", text, flags=re.MULTILINE)[1:]:
        name, where, *lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if odd := [line for line in lines if line[0] not in "-+"]:
            raise ValueError(f"{name}: {odd[0]!r} begins with neither - nor +")
        file, _, tests = where.partition(": ")
        old, new = ("\n".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
        mutants.append(Mutant(name, file, tuple(shlex.split(tests)), old, new))
    return mutants


def chosen(mutants: Sequence[Mutant], names: Sequence[str]) -> list[Mutant]:
    """Those whose name holds one of the names, all without any."""
    for name in names:
        if not any(name in mutant.name for mutant in mutants):
            sys.exit(f"error: no mutant's name in {LIST.name} holds {name!r}.")
    return [m for m in mutants if not names or any(name in m.name for name in names)]


def copy(root: Path, target: Path) -> None:
    """The checkout's files as they are now, without what git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    for name in listed.split("\0"):
        if name and (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, target / name)


def outcome(root: Path, mutant: Mutant) -> tuple[str, str]:
    """One of the words above, and pytest's line that says why."""
    made = mutant.applied(root)
    if made is None:
        return "stale", mutant.file
    with tempfile.TemporaryDirectory(prefix="rag_mutant_") as folder:
        copy(root, Path(folder))
        (Path(folder) / mutant.file).write_text(made, encoding="utf-8")
        command = [sys.executable, *dev.with_tools("pytest", "-x", "-q", *mutant.tests)]
        options = {"cwd": folder, "env": {"RAG_COMFYUI_ROOT": str(REPO / ".comfyui"), **os.environ}}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, **options)
        except subprocess.TimeoutExpired:
            return "out of time", shlex.join(mutant.tests)
    word = {0: "SURVIVED", 1: "killed"}.get(done.returncode, "not tested")
    said = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return word, (said or [*done.stdout.splitlines(), *done.stderr.splitlines(), ""][-1:])[0]


def tried(root: Path, mutant: Mutant) -> str:
    began = time.monotonic()
    word, why = outcome(root, mutant)
    print(f"{word:<11} {time.monotonic() - began:4.0f} s  {mutant.name}: {why}"[:200], flush=True)
    return word


def run(root: Path, mutants: Sequence[Mutant]) -> list[str]:
    """Try all, printing a line for each as it ends; returns those that were not killed, with what they were."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        words = list(pool.map(partial(tried, root), mutants))
    return [f"{word}: {mutant.name}" for word, mutant in zip(words, mutants) if word != "killed"]


if __name__ == "__main__":
    mutants = chosen(read(LIST.read_text(encoding="utf-8")), sys.argv[1:])
    left = run(REPO, mutants)
    print(f"\n{len(mutants) - len(left)} of {len(mutants)} killed", *left, sep="\n")
    sys.exit(bool(left))
