"""js/docs/: the help of every node on ComfyUI's page, in English and Chinese, and the page on what did not work.

ComfyUI asks for docs/NODE/LOCALE.md, then for docs/NODE.md, and takes pictures' addresses from docs/ in both.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny import REPO

DOCS, LOCALES = REPO / "js" / "docs", REPO / "locales"
NODES = sorted(json.loads((LOCALES / "en" / "nodeDefs.json").read_text(encoding="utf-8")))
WHY = "why_it_did_not_work"
TRADITIONAL = "zh-TW"
TEMPLATE = re.compile(r"(?:template|模板) \*\*(.+?)\*\*")


def page(name: str, language: str) -> Path:
    if name == WHY:
        return DOCS / f"{WHY}{'' if language == 'en' else '_zh'}.md"
    return DOCS / f"{name}.md" if language == "en" else DOCS / name / f"{language}.md"


def text(name: str, language: str) -> str:
    return page(name, language).read_text(encoding="utf-8")


def texts(node: str, language: str) -> dict:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))[node]


def bold(markdown: str) -> set[str]:
    """What stands in bold, lists of names taken apart."""
    spans = re.findall(r"\*\*(.+?)\*\*", markdown)
    return {part.strip() for span in spans for part in re.split(r", | and |、|和", span)}


def shape(markdown: str) -> dict[str, int | list[str]]:
    """What two languages of a page have in common."""
    lines = markdown.splitlines()
    return {
        "headings": [line.split(" ")[0] for line in lines if line.startswith("#")],
        "points": sum(line.startswith("- ") for line in lines),
        "rows": sum(line.startswith("|") for line in lines),
        "pictures": re.findall(r"!\[.*?\]\((.*?)\)", markdown),
        "templates": sorted(TEMPLATE.findall(markdown)),
    }


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("node", NODES)
def test_every_node_has_its_help(node: str, language: str):
    """Headed by its name, with its picture, and with every input by the name that the page shows."""
    markdown, shown = text(node, language), texts(node, language)
    assert markdown.startswith(f"# {shown['display_name']}\n")
    assert f"(pictures/{node}.png)" in markdown
    assert sorted({one["name"] for one in shown["inputs"].values()} - bold(markdown)) == []


@pytest.mark.parametrize("name", [*NODES, WHY])
def test_chinese_says_what_english_says(name: str):
    assert shape(text(name, "zh")) == shape(text(name, "en"))


@pytest.mark.parametrize("name", [*NODES, WHY])
def test_chinese_is_chinese(name: str):
    """But for names, code and keys: no paragraph, point or row without a Chinese sign."""
    lines = [
        line
        for line in text(name, "zh").splitlines()
        if line.strip() and not line.startswith(("    ", "!", "| ---"))
    ]
    assert [line for line in lines if not re.search("[一-鿿]", line)] == []


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: str(path.relative_to(DOCS)))
def test_pictures_and_links_are_there(path: Path):
    targets = re.findall(r"\]\((?!https?:)(.+?)\)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (DOCS / target).is_file()] == []


def test_templates_that_help_names_are_there():
    named = {
        name for path in DOCS.rglob("*.md") for name in TEMPLATE.findall(path.read_text(encoding="utf-8"))
    }
    assert named
    assert sorted(named - {path.stem for path in (REPO / "workflows").glob("*.json")}) == []


def test_no_page_is_of_nothing():
    """A node that was renamed leaves none behind."""
    known = {page(name, language) for name in NODES for language in ("en", "zh", TRADITIONAL)}
    assert sorted({*DOCS.glob("RAG*.md"), *DOCS.glob("*/*.md")} - known) == []


CHINESE = [*(path.relative_to(REPO) for path in sorted(DOCS.glob("*/zh.md"))), *(Path("locales/zh") / f"{name}.json" for name in ("main", "nodeDefs"))]  # fmt: skip


@pytest.mark.parametrize("chinese", CHINESE, ids=str)
def test_traditional_chinese_gets_all_of_the_simplified(chinese: Path):
    """For zh-TW ComfyUI looks for files of that name, then for English, and never for zh: without copies the nodes
    would be English around a Chinese editor. One that is missing or old is made here, to be committed."""
    name = f"{TRADITIONAL}.md" if chinese.suffix == ".md" else Path("..") / TRADITIONAL / chinese.name
    copy = REPO / chinese.parent / name
    right = (REPO / chinese).read_text(encoding="utf-8")
    was = copy.read_text(encoding="utf-8") if copy.exists() else ""
    if was != right:
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(right, encoding="utf-8")
    assert was == right, (
        f"{copy.resolve().relative_to(REPO)} was not as {chinese}, and is written now: commit it"
    )
