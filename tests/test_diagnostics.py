"""What a run tells of itself: one line of what was done, and warnings that name the cause, once a run."""

import logging
import re
from dataclasses import replace

import pytest
import torch
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods import binding
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Mask, Region
from tiny import conditioning, noise_for, sample, schedule
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

LEFT, RIGHT = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)
STEPS = 8


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(32, 32), schedule(model, STEPS)


def region(texts, shape, text: str | None = "a thing") -> Region:
    return Region(shape, conditioning(texts, "S0"), text)


def warnings_of(caplog, run) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        run()
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


@pytest.fixture(autouse=True)
def a_large_network(monkeypatch):
    """What is told of those that people use is told of the golden one, too."""
    monkeypatch.setattr(binding, "SMALL", 0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (lambda t: Refinement((region(t, LEFT), region(t, RIGHT)), 0.0), "delta 0 and changes nothing"),
        (lambda t: Binding((region(t, Box(0, 0, 0.5, 1)),), 0), "bind_steps 0 and changes nothing"),
        (lambda t: Binding((region(t, Box(0, 0, 0.5, 1)),), 9), "bind_steps 9, but the run has 8 steps"),
        (lambda t: Binding((region(t, Box(0, 0, 0.5, 1)),), 3), "binds 3 of 8 steps, more than a quarter"),
        (
            lambda t: Binding((region(t, Box(0, 0, 0.5, 1), " "),), 1),
            "the prompt of region 1 of 1 .* is empty",
        ),
        (
            lambda t: Refinement((region(t, Mask(torch.ones(64, 128))),), 1.0),
            "the mask of region 1 of 1 .* is 128 × 64 and the picture 256 × 256; it is stretched",
        ),
        (lambda t: Binding((region(t, Box(0, 0, 0.1, 0.1)),), 1), r"1 of 256 tokens \(0.4% of the picture\)"),
        (lambda t: Refinement((region(t, LEFT),), 1.0), "50% of the picture lies in no region"),
    ],
)
def test_each_cause_is_warned_of_once(model, texts, setting, caplog, spec, message):
    patched = add_spec(model, spec(texts))
    for _ in range(2):
        found = warnings_of(caplog, lambda: sample(patched, *setting))
        assert len(found) == 1 and re.search(message, found[0]), found


def test_a_network_as_small_as_the_demo_models_may_bind_most_steps(
    model, texts, setting, caplog, monkeypatch
):
    monkeypatch.undo()
    patched = add_spec(model, Binding((region(texts, Box(0, 0, 0.5, 1)),), 5))
    assert warnings_of(caplog, lambda: sample(patched, *setting)) == []


class HintPatch:
    """A ControlNet that patches the model, as ComfyUI has them for Z-Image, Qwen-Image and Anima."""

    image = torch.zeros(1, 8, 8, 3)

    def __call__(self, args: dict) -> dict:
        return args


def test_a_hint_that_every_bound_region_sees_whole_is_told_of(model, texts, setting, caplog):
    patched = model.clone()
    patched.set_model_double_block_patch(HintPatch())
    bound = add_spec(patched, Binding((region(texts, Box(0, 0, 0.5, 1)),), 1))
    (told,) = warnings_of(caplog, lambda: sample(bound, *setting))
    assert "shows all of it to every bound region" in told
    refined = add_spec(patched, Refinement((region(texts, LEFT), region(texts, RIGHT)), 1.0))
    assert warnings_of(caplog, lambda: sample(refined, *setting)) == []


def test_a_sound_layout_is_not_warned_of(model, texts, setting, caplog):
    patched = add_spec(model, Binding((region(texts, Box(0, 0, 0.5, 1), None),), 2))
    patched = add_spec(patched, Refinement((region(texts, LEFT), region(texts, RIGHT)), 1.0))
    assert warnings_of(caplog, lambda: sample(patched, *setting)) == []


def test_a_run_from_a_picture_is_warned_of(model, texts, setting, caplog):
    """As a detailer and a second pass make it: new noise, at denoise below 1. Another stage of a run is none, nor a
    schedule that begins below the largest sigma from an empty latent (ddim_uniform)."""
    prompt, noise, sigmas = setting
    bound = add_spec(model, Binding((region(texts, Box(0, 0, 0.5, 1)),), 1))
    refined = add_spec(model, Refinement((region(texts, LEFT), region(texts, RIGHT)), 1.0))

    def found(model, noise, latent):
        return warnings_of(caplog, lambda: sample(model, prompt, noise, sigmas[3:], latent=latent))

    picture, empty = noise_for(32, 32, seed=1), torch.zeros_like(noise)
    (told,) = found(bound, noise, picture)
    assert re.search(
        "starts from a picture, and Hard Binding builds the whole layout .* or bind_steps 0", told
    )
    (told,) = found(refined, noise, picture)
    assert re.search(
        "starts from a picture, and Soft .* the MODEL from before Soft Refinement Attention", told
    )
    for patched in (bound, refined):
        assert found(patched, noise, empty) == found(patched, empty, picture) == []
    unbound = add_spec(model, Binding((region(texts, Box(0, 0, 0.5, 1)),), 0))
    (told,) = found(unbound, noise, picture)
    assert "bind_steps 0 and changes nothing" in told


