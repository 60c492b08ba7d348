"""What the engine promises whatever the layout: identities with stock runs, a clean MODEL, errors that teach."""

import comfy.controlnet
import comfy.model_management
import comfy.samplers
import comfy.utils
import pytest
import torch
from rag_pack.rag_sampler.engine import add_spec, plain
from rag_pack.rag_sampler.layout import Box, Cell, LayoutError
from rag_pack.rag_sampler.methods import binding
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Mask, Region
from tiny import basic_guider, cfg_guider, conditioning, load_tiny, noise_for, run, sample, schedule

STEPS = 5
LEFT, RIGHT = Box(0, 0, 0.5, 1), Box(0.5, 0, 0.5, 1)
CELLS = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)
WHOLE = Cell(0, 0, 1, 1)


@pytest.fixture
def setting(model, texts):
    """A base prompt, noise for 128 × 192 pixels and a schedule."""
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)


def regions(texts, *pairs) -> tuple[Region, ...]:
    return tuple(Region(shape, conditioning(texts, key), key) for shape, key in pairs)


def two(texts) -> tuple[Region, ...]:
    return regions(texts, (CELLS[0], "S0"), (CELLS[1], "S1"))


def boxes(texts) -> tuple[Region, ...]:
    return regions(texts, (Box(0, 0.1, 0.4, 0.8), "H0"), (Box(0.55, 0.2, 0.4, 0.7), "H1"))


def full(model, texts, steps=2, delta=0.5):
    return add_spec(add_spec(model, Binding(boxes(texts), steps)), Refinement(two(texts), delta))


# Identities


def test_zero_steps_and_zero_delta_are_the_stock_run(model, texts, setting):
    base, noise, sigmas = setting
    patched, negative = full(model, texts, 0, 0.0), conditioning(texts, "G1")
    assert torch.equal(sample(patched, *setting), sample(model, *setting))
    with_cfg = [run(cfg_guider(m, base, negative, 3.0), noise, sigmas)[0] for m in (patched, model)]
    assert torch.equal(*with_cfg)


def test_one_cell_over_the_picture_is_the_plain_run_with_its_text(model, texts, setting):
    base, noise, sigmas = setting
    refined = sample(add_spec(model, Refinement(regions(texts, (WHOLE, "S0")), 1.0)), *setting)
    plain = [[texts["t5.S0"], base[0][1]]]
    assert torch.equal(refined, sample(model, plain, noise, sigmas))


def test_one_box_over_the_picture_bound_at_every_step_is_the_plain_run_with_its_prompt(model, texts, setting):
    base, noise, sigmas = setting
    bound = sample(add_spec(model, Binding(regions(texts, (WHOLE, "H0")), STEPS)), *setting)
    assert torch.equal(bound, sample(model, conditioning(texts, "H0"), noise, sigmas))


def test_the_same_text_everywhere_changes_nothing_but_rounding(model, texts, setting):
    cells = regions(texts, (CELLS[0], "G0"), (CELLS[1], "G0"))
    for delta in (0.5, 1.0):
        refined = sample(add_spec(model, Refinement(cells, delta)), *setting)
        torch.testing.assert_close(refined, sample(model, *setting), rtol=0, atol=2e-5)


def test_a_window_of_time_limits_the_refinement(model, texts, setting):
    spec = Refinement(two(texts), 1.0, start_percent=0.999, end_percent=1.0)
    assert torch.equal(sample(add_spec(model, spec), *setting), sample(model, *setting))


def test_a_region_in_several_nodes_is_the_region_in_one(model, texts, setting):
    first, second = boxes(texts)
    one = sample(add_spec(model, Binding((first, second), 2)), *setting)
    chain = sample(add_spec(add_spec(model, Binding((first,), 2)), Binding((second,), 2)), *setting)
    assert torch.equal(one, chain)


def test_the_last_of_two_refinements_wins_and_the_log_says_so(model, texts, setting, caplog):
    last = Refinement(two(texts), 1.0)
    both = add_spec(add_spec(model, Refinement(two(texts)[::-1], 0.5)), last)
    assert torch.equal(sample(both, *setting), sample(add_spec(model, last), *setting))
    assert sum("the last in the chain wins" in record.message for record in caplog.records) == 1


