"""Forwards that packs put in place of ComfyUI's own: named where regions fail in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

FORWARDS = ("forward", "_forward", "forward_orig")
"""What packs replace on a network: a method, or its whole class."""

REMEDY = (
    "Remove its node; where the workflow has none, it has changed the loaded model for good: unload the models or restart "
    "ComfyUI, so that the model is loaded anew"
)


def pack_of(network) -> str:
    """The pack whose forward a network runs; empty where that is ComfyUI's."""
    for function in (getattr(network, name, None) for name in FORWARDS):
        module = getattr(getattr(function, "func", function), "__module__", None) or "torch"
        if module.split(".")[0] not in ("comfy", "torch"):
            found = re.search(r"custom_nodes[\\/.]([^\\/.]+)", module)
            return found[1] if found else module
    return ""


@contextmanager
def named(network) -> Iterator[None]:
    """Errors inside a pack's own forward say whose it is, and what to do."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        pack = pack_of(network)
        if not pack:
            raise
        raise RuntimeError(
            f"RAG: this model does not run ComfyUI's forward but one of {pack}, which fails beside regions "
            f"({type(error).__name__}: {error}). {REMEDY}"
        ) from error
