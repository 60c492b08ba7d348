"""Each family of models through the nodes, from a prompt: tiny random networks, and texts as ComfyUI's own encoders
make them, with all that these put beside a text."""

import re
from functools import cache
from typing import NamedTuple

import comfy.sd
import encoders
import families
import pytest
import torch
from comfy_extras.nodes_custom_sampler import BasicScheduler, CFGGuider, KSamplerSelect, SamplerCustomAdvanced
from comfy_extras.nodes_edit_model import ReferenceLatent
from rag_pack.nodes.patches import (
    RAGHardBinding,
    RAGRegionalPrompting,
    RAGRPGRegionalDiffusion,
    RAGSoftRefinementAttention,
)
from rag_pack.nodes.regions import RAGRegionBox, RAGSplitRatioLayout
from rag_pack.nodes.repaint import RAGRepaint
from rag_pack.nodes.sampler import RAGHardBindingSampler
from rag_pack.rag_sampler.methods.record import TRAJECTORY
from tiny import GivenNoise

import nodes  # ComfyUI's

REFINED = [
    "FLUX.1-dev", "FLUX.1-schnell", "FLUX.2-dev", "FLUX.2-Klein", "Chroma", "Chroma Radiance",
    "LongCat-Image", "Z-Image", "Lumina 2", "Krea 2", "Qwen-Image", "SD3.5", "Anima", "SD1.5", "SD2", "SDXL",
]  # fmt: skip
REFUSED = [name for name in encoders.ENCODERS if name not in REFINED]
CROSS_ATTENTION = ["Anima", "SD1.5", "SD2", "SDXL"]
PROMPTED = [name for name in REFINED if name not in CROSS_ATTENTION]
WITH_FRAMES = ["Qwen-Image", "Krea 2", "Anima"]

ROWS, COLUMNS, TOKEN = 6, 8, 16
STEPS = 3
SETTINGS = {"seed": 0, "steps": STEPS, "sampler_name": "euler", "scheduler": "simple"}
BASE = "a quiet village square at dawn, painted with a broad brush"
OWN = "one enormous striped hot-air balloon with a wicker basket, seen from below"
OTHER = "a rusty iron lighthouse on black rocks"
NEGATIVE = "blurry, low quality"


class Family(NamedTuple):
    name: str
    model: object
    clip: comfy.sd.CLIP

    def encode(self, text: str) -> list:
        return nodes.CLIPTextEncode().encode(self.clip, text)[0]

    @property
    def prompts(self) -> tuple[list, list]:
        return self.encode(BASE), self.encode(NEGATIVE)

    def box(self, text: str, x=0.0, y=0.0, width=1.0, height=1.0) -> tuple:
        return RAGRegionBox.execute(x, y, width, height, self.clip, text)[0]

    def cells(self, *texts: str) -> tuple:
        ratio = ", ".join("1" * len(texts))
        return RAGSplitRatioLayout.execute(ratio, " BREAK ".join(texts), self.clip)[0]


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    @cache
    def loaded(name: str) -> Family:
        with torch.inference_mode():
            return Family(name, families.load(name, tmp_path_factory.mktemp("models")), encoders.load(name))

    return loaded


@pytest.fixture(params=encoders.ENCODERS)
def family(request, load) -> Family:
    if not families.exists(request.param):
        pytest.skip(f"this ComfyUI has no {request.param}")
    return load(request.param)


def empty_latent() -> dict:
    return nodes.EmptyLatentImage().generate(TOKEN * COLUMNS, TOKEN * ROWS)[0]


def ksampler(model, positive: list, negative: list, cfg: float = 1.0) -> torch.Tensor:
    """What core's KSampler makes of an empty latent."""
    given = {"positive": positive, "negative": negative, "latent_image": empty_latent()}
    return nodes.KSampler().sample(model, cfg=cfg, **SETTINGS, **given)[0]["samples"]


def first_step(model, positive: list, negative: list, cfg: float, noise: torch.Tensor) -> torch.Tensor:
    """What the model predicts from noise: where a run of one step ends."""
    sigmas = BasicScheduler.execute(model, "simple", 1, 1.0)[0]
    guider = CFGGuider.execute(model, positive, negative, cfg)[0]
    sampler, latent = KSamplerSelect.execute("euler")[0], {"samples": torch.zeros_like(noise)}
    return SamplerCustomAdvanced.execute(GivenNoise(noise), guider, sampler, sigmas, latent)[0]["samples"]


def soft_refinement(family: Family, cells: tuple, delta: float = 1.0, fidelity: str = "published"):
    """The MODEL with its cells, all steps."""
    return RAGSoftRefinementAttention.execute(family.model, cells, delta, 0.0, 1.0, fidelity)[0]


