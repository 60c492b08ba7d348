"""One real ComfyUI server with the pack for the whole test session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_comfyui import Live

from demo.client import Server, comfyui_root


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    with Server(comfyui_root()) as server:
        yield Live(server)
