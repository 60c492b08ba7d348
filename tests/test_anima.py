"""Anima through the nodes, with texts as its own encoder makes them: against the methods written down on whole
attention modules and blocks."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from unittest.mock import patch

import comfy.model_patcher
import comfy.ops
import encoders
import families
import pytest
import torch
from comfy_extras import nodes_model_patch
from lockstep import Pasted
from rag_pack.nodes.patches import RAGHardBinding, RAGRegionalPrompting
from rag_pack.rag_sampler import networks
from rag_pack.rag_sampler.engine import evaluation
from rag_pack.rag_sampler.networks.states import Recording
from rag_pack.rag_sampler.regions import Region
from test_adapters import LEFT, RIGHT, STEPS, direct, halves, lora, sample
from test_encoders import (
    BASE,
    OTHER,
    OWN,
    Family,
    assert_differ,
    assert_equal,
    rpg,
    soft_refinement,
)
from torch import Tensor

from nodes import LoraLoaderModelOnly

OWN = f"{OWN}, (two passengers:1.4) waving"
LAYER = "blocks.0.cross_attn.output_proj"


@pytest.fixture(scope="module")
def anima(tmp_path_factory) -> Family:
    if not families.exists("Anima"):
        pytest.skip("this ComfyUI has no Anima")
    with torch.inference_mode():
        return Family(
            "Anima", families.load("Anima", tmp_path_factory.mktemp("models")), encoders.load("Anima")
        )


@pytest.fixture
def with_states(anima) -> Family:
    if not networks.of(anima.model).binds_states:
        pytest.skip("the blocks of this ComfyUI's Anima show no states")
    return anima


def adapted(anima: Family, prompt: str) -> Tensor:
    """A text as the network reads it, [1, 512, C]."""
    (text, options), network = anima.encode(prompt)[0], anima.model.model.diffusion_model
    return network.preprocess_text_embeds(
        text, options["t5xxl_ids"][None], options["t5xxl_weights"][None, :, None]
    )


@contextmanager
def written_down(anima: Family, prompts: tuple, cells: list[Tensor], shares: list[float]) -> Iterator[None]:
    """The method in place of every cross-attention: each text is read by the whole picture, and each cell takes its
    share of its own. Rows of the negative are left alone."""
    base, *texts = (adapted(anima, prompt) for prompt in (BASE, *prompts))

    def regional(read, x: Tensor, context: Tensor, **kwargs) -> Tensor:
        plain = read(x, context, **kwargs)
        out = plain.clone()
        for text, cell, share in zip(texts, cells, shares, strict=True):
            own = read(x, text.expand(len(x), -1, -1), **kwargs)
            out[:, cell] = share * own[:, cell] + (1 - share) * plain[:, cell]
        positive = (context == base).flatten(1).all(1)
        return torch.where(positive[:, None, None], out, plain)

    with ExitStack() as stack:
        for block in anima.model.model.diffusion_model.blocks:
            own = partial(regional, block.cross_attn.forward)
            stack.enter_context(patch.object(block.cross_attn, "forward", own))
        yield


def noise_for(anima: Family, height: int, width: int, batch: int = 1) -> Tensor:
    """In latent pixels."""
    return torch.cat(
        [families.noise(anima.model, 24, 24, seed)[..., :height, :width] for seed in range(batch)]
    )


def sampled(anima: Family, model, noise: Tensor, cfg: float = 1.0) -> Tensor:
    base, negative = anima.prompts
    return sample(model, base, noise, negative, cfg)


def halved(anima: Family, *texts: str) -> tuple[Region, ...]:
    return tuple(Region(cell, anima.encode(text)) for cell, text in zip((LEFT, RIGHT), texts, strict=True))


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 15)], ids=["even", "odd"])
@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_soft_refinement_is_the_method_written_down(anima, height, width, delta, cfg):
    """A batch of two."""
    noise, (cells, _) = noise_for(anima, height, width, batch=2), halves("Anima", height, width)
    found = sampled(anima, soft_refinement(anima, halved(anima, OWN, OTHER), delta), noise, cfg)
    with written_down(anima, (OWN, OTHER), cells, [delta, delta]):
        expected = sampled(anima, anima.model, noise, cfg)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert_differ(found, sampled(anima, anima.model, noise, cfg))


def test_rpg_mixes_each_cell_by_its_own_ratio(anima):
    noise, (cells, _) = noise_for(anima, 16, 16), halves("Anima", 16, 16)
    found = sampled(anima, rpg(anima, halved(anima, OWN, OTHER), "0.2, 0.7"), noise)
    with written_down(anima, (OWN, OTHER), cells, [0.8, 0.3]):
        expected = sampled(anima, anima.model, noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_token_of_no_cell_reads_the_base_prompt(anima):
    noise, (cells, _) = noise_for(anima, 16, 16), halves("Anima", 16, 16)
    found = sampled(anima, soft_refinement(anima, halved(anima, OWN, OTHER)[:1]), noise)
    with written_down(anima, (OWN,), cells[:1], [1.0]):
        expected = sampled(anima, anima.model, noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_words_may_be_as_many_as_the_tokens_of_the_picture(anima):
    """Every text is padded to 512 tokens: three are 1536, as many as 32 × 48."""
    noise = families.noise(anima.model, 32, 48)
    cells, image = halves("Anima", 64, 96)
    assert image == 3 * adapted(anima, BASE).shape[1]
    found = sampled(anima, soft_refinement(anima, halved(anima, OWN, OTHER), 0.5), noise)
    with written_down(anima, (OWN, OTHER), cells, [0.5, 0.5]):
        expected = sampled(anima, anima.model, noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_regional_prompting_is_refused_with_the_reason(anima):
    with pytest.raises(
        ValueError, match=r"Regional Prompting lets .* family Anima, .*cross-attention.*use RPG"
    ):
        RAGRegionalPrompting.execute(
            anima.model, halved(anima, OWN, OTHER), 0.2, 0.0, 0.4, 1, 1, "base prompt", "published"
        )


def bound_box(anima: Family, model, features: bool):
    return RAGHardBinding.execute(model, anima.box(OWN, 0.25, 0, 0.5, 0.5), STEPS, features)[0]


def pasted(anima: Family, model) -> Tensor:
    """6 × 8 tokens with a bound box, by torch's hooks on the blocks."""
    blocks = list(anima.model.model.diffusion_model.blocks)
    forward = Pasted(blocks, adapted(anima, OWN), slice(0, 3), slice(2, 6))
    return sampled(anima, direct(model, forward), noise_for(anima, 12, 16))