def test_an_overlap_belongs_to_the_later_region(model, texts, setting):
    """The later box's part of x0 is what the later box alone predicts; the earlier one has the rest."""
    early, late = regions(texts, (Box(0, 0, 0.75, 1), "H0"), (Box(0.5, 0, 0.5, 1), "H1"))
    base, noise, sigmas = setting
    _, predictions = run(basic_guider(add_spec(model, Binding((early, late), 1)), base), noise, sigmas)
    for key, start, end, shown in (("H0", 0, 18, slice(0, 12)), ("H1", 12, 24, slice(12, 24))):
        _, alone = run(basic_guider(model, conditioning(texts, key)), noise[..., start:end], sigmas)
        part = alone[0][..., shown.start - start : shown.stop - start]
        torch.testing.assert_close(predictions[0][..., shown], part, rtol=0, atol=1e-5)


def test_a_mask_binds_its_tokens_only(model, texts, setting):
    base, noise, sigmas = setting
    pixels = torch.zeros(128, 192)
    pixels[:, :64] = 1
    pixels[64:, :128] = 1
    region = (Region(Mask(pixels), conditioning(texts, "H0")),)
    _, plain = run(basic_guider(model, base), noise, sigmas)
    _, alone = run(basic_guider(model, conditioning(texts, "H0")), noise[..., :16], sigmas)
    _, bound = run(basic_guider(add_spec(model, Binding(region, 1, features=False)), base), noise, sigmas)
    inside = torch.zeros(16, 24, dtype=torch.bool)
    inside[:, :8] = inside[8:, :16] = True
    torch.testing.assert_close(bound[0][0, :, inside], alone[0][0, :, inside[:, :16]], rtol=0, atol=1e-5)
    assert torch.equal(bound[0][0, :, ~inside], plain[0][0, :, ~inside])


def test_features_change_what_lies_outside_the_box_only(model, texts, setting):
    base, noise, sigmas = setting
    region = regions(texts, (LEFT, "H0"))
    shown = []
    for features in (False, True):
        _, x0 = run(basic_guider(add_spec(model, Binding(region, 1, features)), base), noise, sigmas)
        shown.append(x0[0])
    assert torch.equal(shown[0][..., :12], shown[1][..., :12])
    assert (shown[0][..., 12:] - shown[1][..., 12:]).abs().max() > 1e-3


def test_previews_show_the_bound_regions(model, texts, setting):
    base, noise, sigmas = setting
    _, previews = run(
        basic_guider(add_spec(model, Binding(regions(texts, (LEFT, "H0")), 2)), base), noise, sigmas
    )
    _, alone = run(basic_guider(model, conditioning(texts, "H0")), noise[..., :12], sigmas)
    torch.testing.assert_close(previews[:2, ..., :12], alone[:2], rtol=0, atol=1e-5)
    assert (previews[2, ..., :12] - alone[2]).abs().max() > 1e-3


def test_uncovered_tokens_follow_the_base_prompt(model, texts, setting):
    """The base prompt matters outside the cells even at delta 1, bound or not."""
    base, noise, sigmas = setting
    spec = Refinement(regions(texts, (CELLS[0], "S0")), 1.0)
    for steps in (0, 2):
        patched = add_spec(add_spec(model, Binding(boxes(texts), steps)), spec)
        other = [[texts["t5.G1"], base[0][1]]]
        difference = sample(patched, base, noise, sigmas) - sample(patched, other, noise, sigmas)
        assert difference[1][..., 12:].abs().max() > 1e-3


def test_where_cells_cover_the_picture_delta_1_does_not_read_the_base_text(model, texts, setting):
    base, noise, sigmas = setting
    patched = full(model, texts, 2, 1.0)
    other = [[texts["t5.G1"], base[0][1]]]
    assert torch.equal(sample(patched, base, noise, sigmas), sample(patched, other, noise, sigmas))


def test_features_are_bound_in_every_branch(model, texts, setting):
    """With cfg the surroundings see the positive's states in the positive and the negative's in the negative."""
    base, noise, sigmas = setting
    negative = conditioning(texts, "G1")
    bound = add_spec(model, Binding(regions(texts, (LEFT, "H0")), 1))
    _, both = run(cfg_guider(bound, base, negative, 3.0), noise, sigmas)
    _, positive = run(basic_guider(bound, base), noise, sigmas)
    same = add_spec(model, Binding((Region(LEFT, negative),), 1))
    _, negative_alone = run(basic_guider(same, negative), noise, sigmas)
    right = negative_alone[0] + 3.0 * (positive[0] - negative_alone[0])
    torch.testing.assert_close(both[0], right, rtol=0, atol=1e-4)


