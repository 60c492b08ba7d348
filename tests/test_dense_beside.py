"""DenseDiffusion beside what else changes a UNet: what both make is what the method written down makes there."""

import re

import comfy.sample
import pytest
import torch
from comfy_extras.nodes_sag import SelfAttentionGuidance
from rag_pack.nodes.repaint import RAGRepaint
from rag_pack.nodes.sampler import RAGHardBindingSampler
from test_dense import (
    SPANS,
    assert_differ,
    assert_equal,
    dense,
    encode,
    layout,
    load,
    noise_for,
    sampled,
    segments,
    written_down,
)
from test_unet_beside import NODES, control_for
from torch import Tensor

__all__ = ["load"]  # a fixture

CHANGES_SELF = {"HyperTile", "ToMe", "PAG"}
"""Nodes that change self-attention, its tokens or what stands in its place, of which the user is told."""


@pytest.fixture(params=["SD1.5", "SDXL"])
def both(request, load):
    return load(request.param)


def written(model, clip, positive: list, noise: Tensor, **kwargs) -> Tensor:
    with written_down(model, segments(noise), SPANS, positive):
        return sampled(model, clip, positive, noise, **kwargs)


@pytest.mark.parametrize("first", ["the node", "regions"])
@pytest.mark.parametrize("name", NODES)
def test_a_node_of_core(both, caplog, name, first):
    """ToMe merges tokens on the latent's own level alone, where SDXL has no attention."""
    (model, clip), noise, node = both, noise_for(24, 24), lambda model: NODES[name](model)[0]
    changed = node(model)
    patched, positive = dense((changed if first == "the node" else model, clip), layout(clip))
    torch.manual_seed(0)  # some nodes draw from it
    found = sampled(patched if first == "the node" else node(patched), clip, positive, noise)
    torch.manual_seed(0)
    assert_equal(found, written(changed, clip, positive, noise))
    assert_differ(found, sampled(changed, clip, positive, noise))
    absent = name == "ToMe" and type(model.model).__name__ == "SDXL"
    told = re.search("moved the self-attention of only", caplog.text) is not None
    assert told == (name in CHANGES_SELF and not absent)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("name", ["SD1.5", "SDXL"])
def test_a_controlnet_on_positive(load, name, cfg):
    (model, clip), noise = load(name), noise_for()
    hint = torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(3))
    control = control_for(model, name).set_cond_hint(hint, 0.8, (0.0, 1.0))
    patched, plain = dense((model, clip), layout(clip))
    positive = [
        [text, {**options, "control": control, "control_apply_to_uncond": True}] for text, options in plain
    ]
    found = sampled(patched, clip, positive, noise, cfg=cfg)
    assert_equal(found, written(model, clip, positive, noise, cfg=cfg))
    assert_differ(found, sampled(patched, clip, plain, noise, cfg=cfg))


def test_self_attention_guidance(both):
    (model, clip), noise = both, noise_for()
    node = lambda model: SelfAttentionGuidance.execute(model, 0.5, 2.0)[0]  # noqa: E731
    patched, positive = dense(both, layout(clip))
    found = sampled(node(patched), clip, positive, noise, cfg=3.0)
    assert_equal(found, written(node(model), clip, positive, noise, cfg=3.0))
    assert_differ(found, sampled(patched, clip, positive, noise, cfg=3.0))


def test_repaint_of_its_picture(both, caplog):
    """Beside the record of the run; outside the mask nothing changes, and the steps that are left are moved."""
    model, clip = both
    settings = {"seed": 0, "steps": 4, "sampler_name": "euler", "scheduler": "simple", "cfg": 3.0}
    patched, positive = dense(both, layout(clip), settings=(2.0, 2.0, 0.0, 0.0, 1.0))
    negative, latent = encode(clip, "blurry"), {"samples": torch.zeros(1, 4, 16, 24)}
    mask = torch.zeros(1, 128, 192)
    mask[:, 32:96, 64:128] = 1
    prior = RAGHardBindingSampler.execute(
        patched, positive=positive, negative=negative, latent_image=latent, bind_steps=0, bind_features=False, delta=1.0, denoise=1.0,
        fidelity="published", keep_for_repaint=True, **settings,
    )[0]  # fmt: skip
    assert_equal(
        model.model.process_latent_in(prior["samples"]),
        sampled(patched, clip, positive, comfy.sample.prepare_noise(latent["samples"], 0), 3.0, 4)[-1],
    )
    repaint = lambda model: RAGRepaint.execute(  # noqa: E731
        model, prior=prior, mask=mask, positive=positive, negative=negative, delta=1.0, repaint_bind_steps=1, grow=0, match_surroundings=False,
        clip=clip, text="a cat", **settings,
    )[0]["samples"]  # fmt: skip
    found = repaint(patched)
    outside = torch.ones(16, 24, dtype=torch.bool)
    outside[4:12, 8:16] = False
    assert torch.equal(found[..., outside], prior["samples"][..., outside])
    assert (found - repaint(model)).abs().max() > 1e-2
    assert "base prompt of this run" not in caplog.text
