"""One real ComfyUI server with the pack, and stand-ins for models, for the whole test session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_comfyui import Live

from demo.client import Server, comfyui_root, pack_folder

STAND_IN = Path(__file__).parent / "stand_in.yaml"


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    root = comfyui_root()
    stand_ins = ["rag_language_model_stand_in", "rag_model_stand_in"]
    nodes = ["--whitelist-custom-nodes", pack_folder(root), *stand_ins]
    with Server(root, ["--extra-model-paths-config", str(STAND_IN), *nodes]) as server:
        yield Live(server)
