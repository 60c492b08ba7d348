"""Regional Prompting: the node computes what the published code computes, at every step."""

import json

import comfy.controlnet
import pytest
import torch
from rag_pack.nodes.patches import RAGRegionalPrompting
from rag_pack.nodes.regions import RAGRegionMask
from safetensors.torch import load_file
from tiny import GOLDEN, LOADERS, basic_guider, conditioning, run

TOLERANCE = 1e-4
FOLDER = GOLDEN / "regional_prompting"
CASES = {case["name"]: case for case in json.loads((FOLDER / "cases.json").read_text())}


@pytest.fixture(scope="module")
def models():
    return {name: load() for name, load in LOADERS.items()}


def window(model, sigmas: torch.Tensor, steps: int) -> tuple[float, float]:
    """start_percent and end_percent of the first steps: the end lies between two sigmas; no step, between the first."""
    if steps == len(sigmas) - 1:
        return 0.0, 1.0
    middle = float(sigmas[max(steps, 1) - 1 : max(steps, 1) + 1].mean())
    to_sigma = model.get_model_object("model_sampling").percent_to_sigma
    end = min((i / 10000 for i in range(10001)), key=lambda percent: abs(float(to_sigma(percent)) - middle))
    return (0.0 if steps else end), end


def prompted(case: dict, model, texts: dict, stored: dict):
    """The MODEL of a golden case, its masks of tokens drawn in."""
    regions = None
    for mask, key in zip(stored["mask_tokens"], case["effective_prompts"], strict=True):
        pixels = (mask != 0).float().repeat_interleave(16, 0).repeat_interleave(16, 1)
        regions = RAGRegionMask.execute(pixels[None], conditioning=conditioning(texts, key), regions=regions)[
            0
        ]
    network = model.model.diffusion_model
    intervals = (
        case["double_interval"] or len(network.double_blocks),
        case["single_interval"] or len(network.single_blocks),
    )
    percents = window(model, stored["sigmas"], case["mask_inject_steps"])
    return RAGRegionalPrompting.execute(
        model, regions, case["base_ratio"], *percents, *intervals, "nothing", "published"
    )[0]


@pytest.mark.parametrize("name", CASES)
def test_every_step_equals_the_published_one(name, models):
    case, stored = CASES[name], load_file(FOLDER / f"{name}.safetensors")
    model, texts = models[case["weights"]], load_file(GOLDEN / case["text_file"])
    base = conditioning(texts, case["prompt"], guidance=case["guidance"])
    patched = prompted(case, model, texts, stored)
    latents, _ = run(basic_guider(patched, base), stored["latents"][:1], stored["sigmas"])
    assert float((latents[:, 0] - stored["latents"]).abs().max()) <= TOLERANCE


class Additions(comfy.controlnet.ControlBase):
    """A ControlNet of given additions."""

    def __init__(self, double: torch.Tensor, single: torch.Tensor):
        super().__init__()
        self.additions = {"input": [x[None] for x in double], "output": [x[None] for x in single]}

    def get_control(self, x, t, cond, batched_number, transformer_options):
        return self.additions


def test_a_control_reaches_the_main_stream_alone(models):
    """As published; on both it misses by 6e-2."""
    case, stored = CASES["boxes3_bg_b030_i12"], load_file(FOLDER / "control_boxes3_bg_b030_i12.safetensors")
    model, texts = models[case["weights"]], load_file(GOLDEN / case["text_file"])
    control = Additions(stored["control_double"], stored["control_single"])
    base = conditioning(texts, case["prompt"], guidance=case["guidance"], control=control)
    stored["sigmas"] = torch.tensor([1.0, 0.0])
    patched = prompted({**case, "mask_inject_steps": 1}, model, texts, stored)
    _, predictions = run(basic_guider(patched, base), stored["x_in"], stored["sigmas"])
    assert float((stored["x_in"] - predictions[0] - stored["v"]).abs().max()) <= TOLERANCE
