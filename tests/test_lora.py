"""LoRAs through ComfyUI's own nodes: on the MODEL in any order, as hooks with schedules, and how often weights move."""

import comfy.hooks
import comfy.model_patcher
import folder_paths
import pytest
import torch
from comfy_extras.nodes_hooks import (
    ConditioningSetProperties,
    CreateHookKeyframe,
    CreateHookLora,
    SetHookKeyframes,
)
from rag_pack.nodes.patches import RAGHardBinding, RAGSoftRefinementAttention
from rag_pack.nodes.sampler import RAGHardBindingSampler
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.record import TRAJECTORY
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.repaint import NewRegion, repaint
from rag_pack.rag_sampler.sampling import Settings
from rag_pack.rag_sampler.sampling import sample as generate
from safetensors.torch import save_file
from tiny import basic_guider, cfg_guider, conditioning, noise_for, run, sample, schedule

from nodes import LoraLoaderModelOnly

STEPS, BOUND = 6, 4
LEFT = Box(0, 0, 0.5, 1)
BOXES = tuple(Box(x, y, 0.5, 0.5) for y in (0, 0.5) for x in (0, 0.5))
FORMATS = {
    "kohya": ("lora_unet_double_blocks_0_img_mlp_0.{}.weight", "lora_up", "lora_down", (256, 64)),
    "diffusers": (
        "transformer.single_transformer_blocks.1.attn.to_q.{}.weight",
        "lora_B",
        "lora_A",
        (64, 64),
    ),
    "other": ("lora_unet_single_blocks_0_linear2.{}.weight", "lora_up", "lora_down", (64, 320)),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """Names of LoRA files that the stock loader finds, one for each way to name the keys and a third."""
    folder, names = tmp_path_factory.mktemp("loras"), {}
    for seed, (name, (key, up, down, (rows, columns))) in enumerate(FORMATS.items()):
        generator = torch.Generator().manual_seed(seed)
        weights = {
            key.format(up): 0.5 * torch.randn(rows, 2, generator=generator),
            key.format(down): torch.randn(2, columns, generator=generator),
        }
        names[name] = f"rag_test_{name}.safetensors"
        save_file(weights, folder / names[name])
    folder_paths.add_model_folder_path("loras", str(folder))
    return names


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> list[str]:
    """Names of files of a kind that tokens cannot wear, so that weights are changed: whole differences of a weight."""
    folder, names = tmp_path_factory.mktemp("others"), []
    for seed, layer in enumerate(("double_blocks.0.img_mlp.0", "single_blocks.1.linear2", "img_in")):
        shape, generator = (
            {0: (256, 64), 1: (64, 320), 2: (64, 64)}[seed],
            torch.Generator().manual_seed(seed),
        )
        names.append(f"rag_test_other_{seed}.safetensors")
        weights = {f"diffusion_model.{layer}.diff": 0.1 * torch.randn(shape, generator=generator)}
        save_file(weights, folder / names[-1])
    folder_paths.add_model_folder_path("loras", str(folder))
    return names


@pytest.fixture
def setting(model):
    return noise_for(16, 24), schedule(model, STEPS)


def with_lora(model, name: str, strength: float = 1.0):
    return LoraLoaderModelOnly().load_lora_model_only(model, name, strength)[0]


def hook(name: str, strength: float = 1.0, after=None) -> comfy.hooks.HookGroup:
    return CreateHookLora().create_hook(name, strength, 0.0, after)[0]


def scheduled(hooks: comfy.hooks.HookGroup, *keyframes: tuple[float, float]) -> comfy.hooks.HookGroup:
    """Hooks with (strength, start_percent) keyframes."""
    group = None
    for strength, start in keyframes:
        group = CreateHookKeyframe().create_hook_keyframe(strength, start, group)[0]
    return SetHookKeyframes().set_hook_keyframes(hooks, group)[0]


def hooked(prompt: list, *hooks: comfy.hooks.HookGroup | None) -> list:
    for group in hooks:
        prompt = ConditioningSetProperties().set_properties(prompt, 1.0, "default", hooks=group)[0]
    return prompt


def bound(model, shapes, prompts, steps=BOUND, features=False):
    regions = tuple(Region(shape, prompt) for shape, prompt in zip(shapes, prompts, strict=True))
    return RAGHardBinding.execute(model, regions, steps, features)[0]


@pytest.mark.feature("LoRAs on the MODEL", "both", order="before, between and after")
def test_loras_on_the_model_before_between_and_after_the_regions(model, texts, setting, files):
    first, second = list(files.values())[:2]
    boxes = (Region(LEFT, conditioning(texts, "H0")),)
    cells = tuple(
        Region(Cell(x, 0, x + 0.5, 1), conditioning(texts, f"S{i}")) for i, x in enumerate((0, 0.5))
    )
    steps = {
        "lora 1": lambda m: with_lora(m, first, 0.8),
        "lora 2": lambda m: with_lora(m, second, -0.6),
        "bind": lambda m: RAGHardBinding.execute(m, boxes, 2, True)[0],
        "refine": lambda m: RAGSoftRefinementAttention.execute(m, cells, 0.5, 0.0, 1.0, "published")[0],
    }

    def picture(*order: str) -> torch.Tensor:
        made = model
        for step in order:
            made = steps[step](made)
        return sample(made, conditioning(texts, "G0"), *setting)

    before = picture("lora 1", "lora 2", "bind", "refine")
    assert torch.equal(before, picture("bind", "refine", "lora 1", "lora 2"))
    assert torch.equal(before, picture("bind", "lora 1", "refine", "lora 2"))
    for without in (("lora 1", "bind", "refine"), ("lora 2", "bind", "refine"), ("lora 1", "lora 2")):
        assert (before - picture(*without)).abs().max() > 1e-2


SCHEDULES = {
    "none": lambda hooks: hooks,
    "off after a part": lambda hooks: scheduled(hooks, (1.0, 0.0), (0.0, 0.2)),
    "a keyframe a step": lambda hooks: scheduled(hooks, (0.2, 0.0), (0.5, 0.0), (1.0, 0.0), (0.0, 0.0)),
}


@pytest.mark.feature("LoRA hooks, several with keyframes, on a region", "Hard Binding")
@pytest.mark.parametrize("schedule_of", SCHEDULES)
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_several_scheduled_hooks_on_one_region(model, texts, setting, files, schedule_of, cfg):
    """Bound, it is the stock run with these hooks; keyframes go on once a step, whatever runs beside it."""
    noise, sigmas = setting
    first, second = list(files.values())[:2]
    hooks = hook(second, 0.7, after=SCHEDULES[schedule_of](hook(first)))
    own, negative = hooked(conditioning(texts, "H0"), hooks), conditioning(texts, "G1")
    other = hooked(conditioning(texts, "H1"), hooks)
    both = bound(model, (LEFT, Box(0.5, 0, 0.5, 1)), (own, other))
    _, mine = run(cfg_guider(both, conditioning(texts, "G0"), negative, cfg), noise, sigmas)
    for prompt, part in ((own, slice(0, 12)), (other, slice(12, 24))):
        _, alone = run(cfg_guider(model, prompt, negative, cfg), noise[..., part], sigmas)
        torch.testing.assert_close(mine[:BOUND, ..., part], alone[:BOUND], rtol=0, atol=2e-4)
    if cfg == 1:  # else the LoRAs on the MODEL are on the negative, too
        patched = with_lora(with_lora(model, first), second, 0.7)
        _, static = run(basic_guider(patched, conditioning(texts, "H0")), noise[..., :12], sigmas)
        same = torch.allclose(mine[:BOUND, ..., :12], static[:BOUND], atol=2e-4)
        assert same == (schedule_of == "none")


@pytest.mark.feature("LoRA hooks on base prompt, region and negative", "Hard Binding")
def test_hooks_on_region_negative_and_base_prompt_at_once(model, texts, setting, files):
    """Each prompt has its own; the base prompt's is for the whole picture, and the region's comes on top of it."""
    noise, sigmas = setting
    base, own, against = (hook(name) for name in files.values())
    prompts = [hooked(conditioning(texts, key), h) for key, h in (("G0", base), ("H0", own), ("G1", against))]
    both = bound(model, (LEFT,), (prompts[1],))
    _, mine = run(cfg_guider(both, prompts[0], prompts[2], 3.0), noise, sigmas)
    region = hooked(conditioning(texts, "H0"), base.clone_and_combine(own))
    _, alone = run(cfg_guider(model, region, prompts[2], 3.0), noise[..., :12], sigmas)
    torch.testing.assert_close(mine[:BOUND, ..., :12], alone[:BOUND], rtol=0, atol=2e-4)
    _, main = run(cfg_guider(model, prompts[0], prompts[2], 3.0), noise, sigmas)
    torch.testing.assert_close(mine[0, ..., 12:], main[0, ..., 12:], rtol=0, atol=2e-4)


def test_refinement_refuses_kinds_that_change_weights(model, texts, others):
    """By the node and by the sampler node, before anything runs."""
    regions = (Region(LEFT, hooked(conditioning(texts, "S0"), hook(others[0])), "a cat"),)
    message = (
        r'^{}: the LoRA of region 1 of 1 \("a cat"\) is of the kind diff '
        r"\(diffusion_model.double_blocks.0.img_mlp.0.weight\), which Soft Refinement cannot give to a region alone"
    )
    with pytest.raises(ValueError, match=message.format("Soft Refinement Attention")):
        RAGSoftRefinementAttention.execute(model, regions, 1.0, 0.0, 1.0, "published")
    latent, base = {"samples": torch.zeros(1, 16, 16, 24)}, conditioning(texts, "G0")
    with pytest.raises(ValueError, match=message.format("Hard Binding Sampler")):
        RAGHardBindingSampler.execute(
            model, 0, STEPS, 1.0, "euler", "simple", base, base, latent, 1.0, 2, True, 1.0, "published",
            refinement_regions=regions,
        )  # fmt: skip


class Moves:
    """Counts what hooks do to the weights: switches (the model gets another group's weights, kept ones copied), and
    computed weights (the LoRA is worked out for one weight)."""

    def __init__(self, monkeypatch) -> None:
        self.switches = self.computed = 0
        patcher = comfy.model_patcher.ModelPatcher
        switch, compute = patcher.patch_hooks, patcher.patch_hook_weight_to_device

        def switched(model, hooks):
            self.switches += hooks is not model.current_hooks
            switch(model, hooks)

        def computed(*args, **kwargs):
            self.computed += 1
            compute(*args, **kwargs)

        monkeypatch.setattr(patcher, "patch_hooks", switched)
        monkeypatch.setattr(patcher, "patch_hook_weight_to_device", computed)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("features", [True, False])
@pytest.mark.parametrize(
    ("layout", "groups"),
    [("....", 0), ("A...", 1), (".A.A", 1), ("AAAA", 1), ("AB.A", 2), ("ABAB", 2), ("ABCA", 3)],
)
def test_weights_move_as_rarely_as_can_be(
    model, texts, setting, others, monkeypatch, layout, groups, cfg, features
):
    """In a bound step once to each group of hooks and once back for the main pass, which needs the regions' states
    and so comes last; computed once a run. With cfg the negatives, which have no hooks, cost no switch."""
    noise, sigmas = setting
    hooks = dict(zip("ABC", map(hook, others), strict=True))
    prompts = [hooked(conditioning(texts, f"H{i % 2}"), hooks.get(name)) for i, name in enumerate(layout)]
    moves = Moves(monkeypatch)
    model = bound(model, BOXES, prompts, features=features)
    run(cfg_guider(model, conditioning(texts, "G0"), conditioning(texts, "G1"), cfg), noise, sigmas)
    assert moves.switches == BOUND * (groups + 1 if groups else 0)
    assert moves.computed == groups


def test_loras_of_regions_move_no_weight(model, texts, setting, files, monkeypatch):
    """Nor does ComfyUI know of them."""
    hooks = [hook(name) for name in files.values()]
    prompts = [hooked(conditioning(texts, f"H{i % 2}"), hooks[i % 3]) for i in range(4)]
    moves, patched = Moves(monkeypatch), bound(model, BOXES, prompts)
    found = sample(patched, conditioning(texts, "G0"), *setting)
    assert (moves.switches, moves.computed, patched.hook_patches) == (0, 0, {})
    without = bound(model, BOXES, [conditioning(texts, f"H{i % 2}") for i in range(4)])
    assert (sample(without, conditioning(texts, "G0"), *setting) - found).abs().max() > 1e-2


def test_the_same_hooks_added_by_two_nodes_are_one_group(model, texts, setting, others, monkeypatch):
    """ComfyUI's nodes make a new group for each conditioning that already has hooks."""
    first, second = (hook(name) for name in others[:2])
    prompts = [hooked(conditioning(texts, f"H{i % 2}"), first, second) for i in range(4)]
    assert len({id(prompt[0][1]["hooks"]) for prompt in prompts}) == 4
    moves = Moves(monkeypatch)
    run(basic_guider(bound(model, BOXES, prompts), conditioning(texts, "G0")), *setting)
    assert (moves.switches, moves.computed) == (BOUND * 2, 2)


def test_a_schedule_computes_a_weight_anew_for_each_keyframe(model, texts, setting, others, monkeypatch):
    hooks = scheduled(hook(others[0]), (0.5, 0.0), (1.0, 0.0), (0.25, 0.0))
    moves = Moves(monkeypatch)
    model = bound(model, (LEFT,), (hooked(conditioning(texts, "H0"), hooks),))
    run(basic_guider(model, conditioning(texts, "G0")), *setting)
    assert moves.computed == 3


@pytest.mark.feature("LoRA hook on the {owner}", "Repaint")
@pytest.mark.parametrize("owner", ["region", "base prompt"])
def test_repaint_replays_a_picture_made_with_hooks(model, texts, files, replayed, owner):
    """Its record is valid for the MODEL without them, and the replay predicts what was recorded."""
    group, settings = hook(files["kohya"]), Settings(0, STEPS, 1.0, "euler", "simple")
    own, base = conditioning(texts, "H0"), conditioning(texts, "G0")
    own, base = (hooked(own, group), base) if owner == "region" else (own, hooked(base, group))
    prior = generate(
        bound(model, (LEFT,), (own,)), {"samples": torch.zeros(1, 16, 16, 24)}, base, base, settings,
        keep_for_repaint=True,
    )  # fmt: skip
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[:, 8:] = True
    region, new = NewRegion(inside, conditioning(texts, "H1"), 1, True), conditioning(texts, "G1")
    repaint(model, prior, region, new, new, settings)
    recorded = [evaluation.denoised for evaluation in prior[TRAJECTORY].evaluations]
    torch.testing.assert_close(torch.stack(replayed), torch.stack(recorded[1:]), rtol=0, atol=1e-4)
    assert model.hook_patches == {}


def test_a_model_with_registered_hooks_is_not_loaded_anew(model, texts, others):
    """ComfyUI tells by patches_uuid whether weights on the device are a MODEL's."""
    region = (hooked(conditioning(texts, "H0"), hook(others[0])),)
    assert bound(model, (LEFT,), region).patches_uuid == model.patches_uuid
