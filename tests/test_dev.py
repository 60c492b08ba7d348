"""dev.py's set-up: what it takes, what it refuses, and that a second one finds the first one's work."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import dev


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout that dev.py takes for its own, without network and without installing anything."""
    here = tmp_path / "pack"
    (here / "tests").mkdir(parents=True)
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    for name, folder in {
        "HERE": ".",
        "VENV": ".venv",
        "TOOLS_DIR": ".devtools",
        "LOCK": ".comfyui.lock",
    }.items():
        monkeypatch.setattr(dev, name, here / folder)
    monkeypatch.setattr(dev, "clone", lambda target: False)
    return here


def make_comfyui(root: Path, version: str = "0.30.0") -> Path:
    (root / "comfy").mkdir(parents=True)
    (root / "comfy" / "sd.py").touch()
    (root / "main.py").touch()
    (root / "comfyui_version.py").write_text(f'# generated\n__version__ = "{version}"\n')
    (root / "requirements.txt").write_text("torch\n")
    (root / "custom_nodes").mkdir()
    return root


def make_archive(path: Path, version: str) -> Path:
    """A source archive as PyPI has it, with files outside vendor/ComfyUI too."""
    files = {
        "x-1/vendor/ComfyUI/main.py": "",
        "x-1/vendor/ComfyUI/comfy/sd.py": "",
        "x-1/vendor/ComfyUI/comfyui_version.py": f'__version__ = "{version}"',
        "x-1/vendor/ComfyUI/requirements.txt": "torch\n",
        "x-1/setup.py": "raise SystemExit",
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


class Pip:
    """Stands in for pip: notes what it is asked, and "downloads" an archive whose hash is the expected one."""

    def __init__(self, archive: Path) -> None:
        self.archive, self.calls, self.failing, self.wanted = archive, [], "", ()

    def __call__(self, python: Path, *arguments: str) -> None:
        self.calls.append(arguments[0])
        self.wanted = arguments[1:]
        if self.failing == arguments[0]:
            raise dev.SetupError("pip failed")
        if arguments[0] == "download":
            shutil.copy(self.archive, arguments[arguments.index("--dest") + 1])


@pytest.fixture
def pip(checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pip:
    archive = make_archive(tmp_path / "x-1.tar.gz", "0.30.0")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(dev.ARCHIVES, "0.30.0", ("2.6.0", sha256))
    pip = Pip(archive)
    monkeypatch.setattr(dev, "pip", pip)
    monkeypatch.setattr(dev, "own_venv", lambda: dev.VENV.mkdir(exist_ok=True) or Path(sys.executable))
    return pip


def test_a_fresh_checkout_gets_comfyui_packages_and_the_link(checkout: Path, pip: Pip):
    comfy = dev.setup()
    assert pip.calls == ["download", "install"]
    assert comfy.root == checkout / ".comfyui"
    assert sorted(path.name for path in comfy.root.iterdir()) == [
        "comfy",
        "comfyui_version.py",
        "custom_nodes",
        "main.py",
        "requirements.txt",
    ]
    assert (comfy.root / "custom_nodes" / "rag_sampler_pack").resolve() == checkout
    assert not (checkout / ".comfyui.partial").exists()


def test_a_download_from_the_registry_installs_no_test_tools(checkout: Path, pip: Pip):
    dev.setup()
    assert set(dev.TOOLS) <= set(pip.wanted)
    (checkout / "tests").rmdir()
    dev.setup()
    assert not set(dev.TOOLS) & set(pip.wanted)
    assert set(dev.TORCH) <= set(pip.wanted)


def test_a_second_set_up_does_nothing(checkout: Path, pip: Pip):
    first = dev.setup()
    pip.calls.clear()
    assert dev.setup() == first
    assert pip.calls == []


@pytest.mark.parametrize("failing", ["download", "install"])
def test_an_interrupted_set_up_goes_on(checkout: Path, pip: Pip, failing: str):
    pip.failing = failing
    with pytest.raises(dev.SetupError):
        dev.setup()
    pip.failing, pip.calls = "", []
    dev.setup()
    assert pip.calls == (["download", "install"] if failing == "download" else ["install"])


def test_half_installed_packages_are_remembered(checkout: Path, pip: Pip):
    """own_venv makes the environment anew where this mark is left."""
    pip.failing = "install"
    with pytest.raises(dev.SetupError):
        dev.setup()
    assert (dev.VENV / ".installing").exists()
    pip.failing = ""
    dev.setup()
    assert not (dev.VENV / ".installing").exists()


def test_changed_requirements_are_installed(checkout: Path, pip: Pip):
    root = dev.setup().root
    pip.calls.clear()
    (root / "requirements.txt").write_text("torch\nsomething-new\n")
    dev.setup()
    assert pip.calls == ["install"]


def test_an_archive_with_another_hash_is_not_used(checkout: Path, pip: Pip, tmp_path: Path):
    pip.archive = make_archive(tmp_path / "y-1.tar.gz", "6.6.6")
    with pytest.raises(dev.SetupError, match="sha256"):
        dev.setup()
    assert not (checkout / ".comfyui").exists()


def test_an_outdated_comfyui_is_put_aside_with_what_it_holds(checkout: Path, pip: Pip):
    make_comfyui(checkout / ".comfyui", "0.29.0")
    (checkout / ".comfyui" / "model.safetensors").touch()
    assert dev.comfyui_version(dev.setup().root) == "0.30.0"
    assert len(list(checkout.glob(".comfyui-0.29.0-*/model.safetensors"))) == 1


def test_another_version_lies_beside_the_default_one(checkout: Path, pip: Pip, monkeypatch, tmp_path: Path):
    dev.setup()
    pip.archive = make_archive(tmp_path / "y-1.tar.gz", "0.16.3")
    sha256 = hashlib.sha256(pip.archive.read_bytes()).hexdigest()
    monkeypatch.setitem(dev.ARCHIVES, "0.16.3", ("1.0.0", sha256))
    comfy = dev.setup("0.16.3")
    assert comfy.root == checkout / ".comfyui-0.16.3"
    assert (comfy.root / "custom_nodes" / "rag_sampler_pack").resolve() == checkout
    assert dev.comfyui_version(checkout / ".comfyui") == "0.30.0"


def test_comfyui_path_is_used_and_only_linked_into(checkout: Path, pip: Pip, monkeypatch, tmp_path: Path):
    root = make_comfyui(tmp_path / "mine")
    before = sorted(root.rglob("*"))
    monkeypatch.setenv("COMFYUI_PATH", str(root))
    monkeypatch.setattr(dev, "users_python", lambda root: Path(sys.executable))
    assert dev.setup() == dev.Comfy(root, Path(sys.executable))
    assert sorted(root.rglob("*")) == sorted([*before, root / "custom_nodes" / "rag_sampler_pack"])
    assert "download" not in pip.calls


def test_a_checkout_in_custom_nodes_is_not_linked_again(
    checkout: Path, pip: Pip, monkeypatch, tmp_path: Path
):
    root = make_comfyui(tmp_path / "mine")
    checkout = checkout.rename(root / "custom_nodes" / "pack")
    monkeypatch.setattr(dev, "HERE", checkout)
    monkeypatch.setattr(dev, "LOCK", checkout / ".comfyui.lock")
    monkeypatch.setattr(dev, "users_python", lambda root: Path(sys.executable))
    assert dev.setup().root == root
    assert [path.name for path in (root / "custom_nodes").iterdir()] == ["pack"]


def test_a_link_of_the_user_to_another_folder_is_left_alone(checkout: Path, tmp_path: Path):
    root = make_comfyui(tmp_path / "mine")
    (tmp_path / "other").mkdir()
    link = root / "custom_nodes" / "rag_sampler_pack"
    link.symlink_to(tmp_path / "other")
    with pytest.raises(dev.SetupError, match="other"):
        dev.link_pack(root, ours=False)
    assert link.resolve() == tmp_path / "other"


@pytest.mark.parametrize(("path", "said"), [("nowhere", "main.py"), ("old", "0.16.3 or newer")])
def test_a_comfyui_path_that_does_not_serve_is_refused(
    checkout: Path, pip: Pip, monkeypatch, tmp_path, path, said
):
    make_comfyui(tmp_path / "old", "0.3.64")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / path))
    with pytest.raises(dev.SetupError, match=said):
        dev.setup()