def test_the_order_of_combined_negatives_does_not_matter(model, texts, setting):
    base, noise, sigmas = setting
    negatives = [*conditioning(texts, "G1"), *conditioning(texts, "S3")]
    bound = add_spec(model, Binding(regions(texts, (LEFT, "H0")), 2))
    one, _ = run(cfg_guider(bound, base, negatives, 3.0), noise, sigmas)
    other, _ = run(cfg_guider(bound, base, negatives[::-1], 3.0), noise, sigmas)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_a_masked_negative_counts_where_its_mask_is(model, texts, setting):
    base, noise, sigmas = setting
    left, right = torch.zeros(1, 16, 24), torch.zeros(1, 16, 24)
    left[..., :12], right[..., 12:] = 1, 1
    negatives = [
        *conditioning(texts, "G1", mask=left, mask_strength=1.0),
        *conditioning(texts, "S3", mask=right, mask_strength=1.0),
    ]
    bound = add_spec(model, Binding(regions(texts, (LEFT, "H0")), 1))
    _, shown = run(cfg_guider(bound, base, negatives, 3.0), noise, sigmas)
    alone = cfg_guider(model, conditioning(texts, "H0"), conditioning(texts, "G1"), 3.0)
    _, right = run(alone, noise[..., :12], sigmas)
    torch.testing.assert_close(shown[0][..., :12], right[0], rtol=0, atol=1e-4)


def test_the_mask_of_a_negative_is_cropped_with_the_region(model, texts, setting):
    base, noise, sigmas = setting

    def masked(width: int) -> list:
        first, second = torch.zeros(1, 16, width), torch.zeros(1, 16, width)
        first[..., :6], second[..., 6:] = 1, 1
        return [
            *conditioning(texts, "G1", mask=first, mask_strength=1.0),
            *conditioning(texts, "S3", mask=second, mask_strength=1.0),
        ]

    bound = add_spec(model, Binding(regions(texts, (LEFT, "H0")), 1))
    _, shown = run(cfg_guider(bound, base, masked(24), 3.0), noise, sigmas)
    _, right = run(cfg_guider(model, conditioning(texts, "H0"), masked(12), 3.0), noise[..., :12], sigmas)
    torch.testing.assert_close(shown[0][..., :12], right[0], rtol=0, atol=1e-4)


def test_a_guider_that_runs_its_branches_one_at_a_time(model, texts, setting):
    """As core's DualModelGuider does: the negative's call carries no region, and is bound all the same."""
    base, noise, sigmas = setting
    negative = conditioning(texts, "G1")

    class OneAtATime(comfy.samplers.CFGGuider):
        def predict_noise(self, x, timestep, model_options=None, seed=None):
            def alone(role):
                conds = [self.conds[role]]
                return comfy.samplers.calc_cond_batch(self.inner_model, conds, x, timestep, model_options)[0]

            without = alone("negative")
            return without + 3.0 * (alone("positive") - without)

    bound = add_spec(model, Binding(regions(texts, (LEFT, "H0")), 2))
    guider = OneAtATime(bound)
    guider.set_conds(base, negative)
    latents, _ = run(guider, noise, sigmas)
    together, _ = run(cfg_guider(bound, base, negative, 3.0), noise, sigmas)
    torch.testing.assert_close(latents, together, rtol=0, atol=1e-4)


@pytest.mark.feature("FluxGuidance", "Hard Binding")
def test_a_region_inherits_what_it_does_not_bring(model, texts, setting):
    base, noise, sigmas = setting
    strong = conditioning(texts, "G0", guidance=7.0)
    own = (Region(LEFT, conditioning(texts, "H0", guidance=7.0)),)
    plain = regions(texts, (LEFT, "H0"))
    inherited = sample(add_spec(model, Binding(plain, 2)), strong, noise, sigmas)
    assert torch.equal(inherited, sample(add_spec(model, Binding(own, 2)), strong, noise, sigmas))
    weak = (Region(LEFT, conditioning(texts, "H0", guidance=1.0)),)
    assert not torch.equal(inherited, sample(add_spec(model, Binding(weak, 2)), strong, noise, sigmas))


def test_a_region_inherits_from_the_base_prompt_that_is_in_its_time(model, texts, setting):
    base, noise, sigmas = setting
    late = conditioning(texts, "G1", guidance=1.0, start_percent=0.9, end_percent=1.0)
    whole = conditioning(texts, "G0", guidance=7.0)
    bound = add_spec(model, Binding(regions(texts, (LEFT, "H0")), 2, features=False))
    one, other = (sample(bound, prompt, noise, sigmas) for prompt in (whole, late + whole))
    torch.testing.assert_close(one[:3], other[:3], rtol=0, atol=1e-5)


# Shapes of runs