def test_binding_pastes_states_behind_every_block(with_states):
    anima, noise = with_states, noise_for(with_states, 12, 16)
    expected = pasted(anima, anima.model)
    found, apart = (
        sampled(anima, bound_box(anima, anima.model, features), noise) for features in (True, False)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (apart - expected).abs().max() > 1e-4


def test_binding_and_refinement_in_either_order(anima):
    noise, cells = noise_for(anima, 12, 16), halved(anima, OWN, OTHER)
    refined = anima._replace(model=soft_refinement(anima, cells, 0.5))
    bound = anima._replace(model=bound_box(anima, anima.model, True))
    one, other = bound_box(anima, refined.model, True), soft_refinement(bound, cells, 0.5)
    found = sampled(anima, one, noise, 3.0)
    assert torch.equal(found, sampled(anima, other, noise, 3.0))
    assert_differ(found, sampled(anima, bound.model, noise, 3.0))
    assert_differ(found, sampled(anima, refined.model, noise, 3.0))


def test_without_hooks_latents_are_bound_and_the_log_says_so(anima, caplog):
    """Before 0.30 its blocks show no states."""
    noise = noise_for(anima, 12, 16)
    expected = sampled(anima, bound_box(anima, anima.model, False), noise)
    with patch.object(type(networks.of(anima.model)), "binds_states", False):
        found = sampled(anima, bound_box(anima, anima.model, True), noise)
    assert torch.equal(found, expected)
    assert "features are not bound: there is no place for them for the family Anima" in caplog.text


def test_kept_states_take_the_memory_that_is_told(with_states, monkeypatch):
    anima, kept = with_states, []

    class Kept(Recording):
        def find(self, *place):
            kept.append(self)
            return super().find(*place)

    monkeypatch.setattr(evaluation, "Recording", Kept)
    sampled(anima, bound_box(anima, anima.model, True), noise_for(anima, 12, 16))
    states = sum(states.nbytes for states in kept[0].states.values())
    assert states == networks.of(anima.model).state_bytes(12, 4)


def test_the_log_tells_of_blocks_by_the_name_of_the_family(anima, caplog):
    with caplog.at_level(logging.INFO):
        sampled(anima, soft_refinement(anima, halved(anima, OWN, OTHER), 0.5), noise_for(anima, 12, 16))
    (line,) = (r.getMessage() for r in caplog.records if r.getMessage().startswith("RAG: "))
    assert (
        line
        == "RAG: Anima; 2 cells (100% of the tokens) refined with delta 0.5 in 2 of 2 blocks, 1 image streams"
    )


def test_a_lora_on_the_model(anima, tmp_path):
    file = lora("Anima", anima.model.model.diffusion_model, tmp_path, LAYER)
    loaded = anima._replace(model=LoraLoaderModelOnly().load_lora_model_only(anima.model, file, 1.0)[0])
    noise, (cells, _) = noise_for(anima, 16, 16), halves("Anima", 16, 16)
    found = sampled(anima, soft_refinement(loaded, halved(anima, OWN, OTHER), 0.5), noise)
    with written_down(loaded, (OWN, OTHER), cells, [0.5, 0.5]):
        expected = sampled(anima, loaded.model, noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert_differ(found, sampled(anima, soft_refinement(anima, halved(anima, OWN, OTHER), 0.5), noise))


def lllite(model):
    """The MODEL with its ControlNet, which changes what queries, keys, values and the text's readers are made of."""
    if not hasattr(nodes_model_patch, "AnimaLLLiteApply"):
        pytest.skip("this ComfyUI has no ControlNet for Anima")
    sizes = {"conv1": (4, 3, 4, 4), "conv2": (4, 4, 3, 3), "conv3": (8, 4, 4, 4), "proj": (8, 8, 1, 1)}
    shapes = {f"lllite_conditioning1.{name}.weight": shape for name, shape in sizes.items()}
    for block, layer in (
        (0, "self_attn_q_proj"),
        (1, "self_attn_k_proj"),
        (1, "self_attn_v_proj"),
        (0, "mlp_layer1"),
    ):
        shapes[f"lllite_dit_blocks_{block}_{layer}.down.weight"] = (4, 64)
        shapes[f"lllite_dit_blocks_{block}_{layer}.cond_to_film.weight"] = (8, 8)
    state = {key: torch.empty(shape) for key, shape in shapes.items()}
    network = comfy.ldm.anima.lllite.AnimaLLLite(state, {}, operations=comfy.ops.disable_weight_init)
    network.load_state_dict(families.random_state(network))
    held = comfy.model_patcher.ModelPatcher(network.eval(), torch.device("cpu"), torch.device("cpu"))
    image = torch.rand(1, 96, 128, 3, generator=torch.Generator().manual_seed(5))
    return nodes_model_patch.AnimaLLLiteApply().apply_patch(model, held, image, 1.0, 0.0, 1.0)[0]


@pytest.mark.feature("ControlNet of Anima (LLLite)", "Soft Refinement", order="before and after")
@pytest.mark.parametrize("first", [True, False], ids=["before the regions", "after them"])
def test_refinement_beside_a_controlnet(anima, first):
    controlled, noise = lllite(anima.model), noise_for(anima, 12, 16)
    cells, _ = halves("Anima", 12, 16)
    regions = halved(anima, OWN, OTHER)
    if first:
        ours = soft_refinement(anima._replace(model=controlled), regions, 0.5)
    else:
        ours = lllite(soft_refinement(anima, regions, 0.5))
    with written_down(anima, (OWN, OTHER), cells, [0.5, 0.5]):
        expected = sampled(anima, controlled, noise)
    found = sampled(anima, ours, noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert_differ(found, sampled(anima, soft_refinement(anima, regions, 0.5), noise))


@pytest.mark.feature("ControlNet of Anima (LLLite)", "Hard Binding", order="before and after", found="warned")
@pytest.mark.parametrize("first", [True, False], ids=["before the regions", "after them"])
def test_binding_beside_a_controlnet(with_states, caplog, first):
    """It changes the pasted states as it would those of the blocks; the bound region sees all of the hint, and the log
    says so."""
    anima, noise = with_states, noise_for(with_states, 12, 16)
    controlled = lllite(anima.model)
    ours = bound_box(anima, controlled, True) if first else lllite(bound_box(anima, anima.model, True))
    assert_equal(sampled(anima, ours, noise), pasted(anima, controlled))
    assert "shows all of it to every bound region" in caplog.text
