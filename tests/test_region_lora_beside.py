"""LoRAs of regions beside what else people use: packed and fp8 weights, weights that move, ControlNets, Repaint."""

from contextlib import contextmanager

import comfy.ops
import comfy.sd
import pytest
import tiny
import torch
from rag_pack.nodes.patches import RAGHardBinding, RAGSoftRefinementAttention
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.loras.run import Loras
from rag_pack.rag_sampler.loras.wearing import Wearing
from rag_pack.rag_sampler.methods.record import TRAJECTORY
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.repaint import NewRegion, repaint
from rag_pack.rag_sampler.sampling import Settings
from rag_pack.rag_sampler.sampling import sample as generate
from test_composition import QuantisedOps
from test_control import apply, hint
from test_region_lora import dense, dora, hooked, layers, loaded, lora, written  # noqa: F401
from tiny import conditioning, load_control, noise_for, sample, schedule

WHOLE, LEFT, RIGHT = Cell(0, 0, 1, 1), Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)
STEPS = 3


class GGMLLinear(QuantisedOps.Linear):
    """As the loader of GGUF calls its layers."""


class PackedOps(QuantisedOps):
    """What GGUF's loader does."""

    Linear = GGMLLinear


@contextmanager
def added(model, deltas: dict[str, torch.Tensor]):
    """The LoRA beside every layer, on all tokens."""

    def hook(delta: torch.Tensor):
        return lambda module, args, out: out + torch.nn.functional.linear(args[0], delta.to(args[0]))

    network = model.model.diffusion_model
    handles = [
        network.get_submodule(name).register_forward_hook(hook(delta)) for name, delta in deltas.items()
    ]
    yield
    for handle in handles:
        handle.remove()


def everywhere(model, own: list):
    """Over the whole picture, refined and bound."""
    yield RAGSoftRefinementAttention.execute(model, (Region(WHOLE, own),), 1.0, 0.0, 1.0, "published")[0]
    yield RAGHardBinding.execute(model, (Region(Box(0, 0, 1, 1), own),), STEPS, True)[0]


MODELS = {
    "layers of a loader's own": lambda: tiny.load_tiny(QuantisedOps),
    "GGUF": lambda: tiny.load_tiny(PackedOps),
    "fp8": lambda: comfy.sd.load_diffusion_model(
        str(tiny.GOLDEN / "tiny128_flux_bfl.safetensors"), model_options={"dtype": torch.float8_e4m3fn}
    ),
}


@pytest.mark.feature("LoRA of its own for a region, {weights}", "both")
@pytest.mark.parametrize("weights", MODELS)
def test_weights_of_a_loaders_own(texts, written, weights):  # noqa: F811
    """What is added is added beside them, in the type that they compute in."""
    model = MODELS[weights]()
    spread = 0.03
    file = written(lora(model, 1, "_blocks", spread))
    own, noise, sigmas = conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)
    with added(model, dense(lora(model, 1, "_blocks", spread), 0.5)):
        expected = sample(model, own, noise, sigmas)
    limit = 0.05 if weights == "fp8" else 1e-4  # it computes in bf16
    for patched in everywhere(model, hooked(own, file, 0.5)):
        torch.testing.assert_close(sample(patched, own, noise, sigmas), expected, rtol=0, atol=limit)
    assert (sample(model, own, noise, sigmas) - expected).abs().max() > 0.2


def test_a_dora_on_packed_weights_is_refused_and_left_to_no_one(texts, written):  # noqa: F811
    model = tiny.load_tiny(PackedOps)
    made = {layer: dora(weight, 3) for layer, weight in layers(model, "_blocks").items()}
    file = written(
        {f"diffusion_model.{layer}.{k}": v for layer, parts in made.items() for k, v in parts.items()}
    )
    own = hooked(conditioning(texts, "G0"), file)
    with pytest.raises(ValueError, match="region 1 of 1 is of the kind DoRA, for which the packed weights"):
        RAGSoftRefinementAttention.execute(model, (Region(WHOLE, own),), 1.0, 0.0, 1.0, "published")
    with pytest.raises(ValueError, match="GGUF"):
        RAGHardBinding.execute(model, (Region(Box(0, 0, 1, 1), own),), STEPS, True)


def test_a_dora_reads_weights_that_move(model, texts, written):  # noqa: F811
    """With --lowvram a LoRA on the MODEL is worked out where the weight is cast, and the weight itself is without it."""
    under = written(lora(model, 5, "_blocks", 0.1))
    made = {layer: dora(weight, 3) for layer, weight in layers(model, "_blocks").items()}
    file = written(
        {f"diffusion_model.{layer}.{k}": v for layer, parts in made.items() for k, v in parts.items()}
    )
    own, noise, sigmas = conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)
    patched = loaded(tiny.load_tiny(comfy.ops.manual_cast), under)
    expected = [sample(each, own, noise, sigmas) for each in everywhere(patched, hooked(own, file))]
    moving = loaded(tiny.load_tiny(comfy.ops.manual_cast), under)
    with torch.inference_mode():
        moving.load(moving.load_device, lowvram_model_memory=1)
    network = moving.model.diffusion_model
    assert network.single_blocks[0].linear1.weight_function, "this weight is not cast with its LoRA"
    for each, picture in zip(everywhere(moving, hooked(own, file)), expected, strict=True):
        each.model.current_weight_patches_uuid = each.patches_uuid
        torch.testing.assert_close(sample(each, own, noise, sigmas), picture, rtol=0, atol=1e-4)