@pytest.mark.feature("batch of 2", "both")
def test_a_batch_is_its_pictures(model, texts, setting):
    base, _, sigmas = setting
    noise = noise_for(16, 24, batch=2)
    patched = full(model, texts)
    together = sample(patched, base, noise, sigmas)
    for i in range(2):
        alone = sample(patched, base, noise[i : i + 1], sigmas)
        torch.testing.assert_close(together[:, i : i + 1], alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(15, 23), (16, 23), (31, 17)])
def test_odd_latents_tile_and_bind(model, texts, size):
    noise, sigmas = noise_for(*size), schedule(model, STEPS)
    same = regions(texts, (CELLS[0], "G0"), (CELLS[1], "G0"))
    plain = sample(model, conditioning(texts, "G0"), noise, sigmas)
    refined = sample(add_spec(model, Refinement(same, 1.0)), conditioning(texts, "G0"), noise, sigmas)
    torch.testing.assert_close(refined, plain, rtol=0, atol=2e-5)
    bound = sample(full(model, texts), conditioning(texts, "G0"), noise, sigmas)
    assert bound.shape == plain.shape and bound.isfinite().all()


def test_cells_may_have_texts_of_different_lengths(model, texts, setting):
    base, noise, sigmas = setting
    text = torch.cat((texts["t5.S1"], texts["t5.S2"]), 1)
    cells = (two(texts)[0], Region(CELLS[1], [[text, {}]]))
    left = sample(add_spec(model, Refinement(cells, 1.0)), *setting)
    assert left.isfinite().all()
    whole = Refinement((Region(WHOLE, [[text, {}]]),), 1.0)
    plain = sample(model, [[text, base[0][1]]], noise, sigmas)
    assert torch.equal(sample(add_spec(model, whole), *setting), plain)


@pytest.mark.feature("cfg 3", "Soft Refinement")
@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_with_cfg_the_negative_stays_plain_in_refinement(model, texts, setting, delta):
    base, noise, sigmas = setting
    negative = conditioning(texts, "G1")
    spec = Refinement(regions(texts, (WHOLE, "S0")), delta)
    _, refined = run(cfg_guider(add_spec(model, spec), base, negative, 3.0), noise, sigmas)
    _, positive = run(basic_guider(add_spec(model, spec), base), noise, sigmas)
    _, plain = run(basic_guider(model, negative), noise, sigmas)
    right = plain[0] + 3.0 * (positive[0] - plain[0])
    torch.testing.assert_close(refined[0], right, rtol=0, atol=1e-4)


@pytest.mark.feature("cfg 3", "Hard Binding")
def test_with_cfg_every_branch_of_a_bound_region_runs_on_its_crop(model, texts, setting):
    """Two equal boxes included: ComfyUI drops the negative's copy for equal areas, we do not rely on it."""
    base, noise, sigmas = setting
    negative = conditioning(texts, "G1")
    twice = regions(texts, (LEFT, "H1"), (LEFT, "H0"))
    guider = cfg_guider(add_spec(model, Binding(twice, 2)), base, negative, 3.0)
    latents, _ = run(guider, noise, sigmas)
    alone, _ = run(cfg_guider(model, conditioning(texts, "H0"), negative, 3.0), noise[..., :12], sigmas)
    torch.testing.assert_close(latents[:3, ..., :12], alone[:3], rtol=0, atol=1e-4)


def test_chunks_forced_by_memory_change_nothing(model, texts, setting, monkeypatch):
    base, noise, sigmas = setting
    negative = conditioning(texts, "G1")
    patched = full(model, texts)
    whole, _ = run(cfg_guider(patched, base, negative, 3.0), noise, sigmas)
    monkeypatch.setattr(type(model), "get_free_memory", lambda self, device: 0)
    chunked, _ = run(cfg_guider(patched, base, negative, 3.0), noise, sigmas)
    torch.testing.assert_close(chunked, whole, rtol=0, atol=1e-4)


@pytest.mark.feature("DualCFGGuider", "both")
def test_dual_cfg_guides_the_positive_branch(model, texts, setting):
    from comfy_extras.nodes_custom_sampler import Guider_DualCFG

    base, noise, sigmas = setting
    patched = full(model, texts)
    guider = Guider_DualCFG(patched)
    guider.set_conds(base, conditioning(texts, "G1"), conditioning(texts, "S3"))
    guider.set_cfg(1.0, 1.0)
    dual, _ = run(guider, noise, sigmas)
    torch.testing.assert_close(dual, sample(patched, *setting), rtol=0, atol=1e-4)


