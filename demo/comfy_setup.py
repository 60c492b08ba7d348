"""Makes ComfyUI importable in this process, on the CPU, with the demo's model folders known to it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "demo" / "models"
PACK = "rag_pack"


def find_comfyui() -> Path:
    """The ComfyUI folder: the one dev.py chose, $COMFYUI_PATH, the one around this checkout, or `.comfyui`."""
    given = [os.environ[name] for name in ("RAG_COMFYUI_ROOT", "COMFYUI_PATH") if os.environ.get(name)]
    candidates = [*map(Path, given), ROOT.parent.parent, ROOT / ".comfyui"]
    for folder in candidates:
        if (folder / "comfy" / "sd.py").is_file():
            return folder
    raise FileNotFoundError(
        f"ComfyUI was not found in {', '.join(map(str, candidates))}. "
        "Run `python3 dev.py setup` or set COMFYUI_PATH to its folder."
    )


def start_comfyui() -> None:
    """Puts ComfyUI and the repository on sys.path, on the CPU unless there is a GPU, and tells it where the demo's
    models are. Call before comfy.*"""
    if "comfy" not in sys.modules:
        _import_comfyui()
    import folder_paths

    for folder in sorted(path for path in MODELS.glob("*") if path.is_dir()):
        folder_paths.add_model_folder_path(folder.name, str(folder))


def _import_comfyui() -> None:
    for folder in (ROOT, find_comfyui()):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    import comfy.options

    arguments = sys.argv
    comfy.options.enable_args_parsing()
    import torch

    sys.argv = ["comfyui", "--use-pytorch-cross-attention", *([] if torch.cuda.is_available() else ["--cpu"])]
    try:
        import comfy.cli_args  # it reads sys.argv when imported
    finally:
        sys.argv = arguments


def pack(module: str) -> ModuleType:
    """A module of this node pack, for example "nodes.sampler". The pack gets a name of its own, since ComfyUI
    has a module "nodes" too."""
    start_comfyui()
    if PACK not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        sys.modules[PACK] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACK])
    return importlib.import_module(f"{PACK}.{module}")
