"""What nodes tell on ComfyUI's page, by its own channel for a node's text; without a server it all comes to nothing."""

from __future__ import annotations

import sys


class At(str):
    """A message for another node than the one whose spec brings it."""

    node_id = ""


def at(node_id: str, message: str) -> str:
    """A message for a node, where one is known."""
    if node_id:
        message = At(message)
        message.node_id = node_id
    return message


def executing_node() -> str:
    """The id of the node that ComfyUI executes, "5:3" for one in a subgraph; empty where it executes none."""
    utils = sys.modules.get("comfy_execution.utils")
    context = utils and utils.get_executing_context()
    return context.node_id if context else ""


def tell(node_id: str, text: str) -> None:
    """Show a text at a node, an empty one in place of what was there, on the page that queued the run. A run that no
    page queued is nobody's: other pages have other nodes of this id."""
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    page = getattr(server, "client_id", None)
    if node_id and page is not None:
        server.send_progress_text(text, node_id, page)