def two(model, texts, written):  # noqa: F811
    return tuple(
        Region(cell, hooked(conditioning(texts, key), written(lora(model, seed, "_blocks"))))
        for seed, (cell, key) in enumerate(((LEFT, "S0"), (RIGHT, "S1")), 1)
    )


def test_two_models_in_one_session(model, texts, written):  # noqa: F811
    """Turn by turn, each makes its own picture."""
    other = tiny.load_tiny()
    base, noise, sigmas = conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)
    worn, plain = (
        add_spec(model, Refinement(two(model, texts, written), 0.5)),
        sample(other, base, noise, sigmas),
    )
    first = sample(worn, base, noise, sigmas)
    for _ in range(2):
        assert torch.equal(sample(other, base, noise, sigmas), plain)
        assert torch.equal(sample(worn, base, noise, sigmas), first)


@pytest.mark.feature("LoRA of its own for a region, and ControlNet", "both")
def test_a_control_beside(texts, written, tmp_path):  # noqa: F811
    """On the whole picture it is the run with Load LoRA and the control."""
    model = tiny.load_k128()
    file, control = written(lora(model, 1, "_blocks")), load_control(tmp_path, 0)
    noise, sigmas = noise_for(16, 24), schedule(model, STEPS)
    base, _ = apply(conditioning(texts, "G0"), control, hint())
    stock = sample(loaded(model, file), base, noise, sigmas)
    for patched in everywhere(model, hooked(conditioning(texts, "G0"), file)):
        torch.testing.assert_close(sample(patched, base, noise, sigmas), stock, rtol=0, atol=2e-4)
    assert (sample(loaded(model, file), conditioning(texts, "G0"), noise, sigmas) - stock).abs().max() > 1e-2


@pytest.mark.feature("LoRA of its own for a region", "Repaint")
def test_repaint_of_a_picture_made_with_them(model, texts, written, replayed):  # noqa: F811
    """The replay predicts what was recorded, and the surroundings stay to the bit."""
    settings, base = Settings(0, 5, 1.0, "euler", "simple"), conditioning(texts, "G0")
    regions = two(model, texts, written)
    patched = RAGHardBinding.execute(
        add_spec(model, Refinement(regions, 0.5)),
        (Region(Box(0, 0, 0.5, 1), regions[0].conditioning),),
        2,
        True,
    )[0]
    prior = generate(
        patched, {"samples": torch.zeros(1, 16, 16, 24)}, base, base, settings, keep_for_repaint=True
    )
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[:, 8:] = True
    own = hooked(conditioning(texts, "H1"), written(lora(model, 3, "_blocks")))
    made = repaint(
        model, prior, NewRegion(inside, own, 1, True), base, base, settings,
        Refinement((Region(RIGHT, own),), 1.0),
    )  # fmt: skip
    recorded = [evaluation.denoised for evaluation in prior[TRAJECTORY].evaluations]
    torch.testing.assert_close(torch.stack(replayed), torch.stack(recorded[1:]), rtol=0, atol=1e-4)
    outside = ~inside.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(made["samples"][..., outside], prior["samples"][..., outside])
    assert model.hook_patches == {}


def test_memory_is_told_of_them(model, texts, written, monkeypatch):  # noqa: F811
    regions = two(model, texts, written)
    hooks = [region.conditioning[0][1]["hooks"].hooks[0] for region in regions]
    weights = [lora(model, seed, "_blocks") for seed in (1, 2)]
    numbers = sum(value.numel() for each in weights for key, value in each.items() if "alpha" not in key)
    assert Loras.of(model, hooks).size == numbers
    seen, on = [], Wearing.on

    def watched(wearing, network):
        seen.append(len(wearing.layers))
        return on(wearing, network)

    monkeypatch.setattr(Wearing, "on", watched)
    sample(
        add_spec(model, Refinement(regions, 0.5)),
        conditioning(texts, "G0"),
        noise_for(16, 24),
        schedule(model, 1),
    )
    assert seen == [len(layers(model, "_blocks"))]


def test_a_lora_for_another_model_is_told(model, texts, written, caplog):  # noqa: F811
    """ComfyUI finds none of its keys."""
    made = {
        "diffusion_model.nowhere.lora_up.weight": torch.ones(4, 2),
        "diffusion_model.nowhere.lora_down.weight": torch.ones(2, 4),
    }
    own, noise, sigmas = (
        hooked(conditioning(texts, "G0"), written(made)),
        noise_for(16, 24),
        schedule(model, 1),
    )
    for patched in everywhere(model, own):
        caplog.clear()
        sample(patched, conditioning(texts, "G0"), noise, sigmas)
        assert caplog.text.count("of a region fits no layer of this model") == 1
