"""How the demo model is trained: its data, and that a stopped training goes on as if it had not been."""

from random import Random

import comfy.sd
import comfy.utils
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.func import functional_call

from demo import train_transformer
from demo.captions import caption
from demo.data import batch, token_ids
from demo.export import TRANSFORMER, load_files
from demo.sample import load
from demo.scenes import HOLDERS, SHOWN, room, sample
from demo.shapes import BACKGROUNDS, SHAPES, Item, Scene, Sheet, draw
from demo.train_lora import LoRA
from demo.transformer import positions, to_latents, to_tokens


def scenes(noise: float, columns: int = 16, rows: int = 16, count: int = 200) -> list[Scene]:
    rng = Random("scenes")
    return [sample(rng, columns, rows, noise) for _ in range(count)]


def test_batches_depend_on_seed_and_step_alone():
    first, again, other = batch(1, 5, 2000), batch(1, 5, 2000), batch(1, 6, 2000)
    assert torch.equal(first.ids, again.ids) and torch.equal(first.sheet.draw(), again.sheet.draw())
    assert first.ids.shape != other.ids.shape or not torch.equal(first.ids, other.ids)


@pytest.mark.parametrize(("columns", "rows"), [(16, 16), (24, 16), (5, 9)])
def test_objects_lie_inside_the_picture(columns, rows):
    for noise in (1.0, 0.5):
        for scene in scenes(noise, columns, rows):
            for item in scene.items:
                assert item.radius <= item.x <= scene.width - item.radius + 1e-6
                assert item.radius <= item.y <= scene.height - item.radius + 1e-6


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_is_inside_another_shows_whole_and_with_a_rim_around_it(holder):
    def filled(shape: str, y: float, radius: float) -> np.ndarray:
        drawn = draw(Scene(256, 256, "white", (Item("black", shape, 128, y, radius),)))
        return drawn.mean(-1) < 128

    outer = filled(holder, 128, 109)
    space = ndimage.binary_fill_holes(outer) & ~outer if holder == "ring" else outer
    for shape in SHAPES:
        inner = filled(shape, 128 + 109 * HOLDERS[holder], 109 * room(holder, shape))
        assert not (ndimage.binary_dilation(inner, iterations=6) & ~space).any(), shape
        assert inner.mean() > 0.02, shape


def test_at_high_noise_captions_name_everything_and_every_place():
    rng = Random("captions")
    for scene in scenes(SHOWN):
        text = caption(scene, rng, SHOWN)
        assert scene.layout != "open"
        assert all(item.shape in text and item.color in text for item in scene.items), text
        if scene.layout == "thirds":
            places = ("left", "right", "top", "bottom", "center")
            assert sum(text.count(place) for place in places) >= len(scene.items), text


def test_at_lower_noise_some_captions_leave_objects_out():
    rng = Random("captions")
    crowds = [scene for scene in scenes(0.5) if len(scene.items) > 3]
    texts = [caption(scene, rng, 0.5) for scene in crowds]
    named = [sum(i.color in text for i in scene.items) for scene, text in zip(crowds, texts, strict=True)]
    assert min(named) == 1


def test_a_drawing_has_its_colours_edges_and_stripes():
    items = (Item("red", "square", 40, 40, 30), Item("blue", "circle", 110, 40, 30, striped=True))
    picture = draw(Scene(144, 80, "gray", items))
    assert tuple(picture[2, 2]) == BACKGROUNDS["gray"] and tuple(picture[40, 40]) == (215, 30, 40)
    assert {tuple(p) for p in picture[36:56:4, 40].tolist()} == {(215, 30, 40)}
    assert len({tuple(p) for p in picture[36:56:4, 110].tolist()}) > 1
    edges = Sheet.of([Scene(144, 80, "gray", items)]).edges()[0, 0]
    assert edges[40, 40] == 0 and edges[40, int(40 + 0.85 * 30)] > 0.5


def test_a_stopped_training_resumes_exactly(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    with torch.inference_mode(False), torch.enable_grad():
        train_transformer.train(whole, 4, 300)
        train_transformer.train(parts, 4, 300, until=2)
        train_transformer.train(parts, 4, 300)
    one, two = (torch.load(folder / "transformer.pt") for folder in (whole, parts))
    assert one["step"] == two["step"] == 4
    for part in ("model", "average"):
        assert all(torch.equal(one[part][key], two[part][key]) for key in one[part])


def test_polished_weights_are_the_mean_of_the_runs_from_the_average(tmp_path):
    with torch.inference_mode(False), torch.enable_grad():
        train_transformer.train(tmp_path, 1, 300)
        train_transformer.polish(tmp_path, 2, 300, seeds=(5, 6))
    start = torch.load(tmp_path / "transformer.pt")["average"]
    one, two = (torch.load(tmp_path / f"polish_{seed}" / "transformer.pt")["average"] for seed in (5, 6))
    polished = load(tmp_path).state_dict()
    moved = [name for name in start if not torch.equal(one[name], two[name])]
    assert len(moved) > len(start) / 2
    for name in start:
        torch.testing.assert_close(polished[name], (one[name] + two[name]) / 2)
        assert (one[name] - start[name]).abs().max() < 0.01  # at small rates


def test_tokens_are_asked_for_their_place_from_the_middle_and_the_pictures_size():
    asked = train_transformer.places(2, 3).tolist()
    assert asked[0] == [-1, -0.5, 1.5, 1] and asked[1] == [0, -0.5, 1.5, 1] and asked[5] == [1, 0.5, 1.5, 1]


@torch.no_grad()
def test_the_lora_is_what_comfyui_makes_of_its_file(tmp_path):
    """Of random weights, the trained model's mirror with them and the stock loader's model agree."""
    torch.manual_seed(4)
    model = load_files()
    lora = LoRA(model)
    for up in lora.up:
        up.copy_(0.05 * torch.randn(up.shape))
    for parameter in lora.parameters():
        parameter.copy_(parameter.half().float())
    lora.export(tmp_path / "lora.safetensors")
    patcher = comfy.sd.load_diffusion_model(str(TRANSFORMER), model_options={"dtype": torch.float32})
    file = comfy.utils.load_torch_file(str(tmp_path / "lora.safetensors"))
    patcher, _ = comfy.sd.load_lora_for_models(patcher, None, file, 1.0, 0.0)
    comfy.model_management.load_models_gpu([patcher])
    x, sigma, pooled = torch.randn(1, 16, 12, 16), torch.tensor([0.7]), torch.randn(1, 16)
    ids = token_ids(["a red circle"]).long()
    theirs = patcher.model.diffusion_model(x, sigma, model.t5(ids), pooled)
    weights = {name: p.detach() for name, p in model.named_parameters()}
    changed = lora.applied(weights)
    inputs = (ids, to_tokens(x), sigma, pooled, *positions(6, 8, ids.shape[1]))
    (ours, _), (plain, _) = functional_call(model, changed, inputs), model(*inputs)
    torch.testing.assert_close(to_latents(ours, 6, 8), theirs, rtol=0, atol=5e-3)
    assert (ours - plain).abs().max() > 0.05
