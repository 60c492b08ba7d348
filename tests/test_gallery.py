"""What `dev.py gallery` makes of prompts, without a server: published examples, twins, missing files, sheets."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from rag_pack.rag_sampler.layout import Box, parse_split_ratio
from rag_pack.rag_sampler.picture import Picture

from demo import gallery, sheet, twins
from demo.published import EXAMPLES, Example, to_prompt
from demo.workflow import WorkflowError

REGIONS = ["RAG_REGIONS", {}]
INFO = {
    "Load": {"input": {"required": {"unet_name": [["a.safetensors", "flux/b.safetensors"]]}}, "output": ["MODEL"]},
    "Boxes": {"input": {"required": {}, "optional": {"regions": REGIONS}}, "output": ["RAG_REGIONS"]},
    "Refine": {"input": {"required": {"model": ["MODEL"], "regions": REGIONS}}, "output": ["MODEL", "CONDITIONING"]},
    "HardBinding": {"input": {"required": {"model": ["MODEL"], "regions": REGIONS}}, "output": ["MODEL"]},
    "Sample": {
        "input": {"required": {"model": ["MODEL"]}, "optional": {"positive": ["CONDITIONING"], "regions": REGIONS}},
        "output": ["LATENT"],
    },
    "VAEDecode": {"input": {"required": {"samples": ["LATENT"]}}, "output": ["IMAGE"]},
    "SaveImage": {"input": {"required": {"images": ["IMAGE"]}}, "output": []},
    "Show": {"input": {"required": {"regions": REGIONS}}, "output": ["IMAGE"]},
}  # fmt: skip


def node(class_type: str, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def chain() -> dict:
    """Two nodes that put regions on the MODEL, one behind the other."""
    return {
        "load": node("Load", unet_name="a.safetensors"),
        "cells": node("Boxes"),
        "boxes": node("Boxes", regions=["cells", 0]),
        "refine": node("Refine", model=["bind", 0], regions=["cells", 0]),
        "bind": node("HardBinding", model=["load", 0], regions=["boxes", 0]),
        "sample": node("Sample", model=["refine", 0]),
        "decode": node("VAEDecode", samples=["sample", 0]),
        "save": node("SaveImage", images=["decode", 0]),
        "show": node("Show", regions=["boxes", 0]),
    }


def test_a_picture_needs_what_lies_behind_it():
    prompt, saved = twins.to_picture(chain())
    assert saved == "save"
    assert set(prompt) == set(chain()) - {"show"}


def test_a_workflow_that_saves_two_pictures_is_left_out():
    with pytest.raises(WorkflowError, match="saves 2 pictures"):
        twins.to_picture(chain() | {"again": node("SaveImage", images=["decode", 0])})


def test_the_plain_twin_has_no_node_that_knows_regions():
    prompt = chain()
    before = copy.deepcopy(prompt)
    assert twins.plain(prompt, "save", INFO) == {
        "load": node("Load", unet_name="a.safetensors"),
        "sample": node("Sample", model=["load", 0]),
        "decode": node("VAEDecode", samples=["sample", 0]),
        "save": node("SaveImage", images=["decode", 0]),
    }
    assert prompt == before


def test_a_sampler_with_regions_samples_without_them():
    prompt = chain() | {"sample": node("Sample", model=["load", 0], regions=["boxes", 0])}
    assert twins.plain(prompt, "save", INFO)["sample"] == node("Sample", model=["load", 0])


@pytest.mark.parametrize(
    "changes",
    [
        {"second": node("VAEDecode", samples=["sample", 0])},  # pictures that compare themselves
        {"sample": node("Sample", model=["load", 0])},  # no regions at all
        {"sample": node("Sample", model=["refine", 0], positive=["refine", 1])},
    ],
)
def test_some_pictures_have_no_plain_twin(changes: dict):
    prompt = chain() | changes
    if "second" not in changes:
        prompt, _ = twins.to_picture(prompt)
    assert twins.plain(prompt, "save", INFO) is None


def test_the_layout_shows_what_is_bound():
    drawn = twins.layout(twins.to_picture(chain())[0], INFO, 512, 256)
    assert drawn == {
        "cells": node("Boxes"),
        "boxes": node("Boxes", regions=["cells", 0]),
        twins.LAYOUT: node("RAGLayoutPreview", regions=["boxes", 0], width=512, height=256),
    }


@pytest.mark.parametrize(
    ("named", "yours", "taken", "missing"),
    [
        ("a.safetensors", {}, "a.safetensors", []),
        ("b.safetensors", {}, "flux/b.safetensors", []),  # in a folder below
        ("c.safetensors", {}, "c.safetensors", ["c.safetensors"]),
        ("c.safetensors", {"c.safetensors": "b.safetensors"}, "flux/b.safetensors", []),
        ("a.safetensors", {"a.safetensors": "c.safetensors"}, "a.safetensors", ["a.safetensors"]),
    ],
)
def test_a_models_file_is_found_by_its_name(named: str, yours: dict, taken: str, missing: list):
    prompt = {"load": node("Load", unet_name=named)}
    assert twins.put_files(prompt, INFO, yours) == missing
    assert prompt["load"]["inputs"]["unet_name"] == taken


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_published_example_is_whole(example: Example):
    """As many texts as its ratio has cells, its boxes in the picture, and nobody's name in it."""
    assert len(parse_split_ratio(example.ratio)) == len(example.cells)
    for box, text in example.boxes:
        assert text
        tokens = Box(*box).bound_tokens(Picture.of_pixels(*example.size))
        assert min(tokens.width, tokens.height) > 0
    assert not re.search("Einstein|Musk|Trump|Tesla|Mona", str(example))
    kinds = [one["class_type"] for one in to_prompt(example).values()]
    assert kinds.count("RAGRegionBox") == len(example.boxes)
    assert ("LoraLoaderModelOnly" in kinds) == bool(example.lora)


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(WorkflowError, match=r"(?s)no 'cup'.*seven_mugs"):
        gallery.pick(["cup"])


