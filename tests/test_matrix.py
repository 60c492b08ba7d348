"""Nodes and patches on the MODEL beside each method, in both orders: rows of docs/compatibility.md."""

import functools
import inspect
from collections.abc import Callable

import comfy.ldm.flux.layers as layers
import comfy_extras.nodes_custom_sampler as advanced
import pytest
import torch
from comfy_extras import (
    nodes_apg,
    nodes_cfg,
    nodes_differential_diffusion,
    nodes_easycache,
    nodes_eps,
    nodes_fresca,
    nodes_mahiro,
    nodes_model_advanced,
    nodes_nag,
    nodes_perpneg,
    nodes_rope,
    nodes_slg,
    nodes_tcfg,
)
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.repaint import repaint
from rag_pack.rag_sampler.sampling import Settings, sample, with_regions
from test_composition import BOXES, CELLS, PATCHES, Calls
from test_repaint import assert_only_inside_changed, make, paint, region  # noqa: F401 (a fixture)
from tiny import cfg_guider, conditioning, noise_for, run, schedule

STEPS, CFG = 4, 2.0
SETTINGS = Settings(3, STEPS, CFG, "euler", "simple")


def nag(model):
    return nodes_nag.NAGuidance.execute(model, 5.0, 0.5, 1.5)[0]


def apg(model, momentum: float):
    return nodes_apg.APG.execute(model, 0.5, 2.0, momentum)[0]


NODES: dict[str, Callable] = {
    "APG": lambda model: apg(model, 0.0),
    "CFGNorm": lambda model: nodes_cfg.CFGNorm.execute(model, 0.8)[0],
    "CFGZeroStar": lambda model: nodes_cfg.CFGZeroStar.execute(model)[0],
    "EasyCache": lambda model: nodes_easycache.EasyCacheNode.execute(model, 2.0, 0.0, 1.0, False)[0],
    "EpsilonScaling": lambda model: nodes_eps.EpsilonScaling.execute(model, 1.2)[0],
    "FreSca": lambda model: nodes_fresca.FreSca.execute(model, 0.8, 1.2, 4)[0],
    "Mahiro": lambda model: nodes_mahiro.Mahiro.execute(model)[0],
    "ModelSamplingFlux": lambda model: nodes_model_advanced.ModelSamplingFlux().patch(
        model, 1.15, 0.5, 1024, 768
    )[0],
    "RescaleCFG": lambda model: nodes_model_advanced.RescaleCFG().patch(model, 0.7)[0],
    "ScaleROPE": lambda model: nodes_rope.ScaleROPE.execute(model, 0.5, 3.0, 0.5, 0.0, 1.0, 0.0)[0],
    "SkipLayerGuidanceDiT": lambda model: nodes_slg.SkipLayerGuidanceDiT.execute(
        model, 2.0, 0.0, 1.0, "1", "0, 2"
    )[0],
    "TCFG": lambda model: nodes_tcfg.TCFG.execute(model)[0],
    "TemporalScoreRescaling": lambda model: nodes_eps.TemporalScoreRescaling.execute(model, 0.5, 1.0)[0],
    **{name: lambda model, patch=patch: patch(model, Calls()) for name, patch in PATCHES.items()},
}


def lazy_cache(model):
    return nodes_easycache.LazyCacheNode.execute(model, 2.0, 0.0, 1.0, False)[0]


def bound(model, texts):
    return add_spec(model, Binding(tuple(Region(s, conditioning(texts, k), k) for s, k in BOXES), 1))


def refined(model, texts):
    return add_spec(model, Refinement(tuple(Region(s, conditioning(texts, k), k) for s, k in CELLS), 0.5))


def both(model, texts):
    return refined(bound(model, texts), texts)


METHODS: dict[str, Callable] = {"Hard Binding": bound, "Soft Refinement": refined, "both": both}


@pytest.fixture(scope="module")
def sampled(texts):
    """Sample a MODEL with the base prompt and a negative."""

    def sampled(model, **options) -> torch.Tensor:
        guider = cfg_guider(model, conditioning(texts, "G0"), conditioning(texts, "G1"), CFG)
        return run(guider, noise_for(16, 24), schedule(model, STEPS), **options)[0]

    return sampled


