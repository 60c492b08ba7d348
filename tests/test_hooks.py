"""LoRA hooks on conditioning: a region's own LoRA in its own region, the negative's, schedules, and what they leave."""

import comfy.hooks
import comfy.ops
import pytest
import torch
from rag_pack.nodes.patches import RAGHardBinding
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.repaint import NewRegion, repaint
from rag_pack.rag_sampler.sampling import Settings
from tiny import basic_guider, cfg_guider, conditioning, load_tiny, noise_for, run, sample, schedule

STEPS = 5
WHOLE, LEFT, RIGHT = Box(0, 0, 1, 1), Box(0, 0, 0.5, 1), Box(0.5, 0, 0.5, 1)


def lora(model, scale: float = 0.5, seed: int = 3) -> comfy.hooks.HookGroup:
    """A hook that adds a random low-rank matrix to the image projections of the first double block."""
    weights = {}
    generator = torch.Generator().manual_seed(seed)
    for key in ("double_blocks.0.img_attn.qkv", "double_blocks.0.img_mlp.0"):
        rows, columns = model.model.state_dict()[f"diffusion_model.{key}.weight"].shape
        name = f"diffusion_model.{key}"
        weights[f"{name}.lora_up.weight"] = scale * torch.randn(rows, 2, generator=generator)
        weights[f"{name}.lora_down.weight"] = torch.randn(2, columns, generator=generator)
    return comfy.hooks.create_hook_lora(lora=weights, strength_model=1.0, strength_clip=0.0)


def patched_with(model, hooks: comfy.hooks.HookGroup):
    """The MODEL with the same LoRA by the stock way."""
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, hooks.hooks[0].weights, 1.0, 0.0)[0]


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)


def hooked(texts, key: str, hooks, shape) -> Region:
    return Region(shape, comfy.hooks.set_hooks_for_conditioning(conditioning(texts, key), hooks), key)


@pytest.mark.feature("LoRA hook on a region", "Hard Binding")
def test_a_hooked_region_is_the_run_with_that_lora(model, texts, setting):
    base, noise, sigmas = setting
    hooks = lora(model)
    bound = sample(add_spec(model, Binding((hooked(texts, "H0", hooks, WHOLE),), STEPS)), *setting)
    alone = sample(patched_with(model, hooks), conditioning(texts, "H0"), noise, sigmas)
    torch.testing.assert_close(bound, alone, rtol=0, atol=1e-5)
    assert not torch.allclose(bound, sample(model, conditioning(texts, "H0"), noise, sigmas), atol=1e-2)


@pytest.mark.feature("LoRA hook on the base prompt, another on a region", "Hard Binding")
def test_a_regions_lora_comes_on_top_of_the_base_prompts(model, texts, setting):
    """That of the base prompt is for the whole picture, the bound region included."""
    base, noise, sigmas = setting
    of_base, of_region = lora(model, seed=1), lora(model, seed=2)
    bound = add_spec(model, Binding((hooked(texts, "H0", of_region, WHOLE),), STEPS))
    ours = sample(bound, comfy.hooks.set_hooks_for_conditioning(base, of_base), noise, sigmas)
    alone = patched_with(patched_with(model, of_base), of_region)
    stock = sample(alone, conditioning(texts, "H0"), noise, sigmas)
    torch.testing.assert_close(ours, stock, rtol=0, atol=1e-5)
    only = sample(patched_with(model, of_region), conditioning(texts, "H0"), noise, sigmas)
    assert not torch.allclose(stock, only, atol=1e-2)


def test_the_lora_stays_in_its_region(model, texts, setting):
    """Features off, one step: the unhooked region's prediction is what it is without any hook."""
    base, noise, sigmas = setting

    def predictions(first: Region):
        second = Region(RIGHT, conditioning(texts, "H1"), "H1")
        spec = Binding((first, second), 1, features=False)
        return run(basic_guider(add_spec(model, spec), base), noise, sigmas)[1][0]

    with_hook = predictions(hooked(texts, "H0", lora(model), LEFT))
    without = predictions(Region(LEFT, conditioning(texts, "H0"), "H0"))
    torch.testing.assert_close(with_hook[..., 12:], without[..., 12:], rtol=0, atol=1e-5)
    assert not torch.allclose(with_hook[..., :12], without[..., :12], atol=1e-3)


@pytest.mark.feature("LoRA hooks on two regions", "Hard Binding")
def test_two_regions_have_a_lora_each(model, texts, setting):
    base, noise, sigmas = setting
    first, second = lora(model, seed=1), lora(model, seed=2)
    regions = hooked(texts, "H0", first, LEFT), hooked(texts, "H1", second, RIGHT)
    _, predictions = run(
        basic_guider(add_spec(model, Binding(regions, 1, features=False)), base), noise, sigmas
    )
    for key, hooks, part in (("H0", first, slice(0, 12)), ("H1", second, slice(12, 24))):
        crop = noise[..., part]
        _, alone = run(basic_guider(patched_with(model, hooks), conditioning(texts, key)), crop, sigmas)
        torch.testing.assert_close(predictions[0][..., part], alone[0], rtol=0, atol=2e-5)


def difference(model) -> comfy.hooks.HookGroup:
    """A hook of a kind that tokens cannot wear, so that weights are changed for it."""
    key = "double_blocks.0.img_mlp.0"
    weight = torch.zeros_like(model.model.diffusion_model.get_submodule(key).weight)
    return comfy.hooks.create_hook_lora({f"diffusion_model.{key}.diff": weight}, 1.0, 0.0)


def test_a_shared_hook_is_added_once(model, texts, setting):
    hooks = difference(model)
    regions = hooked(texts, "H0", hooks, LEFT), hooked(texts, "H1", hooks, RIGHT)
    twice = add_spec(add_spec(model, Binding(regions, 1)), Binding(regions, 2))
    (patches,) = twice.hook_patches.values()
    assert all(len(entries) == 1 for entries in patches.values())