def rpg(family: Family, cells: tuple, base_ratios: str):
    """The MODEL with a base ratio for each cell, all steps."""
    return RAGRPGRegionalDiffusion.execute(family.model, cells, 0.5, 0.0, 1.0, base_ratios)[0]


def regional_prompting(family: Family, cells: tuple):
    """The MODEL with its cells, all steps and blocks, without a share of the base prompt."""
    return RAGRegionalPrompting.execute(family.model, cells, 0.0, 0.0, 1.0, 1, 1, "base prompt", "published")[
        0
    ]


def hard_binding_sampler(family: Family, cfg: float = 1.0, **regions) -> dict:
    positive, negative = family.prompts
    given = {"positive": positive, "negative": negative, "latent_image": empty_latent(), "denoise": 1.0}
    method = {"bind_steps": 2, "bind_features": True, "delta": 0.5, "fidelity": "published"}
    return RAGHardBindingSampler.execute(family.model, cfg=cfg, **SETTINGS, **given, **method, **regions)[0]


def repaint(family: Family, prior: dict, mask: torch.Tensor, **regions) -> tuple[dict, torch.Tensor]:
    """The latent with `OTHER` where the mask is, and the mask used."""
    positive, negative = family.prompts
    given = {"prior": prior, "mask": mask, "positive": positive, "negative": negative, "clip": family.clip}
    method = {"delta": 1.0, "repaint_bind_steps": 1, "grow": 0, "match_surroundings": True, "text": OTHER}
    out = RAGRepaint.execute(family.model, cfg=1.0, **SETTINGS, **given, **method, **regions)
    return out[0], out[1]


def spread(tokens: torch.Tensor, side: int) -> torch.Tensor:
    """A value for each token as pixels, `side` of them to a token's side."""
    return tokens.repeat_interleave(side, 0).repeat_interleave(side, 1)