@pytest.fixture(scope="module")
def alone(model, texts, sampled):
    """What a feature makes without regions, and a method without the feature."""
    return functools.cache(
        lambda name: sampled(NODES[name](model) if name in NODES else METHODS[name](model, texts))
    )


def skip_if_absent(feature: str) -> None:
    if feature == "attn1 patch" and "attn1_patch" not in inspect.getsource(layers):
        pytest.skip("the FLUX of this ComfyUI calls no attn1 patch")


@pytest.mark.feature("{feature}", "{method}", order="before and after")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("feature", NODES)
def test_before_and_after_the_regions(model, texts, sampled, alone, feature, method):
    """One picture in both orders, which neither the feature alone nor the regions alone make."""
    skip_if_absent(feature)
    patch, regions = NODES[feature], METHODS[method]
    before, after = sampled(regions(patch(model), texts)), sampled(patch(regions(model, texts)))
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)
    assert before.isfinite().all()
    assert (before - alone(feature)).abs().max() > 0.1 and (before - alone(method)).abs().max() > 0.1


@pytest.mark.feature("{feature}", "Repaint", order="before")
@pytest.mark.parametrize("feature", NODES)
def test_repaint(model, texts, region, caplog, feature):  # noqa: F811
    """Beside the record, and the feature is at work inside the mask too: its picture is not the plain model's."""
    skip_if_absent(feature)
    patched = NODES[feature](model)
    prior = make(patched, texts, SETTINGS)
    with caplog.at_level("INFO"):
        result = paint(patched, texts, prior, region, SETTINGS)
    assert_only_inside_changed(result, prior, region)
    assert "without the record" not in caplog.text and "beside the record" in caplog.text
    stock = paint(model, texts, make(model, texts, SETTINGS), region, SETTINGS)
    assert (result["samples"] - stock["samples"])[..., 6:10, 12:18].abs().max() > 0.1


@pytest.mark.feature("NAGuidance", "Hard Binding", order="before and after")
def test_nag_works_in_bound_regions(model, texts, sampled, alone):
    before, after = sampled(bound(nag(model), texts)), sampled(nag(bound(model, texts)))
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)
    assert (before - alone("Hard Binding"))[1, ..., 2:12, 1:8].abs().max() > 0.01  # the first step's region


@pytest.mark.feature("NAGuidance", "Soft Refinement", order="before and after", found="warned")
def test_nag_has_no_effect_while_refining_and_the_log_says_so(model, texts, sampled, alone, caplog):
    for patched in (refined(nag(model), texts), nag(refined(model, texts))):
        caplog.clear()
        assert torch.equal(sampled(patched), alone("Soft Refinement"))
        assert sum("NAG has no effect" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.feature("LazyCache", "{method}", order="before and after")
@pytest.mark.parametrize("method", METHODS)
def test_a_cache_of_whole_steps(model, texts, sampled, alone, method):
    regions = METHODS[method]
    before, after = sampled(regions(lazy_cache(model), texts)), sampled(lazy_cache(regions(model, texts)))
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)
    assert (before - sampled(lazy_cache(model))).abs().max() > 0.1
    assert (before - alone(method)).abs().max() > 0.1


@pytest.mark.feature("LazyCache", "Repaint", order="before", found="warned")
def test_a_record_with_skipped_steps_is_not_replayed_and_the_log_says_so(model, texts, region, caplog):  # noqa: F811
    patched = lazy_cache(model)
    prior = make(patched, texts, SETTINGS)
    with caplog.at_level("INFO"):
        result = paint(patched, texts, prior, region, SETTINGS)
    assert_only_inside_changed(result, prior, region)
    assert "without the record" in caplog.text and "or a cache skips some" in caplog.text


@pytest.mark.feature("APG with momentum", "Repaint", order="before", found="error")
def test_apg_keeps_a_momentum_of_another_size(model, texts, region):  # noqa: F811
    """The node's own state, which it drops only when sigma rises: the region's run is smaller than the picture's."""
    patched = apg(model, -0.5)
    prior = make(patched, texts, SETTINGS)
    with pytest.raises(RuntimeError, match="The size of tensor a"):
        paint(patched, texts, prior, region, SETTINGS)


