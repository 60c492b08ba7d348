"""Loads the pack as ComfyUI does, on the ComfyUI that RAG_COMFYUI_ROOT names."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

REPO = Path(__file__).resolve().parent.parent
COMFYUI = Path(os.environ.get("RAG_COMFYUI_ROOT", REPO / ".comfyui")).resolve()
PACK = "rag_pack"


def _load_pack() -> None:
    sys.path[:0] = [str(REPO / "tests"), str(COMFYUI)]
    sys.path.append(str(REPO))  # last: ComfyUI has a module called nodes, too
    sys.argv = [sys.argv[0], "--cpu", "--use-pytorch-cross-attention"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import utils  # noqa: F401  (ComfyUI's own, before its nodes put a folder with another one first on the path)

    spec = importlib.util.spec_from_file_location(
        PACK, REPO / "__init__.py", submodule_search_locations=[str(REPO)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = module
    spec.loader.exec_module(module)


_load_pack()

import comfy.model_management  # noqa: E402
import comfyui_version  # noqa: E402  (these need ComfyUI on the path)
import matrix  # noqa: E402
import tiny  # noqa: E402
from rag_pack.rag_sampler.engine.evaluation import Evaluation  # noqa: E402
from workers import (  # noqa: E402
    pytest_sessionstart,  # noqa: F401
    pytest_xdist_auto_num_workers,  # noqa: F401
    pytest_xdist_make_scheduler,  # noqa: F401
)

OUTSIDE_CORE = {
    "browser", "test_canvas.py", "test_checker.py", "test_compatibility.py", "test_dev.py", "test_docs.py", "test_download.py",
    "test_help.py", "test_js.py", "test_locales.py", "test_lora_tags.py", "test_mutants.py", "test_planner.py",
    "test_planner_bounds.py", "test_workers.py",
}  # fmt: skip
"""What no version of ComfyUI can change: the page, dev.py, and what reads and writes texts."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--core", action="store_true", help="leave out what ComfyUI's version cannot change")
    parser.addoption(
        "--matrix",
        type=Path,
        metavar="FILE",
        help="write what tests marked feature find as this ComfyUI's column",
    )


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--matrix"):
        if config.getoption("numprocesses", 0):
            raise pytest.UsageError("--matrix counts the tests of one process: leave out -n, or give -n 0.")
        config.pluginmanager.register(matrix.Matrix(path, comfyui_version.__version__))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.getoption("--core") and collection_path.name in OUTSIDE_CORE else None


@pytest.fixture(scope="session")
def model():
    """The golden network with 16-wide heads, 2 double and 3 single blocks, as a MODEL. Nothing may change it."""
    return tiny.load_tiny()


@pytest.fixture(scope="session")
def texts():
    """Golden texts of 77 tokens: t5.KEY [1, 77, 32] and pooled.KEY [1, 16]."""
    return load_file(tiny.GOLDEN / "text_77.safetensors")


@pytest.fixture(autouse=True)
def forget_the_dead():
    """ComfyUI warns of a model whose clones an exception's traceback kept, at the next run: which is another test's."""
    yield
    loaded = comfy.model_management.current_loaded_models
    loaded[:] = [one for one in loaded if not one.is_dead()]


@pytest.fixture
def replayed(monkeypatch) -> list[torch.Tensor]:
    """What each evaluation predicts that a record is replayed into, as it comes."""
    found, evaluate = [], Evaluation.predictions

    def watched(evaluation, *args, record=None, **kwargs):
        out = evaluate(evaluation, *args, record=record, **kwargs)
        found.extend([] if record is None else [out[0].clone()])
        return out

    monkeypatch.setattr(Evaluation, "predictions", watched)
    return found


@pytest.fixture(autouse=True)
def inference_mode():
    """As ComfyUI executes nodes."""
    with torch.inference_mode():
        yield
