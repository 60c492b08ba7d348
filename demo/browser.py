"""The browser and the frontends that the page's tests need, fetched where they are missing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

from playwright.sync_api import Browser, Error, Playwright

FRONTENDS = Path(__file__).resolve().parent.parent / ".devtools" / "frontends"
DOWNLOADS = "https://cdn.playwright.dev"
SYSTEM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
ARGUMENTS = ["--no-sandbox"]  # it visits a server of ours alone, often as root in a container
DOWNLOAD_SECONDS = 900


class Missing(Exception):
    """What has to be installed, in one sentence."""


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium: Playwright's own, downloaded if the network allows it, else the system's."""
    for ready in (lambda: True, download_browser):
        if ready():
            with contextlib.suppress(Error):
                return playwright.chromium.launch(args=ARGUMENTS)
    found = [path for name in SYSTEM if (path := shutil.which(name))] + [str(MAC)] * MAC.exists()
    if not found:
        raise Missing(
            "The page's tests need a browser: install Chromium or Chrome (Debian, Ubuntu: apt-get install chromium), "
            f"or let `python -m playwright install chromium` reach {DOWNLOADS}."
        )
    return playwright.chromium.launch(args=ARGUMENTS, executable_path=found[0])


def download_browser() -> bool:
    """Fetch Playwright's own Chromium; False where its server cannot be reached or the download fails."""
    try:
        urllib.request.urlopen(urllib.request.Request(DOWNLOADS, method="HEAD"), timeout=5).close()
    except urllib.error.HTTPError:
        pass  # it answers
    except OSError:
        return False
    print("fetching Playwright's Chromium", flush=True)
    done = _python("playwright", "install", "--only-shell", "chromium")
    return done.returncode == 0


def newest_frontend() -> Path:
    """The files of the newest comfyui-frontend-package on PyPI; without a network, of the last one fetched."""
    done = _python(
        "pip", "download", "--quiet", "--no-deps", "--dest", str(FRONTENDS), "comfyui-frontend-package"
    )
    wheels = sorted(FRONTENDS.glob("*.whl"), key=lambda wheel: _version(wheel.name))
    if not wheels:
        last = (done.stderr or "").strip().splitlines()[-1:]
        raise Missing(
            f"The tests on the newest frontend have to download it from PyPI once: {' '.join(last)}"
        )
    target = FRONTENDS / ".".join(map(str, _version(wheels[-1].name)))
    if not target.is_dir():
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with zipfile.ZipFile(wheels[-1]) as wheel:
            wheel.extractall(
                partial, [name for name in wheel.namelist() if "/static/" in name and name[-4:] != ".map"]
            )
        partial.rename(target)
    return next(target.glob("*/static"))


def _version(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.search(r"-(\d+)\.(\d+)\.(\d+)", name).groups()))


def _python(*module: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module that may lie in one of our own folders."""
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", *module]
    return subprocess.run(
        command, env=os.environ | paths, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS
    )