def assert_equal(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Up to the rounding of values of their size."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def assert_differ(one: torch.Tensor, other: torch.Tensor) -> None:
    """By much more than `assert_equal` lets pass."""
    assert (one - other).abs().max() > 2e-4 * other.abs().max()


CARRIED = {
    "FLUX.2-dev": {"attention_mask"},
    "FLUX.2-Klein": {"attention_mask"},
    "LongCat-Image": {"attention_mask"},
    "Z-Image": {"attention_mask"},
    "Lumina 2": {"attention_mask"},
    "Anima": {"attention_mask", "t5xxl_ids", "t5xxl_weights"},
}
"""What an encoder says beside the text and its pooled output: the mask is that of the text, [1, T]."""


def test_what_an_encoder_says_beside_the_text(family):
    text, options = family.encode(BASE)[0]
    assert options.keys() - {"pooled_output"} == CARRIED.get(family.name, set())
    assert "attention_mask" not in options or options["attention_mask"].shape == text.shape[:2]


def test_the_log_calls_a_family_by_the_name_that_users_know(family, caplog):
    """FLUX.1-dev is one of FLUX.1."""
    caplog.set_level("INFO")
    bound = RAGHardBinding.execute(family.model, family.box(OWN), 1, True)[0]
    ksampler(bound, *family.prompts)
    name = re.sub("-(dev|schnell|Klein)$", "", family.name)
    assert f"RAG: {name}; 1 regions" in caplog.text
    unbound = [line for line in caplog.messages if "features are not bound" in line]
    assert all(f"for the family {name};" in line for line in unbound)


@pytest.mark.feature("family {family}", "Hard Binding")
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_a_box_over_the_picture_is_the_stock_run_with_its_text(family, cfg):
    base, negative = family.prompts
    bound = RAGHardBinding.execute(family.model, family.box(OWN), STEPS, True)[0]
    stock = ksampler(family.model, family.encode(OWN), negative, cfg)
    assert_equal(ksampler(bound, base, negative, cfg), stock)
    assert_differ(ksampler(family.model, base, negative, cfg), stock)


@pytest.mark.feature("family {family}", "Hard Binding")
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_a_bound_box_is_the_stock_run_of_its_crop(family, cfg):
    """SDXL is told the crop's size, as the stock run tells it."""
    base, negative = family.prompts
    noise = families.noise(family.model, ROWS, COLUMNS)
    right = slice(noise.shape[-1] // 2, None)
    bound = RAGHardBinding.execute(family.model, family.box(OWN, x=0.5, width=0.5), 1, False)[0]
    picture = first_step(bound, base, negative, cfg, noise)[..., right]
    stock = first_step(family.model, family.encode(OWN), negative, cfg, noise[..., right])
    assert_equal(picture, stock)
    assert_differ(picture, first_step(family.model, base, negative, cfg, noise)[..., right])


@pytest.mark.feature("family {family}", "Hard Binding")
def test_the_sampler_node_binds_as_the_model_node(family):
    boxes = family.box(OWN, width=0.5, height=0.5)
    sampled = hard_binding_sampler(family, binding_regions=boxes)["samples"]
    bound = RAGHardBinding.execute(family.model, boxes, 2, True)[0]
    assert torch.equal(sampled, ksampler(bound, *family.prompts)) and sampled.isfinite().all()
    assert_differ(sampled, ksampler(family.model, *family.prompts))


@pytest.mark.feature("family {family}", "Hard Binding with Soft Refinement")
@pytest.mark.parametrize("family", REFINED, indirect=True)
def test_the_sampler_node_binds_and_refines_as_the_model_nodes(family):
    boxes, cells = family.box(OWN, width=0.5, height=0.5), family.cells(OTHER, BASE)
    sampled = hard_binding_sampler(family, 3.0, binding_regions=boxes, refinement_regions=cells)["samples"]
    refined = soft_refinement(family, cells, 0.5)
    both = RAGHardBinding.execute(refined, boxes, 2, True)[0]
    assert torch.equal(sampled, ksampler(both, *family.prompts, 3.0)) and sampled.isfinite().all()
    assert_differ(sampled, ksampler(refined, *family.prompts, 3.0))


@pytest.mark.feature("family {family}", "Soft Refinement")
@pytest.mark.parametrize(("delta", "fidelity"), [(0.5, "published"), (0.5, "shared"), (1.0, "published")])
@pytest.mark.parametrize("family", REFINED, indirect=True)
def test_the_same_text_everywhere_is_the_stock_run(family, delta, fidelity):
    refined = soft_refinement(family, family.cells(BASE, BASE), delta, fidelity)
    assert_equal(ksampler(refined, *family.prompts), ksampler(family.model, *family.prompts))


@pytest.mark.feature("family {family}", "Soft Refinement")
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("family", REFINED, indirect=True)
def test_one_cell_over_the_picture_is_the_stock_run_with_its_text(family, cfg):
    """The pooled text is the base prompt's."""
    (base, negative), own = family.prompts, family.encode(OWN)
    refined = soft_refinement(family, family.cells(OWN))
    pooled = {"pooled_output": base[0][1]["pooled_output"]}
    stock = ksampler(family.model, [[own[0][0], own[0][1] | pooled]], negative, cfg)
    assert_equal(ksampler(refined, base, negative, cfg), stock)
    assert_differ(ksampler(family.model, base, negative, cfg), stock)


@pytest.mark.feature("family {family}", "Soft Refinement", found="error")
@pytest.mark.feature("family {family}", "Hard Binding with Soft Refinement", found="error")
@pytest.mark.parametrize("family", REFUSED, indirect=True)
def test_soft_refinement_is_refused_by_the_name_of_the_family(family):
    bound = family._replace(model=RAGHardBinding.execute(family.model, family.box(OWN), 1, True)[0])
    for each in (family, bound):
        with pytest.raises(ValueError, match=f"^Soft Refinement Attention: .*{re.escape(family.name)}"):
            soft_refinement(each, family.cells(OWN))


@pytest.mark.feature("family {family}", "RPG")
@pytest.mark.parametrize("family", REFINED, indirect=True)
def test_rpg_with_the_same_text_everywhere_is_the_stock_run(family):
    mixed = rpg(family, family.cells(BASE, BASE), "0.2, 0.7")
    assert_equal(ksampler(mixed, *family.prompts), ksampler(family.model, *family.prompts))


@pytest.mark.feature("family {family}", "RPG")
@pytest.mark.parametrize("family", REFINED, indirect=True)
def test_rpg_with_one_ratio_is_soft_refinement_on_one_stream(family):
    cells = family.cells(OWN, OTHER)
    mixed = ksampler(rpg(family, cells, "0.25"), *family.prompts, 3.0)
    assert torch.equal(mixed, ksampler(soft_refinement(family, cells, 0.75, "shared"), *family.prompts, 3.0))
    assert_differ(mixed, ksampler(rpg(family, cells, "0.25, 0.75"), *family.prompts, 3.0))


@pytest.mark.feature("family {family}", "RPG", found="error")
@pytest.mark.parametrize("family", REFUSED, indirect=True)
def test_rpg_is_refused_by_the_name_of_the_family(family):
    name = re.escape(family.name)
    with pytest.raises(ValueError, match=f"^RPG Regional Diffusion: .*{name}, for which RPG has no adapter"):
        rpg(family, family.cells(OWN), "0.5")


@pytest.mark.feature("family {family}", "Regional Prompting")
@pytest.mark.parametrize("family", PROMPTED, indirect=True)
def test_a_prompted_region_over_the_picture_is_the_stock_run_with_its_text(family):
    """The pooled text is the base prompt's."""
    (base, negative), own = family.prompts, family.encode(OWN)
    pooled = {"pooled_output": base[0][1]["pooled_output"]}
    stock = ksampler(family.model, [[own[0][0], own[0][1] | pooled]], negative, 3.0)
    assert_equal(ksampler(regional_prompting(family, family.cells(OWN)), base, negative, 3.0), stock)
    assert_differ(ksampler(family.model, base, negative, 3.0), stock)


@pytest.mark.feature("family {family}", "Regional Prompting")
@pytest.mark.parametrize("family", PROMPTED, indirect=True)
def test_a_prompted_region_does_not_hear_of_the_others(family):
    """In one evaluation: before their texts come in, Z-Image's and Lumina's tokens see the whole picture."""
    assert_apart(family, *family.prompts)


def assert_apart(family: Family, base: list, negative: list) -> None:
    noise = families.noise(family.model, ROWS, COLUMNS)
    one, other = (
        first_step(regional_prompting(family, family.cells(OWN, text)), base, negative, 1.0, noise)
        for text in (OTHER, NEGATIVE)
    )
    left = slice(one.shape[-1] // 2 - 1)  # the last layer of Chroma Radiance looks a pixel over the border
    assert_equal(one[..., left], other[..., left])
    assert_differ(one, other)


@pytest.mark.feature("family {family}", "Regional Prompting", found="error")
@pytest.mark.parametrize("family", [*CROSS_ATTENTION, *REFUSED], indirect=True)
def test_regional_prompting_is_refused_by_the_name_of_the_family(family):
    name = re.escape(family.name)
    with pytest.raises(ValueError, match=f"^Regional Prompting Attention: .*{name}"):
        regional_prompting(family, family.cells(OWN))


class Pixels:
    """A VAE that knows sizes alone."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(4)
        return torch.randn(1, 16, pixels.shape[1] // 8, pixels.shape[2] // 8, generator=generator)


def of_a_picture(name: str, prompts: tuple[list, list]) -> tuple[list, list]:
    """Prompts with what core's nodes add to them: Kontext's reference, Fill's picture and mask."""
    if name == "Kontext":
        reference = {"samples": Pixels().encode(torch.zeros(1, 4 * TOKEN, 4 * TOKEN, 3))}
        return tuple(ReferenceLatent.execute(prompt, reference)[0] for prompt in prompts)
    mask = torch.zeros(1, TOKEN * ROWS, TOKEN * COLUMNS)
    mask[:, 2 * TOKEN :, TOKEN:] = 1
    picture = torch.rand(1, *mask.shape[1:], 3, generator=torch.Generator().manual_seed(5))
    return nodes.InpaintModelConditioning().encode(*prompts, picture, Pixels(), mask, False)[:2]


@pytest.fixture(scope="module", params=["Kontext", "Fill"])
def of_picture(request, load, tmp_path_factory) -> Family:
    """FLUX.1 that is given a picture; its texts are FLUX.1's."""
    with torch.inference_mode():
        model = families.load(
            {"Kontext": "FLUX.1-dev", "Fill": "FLUX.1-Fill"}[request.param], tmp_path_factory.mktemp("models")
        )
        return Family(request.param, model, load("FLUX.1-dev").clip)


@pytest.mark.feature("family FLUX.1-{of_picture}", "Hard Binding")
@pytest.mark.feature("family FLUX.1-{of_picture}", "Hard Binding with Soft Refinement")
@pytest.mark.feature("family FLUX.1-{of_picture}", "Regional Prompting")
@pytest.mark.feature("family FLUX.1-{of_picture}", "RPG")
@pytest.mark.feature("family FLUX.1-{of_picture}", "Soft Refinement")
def test_regions_of_a_model_that_is_given_a_picture(of_picture):
    """A region inherits the picture from the base prompt."""
    base, negative = of_a_picture(of_picture.name, of_picture.prompts)
    own, _ = of_a_picture(of_picture.name, (of_picture.encode(OWN), of_picture.encode(NEGATIVE)))
    bound = RAGHardBinding.execute(of_picture.model, of_picture.box(OWN), STEPS, True)[0]
    cells, stock = of_picture.cells(BASE, BASE), ksampler(of_picture.model, own, negative)
    assert_equal(ksampler(bound, base, negative), stock)
    both = soft_refinement(of_picture._replace(model=bound), cells, 0.5)
    assert_equal(ksampler(both, base, negative), stock)
    stock = ksampler(of_picture.model, base, negative)
    for guided in (soft_refinement(of_picture, cells, 0.5), rpg(of_picture, cells, "0.2, 0.7")):
        assert_equal(ksampler(guided, base, negative), stock)
    assert_apart(of_picture, base, negative)
    assert_differ(stock, ksampler(of_picture.model, *of_picture.prompts))


@pytest.mark.feature("family FLUX.1-{of_picture}", "Repaint")
def test_repaint_with_a_model_that_is_given_a_picture(of_picture):
    base, negative = of_a_picture(of_picture.name, of_picture.prompts)
    given = {"positive": base, "negative": negative, "latent_image": empty_latent(), "denoise": 1.0}
    method = {"bind_steps": 2, "bind_features": True, "delta": 1.0, "fidelity": "published"}
    prior = RAGHardBindingSampler.execute(of_picture.model, cfg=1.0, **SETTINGS, **given, **method)[0]
    mask = torch.zeros(1, TOKEN * ROWS, TOKEN * COLUMNS)
    mask[:, TOKEN:64, 32:96] = 1
    asked = {"delta": 1.0, "repaint_bind_steps": 1, "grow": 0, "match_surroundings": True, "text": OTHER}
    latent, used = RAGRepaint.execute(
        of_picture.model, prior, mask, base, negative, cfg=1.0, clip=of_picture.clip, **SETTINGS, **asked
    ).result
    changed = (latent["samples"] != prior["samples"]).any(1)
    assert torch.equal(used, mask) and torch.equal(changed, mask[:, ::8, ::8] > 0)


@pytest.mark.feature("family {family}", "Repaint")
def test_repaint_changes_the_masked_tokens_alone(family):
    cells = {"refinement_regions": family.cells(OWN, BASE)} if family.name in REFINED else {}
    prior = hard_binding_sampler(family, binding_regions=family.box(OWN, width=0.5), **cells)
    inside = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    inside[1:5, 2:6] = True
    mask = spread(inside, TOKEN).float()[None]
    latent, used = repaint(family, prior, mask, **cells)
    assert torch.equal(used, mask) and TRAJECTORY in latent  # beside the record
    before, after = prior["samples"], latent["samples"]
    pixels = spread(inside, before.shape[-1] // COLUMNS)
    assert torch.equal(after[..., ~pixels], before[..., ~pixels])
    assert (after != before)[..., pixels].all() and after.isfinite().all()
    assert_differ(after[..., pixels], before[..., pixels])


@pytest.mark.parametrize("family", WITH_FRAMES, indirect=True)
def test_a_latent_without_the_axis_of_frames_is_repainted(family):
    """As other nodes hand it on, and KSampler takes it."""
    prior = {"samples": families.noise(family.model, ROWS, COLUMNS)[:, :, 0]}
    mask = torch.zeros(1, TOKEN * ROWS, TOKEN * COLUMNS)
    mask[..., : 2 * TOKEN] = 1
    latent, _ = repaint(family, prior, mask)
    before, after = prior["samples"][:, :, None], latent["samples"]
    assert torch.equal(after[..., 4:], before[..., 4:])
    assert_differ(after[..., :4], before[..., :4])


@pytest.mark.feature("more than one frame, {family}", "Hard Binding", found="error")
@pytest.mark.parametrize("family", WITH_FRAMES, indirect=True)
def test_frames_of_a_video_are_refused(family):
    video = families.noise(family.model, ROWS, COLUMNS).repeat(1, 1, 2, 1, 1)
    bound = RAGHardBinding.execute(family.model, family.box(OWN, width=0.5), 1, True)[0]
    with pytest.raises(ValueError, match=r"(?s)video.*frames|frames.*video"):
        first_step(bound, *family.prompts, 1.0, video)


@pytest.mark.feature("more than one frame, {family}", "Repaint", found="error")
@pytest.mark.parametrize("family", WITH_FRAMES, indirect=True)
def test_frames_of_a_video_are_not_repainted(family):
    video = {"samples": families.noise(family.model, ROWS, COLUMNS).repeat(1, 1, 2, 1, 1)}
    with pytest.raises(ValueError, match=r"(?s)video.*frames|frames.*video"):
        repaint(family, video, torch.ones(1, TOKEN, TOKEN))
