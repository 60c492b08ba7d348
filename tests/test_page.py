"""Warnings of a run at the nodes that they are about, on ComfyUI's page: by a stand-in for its server."""

import sys
from types import SimpleNamespace

import pytest
import torch
from comfy_execution.utils import CurrentNodeContext
from rag_pack.nodes.canvas import RAGRegionCanvas
from rag_pack.nodes.patches import RAGHardBinding, RAGSoftRefinementAttention
from rag_pack.nodes.regions import RAGRegionBox, RAGRegionStrength
from rag_pack.rag_sampler.engine import specs_of
from rag_pack.rag_sampler.methods import binding
from test_nodes import NODES
from tiny import conditioning, noise_for, sample, schedule

CANVAS, BOX, BINDING, REFINEMENT = "5:3", "8", "12", "13"
EMPTY = "the prompt of region {} of {} is empty"


class Page:
    """Keeps what the page would show at each node, and which page was spoken to."""

    client_id = "tab"

    def __init__(self):
        self.shown, self.pages = {}, set()

    def send_progress_text(self, text, node_id, sid=None):
        self.shown[node_id] = text
        self.pages.add(sid)


@pytest.fixture
def page(monkeypatch) -> Page:
    server = Page()
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
    return server


@pytest.fixture(autouse=True)
def a_large_network(monkeypatch):
    """What is told of those that people use is told of the golden one, too."""
    monkeypatch.setattr(binding, "SMALL", 0)


@pytest.fixture
def run(model, texts):
    """Sample a MODEL for a picture of 256 × 256 pixels, in the node of the sampler."""

    def sampled(patched, steps: int = 8):
        with CurrentNodeContext("prompt", "99"):
            return sample(patched, conditioning(texts, "G0"), noise_for(32, 32), schedule(model, steps))

    return sampled


class Clip:
    """A CLIP that encodes everything as one golden text."""

    def __init__(self, texts):
        self.encoded = conditioning(texts, "S0")

    def tokenize(self, text):
        return text

    def encode_from_tokens_scheduled(self, tokens):
        return self.encoded


def node(cls, node_id, *args, **kwargs):
    with CurrentNodeContext("prompt", node_id):
        return cls.execute(*args, **kwargs)[0]


def canvas(texts, *prompts, size=256):
    """Halves of a picture, drawn on the canvas."""
    parts = [
        f'{{"x": {i / 2}, "y": 0, "w": 0.5, "h": 1, "prompt": "{text}"}}' for i, text in enumerate(prompts)
    ]
    return node(RAGRegionCanvas, CANVAS, size, size, Clip(texts), regions=f"[{','.join(parts)}]")


def bind(model, regions, steps=2):
    return node(RAGHardBinding, BINDING, model, regions, steps, True)


def refine(model, regions):
    return node(RAGSoftRefinementAttention, REFINEMENT, model, regions, 1.0, 0.0, 1.0, "published")


def test_a_warning_is_shown_at_the_node_that_made_the_region(model, texts, page, run):
    """Another node's hand on it changes nothing; the node that bound it has the warning of its own settings."""
    regions = node(RAGRegionStrength, "6", canvas(texts, "a fox", ""), 1, 1.0)
    run(bind(model, regions, steps=4))
    assert page.shown == {
        CANVAS: EMPTY.format(2, 2),
        BINDING: "Hard Binding binds 4 of 8 steps, more than a quarter: regions may look pasted in; bind_steps 2 is "
        "usually enough",
    }
    assert page.pages == {"tab"}


def test_several_are_shown_one_a_line_and_once_for_two_methods(model, texts, page, run):
    regions = canvas(texts, "", "")
    run(refine(bind(model, regions), regions))
    assert page.shown[CANVAS] == "\n".join(EMPTY.format(number, 2) for number in (1, 2))


def test_regions_of_two_nodes_have_their_own(model, texts, page, run):
    box = {"x": 0.0, "y": 0.0, "width": 0.5, "height": 1.0, "clip": Clip(texts), "text": ""}
    regions = node(RAGRegionBox, BOX, **box, regions=canvas(texts, "a fox", "a bear"))
    run(refine(model, regions))
    assert page.shown[BOX].endswith(EMPTY.format(3, 3))
    assert page.shown[CANVAS].endswith("is hidden by later regions")


def test_a_canvas_of_another_size_is_told_both_sizes(model, texts, page, run):
    run(bind(model, canvas(texts, "a fox", "a bear", size=512)))
    assert "were drawn for 512 × 512 and this picture is 256 × 256" in page.shown[CANVAS]
    assert page.shown[BINDING] == ""


def test_a_warning_that_is_no_longer_true_vanishes(model, texts, page, run):
    run(refine(bind(model, canvas(texts, "a fox", ""), steps=4), canvas(texts, "a fox", "")))
    assert all(page.shown[at] for at in (CANVAS, BINDING))
    run(refine(bind(model, canvas(texts, "a fox", "a bear")), canvas(texts, "a fox", "a bear")))
    assert page.shown == {CANVAS: "", BINDING: "", REFINEMENT: ""}


def test_what_shows_in_the_course_of_a_run_is_shown_too(model, texts, page, run):
    regions = canvas(texts, "a fox", "a bear")
    first = refine(model, regions)
    run(node(RAGSoftRefinementAttention, "14", first, regions, 0.5, 0.0, 1.0, "published"))
    several = "2 nodes of Soft Refinement work at the same time; the last in the chain wins"
    assert page.shown == {CANVAS: "", REFINEMENT: several, "14": several}


def test_a_run_that_no_page_queued_speaks_to_none(model, texts, page, run):
    page.client_id = None
    run(bind(model, canvas(texts, "", ""), steps=4))
    assert page.shown == {}


def test_without_a_server_nothing_happens(model, texts, run, monkeypatch):
    monkeypatch.delitem(sys.modules, "server", raising=False)
    assert torch.isfinite(run(bind(model, canvas(texts, "", "")))).all()


def test_outside_a_run_of_comfyui_nobody_is_spoken_to(model, texts, page, run):
    box = {"x": 0.0, "y": 0.0, "width": 0.5, "height": 1.0, "clip": Clip(texts), "text": ""}
    patched = RAGHardBinding.execute(model, RAGRegionBox.execute(**box)[0], 2, True)[0]
    assert [spec.node_id for spec in specs_of(patched)] == [""]
    run(patched)
    assert page.shown == {}


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.define_schema().node_id)
def test_comfyui_does_not_take_one_nodes_result_for_anothers(node):
    """Those that note their id, so that a copy of a deleted node is told what is its."""
    makes = {part.get_io_type() for part in node.define_schema().outputs} & {"MODEL", "RAG_REGIONS", "LATENT"}
    passes_on = node.define_schema().node_id in ("RAGRegionStrength", "RAGRegionLora")
    assert not makes or passes_on or node.NOT_IDEMPOTENT
