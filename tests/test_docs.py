"""What the documents say of the repository: links, commands, files, templates, and which model has what."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import matrix
import pytest
from tiny import REPO

import dev

README, WORKFLOWS = REPO / "README.md", REPO / "workflows"
HELP = REPO / "js" / "docs"
PAGES = [
    README,
    REPO / "CHANGELOG.md",
    *(REPO / "docs").glob("*.md"),
    REPO / "demo" / "README.md",
    *HELP.rglob("*.md"),
]
FOLDERS = [
    path.name
    for path in REPO.iterdir()
    if path.is_dir() and path.name[0] not in "._" and path.name != "output"
]
MOST_WORDS = 900
TABLE = "| template |"
COLUMNS = {
    "Hard Binding": ("Hard Binding",),
    "Soft Refinement, RPG": ("Soft Refinement", "RPG"),
    "Regional Prompting": ("Regional Prompting",),
    "DenseDiffusion": ("DenseDiffusion",),
    "Repaint": ("Repaint",),
    "LoRA per region": ("a LoRA of its own",),
}
"""Those of README's table of models, and of the table in docs/compatibility.md that they stand for."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """The lines of code that stand by themselves."""
    return re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)


def code(text: str) -> list[str]:
    return [*blocks(text), *re.findall(r"`([^`\n]+)`", text)]


def commands(text: str) -> list[list[str]]:
    """The arguments of dev.py, which `bench NAME` may leave out."""
    found = (re.fullmatch(r"(?:python3 )?dev\.py (.+)|(bench .+)", line) for line in code(text))
    return [shlex.split(match[1] or match[2]) for match in found if match]


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def templates(text: str) -> set[str]:
    """Names in bold: after the word, several with commas between, and in the tables whose first column they are."""
    name = r"\*\*[^*\n]+\*\*"
    lists = re.findall(rf"(?:[Tt]emplates?|模板) ?({name}(?:(?:, | and ){name})*)", text)
    tables = [line[0] for line in matrix.cells_of(text, TABLE)[1:]] if TABLE in text else []
    return {found.strip("*") for part in (*lists, *tables) for found in re.findall(name, part)}


@every_page
def test_links_lead_somewhere(page):
    """Those of help pages, Chinese ones too, begin in js/docs and stay there: ComfyUI's page has them from no other
    place."""
    start, room = (HELP, HELP) if page.is_relative_to(HELP) else (page.parent, REPO)
    lost = []
    for link in re.findall(r"(?:\]\(|src=\")([^)\"\s]+)", re.sub(r"`[^`\n]+`", "", read(page))):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (start / path).resolve() if path else page
        if not (target.is_relative_to(room) and target.exists()) or (
            anchor and anchor not in anchors(target)
        ):
            lost.append(link)
    assert lost == []


@every_page
def test_pictures_are_described(page):
    text = read(page)
    assert "![](" not in text
    assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<img[^>]*>", text))


@every_page
def test_commands_exist_with_these_options(page, pytestconfig, monkeypatch):
    def refuse(parser, message):
        raise ValueError(message)

    monkeypatch.setattr(argparse.ArgumentParser, "error", refuse)
    wrong = []
    for arguments in commands(read(page)):
        try:
            known, rest = dev.parser().parse_known_args(arguments)
            (check_tests if known.command == "test" else check_program)(known, rest, pytestconfig)
        except (ValueError, LookupError) as error:
            wrong.append(f"{shlex.join(arguments)}: {error}")
    assert wrong == []


def check_tests(known, rest: list[str], config: pytest.Config) -> None:
    """What dev.py hands on to pytest: options that it has, and files that exist."""
    for before, argument in zip([known.command, *rest], rest):
        if argument.startswith("-"):
            config.getoption(argument.partition("=")[0])
        elif before != "-n" and not (REPO / argument.partition("::")[0]).exists():
            raise LookupError(f"there is no {argument}")


def check_program(known, rest: list[str], config: pytest.Config) -> None:
    """What dev.py hands on to a program of its own, whose source names its options."""
    name = known.name if known.command == "bench" else known.command
    sources = [
        read(path) for path in (REPO / "bench" / f"{name}.py", REPO / "demo" / f"{name}.py") if path.exists()
    ]
    if known.command == "bench" and not any("__main__" in source for source in sources):
        raise LookupError(f"there is no measurement {name}")
    options = {
        option for source in sources for option in re.findall(r'add_argument\(\s*"(--[\w-]+)"', source)
    }
    if unknown := {argument for argument in rest if argument.startswith("-")} - options:
        raise LookupError(f"{name} has no {', '.join(sorted(unknown))}")


@every_page
def test_files_that_are_named_exist(page):
    """By their path where it begins with a folder of ours, else by their name."""
    lost = []
    for name in {word.partition("::")[0].strip("/") for line in code(read(page)) for word in line.split()}:
        if name.partition("/")[0] in FOLDERS and "/" in name:
            lost += [name] if not (REPO / name).exists() else []
        elif re.fullmatch(r"\w+\.(py|js|md|json|toml|diff|png)", name):
            lost += [name] if not any(found(name)) else []
    assert lost == []


def found(name: str):
    yield from REPO.glob(name)
    for folder in FOLDERS:
        yield from (REPO / folder).rglob(name)


@every_page
def test_templates_that_are_named_exist(page):
    assert templates(read(page)) - {path.stem for path in WORKFLOWS.glob("*.json")} == set()


def test_every_template_is_in_the_list():
    listed = templates(read(REPO / "docs" / "how_it_works.md"))
    assert {path.stem for path in WORKFLOWS.glob("*.json")} - listed == set()


def test_readme_leads_to_a_first_picture():
    assert templates(read(README))


def test_readme_is_two_screens():
    """Everything between spaces is a word, the bars of tables too."""
    assert len(read(README).split()) <= MOST_WORDS


def test_readme_can_be_pasted():
    """A line of code by itself is a command, and the pack has the name and the needs that pyproject.toml tells."""
    text, project = read(README), read(REPO / "pyproject.toml")
    assert blocks(text) and all(line.startswith("python3 dev.py ") for line in blocks(text))
    name = re.search(r'^name = "(.+)"', project, re.MULTILINE)[1]
    assert {match.strip() for match in re.findall(r"comfy node install ([^`]+)", text)} == {name}
    assert f'requires-comfyui = ">={dev.FLOOR}"' in project and f"ComfyUI {dev.FLOOR} or newer" in text


def test_the_table_of_models_is_what_was_found():
    """A dash where docs/compatibility.md has an error on the newest ComfyUI; every model has a line."""
    found = {
        (row.feature.removeprefix(matrix.FAMILY), row.method): cells[len(matrix.VERSIONS) - 1]
        for row, cells in matrix.read(read(REPO / "docs" / "compatibility.md")).items()
        if row.feature.startswith(matrix.FAMILY)
    }
    (_, *heads), *lines = matrix.cells_of(read(README), "| model | Hard Binding")
    assert heads == list(COLUMNS)
    told = {
        (model, method): "error" if cell == "–" else "works"
        for names, *cells in lines
        for model in {model for model, _ in found}
        if any(model.startswith(name) for name in names.replace("other image models", "AuraFlow").split(", "))
        for head, cell in zip(heads, cells, strict=True)
        for method in COLUMNS[head]
    }
    assert told == {key: found.get(key) for key in told}
    assert {model for model, _ in told} == {model for model, _ in found}