def test_base_entries_with_areas_and_masks_run(model, texts, setting):
    base, noise, sigmas = setting
    mask = torch.zeros(1, 16, 24)
    mask[..., :12] = 1
    several = [
        *base,
        [texts["t5.G1"], {"pooled_output": texts["pooled.G1"], "area": (8, 8, 0, 0), "strength": 1.0}],
        [texts["t5.S2"], {"pooled_output": texts["pooled.S2"], "mask": mask, "mask_strength": 1.0}],
    ]
    latents, _ = run(cfg_guider(full(model, texts), several, conditioning(texts, "G1"), 2.0), noise, sigmas)
    assert latents.isfinite().all()


def test_a_bound_region_may_end_before_the_bound_steps(model, texts, setting):
    base, noise, sigmas = setting
    ranged = (Region(LEFT, conditioning(texts, "H0", start_percent=0.0, end_percent=0.0)),)
    free = sample(add_spec(model, Binding(ranged, STEPS)), *setting)
    assert (free[-1] - sample(model, *setting)[-1]).abs().max() > 1e-3  # the first step is bound
    one = sample(add_spec(model, Binding(regions(texts, (LEFT, "H0")), 1)), *setting)
    torch.testing.assert_close(free, one, rtol=0, atol=1e-6)


def test_a_prompt_that_changes_on_the_way_is_bound_with_the_text_that_is_in_its_time(model, texts, setting):
    """Features included; prompt schedules make several entries with a time range each."""
    late = conditioning(texts, "H0", start_percent=0.0, end_percent=1.0)
    early = conditioning(texts, "H1", start_percent=0.9, end_percent=1.0)
    one, other = (
        sample(add_spec(model, Binding((Region(LEFT, own),), 2)), *setting) for own in (late, early + late)
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_later_stage_continues_and_is_not_bound(model, texts, setting):
    """KSamplerAdvanced in two stages: the second starts below the largest sigma without noise."""
    base, noise, sigmas = setting
    patched = full(model, texts)
    single, _ = run(basic_guider(patched, base), noise, sigmas)
    first = basic_guider(patched, base).sample(
        noise, torch.zeros_like(noise), comfy.samplers.sampler_object("euler"), sigmas[:4], disable_pbar=True
    )
    second, _ = run(basic_guider(patched, base), torch.zeros_like(noise), sigmas[3:], latent=first)
    torch.testing.assert_close(second[-1], single[-1], rtol=0, atol=1e-4)


@pytest.mark.feature("KSamplerAdvanced in two stages", "both")
def test_ksampler_advanced_in_two_stages_is_the_single_run(model, texts):
    from nodes import KSampler, KSamplerAdvanced

    patched, advanced = full(model, texts), KSamplerAdvanced()
    base, latent = conditioning(texts, "G0"), {"samples": torch.zeros(1, 16, 16, 24)}
    settings = 6, 1.0, "dpmpp_2m", "simple", base, base
    single = KSampler().sample(patched, 3, *settings, latent)[0]["samples"]
    stages = advanced.sample(patched, "enable", 3, *settings, latent, 0, 6, "disable")[0]["samples"]
    torch.testing.assert_close(stages, single, rtol=0, atol=1e-5)
    euler = 6, 1.0, "euler", "simple", base, base
    single = KSampler().sample(patched, 3, *euler, latent)[0]["samples"]
    first = advanced.sample(patched, "enable", 3, *euler, latent, 0, 3, "enable")[0]
    second = advanced.sample(patched, "disable", 3, *euler, first, 3, 6, "disable")[0]["samples"]
    torch.testing.assert_close(second, single, rtol=0, atol=1e-4)


@pytest.mark.feature("denoise below 1", "Hard Binding")
def test_fresh_noise_at_denoise_below_1_is_bound(model, texts, setting):
    base, noise, sigmas = setting
    latent = noise_for(16, 24, seed=1)
    bound = add_spec(model, Binding(regions(texts, (LEFT, "H0")), 1))
    latents, _ = run(basic_guider(bound, base), noise, sigmas[2:], latent=latent)
    alone, _ = run(
        basic_guider(model, conditioning(texts, "H0")),
        noise[..., :12],
        sigmas[2:],
        latent=latent[..., :12].clone(),
    )
    torch.testing.assert_close(latents[:2, ..., :12], alone[:2], rtol=0, atol=1e-4)


def test_a_lora_works_before_and_after_the_regions(model, texts, setting):
    """What LoraLoaderModelOnly does: weight patches on a clone of the MODEL."""

    def with_lora(model):
        patched = model.clone()
        weight = model.model.diffusion_model.img_in.weight
        change = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * 0.02
        assert patched.add_patches({"diffusion_model.img_in.weight": ("diff", (change,))}, 0.8)
        return patched

    stock, bare = sample(model, *setting), sample(full(model, texts), *setting)
    before = sample(full(with_lora(model), texts), *setting)
    assert torch.equal(sample(with_lora(full(model, texts)), *setting), before)
    assert (before - bare).abs().max() > 1e-3
    assert torch.equal(sample(model, *setting), stock)


# ControlNets


class Hint(comfy.controlnet.ControlBase):
    """A ControlNet that adds the mean of each token's part of its hint to the image states of block 0."""

    def __init__(self, seen: list):
        super().__init__()
        self.seen = seen

    def copy(self):
        copy = Hint(self.seen)
        self.copy_to(copy)
        return copy

    def get_control(self, x, t, cond, batched_number, transformer_options):
        assert self.timestep_range is not None, "pre_run was not called"
        rows, columns = -(-x.shape[-2] // 2), -(-x.shape[-1] // 2)
        hint = comfy.utils.common_upscale(self.cond_hint_original, columns, rows, "area", "center")
        self.seen.append((tuple(x.shape[-2:]), hint))
        added = hint.mean(1).flatten(1)[..., None].repeat(x.shape[0], 1, 64)
        return {"input": [added], "output": []}


def hinted(seen: list, image: torch.Tensor):
    return Hint(seen).set_cond_hint(image)


@pytest.mark.feature("ControlNet on the base prompt", "Hard Binding")
@pytest.mark.parametrize(
    "size", [(128, 192), (256, 384), (256, 256)], ids=["1 to 1", "twice as large", "square"]
)
def test_the_hint_of_a_bound_region_is_its_part_of_the_hint(model, texts, setting, size):
    base, noise, sigmas = setting
    seen: list = []
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    control = conditioning(texts, "G0", control=hinted(seen, image))
    box = Box(1 / 3, 0.25, 1 / 3, 0.5)
    sample(add_spec(model, Binding(regions(texts, (box, "H0")), 1)), control, noise, sigmas)
    (part,) = [hint for shape, hint in seen if shape == (8, 8)]
    whole = next(hint for shape, hint in seen if shape == (16, 24))
    torch.testing.assert_close(part, whole[..., 2:6, 4:8], rtol=0, atol=0.02 if size == (256, 256) else 1e-6)


@pytest.mark.feature("ControlNet on a region, another on the negative", "Hard Binding")
def test_controls_of_their_own_on_region_and_negative_run(model, texts, setting):
    base, noise, sigmas = setting
    seen: list = []
    image = torch.rand(1, 3, 128, 192)
    positive = conditioning(texts, "G0", control=hinted(seen, image))
    negative = conditioning(texts, "G1", control=hinted(seen, 1 - image))
    own = (Region(LEFT, conditioning(texts, "H0", control=hinted(seen, image * 0.5))),)
    guider = cfg_guider(add_spec(model, Binding(own, 1)), positive, negative, 3.0)
    latents, _ = run(guider, noise, sigmas)
    assert latents.isfinite().all()
    crops = [float(hint.mean()) for shape, hint in seen if shape == (16, 12)]
    half = [float(part[..., :96].mean()) for part in (1 - image, image * 0.5)]
    assert sorted(crops) == pytest.approx(sorted(half), abs=1e-3)


@pytest.mark.feature("ControlNet on the base prompt", "Soft Refinement")
def test_a_control_on_single_blocks_reaches_both_image_streams(model, texts, setting):
    """The same text everywhere, in two streams, is the plain run with that control."""
    base, noise, sigmas = setting

    class Single(Hint):
        def copy(self):
            return Single(self.seen)

        def get_control(self, x, t, cond, batched_number, transformer_options):
            generator = torch.Generator().manual_seed(1)
            return {"input": [], "output": [torch.randn(1, 96, 64, generator=generator) for _ in range(3)]}

    control = conditioning(texts, "G0", control=Single([]))
    cells = regions(texts, (CELLS[0], "G0"), (CELLS[1], "G0"))
    refined = sample(add_spec(model, Refinement(cells, 0.5)), control, noise, sigmas)
    stock = sample(model, control, noise, sigmas)
    torch.testing.assert_close(refined, stock, rtol=0, atol=1e-4)
    assert (stock - sample(model, base, noise, sigmas)).abs().max() > 0.1


# The MODEL stays as it was


def test_a_model_without_its_regions_is_the_stock_model(model, texts, setting):
    bare = plain(full(model, texts))
    assert torch.equal(sample(bare, *setting), sample(model, *setting))
    assert plain(model) is model


def test_a_finished_run_leaves_the_model_stock(model, texts, setting):
    before = sample(model, *setting)
    options = repr(model.model_options)
    sample(full(model, texts), *setting)
    assert torch.equal(sample(model, *setting), before)
    assert repr(model.model_options) == options


@pytest.mark.parametrize(
    "error", [RuntimeError("boom"), comfy.model_management.InterruptProcessingException()]
)
@pytest.mark.parametrize("evaluation", [1, 2, 5])
def test_a_run_that_fails_or_is_interrupted_leaves_the_model_stock(model, texts, setting, error, evaluation):
    before = sample(model, *setting)
    patched, calls = full(model, texts), 0

    def failing(apply, args):
        nonlocal calls
        calls += 1
        if calls == evaluation:
            raise error
        return apply(args["input"], args["timestep"], **args["c"])

    patched.set_model_unet_function_wrapper(failing)
    with pytest.raises(type(error)):
        sample(patched, *setting)
    assert torch.equal(sample(model, *setting), before)
    good = sample(full(model, texts), *setting)
    assert torch.equal(good, sample(full(model, texts), *setting))


def test_inputs_are_not_changed(model, texts, setting):
    base, noise, sigmas = setting
    conditions, cells = boxes(texts), two(texts)
    before = (
        [dict(region.conditioning[0][1]) for region in (*conditions, *cells)],
        dict(base[0][1]),
        noise.clone(),
    )
    sample(full(model, texts), *setting)
    after = [dict(region.conditioning[0][1]) for region in (*conditions, *cells)], dict(base[0][1]), noise
    assert [d.keys() for d in before[0]] == [d.keys() for d in after[0]]
    assert before[1].keys() == after[1].keys() and torch.equal(before[2], after[2])


# Bad input


def test_a_family_without_an_adapter_is_refused_for_refinement_by_name(texts):
    class Stranger:
        model = type("AuraFlow", (), {})()

    with pytest.raises(
        ValueError, match=r"family AuraFlow, for which Soft Refinement has no adapter; supported: FLUX\.1"
    ):
        add_spec(Stranger(), Refinement(two(texts), 1.0))


def test_a_family_without_an_adapter_is_bound_without_features(model, texts, setting, caplog, monkeypatch):
    monkeypatch.setattr("rag_pack.rag_sampler.networks.FAMILIES", ())
    region = regions(texts, (LEFT, "H0"))
    bound = sample(add_spec(model, Binding(region, 2)), *setting)
    assert "features are not bound: there is no adapter for the family FLUX.1" in caplog.text
    monkeypatch.undo()
    assert torch.equal(bound, sample(add_spec(model, Binding(region, 2, features=False)), *setting))


def test_a_network_of_its_own_is_bound_without_features_and_refused_for_refinement(texts, setting):
    """A loader that puts its own network under ComfyUI's class, as nunchaku does."""

    class Wrapper(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.hidden, self.dtype = [network], network.dtype

        def forward(self, *args, transformer_options, **kwargs):
            return self.hidden[0](*args, transformer_options={}, **kwargs)

    model = load_tiny()
    region = regions(texts, (LEFT, "H0"))
    expected = sample(add_spec(model, Binding(region, 2, features=False)), *setting)
    model.model.diffusion_model = Wrapper(model.model.diffusion_model)
    bound = sample(add_spec(model, Binding(region, 2)), *setting)
    torch.testing.assert_close(bound, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="family FLUX.1 as Wrapper"):
        add_spec(model, Refinement(region, 1.0))


def test_a_forward_that_never_reaches_us_is_an_error(model, texts, setting):
    patched = add_spec(model, Refinement(two(texts), 1.0))
    patched.set_model_unet_function_wrapper(
        lambda apply, args: model.model._apply_model(
            args["input"], args["timestep"], **{k: v for k, v in args["c"].items() if k != "rag_texts"}
        )
    )
    with pytest.raises(RuntimeError, match="Soft Refinement had no effect"):
        sample(patched, *setting)


def test_a_batch_of_conditions_that_names_no_entries_is_an_error(model, texts, setting):
    patched = full(model, texts)

    def nameless(apply, args):
        options = {k: v for k, v in args["c"]["transformer_options"].items() if k != "uuids"}
        return apply(args["input"], args["timestep"], **{**args["c"], "transformer_options": options})

    patched.set_model_unet_function_wrapper(nameless)
    with pytest.raises(RuntimeError, match="which conditioning each of its rows belongs to"):
        sample(patched, *setting)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 16, 2, 16, 24), "holds 2 frames.*not on video"), ((1, 16, 24), "has the shape")],
)
def test_a_latent_that_is_no_picture_is_refused(model, texts, setting, shape, message):
    base, _, sigmas = setting
    with pytest.raises(ValueError, match=f"the latent {message}"):
        sample(full(model, texts), base, torch.randn(shape), sigmas)