@pytest.mark.parametrize(
    ("drawn_for", "told"),
    [((256, 256), False), ((250, 262), False), (None, False), ((512, 512), True), ((256, 512), True)],
)
def test_a_picture_of_another_size_than_was_drawn_for_is_warned_of(
    model, texts, setting, caplog, drawn_for, told
):
    """As a detailer's crop is."""
    regions = tuple(replace(region(texts, cell), drawn_for=drawn_for) for cell in (LEFT, RIGHT))
    for spec in (Binding(regions, 1), Refinement(regions, 1.0)):
        found = warnings_of(caplog, lambda spec=spec: sample(add_spec(model, spec), *setting))
        assert len(found) == told
        assert not told or re.search(
            rf"drawn for {drawn_for[0]} × {drawn_for[1]} and this picture is 256 × 256; the whole layout .* without regions$",
            found[0],
        )


def test_one_line_tells_what_was_done(model, texts, setting, caplog):
    patched = add_spec(model, Binding((region(texts, Box(0, 0, 0.5, 0.5)),), 2))
    patched = add_spec(patched, Refinement((region(texts, LEFT), region(texts, RIGHT)), 0.5))
    with caplog.at_level(logging.INFO):
        sample(patched, *setting)
    (line,) = (r.getMessage() for r in caplog.records if r.getMessage().startswith("RAG: FLUX.1;"))
    assert "1 regions (25% of the tokens) bound at 2 of 8 steps with features" in line
    assert "2 cells (100% of the tokens) refined with delta 0.5 in 5 of 5 blocks, 2 image streams" in line
    assert "× the cost of a plain run" in line


@pytest.mark.parametrize(
    ("cells", "delta", "published", "streams"),
    [
        ((LEFT, RIGHT), 1.0, True, 1),
        ((LEFT,), 1.0, True, 2),
        ((LEFT, RIGHT), 0.5, True, 2),
        ((LEFT, RIGHT), 0.5, False, 1),
    ],
)
def test_a_second_image_stream_is_carried_only_where_it_is_read(
    model, texts, setting, caplog, cells, delta, published, streams
):
    """At delta 1 by tokens of no cell alone, while a region is bound; in shared never."""
    patched = add_spec(model, Binding((region(texts, Box(0, 0, 0.5, 0.5)),), 2))
    found = tuple(region(texts, cell) for cell in cells)
    patched = add_spec(patched, Refinement(found, delta, published=published))
    with caplog.at_level(logging.INFO):
        sample(patched, *setting)
    assert f"in 5 of 5 blocks, {streams} image streams" in caplog.text


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_2", "dpmpp_sde", "dpmpp_2s_ancestral", "seeds_3"])
def test_steps_are_counted_not_evaluations(model, texts, setting, caplog, sampler):
    patched = add_spec(model, Binding((region(texts, Box(0, 0, 0.5, 1)),), 2))
    with caplog.at_level(logging.INFO):
        sample(patched, *setting, sampler=sampler)
    assert "bound at 2 of 8 steps" in caplog.text


def test_the_cost_in_the_log_is_what_a_counter_counts(model, texts, setting, caplog):
    def attention(q, k, v, *args, **kwargs) -> int:
        return sdpa_flop_count(q, k, v)

    kernel = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}

    def flops(model) -> int:
        with FlopCounterMode(display=False, custom_mapping=kernel) as counter:
            sample(model, *setting)
        return counter.get_total_flops()

    plain = flops(model)
    boxes = (region(texts, Box(0, 0, 0.5, 0.5)), region(texts, Box(0.5, 0.5, 0.5, 0.5)))
    for delta, published in ((1.0, True), (0.5, True), (0.5, False)):
        cells = (region(texts, LEFT), region(texts, RIGHT))
        patched = add_spec(add_spec(model, Binding(boxes, 2)), Refinement(cells, delta, published=published))
        caplog.clear()
        with caplog.at_level(logging.INFO):
            counted = flops(patched) / plain
        (line,) = (r.getMessage() for r in caplog.records if "× the cost" in r.getMessage())
        told = float(line.rsplit("; ", 1)[1].split(" ×")[0])
        assert told == pytest.approx(counted, rel=0.06), line