class GGMLOps(comfy.ops.manual_cast):
    """The layers that a GGUF loader makes: their weights are packed, and ComfyUI cannot patch them while it runs."""

    class Linear(comfy.ops.manual_cast.Linear):
        pass


def test_hooks_that_change_weights_are_refused_at_the_node_on_gguf(model, texts):
    """With the way out; LoRAs that tokens wear change none, and without hooks the model is as good as any."""
    packed = load_tiny(GGMLOps)
    plain = Region(LEFT, conditioning(texts, "H0"), "H0")
    before = dict(packed.model_options["transformer_options"])
    with pytest.raises(
        ValueError, match="Hard Binding: .* those of a GGUF file are packed.*LoraLoaderModelOnly"
    ):
        RAGHardBinding.execute(packed, (hooked(texts, "H0", difference(packed), LEFT),), 2, True)
    RAGHardBinding.execute(packed, (hooked(texts, "H0", lora(packed), LEFT),), 2, True)
    assert packed.model_options["transformer_options"] == before and not packed.hook_patches
    RAGHardBinding.execute(packed, (plain,), 2, True)
    prior = {"samples": noise_for(16, 24)}
    new = NewRegion(
        torch.ones(8, 12, dtype=torch.bool), hooked(texts, "H0", lora(packed), LEFT).conditioning, 1, True
    )
    with pytest.raises(ValueError, match="those of a GGUF file are packed"):
        base = conditioning(texts, "G0")
        repaint(packed, prior, new, base, base, Settings(1, 2, 1.0, "euler", "simple"))


@pytest.mark.feature("LoRA hook with keyframes", "Hard Binding")
def test_a_schedule_ends_the_lora(model, texts, setting):
    base, noise, sigmas = setting
    hooks = lora(model)
    keyframes = comfy.hooks.HookKeyframeGroup()
    keyframes.add(comfy.hooks.HookKeyframe(strength=0.0, start_percent=0.0))
    hooks.set_keyframes_on_hooks(keyframes)
    off = sample(add_spec(model, Binding((hooked(texts, "H0", hooks, LEFT),), STEPS)), *setting)
    plain = sample(add_spec(model, Binding((Region(LEFT, conditioning(texts, "H0")),), STEPS)), *setting)
    torch.testing.assert_close(off, plain, rtol=0, atol=1e-5)


@pytest.mark.feature("LoRA hook on the negative", "Hard Binding")
def test_a_hook_on_the_negative_survives(model, texts, setting):
    base, noise, sigmas = setting
    hooks = lora(model)
    negative = comfy.hooks.set_hooks_for_conditioning(conditioning(texts, "G1"), hooks)
    bound = add_spec(model, Binding((Region(WHOLE, conditioning(texts, "H0")),), STEPS, features=False))
    mine, _ = run(cfg_guider(bound, base, negative, 3.0), noise, sigmas)
    stock, _ = run(cfg_guider(model, conditioning(texts, "H0"), negative, 3.0), noise, sigmas)
    torch.testing.assert_close(mine, stock, rtol=0, atol=1e-5)
    plain, _ = run(
        cfg_guider(model, conditioning(texts, "H0"), conditioning(texts, "G1"), 3.0), noise, sigmas
    )
    assert not torch.allclose(mine, plain, atol=1e-2)


@pytest.mark.feature("LoRA hook on the base prompt", "Hard Binding")
def test_the_base_prompts_hook_reaches_a_region_without_one(model, texts, setting):
    base, noise, sigmas = setting
    hooks = lora(model)
    prompt = comfy.hooks.set_hooks_for_conditioning(base, hooks)
    bound = add_spec(model, Binding((Region(WHOLE, conditioning(texts, "H0")),), STEPS))
    expected = sample(patched_with(model, hooks), conditioning(texts, "H0"), noise, sigmas)
    torch.testing.assert_close(sample(bound, prompt, noise, sigmas), expected, rtol=0, atol=1e-5)


def test_a_hooked_run_leaves_the_model_as_it_was(model, texts, setting):
    before = sample(model, *setting)
    mode = model.hook_mode
    bound = add_spec(model, Binding((hooked(texts, "H0", lora(model), LEFT),), 2))
    first = sample(bound, *setting)
    assert torch.equal(sample(model, *setting), before)
    assert torch.equal(sample(bound, *setting), first)
    assert model.hook_patches == {} and (model.hook_mode, bound.hook_mode) == (mode, mode)


def test_binding_with_a_lora_beside_refinement(model, texts, setting):
    """Refinement's forward is not hooked: with the region unbound from the second step on, it is that of no hook."""
    cells = (Region(LEFT, conditioning(texts, "S0")), Region(RIGHT, conditioning(texts, "S1")))
    spec = Binding((hooked(texts, "H0", lora(model), LEFT),), 2)
    one = sample(add_spec(add_spec(model, spec), Refinement(cells, 0.5)), *setting)
    other = sample(add_spec(add_spec(model, Refinement(cells, 0.5)), spec), *setting)
    assert torch.equal(one, other)


@pytest.mark.feature("hook of another kind on a region", "Hard Binding", found="error")
def test_hooks_of_another_kind_are_refused(model, texts):
    hooks = comfy.hooks.HookGroup()
    hooks.add(comfy.hooks.TransformerOptionsHook({}))
    region = hooked(texts, "H0", hooks, LEFT)
    with pytest.raises(
        ValueError, match=r'^Hard Binding: the conditioning of region 1 of 1 \("H0"\) carries a hook'
    ):
        add_spec(model, Binding((region,), 1))