@pytest.mark.feature("{mask}", "{method}", order="before and after")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mask", ["noise mask", "DifferentialDiffusion"])
def test_noise_masks(model, texts, sampled, mask, method):
    """Where the mask is 0 the latent stays as it was, where it is not the regions are at work."""
    regions, ramp = METHODS[method], torch.linspace(-0.5, 1, 24).clamp(min=0).expand(1, 1, 16, 24)
    latent = noise_for(16, 24, seed=8)

    def differential(model):
        return nodes_differential_diffusion.DifferentialDiffusion.execute(model)[0]

    patch = differential if mask == "DifferentialDiffusion" else lambda model: model
    patched, patched_after = regions(patch(model), texts), patch(regions(model, texts))
    before, after, stock = (
        sampled(m, latent=latent, denoise_mask=ramp) for m in (patched, patched_after, patch(model))
    )
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)
    kept = model.model.process_latent_in(latent)[..., :8]
    torch.testing.assert_close(before[-1, ..., :8], kept, rtol=0, atol=1e-5)
    assert (before - stock)[-1, ..., 16:].abs().max() > 0.1


@pytest.mark.feature("SamplerCustomAdvanced, {guider}", "{method}")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("guider", ["BasicGuider", "CFGGuider", "DualModelGuider", "PerpNegGuider"])
def test_sampler_custom_advanced(model, texts, guider, method):
    """The same picture as the KSampler's."""
    from nodes import KSampler

    node = getattr(advanced, guider, None) or getattr(nodes_perpneg, guider, None)
    if node is None:
        pytest.skip(f"this ComfyUI has no {guider}")
    patched, latent = METHODS[method](model, texts), {"samples": torch.zeros(1, 16, 16, 24)}
    positive, negative = conditioning(texts, "G0"), conditioning(texts, "G1")
    cfg = 1.0 if guider == "BasicGuider" else CFG
    inputs = {
        "BasicGuider": {"conditioning": positive},
        "CFGGuider": {"positive": positive, "negative": negative, "cfg": cfg},
        "DualModelGuider": {"positive": positive, "negative": negative, "cfg": cfg, "model_negative": model},
        "PerpNegGuider": {  # without perpendicular part it is CFG with the empty prompt
            "positive": positive, "negative": positive, "empty_conditioning": negative, "cfg": cfg, "neg_scale": 0.0,
        },
    }  # fmt: skip
    made = node.execute(patched, **inputs[guider])[0]
    noise, sampler = advanced.RandomNoise.execute(3)[0], advanced.KSamplerSelect.execute("euler")[0]
    sigmas = advanced.BasicScheduler.execute(patched, "simple", STEPS, 1.0)[0]
    result = advanced.SamplerCustomAdvanced.execute(noise, made, sampler, sigmas, latent)[0]["samples"]
    settings = 3, STEPS, cfg, "euler", "simple", positive, negative, latent
    expected = KSampler().sample(patched, *settings)[0]["samples"]
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)
    assert (result - KSampler().sample(model, *settings)[0]["samples"]).abs().max() > 0.1


@pytest.mark.feature("loader that bypasses ComfyUI's attention", "Repaint")
def test_repaint_where_attention_bypasses_the_hook(model, texts, region, monkeypatch):  # noqa: F811
    monkeypatch.setattr(
        "comfy.ldm.flux.math.optimized_attention", lambda q, k, v, heads, **kw: v.transpose(1, 2).flatten(2)
    )
    prompt, latent = conditioning(texts, "G0"), {"samples": torch.zeros(1, 16, 16, 24)}
    boxes = tuple(Region(shape, conditioning(texts, key)) for shape, key in BOXES)
    prior = sample(
        with_regions(model, Binding(boxes, 2), None), latent, prompt, prompt, SETTINGS, keep_for_repaint=True
    )
    result = repaint(model, prior, region, conditioning(texts, "RG"), prompt, SETTINGS)
    assert_only_inside_changed(result, prior, region)