@pytest.mark.feature("guider without a positive prompt", "both", found="error")
def test_a_guider_without_a_positive_prompt_is_refused(model, texts, setting):
    base, noise, sigmas = setting
    guider = comfy.samplers.CFGGuider(add_spec(model, Binding(boxes(texts), 1)))
    guider.inner_set_conds({"low": base, "main": base})
    with pytest.raises(ValueError, match="has the prompts low, main and none called positive"):
        run(guider, noise, sigmas)


def test_a_hidden_region_is_named_in_the_log(model, texts, setting, caplog):
    twice = regions(texts, (CELLS[0], "S0"), (CELLS[0], "S1"), (CELLS[1], "S2"))
    sample(add_spec(model, Refinement(twice, 1.0)), *setting)
    assert 'Soft Refinement Attention: region 1 of 3 ("S0") is hidden by later regions' in caplog.text


@pytest.mark.parametrize("bound, steps, warned", [(1, 1, False), (1, 4, False), (2, 4, True), (2, 8, False)])
def test_binding_more_than_a_quarter_of_the_steps_is_warned_of(
    model, texts, setting, caplog, monkeypatch, bound, steps, warned
):
    """Of a network as large as those that people use."""
    monkeypatch.setattr(binding, "SMALL", 0)
    base, noise, _ = setting
    sample(add_spec(model, Binding(boxes(texts), bound)), base, noise, schedule(model, steps))
    assert (f"Hard Binding binds {bound} of {steps} steps, more than a quarter" in caplog.text) == warned


