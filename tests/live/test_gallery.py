"""`dev.py gallery` in a real ComfyUI, the demo model in the place of FLUX."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from live_comfyui import WORKFLOWS, Live, node, sampler
from PIL import Image

from demo import gallery, published, twins
from demo.gallery import Gallery, pick
from demo.workflow import Prompt, inputs_of, read


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "STEPS", 2)


PARTS = ["layout.png", "plain.png", "regions.png", "settings.json", "sheet.jpg", "thumbnail.jpg"]


def template(*with_nodes: str, without: tuple[str, ...] = ()) -> str:
    """The name of the first FLUX.1 template that has these nodes and none of those."""
    for path in sorted(WORKFLOWS.glob("*.json")):
        kinds = {one["type"] for one in read(path)["nodes"]}
        if {"DualCLIPLoader", *with_nodes} <= kinds and not kinds & {*without}:
            return path.stem
    raise AssertionError(f"no FLUX.1 template has {with_nodes}")


class Counted:
    """The server, which notes what it runs; `stop` at so many runs it is interrupted as Ctrl-C does."""

    def __init__(self, live: Live, stop: int = 10**6) -> None:
        self.server, self.stop, self.runs = live.server, stop, []

    def __getattr__(self, name: str):
        return getattr(self.server, name)

    def run(self, prompt: Prompt, progress):
        if len(self.runs) == self.stop:
            raise KeyboardInterrupt
        self.runs.append(prompt)
        return self.server.run(prompt, progress)


def made(server, out: Path, *names: str, demo: bool = True, **options) -> Gallery:
    one = Gallery(server, out, demo=demo, **options)
    for item in pick(names):
        one.make(item)
    return one


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_command(live: Live, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture):
    """A published example, a template, and one whose files no demo model has: a sheet of the first two."""
    monkeypatch.setattr(gallery, "Server", lambda root: nullcontext(live.server))
    names = ["four_trees", template("RAGRegionLora"), template("StyleModelLoader")]
    gallery.main(["--demo", "--out", str(tmp_path), "--only", *names])
    said = capsys.readouterr().out
    assert "2 made or there already" in said
    assert f"models/style_models/flux1-redux-dev.safetensors\n    for {names[2]}\n    https://" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*names[:2], "examples.jpg", "templates.jpg"]
    )
    for name in names[:2]:
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == PARTS
        settings = json.loads((tmp_path / name / "settings.json").read_text())["pictures"]
        assert set(settings) == {"plain", "regions", "layout"}
        assert twins.regions_of(settings["plain"]["prompt"], live.server.object_info) == []
        regions, plain = (pixels(tmp_path / name / f"{part}.png") for part in ("regions", "plain"))
        assert regions.shape == plain.shape == (256, 256, 3)
        assert abs(regions - plain).mean() > 1
    with Image.open(tmp_path / "examples.jpg") as page:
        assert page.width == 800  # one column, of one sheet


def test_it_goes_on_where_it_was_stopped(live: Live, tmp_path: Path):
    first = Counted(live, stop=4)
    with pytest.raises(KeyboardInterrupt):
        made(first, tmp_path, "four_trees", "four_cakes")
    whole = {path: path.read_bytes() for path in (tmp_path / "four_trees").iterdir()}
    regions = (tmp_path / "four_cakes" / "regions.png").read_bytes()
    second = Counted(live)
    assert made(second, tmp_path, "four_trees", "four_cakes").done == ["four_trees", "four_cakes"]
    assert len(second.runs) == 2  # the plain picture and the layout of the other
    assert {path: path.read_bytes() for path in whole} == whole
    assert (tmp_path / "four_cakes" / "regions.png").read_bytes() == regions
    third = Counted(live)
    made(third, tmp_path, "four_trees", "four_cakes")
    assert third.runs == []


def test_another_setting_makes_the_pictures_anew(live: Live, tmp_path: Path, monkeypatch):
    made(live.server, tmp_path, "four_trees")
    before = pixels(tmp_path / "four_trees" / "plain.png")
    changed = [
        published.Example(**{**vars(one), "seed": 5 if one.name == "four_trees" else one.seed})
        for one in published.EXAMPLES
    ]
    monkeypatch.setattr(published, "EXAMPLES", changed)
    again = Counted(live)
    made(again, tmp_path, "four_trees")
    assert len(again.runs) == 2  # the layout has no seed
    assert (pixels(tmp_path / "four_trees" / "plain.png") != before).any()


def test_what_is_missing_is_told_and_the_rest_is_made(live: Live, tmp_path: Path):
    shapes = next(path.stem for path in sorted(WORKFLOWS.glob("*.json")) if is_quick(path))
    one = made(live.server, tmp_path, "wool_fruit", shapes, demo=False)
    assert one.done == [shapes]
    lacking = ["flux1-dev.safetensors", "t5xxl_fp16.safetensors", "clip_l.safetensors", published.YARN]
    assert one.missing == {file: ["wool_fruit"] for file in lacking}  # a stand-in is called ae.safetensors
    report = one.report()
    assert (
        f"missing: models/loras/{published.YARN}\n    for wool_fruit\n    https://huggingface.co/" in report
    )
    assert "missing: models/diffusion_models/flux1-dev.safetensors" in report
    assert "--use FILE=YOURS" in report
    assert not (tmp_path / "wool_fruit").exists()


def is_quick(path: Path) -> bool:
    """On the demo model, one picture, of nodes that every ComfyUI has."""
    kinds = [one["type"] for one in read(path)["nodes"]]
    wanted = {"RAGDemoCLIPLoader", "RAGSplitRatioLayout", "RAGHardBindingSampler"}
    return wanted <= {*kinds} and kinds.count("VAEDecode") == 1


def test_a_run_that_fails_is_told_and_the_rest_is_made(live: Live, tmp_path: Path, monkeypatch):
    wrong = published.Example(**{**vars(published.EXAMPLES[0]), "name": "wrong", "ratio": "no, ratio"})
    monkeypatch.setattr(published, "EXAMPLES", (wrong, *published.EXAMPLES))
    one = made(live.server, tmp_path, "wrong", "four_trees")
    assert one.done == ["four_trees"]
    assert "split_ratio" in one.failed["wrong"]
    assert "failed: wrong: " in one.report()


def test_nodes_that_this_comfyui_has_not_are_told(live: Live, tmp_path: Path):
    name = template("OpenAIChatNode")
    one = made(live.server, tmp_path, name)
    assert "OpenAIChatNode" in one.unfit[name]
    assert f"left out: {name}: " in one.report()


def test_a_repaint_shows_its_two_pictures_and_no_plain_one(live: Live, tmp_path: Path):
    name = template("RAGRepaint")
    made(live.server, tmp_path, name)
    there = sorted(path.name for path in (tmp_path / name).iterdir())
    assert there == [part for part in PARTS if part != "plain.png"]
    assert pixels(tmp_path / name / "regions.png").shape == (256, 512, 3)


@pytest.mark.parametrize("kind", ["RAGHardBindingSampler", "RAGHardBinding"])
def test_the_plain_picture_is_that_of_the_stock_sampler(live: Live, kind: str):
    """Bit for bit, from a sampler with regions and from a MODEL with them."""
    prompt = live.base()
    vae = live.demo_file("VAELoader", "vae_name")
    prompt |= {
        "vae": node("VAELoader", vae_name=vae),
        "box": node("RAGRegionBox", x=0, y=0, width=0.5, height=1, text="a red circle", clip=["clip", 0]),
        "bound": node(
            "RAGHardBinding", model=["model", 0], regions=["box", 0], bind_steps=2, bind_features=True
        ),
    }
    if kind == "RAGHardBinding":
        prompt["sampler"] = sampler(model=["bound", 0])
    else:
        prompt["sampler"] = sampler(
            "RAGHardBindingSampler", bind_steps=2, bind_features=True, delta=1.0, fidelity="published",
            keep_for_repaint=False, binding_regions=["box", 0],
        )  # fmt: skip
    prompt["decode"] = node("VAEDecode", samples=["sampler", 0], vae=["vae", 0])
    prompt["save"] = node("SaveImage", images=["decode", 0], filename_prefix="twin")
    stock = prompt | {"sampler": sampler()}
    twin = twins.plain(*twins.to_picture(prompt), live.server.object_info)

    def picture(prompt: Prompt) -> np.ndarray:
        (found,) = (one for one in live.server.run(prompt) if one.node == "save")
        return live.picture(found)

    assert (picture(twin) == picture(stock)).all()
    assert (picture(prompt) != picture(stock)).any()


def test_published_examples_fit_the_nodes(live: Live):
    """Every input is known, every required one given; the texts of ComfyUI's refusals come too late for a night's run."""
    for example in published.EXAMPLES:
        for key, one in published.to_prompt(example).items():
            known = {given.name: given for given in inputs_of(live.server.object_info[one["class_type"]])}
            assert set(one["inputs"]) <= set(known), (example.name, key)
            required = {name for name, given in known.items() if given.required}
            assert required <= set(one["inputs"]), (example.name, key)


def test_a_png_opens_as_its_graph(live: Live, tmp_path: Path):
    """ComfyUI's own metadata stay in it."""
    made(live.server, tmp_path, "four_trees")
    picture = Image.open(io.BytesIO((tmp_path / "four_trees" / "regions.png").read_bytes()))
    settings = json.loads((tmp_path / "four_trees" / "settings.json").read_text())
    assert json.loads(picture.text["prompt"]) == settings["pictures"]["regions"]["prompt"]
