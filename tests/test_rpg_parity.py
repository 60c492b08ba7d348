"""RPG Regional Diffusion on UNets: the node predicts what the published code predicts, with cfg, at every step."""

import json

import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from rag_pack.nodes.patches import RAGRPGRegionalDiffusion
from rag_pack.rag_sampler.layout import parse_split_ratio
from rag_pack.rag_sampler.regions import Region
from safetensors.torch import load_file
from tiny import GOLDEN, cfg_guider, run

TOLERANCE = 1e-5
FOLDER = GOLDEN / "rpg"
STORED = json.loads((FOLDER / "cases.json").read_text())
CLASSES = {"sd15": "SD15", "sdxl": "SDXL"}
SAMPLERS = {"euler": "euler", "dpmpp_2m_karras": "dpmpp_2m"}


@pytest.fixture(scope="module")
def models():
    with torch.inference_mode():
        return {family: load(family) for family in CLASSES}


def load(family: str):
    """A golden UNet, whose heads ComfyUI's classes would set to those of real ones."""
    arguments = STORED["models"][family]
    config = getattr(comfy.supported_models, CLASSES[family])(dict(arguments))
    config.unet_config.update({key: arguments[key] for key in ("num_heads", "num_head_channels")})
    config.set_inference_dtype(torch.float32, torch.float32)
    model, weights = config.get_model({}), load_file(FOLDER / f"{family}.safetensors")
    model.diffusion_model.load_state_dict({key: value.float() for key, value in weights.items()})
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model.eval(), device, device)


def conditioning(stored: dict, text: str, pooled: str) -> list:
    return [[stored[f"text.{text}"], {"pooled_output": stored.get(f"pooled.{pooled}")}]]


def regional(model, case: dict, stored: dict):
    """The MODEL of a golden case."""
    cells = parse_split_ratio(case["split_ratio"])
    regions = tuple(
        Region(cell, conditioning(stored, f"region{number}", "positive"))
        for number, cell in enumerate(cells, 1)
    )
    ratios = ", ".join(map(str, case["base_ratios"]))
    return RAGRPGRegionalDiffusion.execute(model, regions, 0.5, 0.0, 1.0, ratios)[0]


def predictions_of(model) -> list[tuple[int, torch.Tensor]]:
    """What the network predicts in runs of the MODEL from now on: each time the branch, 0 or 1, and its pictures."""
    found = []

    def watch(executor, *args, **kwargs):
        out, branches = executor(*args, **kwargs), args[5]["cond_or_uncond"]
        found.extend(zip(branches, out.chunk(len(branches)), strict=True))
        return out

    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watch", watch)
    return found


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: case["name"])
def test_every_prediction_equals_the_published_one(case, models):
    stored = load_file(FOLDER / f"{case['name']}.safetensors")
    model = models[case["family"]]
    patched = regional(model, case, stored)
    found = predictions_of(patched)
    base = conditioning(stored, "base" if case["has_base"] else "region1", "positive")
    guider = cfg_guider(patched, base, conditioning(stored, "negative", "negative"), case["guidance_scale"])
    noise = stored["step0.input"]  # what any sampler hands to the network at first, at unit variance
    latents, _ = run(guider, noise, stored["sigmas"], SAMPLERS[case["scheduler"]])
    for branch, name in enumerate(("cond", "uncond")):
        steps = torch.stack([out for of, out in found if of == branch])
        expected = torch.stack([stored[f"step{step}.{name}"] for step in range(len(steps))])
        torch.testing.assert_close(steps, expected, rtol=0, atol=TOLERANCE)
    assert len(found) == 2 * len(stored["sigmas"]) - 2
    assert float((latents[-1] - stored["final"]).abs().max()) <= TOLERANCE * float(
        stored["final"].abs().max()
    )