def test_names_are_found_in_either_case_and_without_one_all_are_taken():
    assert [item.name for item in gallery.pick(["Four_Trees"])] == ["four_trees"]
    names = [item.name for item in gallery.pick([])]
    assert len(names) == len(set(names)) == len(EXAMPLES) + len(list(gallery.WORKFLOWS.glob("*.json")))


def test_a_file_of_yours_needs_both_names():
    given = ["ae.safetensors=b", "clip_l.safetensors=d=e"]
    assert gallery.pairs(given) == {"ae.safetensors": "b", "clip_l.safetensors": "d=e"}
    with pytest.raises(WorkflowError, match="FILE=YOURS"):
        gallery.pairs(["a"])
    with pytest.raises(
        WorkflowError, match=r"typo.*: nothing names this file; named are:\n(?s:.*)\n  ae\.safetensors"
    ):
        gallery.pairs(["typo.safetensors=b"])


def test_after_a_server_that_ended_the_next_picture_gets_another(tmp_path: Path, monkeypatch, capsys):
    """A file that is too large for the machine's memory ends ComfyUI."""
    started = []

    class Mortal:
        object_info = {}

        def __init__(self, root):
            started.append(self)
            self.process = SimpleNamespace(poll=lambda: self.ended)
            self.ended = None

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def make(self, item):
        if item.name == "four_trees":
            self.server.ended = -9
            self.failed[item.name] = "ComfyUI ended with -9"
        else:
            self.done.append(item.name)

    monkeypatch.setattr(gallery, "Server", Mortal)
    monkeypatch.setattr(gallery.Gallery, "make", make)
    with pytest.raises(SystemExit):
        gallery.main(["--out", str(tmp_path), "--only", "four_trees", "four_cakes"])
    assert len(started) == 2
    assert "1 made or there already\nfailed: four_trees: ComfyUI ended with -9" in capsys.readouterr().out


def test_a_picture_that_was_cut_short_counts_as_none(tmp_path: Path):
    """The file may be whole or half: it counts when its settings are written, which comes last."""
    kept = gallery.Kept(tmp_path / "one")
    kept.folder.mkdir()
    kept.path("plain").write_bytes(b"half a picture")
    assert not gallery.Kept(kept.folder).has("plain", chain())
    kept.add("plain", b"a picture", chain(), seconds=1.5)
    again = gallery.Kept(kept.folder)
    assert again.has("plain", chain())
    assert again.settings["pictures"]["plain"]["seconds"] == 1.5
    assert not again.has("plain", chain() | {"load": node("Load", unet_name="b.safetensors")})
    assert not again.has("regions", chain())
    kept.path("plain").unlink()
    assert not again.has("plain", chain())


def test_the_demo_model_stands_for_flux_alone():
    flux = to_prompt(EXAMPLES[-1])
    twins.on_demo_model(flux)
    assert flux["clip"] == node("RAGDemoCLIPLoader")
    assert flux["model"]["inputs"] == {"unet_name": "rag_demo_flux.safetensors", "weight_dtype": "default"}
    assert flux["lora"]["inputs"]["lora_name"] == "rag_demo_stripes.safetensors"
    assert (flux["latent"]["inputs"]["width"], flux["sampler"]["inputs"]["steps"]) == (256, twins.STEPS)
    other = to_prompt(EXAMPLES[-1])
    other["clip"]["inputs"]["type"] = "sd3"
    before = copy.deepcopy(other)
    twins.on_demo_model(other)
    assert other == before


def test_a_sheet_shows_all_its_pictures_in_order():
    pictures = {
        "plain": Image.new("RGB", (1024, 512), "red"),
        "regions": Image.new("RGB", (1024, 512), "blue"),
    }
    page = sheet.sheet("title", pictures, "seed 1 " * 200)
    assert page.size == (2 * 512 + 3 * sheet.GAP, sheet.HEAD + 256 + sheet.FOOT)
    middles = [
        page.getpixel((sheet.GAP + 256 + number * (512 + sheet.GAP), sheet.HEAD + 128)) for number in (0, 1)
    ]
    assert middles == [(255, 0, 0), (0, 0, 255)]
    page = sheet.together([page] * 3)
    assert page.width == 2 * sheet.SHRUNK
    assert sheet.thumbnail(pictures["plain"]).size == (512, 256)
