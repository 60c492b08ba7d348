"""What the ComfyUI registry hands out: the tracked files without those that .comfyignore names."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import REPO

from bench import icon
from demo.client import comfyui_root

NAME = "comfyui-rag-sampler"
MOST = 40_000_000
"""Bytes; the registry says nothing of a limit, and a user waits for them."""

SEEN_IN_COMFYUI = """
import json
from demo.client import Server, comfyui_root, pack_folder
from demo.run import PICTURES, make
with Server(comfyui_root()) as server:
    pack = pack_folder(comfyui_root())
    print(json.dumps({
        "nodes": sorted(kind for kind in server.object_info if kind.startswith("RAG")),
        "templates": json.loads(server.get("/api/workflow_templates"))[pack],
        "help": [server.get(f"/extensions/{pack}/docs/RAGRegionCanvas{of}.md").decode() for of in ("", "/zh")],
        "chinese": json.loads(server.get("/i18n"))["zh"]["nodeDefs"]["RAGRegionCanvas"]["display_name"],
        "picture": make(server, next(one for one in PICTURES if "bound" in one.name))[:8].hex(),
        "log": [line for line in server.log(1000).splitlines() if "pyproject" in line],
    }))
"""


def tracked(*options: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *options], cwd=REPO, capture_output=True, check=True)
    return [name for name in listed.stdout.decode().split("\0") if name]


@pytest.fixture(scope="module")
def files() -> list[str]:
    """As comfy-cli's `node pack` chooses them."""
    if not (REPO / ".git").exists():
        pytest.skip("only git knows which files are tracked")
    left_out = set(tracked("--ignored", "--cached", "--exclude-from=.comfyignore"))
    return sorted(name for name in tracked() if name not in left_out and (REPO / name).exists())


@pytest.fixture(scope="module")
def download(files: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack, packed and unpacked into custom_nodes/ of a ComfyUI of its own."""
    folder = tmp_path_factory.mktemp("download")
    with zipfile.ZipFile(folder / "node.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in files:
            packed.write(REPO / name, name)
    root = folder / "ComfyUI"
    users = {"custom_nodes", "models", "input", "output", "temp", "user"}
    comfyui = comfyui_root().resolve()
    shutil.copytree(comfyui, root, ignore=lambda at, names: users & set(names) if Path(at) == comfyui else ())
    pack = root / "custom_nodes" / NAME
    with zipfile.ZipFile(folder / "node.zip") as packed:
        packed.extractall(pack)
    return pack


def python(pack: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"RAG_COMFYUI_ROOT": str(pack.parent.parent), "COMFYUI_PATH": ""}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=pack, env=environment, capture_output=True, text=True)


def test_it_is_small(download: Path):
    assert (download.parents[2] / "node.zip").stat().st_size < MOST


def test_it_holds_nothing_that_only_developers_use(files: list[str]):
    tops = {name.split("/")[0] for name in files}
    assert tops.isdisjoint({"tests", "bench", ".ci", "biome.json", "package.json"})
    assert [
        name for name in files if re.match(r"demo/(train|checker|browser|page|rag_demo_checker)", name)
    ] == []


def test_what_its_modules_import_is_in_it(files: list[str]):
    """Those of demo/ that are left must need none of those that are not."""
    mine = {path.stem for path in (REPO / "demo").glob("*.py")}
    missing = set()
    for name in (name for name in files if name.startswith("demo/") and name.endswith(".py")):
        for found in ast.walk(ast.parse((REPO / name).read_text(encoding="utf-8"))):
            if isinstance(found, ast.ImportFrom):
                named = {(found.module or "").rpartition(".")[2], *(one.name for one in found.names)}
                missing |= {(name, one) for one in named & mine if f"demo/{one}.py" not in files}
    assert missing == set()


def test_it_works_in_comfyui(download: Path):
    """Nodes, templates, help and languages are there, and the demo model draws."""
    done = python(download, "-c", SEEN_IN_COMFYUI)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["nodes"] == sorted(
        json.loads((REPO / "locales/en/nodeDefs.json").read_text(encoding="utf-8"))
    )
    assert sorted(seen["templates"]) == sorted(path.stem for path in REPO.glob("workflows/*.json"))
    assert [page.splitlines()[0] for page in seen["help"]] == ["# Region Canvas", "# 区域画布"]
    assert seen["chinese"] == "区域画布"
    assert seen["log"] == []
    assert seen["picture"] == b"\x89PNG\r\n\x1a\n".hex()


@pytest.mark.parametrize("command", ["test", "bench", "screenshots"])
def test_a_developers_command_says_what_it_lacks(download: Path, command: str):
    done = python(download, "dev.py", command)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: `dev.py {command}` needs the pack's repository (clone the Repository of pyproject.toml): "
        "a download from the ComfyUI registry has no tests, measurements and browser driver.\n"
    )


def test_set_up_installs_no_test_tools(download: Path):
    """`dev.py demo` in a user's ComfyUI takes that one's environment as it is."""
    done = python(download, "dev.py", "setup")
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stdout
    assert not (download / ".devtools").exists()


def test_the_registry_gets_what_it_asks_for(files: list[str]):
    """Its fields, from https://docs.comfy.org/registry/specifications. An icon's address ends in a file of ours."""
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    whole = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    project, comfy = whole["project"], whole["tool"]["comfy"]
    assert project["name"] == NAME
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["license"]["file"] in files
    home = f"https://github.com/{comfy['PublisherId']}/{NAME}"
    raw = f"https://raw.githubusercontent.com/{comfy['PublisherId']}/{NAME}/main/"
    assert project["urls"]["Repository"] == home
    assert all(address.startswith(home) for address in project["urls"].values())
    assert comfy["requires-comfyui"] == ">=0.16.3"
    for field in ("Icon", "Banner"):
        assert comfy[field].startswith(raw)
        assert comfy[field].removeprefix(raw) in files


@pytest.mark.parametrize("drawing", [icon.ICON, icon.BANNER], ids=lambda drawing: drawing.file)
def test_icon_and_banner_are_what_their_script_draws(drawing: icon.Drawing):
    path = REPO / "docs" / drawing.file
    with Image.open(path) as committed:
        assert np.array_equal(
            np.asarray(committed.convert("RGB")), np.asarray(icon.draw(drawing).convert("RGB"))
        )
    assert path.stat().st_size < 60_000


def test_icon_and_banner_have_the_registrys_shapes():
    assert (icon.ICON.width, icon.ICON.height) == (400, 400)
    assert icon.BANNER.width * 9 == icon.BANNER.height * 21


def test_the_film_is_one_that_a_page_can_show():
    """Of ten seconds or a little more, over and over, as wide as a README."""
    path = REPO / "docs" / "draw_run_result.gif"
    assert path.stat().st_size < 2_000_000
    with Image.open(path) as shown:
        lengths = []
        for place in range(shown.n_frames):
            shown.seek(place)
            lengths.append(shown.info["duration"])
        assert 8_000 < sum(lengths) < 14_000
        assert 700 <= shown.width <= 900
        assert shown.info["loop"] == 0