def test_a_region_under_a_token_fails_before_the_first_step(model, texts, setting):
    small = regions(texts, (LEFT, "H0"), (Box(0, 0, 0.05, 0.5), "H1"))
    with pytest.raises(LayoutError, match=r'^Hard Binding: region 2 of 2 \("H1"\) is 10 × 64 pixels'):
        sample(add_spec(model, Binding(small, 1)), *setting)


def test_attention_that_bypasses_the_hook_is_an_error(model, texts, setting, monkeypatch):
    monkeypatch.setattr(
        "comfy.ldm.flux.math.optimized_attention", lambda q, k, v, heads, **kw: v.transpose(1, 2).flatten(2)
    )
    with pytest.raises(RuntimeError, match="does not pass through ComfyUI's attention hook"):
        sample(add_spec(model, Refinement(two(texts), 1.0)), *setting)


@pytest.mark.feature("sampler_calc_cond_batch_function of another node", "both", found="error")
def test_a_foreign_batch_of_conditions_is_an_error(model, texts, setting):
    patched = full(model, texts)
    patched.set_model_sampler_calc_cond_batch_function(
        lambda args: comfy.samplers._calc_cond_batch(
            args["model"], args["conds"], args["input"], args["sigma"], args["model_options"]
        )
    )
    with pytest.raises(RuntimeError, match="sampler_calc_cond_batch_function"):
        sample(patched, *setting)


