"""Loads the pack as ComfyUI does, on the ComfyUI that RAG_COMFYUI_ROOT names."""

import importlib.util
import os
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
COMFYUI = Path(os.environ.get("RAG_COMFYUI_ROOT", REPO / ".comfyui")).resolve()
PACK = "rag_pack"


def _load_pack() -> None:
    sys.path[:0] = [str(REPO / "tests"), str(COMFYUI)]
    sys.path.append(str(REPO))  # last: ComfyUI has a module called nodes, too
    sys.argv = [sys.argv[0], "--cpu", "--use-pytorch-cross-attention"]
    import comfy.options

    comfy.options.enable_args_parsing()
    spec = importlib.util.spec_from_file_location(
        PACK, REPO / "__init__.py", submodule_search_locations=[str(REPO)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = module
    spec.loader.exec_module(module)


_load_pack()
