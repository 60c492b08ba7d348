"""DenseDiffusion Attention: what its user is told, in the log and as errors."""

import logging
import re

import families
import pytest
import torch
from comfy_extras.nodes_hypertile import HyperTile
from test_dense import CAPTION, assert_equal, dense, encode, layout, load, noise_for, sampled, sd15
from test_unet import ALL, own_attention, with_attention
from tiny import basic_guider, run, schedule

import nodes  # ComfyUI's

__all__ = ["load", "sd15"]  # fixtures


def test_without_weight_it_is_the_plain_run_of_positive_and_says_so(sd15, caplog):
    model, clip = sd15
    patched, positive = dense(sd15, layout(clip), settings=(0.0, 0.0, 1.0, 0.0, 0.3))
    noise = noise_for()
    assert torch.equal(sampled(patched, clip, positive, noise), sampled(model, clip, positive, noise))
    assert "cross_strength 0 and self_strength 0; of attention it changes nothing" in caplog.text


@pytest.mark.parametrize(("start", "denoise", "told"), [(0.0, 1.0, 0), (0.7, 1.0, 1), (0.0, 0.3, 1)])
def test_a_run_in_which_it_hardly_moves_anything_is_told(sd15, caplog, start, denoise, told):
    model, clip = sd15
    patched, positive = dense(sd15, layout(clip), settings=(2.0, 2.0, 1.0, start, 1.0))
    sigmas = schedule(model, int(10 / denoise))[-11:]
    run(basic_guider(patched, positive), noise_for(), sigmas)
    assert caplog.text.count("fade with the fifth power of the model's timestep") == told


def test_an_attention_function_of_another_node_is_told(sd15, caplog):
    model, clip = sd15
    changed = model.clone()
    changed.model_options["transformer_options"]["optimized_attention_override"] = lambda f, *a, **k: f(
        *a, **k
    )
    patched, positive = dense((changed, clip), layout(clip))
    found = sampled(patched, clip, positive, noise_for())
    assert_equal(found, sampled(dense(sd15, layout(clip))[0], clip, positive, noise_for()))
    assert caplog.text.count("another node's attention function has no effect while it works") == 1


def test_the_log_tells_segments_and_blocks(sd15, caplog):
    model, clip = sd15
    patched, positive = dense(sd15, layout(clip, (1.0, 0.5, 1.0)))
    with caplog.at_level(logging.INFO):
        sampled(patched, clip, positive, noise_for())
    (line,) = (r.getMessage() for r in caplog.records if r.getMessage().startswith("RAG: SD1.5"))
    assert re.fullmatch(
        r"RAG: SD1.5; 3 segments \(\d\d% of the picture\) with cross_strength 1, self_strength 0.3 and size_strength 1 and "
        r"strengths 1, 0.5, 1 in 7 of 7 blocks, 1 image streams", line,
    )  # fmt: skip
    assert "of the picture lies in no region, and there all of attention is made more even" in caplog.text


@pytest.mark.parametrize(
    ("prompt", "warned"),
    [
        (lambda clip, positive: positive, False),
        (lambda clip, positive: nodes.ConditioningConcat().concat(positive, encode(clip, "oil"))[0], False),
        (lambda clip, positive: encode(clip, CAPTION), True),
        (lambda clip, positive: positive + encode(clip, "oil"), True),
        (lambda clip, positive: [
            *nodes.ConditioningSetTimestepRange().set_range(positive, 0.0, 0.3)[0],
            *nodes.ConditioningSetTimestepRange().set_range(encode(clip, "oil"), 0.3, 1.0)[0],
        ], False),
    ],
    ids=["positive", "with another text behind it", "the caption", "and another prompt", "another one later"],
)  # fmt: skip
def test_a_prompt_that_is_not_its_own_is_told_once(sd15, caplog, prompt, warned):
    model, clip = sd15
    patched, positive = dense(sd15, layout(clip), settings=(1.0, 0.3, 1.0, 0.0, 0.3))
    sampled(patched, clip, prompt(clip, positive), noise_for())
    assert caplog.text.count("the base prompt of this run is not the node's output positive") == warned


def test_blocks_with_cross_attention_of_their_own_are_counted(sd15, caplog):
    model, clip = sd15
    mixed = with_attention(model, own_attention, (("middle", 0), ("output", 2)))
    patched, positive = dense((mixed, clip), layout(clip))
    assert sampled(patched, clip, positive, noise_for()).isfinite().all()
    assert "only 5 of 7 blocks were guided by DenseDiffusion" in caplog.text and "IP-Adapters" in caplog.text


def test_a_model_whose_cross_attention_bypasses_the_hook_is_an_error(sd15):
    model, clip = sd15
    patched, positive = dense((with_attention(model, own_attention, ALL), clip), layout(clip))
    with pytest.raises(
        RuntimeError, match=r"DenseDiffusion had no effect: .*as some IP-Adapters do\). Remove it"
    ):
        sampled(patched, clip, positive, noise_for())


def test_self_attention_that_another_node_changes_is_told(sd15, caplog):
    model, clip = sd15
    tiled = HyperTile.execute(model, 32, 1, 1, False)[0]
    patched, positive = dense((tiled, clip), layout(clip))
    sampled(patched, clip, positive, noise_for(24, 24))
    assert re.search(
        r"DenseDiffusion moved the self-attention of only \d of 7 blocks: .*HyperTile", caplog.text
    )
    caplog.clear()
    crossed, positive = dense((tiled, clip), layout(clip), settings=(1.0, 0.0, 1.0, 0.0, 1.0))
    sampled(crossed, clip, positive, noise_for(24, 24))
    assert "self-attention" not in caplog.text


JOINT = {
    "FLUX.1-dev": "FLUX.1", "FLUX.2-dev": "FLUX.2", "Chroma": "Chroma", "Z-Image": "Z-Image", "Lumina 2": "Lumina 2",
    "Qwen-Image": "Qwen-Image", "Krea 2": "Krea 2", "SD3.5": "SD3.5", "Anima": "Anima",
}  # fmt: skip


@pytest.mark.parametrize("name", JOINT)
def test_joint_attention_is_refused_by_name_with_the_reason(name, tmp_path, sd15):
    if not families.exists(name):
        pytest.skip("this ComfyUI has no such family")
    clip, called = sd15[1], re.escape(JOINT[name])
    with pytest.raises(
        ValueError, match=rf"^DenseDiffusion Attention: .*family {called}\. .*no setting of it was"
    ):
        dense((families.load(name, tmp_path), clip), layout(clip))