@pytest.mark.feature("refined text with {message}", "Soft Refinement", found="error")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"control": object()}, "a ControlNet"),
        ({"area": (1, 1, 0, 0)}, "an area"),
    ],
)
def test_what_a_refinement_text_cannot_carry_is_refused(texts, options, message):
    region = Region(LEFT, conditioning(texts, "S0", **options))
    with pytest.raises(ValueError, match=f"region 1 of 1 carries {message}"):
        Refinement((region,), 1.0)


def test_a_time_range_of_all_the_sampling_is_no_schedule(model, texts, setting):
    """As Set Timestep Range and every text of a prompt schedule say it."""
    ranged = (Region(WHOLE, conditioning(texts, "S0", start_percent=0.0, end_percent=1.0)),)
    plain_text = (Region(WHOLE, conditioning(texts, "S0")),)
    one, other = (sample(add_spec(model, Refinement(r, 1.0)), *setting) for r in (ranged, plain_text))
    assert torch.equal(one, other)


def test_a_text_of_another_encoder_is_refused(model, texts, setting):
    foreign = (Region(LEFT, [[torch.zeros(1, 77, 24), {}]]),)
    with pytest.raises(
        ValueError, match="^Soft Refinement Attention: .* has 24 channels and the base prompt's has 32"
    ):
        sample(add_spec(model, Refinement(foreign, 1.0)), *setting)
