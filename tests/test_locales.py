"""locales/: what ComfyUI's page shows in the user's language."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rag_pack.nodes import RAGExtension
from rag_pack.nodes.common import CATEGORY
from tiny import REPO

LOCALES = REPO / "locales"
NODES = asyncio.run(RAGExtension().get_node_list())


def texts(node) -> dict:
    """A node's English texts, as the page looks them up."""
    schema = node.define_schema()
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {part.id: {"name": part.id, "tooltip": part.tooltip} for part in schema.inputs},
        "outputs": {
            str(place): {"name": part.display_name or part.get_io_type(), "tooltip": part.tooltip}
            for place, part in enumerate(schema.outputs)
        },
    }


def read(language: str, name: str) -> dict:
    return json.loads((LOCALES / language / f"{name}.json").read_text(encoding="utf-8"))


def leaves(tree: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        yield from leaves(value, (*path, key)) if isinstance(value, dict) else [(*path, key)]


def test_english_is_what_the_nodes_say(tmp_path: Path):
    expected = {node.define_schema().node_id: texts(node) for node in NODES}
    right = tmp_path / "nodeDefs.json"
    right.write_text(json.dumps(expected, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    assert read("en", "nodeDefs") == expected, f"locales/en/nodeDefs.json should be as {right}"


@pytest.mark.parametrize("name", ["nodeDefs", "main"])
def test_chinese_has_every_key_and_no_other(name):
    english, chinese = set(leaves(read("en", name))), set(leaves(read("zh", name)))
    assert sorted(english - chinese) == []
    assert sorted(chinese - english) == []


def test_chinese_is_chinese():
    """Every explanation; names of methods may stay as the paper has them."""
    tree = read("zh", "nodeDefs")
    silent = []
    for path in leaves(tree):
        text = tree
        for key in path:
            text = text[key]
        if path[-1] in ("description", "tooltip") and not any("一" <= sign <= "鿿" for sign in text):
            silent.append(path)
    assert silent == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_category_and_the_type_have_names(language):
    main = read(language, "main")
    assert CATEGORY.split("/")[-1] in main["nodeCategories"]
    assert main["dataTypes"]["RAG_REGIONS"]
