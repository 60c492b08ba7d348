"""Workflows of earlier releases: each release adds a folder to tests/fixtures/workflows, whose files stay as they are.

NAME.json is a workflow as the page's Save wrote it in that release, NAME.api.json what its Export (API) made of it.

workflows/NAME.json.gz is a template of 0.1 under the name that it had then, for links that have it: aiohttp serves it as
NAME.json to every browser, and ComfyUI's list of templates, which looks for *.json, has it not.
"""

from __future__ import annotations

import gzip
import json
import urllib.request
from pathlib import Path

import pytest
from live_comfyui import WORKFLOWS, Live, core_nodes, faults, skip_if_absent
from test_workflows import shrink

from demo.client import pack_folder
from demo.workflow import NOTES, inputs_of, read, to_prompt

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "workflows"
EXPORTS = sorted(SAVED.glob("*/*.api.json"))
FORMER = sorted(WORKFLOWS.glob("*.json.gz"))


def test_every_node_is_in_a_saved_workflow(live: Live):
    announced = {name for name in live.server.object_info if name.startswith("RAG")} - {
        "RAGTestLanguageModel"
    }
    saved = {node["class_type"] for path in EXPORTS for node in json.loads(path.read_text()).values()}
    assert announced - saved == set()


@pytest.mark.parametrize("export", EXPORTS, ids=lambda path: f"{path.parent.name}-{path.name.split('.')[0]}")
def test_a_saved_workflow_still_means_what_it_meant_and_runs(live: Live, export: Path):
    """Every input has the value that it had, whatever inputs have come since; the server accepts and runs both."""
    info, then = live.server.object_info, json.loads(export.read_text())
    workflow = read(export.with_name(export.name.replace(".api", "")))
    for node in workflow["nodes"]:
        if node["type"] not in NOTES:
            known = {entry.name for entry in inputs_of(info[node["type"]])}
            assert {slot["name"] for slot in node.get("inputs") or []} <= known, node["type"]
    now = to_prompt(workflow, info)
    assert now.keys() == then.keys()
    for key, node in then.items():
        assert now[key]["class_type"] == node["class_type"]
        assert {**now[key]["inputs"], **node["inputs"]} == now[key]["inputs"], node["class_type"]
    for prompt in (now, then):
        shrink(prompt)
        assert [output for output in live.server.run(prompt) if output.kind == "images"]


def test_templates_of_01_are_not_listed(live: Live):
    listed = json.loads(live.server.get("/workflow_templates"))[pack_folder(live.server.root)]
    assert len(FORMER) == 19
    assert {path.name.removesuffix(".json.gz") for path in FORMER}.isdisjoint(listed)


@pytest.mark.parametrize("path", FORMER, ids=lambda path: path.name.removesuffix(".json.gz"))
def test_a_link_to_a_template_of_01_finds_one_that_fits_the_nodes(live: Live, path: Path):
    place = f"api/workflow_templates/{pack_folder(live.server.root)}/{path.stem}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{live.server.port}/{place}", headers={"Accept-Encoding": "gzip, deflate, br"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("application/json")
        workflow = json.loads(gzip.decompress(answer.read()))
    skip_if_absent(live, workflow)
    assert list(faults(workflow, core_nodes(live.server.object_info))) == []
