"""DenseDiffusion Attention on a UNet: the node predicts what the published code predicts, with cfg."""

import json
from types import SimpleNamespace

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.samplers
import comfy.supported_models
import pytest
import torch
from comfy import sd1_clip
from rag_pack.nodes.dense_diffusion import RAGDenseDiffusion
from rag_pack.rag_sampler.methods import dense_diffusion
from rag_pack.rag_sampler.regions import Mask, Region
from safetensors.torch import load_file
from test_rpg_parity import predictions_of
from tiny import GOLDEN, cfg_guider

TOLERANCE = 1e-5
FOLDER = GOLDEN / "dense"
STORED = json.loads((FOLDER / "cases.json").read_text())


@pytest.fixture(scope="module")
def model():
    with torch.inference_mode():
        config = comfy.supported_models.SD15(dict(STORED["model"]))
        config.set_inference_dtype(torch.float32, torch.float32)
        network, weights = comfy.model_base.BaseModel(config), load_file(FOLDER / "unet.safetensors")
        network.diffusion_model.load_state_dict({key: value.float() for key, value in weights.items()})
        device = comfy.model_management.get_torch_device()
        return comfy.model_patcher.ModelPatcher(network.eval(), device, device)


class GoldenClip:
    """ComfyUI's tokenizer, and the texts as the published code's encoder made them: of phrases the first 24 tokens."""

    def __init__(self, case: dict, stored: dict):
        self.tokenizer, self.case, self.stored = sd1_clip.SD1Tokenizer(), case, stored
        self.cond_stage_model = SimpleNamespace()

    def tokenize(self, text: str, return_word_ids: bool = False):
        return self.tokenizer.tokenize_with_weights(text, return_word_ids)

    def encode_from_tokens_scheduled(self, tokens: dict) -> list:
        ids = [token for token, _ in tokens["l"][0]][:24]
        row = next(row for row, stored in enumerate(self.stored["token_ids"]) if stored.tolist() == ids)
        text = self.stored["text_separate"][[row]]
        behind = self.stored["text_cond"][:, 24:]  # no phrase of a caption reaches it
        return [[torch.cat((text, behind), 1), {"pooled_output": None}]]


def regional(model, case: dict, stored: dict) -> tuple:
    """MODEL and positive of a golden case."""
    regions = tuple(
        Region(Mask(mask.float()), [[stored["text_uncond"], {}]], phrase)
        for mask, phrase in zip(stored["masks_pixels"], case["phrases"], strict=True)
    )
    clip, strengths = GoldenClip(case, stored), (case["wc"], case["ws"], case["sizereg"])
    return tuple(
        RAGDenseDiffusion.execute(model, clip, regions, case["caption"], *strengths, 0.0, case["frac"])
    )


def evaluated(model, positive: list, negative: list, latents, timesteps) -> list:
    """What the network predicts for given latents [steps, B, …] at unit variance, in one run."""
    sigmas = model.get_model_object("model_sampling").sigmas[timesteps]

    @torch.no_grad()
    def every(denoise, x, sigmas_of_run, extra_args, **kwargs):
        for latent, sigma in zip(latents, sigmas, strict=True):
            denoise(latent * (sigma**2 + 1) ** 0.5, sigma.expand(len(latent)), **extra_args)
        return x

    found = predictions_of(model)
    guider = cfg_guider(model, positive, negative, STORED["guidance"])
    noise = torch.zeros_like(latents[0])
    guider.sample(noise, noise, comfy.samplers.KSAMPLER(every), torch.cat((sigmas, sigmas.new_zeros(1))))
    return found


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: case["name"])
def test_every_prediction_equals_the_published_one(case, model, monkeypatch, caplog):
    if "overlap" in case["name"]:  # there the published code lets segments share pixels
        monkeypatch.setattr(dense_diffusion.DenseDiffusion, "guide", sharing)
    stored = load_file(FOLDER / f"{case['name']}.safetensors")
    patched, positive = regional(model, case, stored)
    torch.testing.assert_close(positive[0][0], stored["text_cond"], rtol=0, atol=0)
    negative = [[stored["text_uncond"], {}]]
    found = evaluated(patched, positive, negative, stored["latents"], stored["timesteps"])
    for branch, name in enumerate(("cond", "uncond")):
        steps = torch.stack([out for of, out in found if of == branch])
        torch.testing.assert_close(steps, stored[f"noise_{name}"], rtol=0, atol=TOLERANCE)
    assert "base prompt" not in caplog.text


def sharing(spec, live, picture, window):
    segments = [dense_diffusion.owners([one.tokens], picture) > 0 for one in live]
    return dense_diffusion.Segmented(spec, window, torch.stack(segments))