def test_an_environment_beside_comfyui_goes_before_the_current_one(tmp_path: Path, monkeypatch):
    root = make_comfyui(tmp_path / "mine")
    assert dev.users_python(root) == Path(sys.executable)  # which runs these tests, so has torch
    python = dev.interpreter(root / "venv")
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert dev.users_python(root) == python


def test_the_gallery_runs_on_the_comfyui_that_is_named(checkout: Path, monkeypatch, tmp_path: Path):
    root = make_comfyui(tmp_path / "mine")
    ran: list[tuple[Path, tuple[str, ...]]] = []
    monkeypatch.setattr(dev, "users_python", lambda root: Path(sys.executable))
    monkeypatch.setattr(dev, "run", lambda comfy, *arguments: ran.append((comfy.root, arguments)))
    monkeypatch.setenv("COMFYUI_PATH", "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dev.py", "gallery", "--comfyui", "mine", "--only", "four_trees"])
    monkeypatch.setattr(sys.stdout, "reconfigure", lambda **_: None, raising=False)
    dev.main()
    assert ran == [(root, ("-m", "demo.gallery", "--only", "four_trees"))]
    sys.argv[4:] = ["--out", "here"]
    dev.main()
    assert ran[1] == (root, ("-m", "demo.gallery", "--out", str(tmp_path / "here")))


def dev_py(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, dev.__file__, *arguments], capture_output=True, text=True)


def test_an_unknown_measurement_names_those_there_are():
    done = dev_py("bench", "nonsense")
    assert done.returncode != 0
    assert "layout" in done.stderr


def test_an_unknown_version_names_those_there_are():
    done = dev_py("test", "--comfyui", "0.1.0")
    assert done.returncode != 0
    assert all(version in done.stderr for version in dev.ARCHIVES)
