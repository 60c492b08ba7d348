"""Redux-style conditioning: a longer text with a bias on its image tokens, in binding and in refinement."""

import pytest
import torch
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from tiny import basic_guider, cfg_guider, conditioning, noise_for, run, sample, schedule

WHOLE = Cell(0, 0, 1, 1)
STEPS, EXTRA = 4, 9


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)


def redux(texts, key: str, strength: float | None) -> list:
    """What StyleModelApply makes: tokens appended to the text, and for attn_bias a mask on them."""
    ((text, options),) = conditioning(texts, key)
    image = torch.randn(1, EXTRA, text.shape[2], generator=torch.Generator().manual_seed(5))
    longer, count = torch.cat((text, image), 1), text.shape[1]
    if strength is None:
        return [[longer, options]]
    mask = torch.zeros(1, count + EXTRA + 1, count + EXTRA + 1)
    mask[:, :count, count:-1] = mask[:, -1:, count:-1] = torch.log(torch.tensor(strength))
    return [[longer, {**options, "attention_mask": mask, "attention_mask_img_shape": (1, 1)}]]


@pytest.mark.feature("Redux, with and without a mask of its own", "Hard Binding")
@pytest.mark.parametrize("strength", [None, 0.3])
def test_a_bound_region_is_the_stock_run_with_it(model, texts, setting, strength):
    base, noise, sigmas = setting
    region = Region(Box(0, 0, 0.5, 1), redux(texts, "H0", strength))
    _, predictions = run(
        basic_guider(add_spec(model, Binding((region,), 1, features=False)), base), noise, sigmas
    )
    _, alone = run(basic_guider(model, redux(texts, "H0", strength)), noise[..., :12], sigmas)
    torch.testing.assert_close(predictions[0][..., :12], alone[0], rtol=0, atol=1e-5)


@pytest.mark.feature("Redux, with and without a mask of its own", "Soft Refinement")
@pytest.mark.parametrize("strength", [None, 0.3])
def test_one_refined_cell_is_the_stock_run_with_it(model, texts, setting, strength):
    base, noise, sigmas = setting
    own = redux(texts, "S0", strength)
    refined = sample(add_spec(model, Refinement((Region(WHOLE, own),), 1.0)), *setting)
    stock = [[own[0][0], {**own[0][1], "pooled_output": base[0][1]["pooled_output"]}]]
    torch.testing.assert_close(refined, sample(model, stock, noise, sigmas), rtol=0, atol=1e-5)


def test_the_bias_matters_and_stays_in_its_cell(model, texts, setting):
    cells = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)

    def first_block(strength: float) -> torch.Tensor:
        regions = Region(cells[0], redux(texts, "S0", strength)), Region(cells[1], redux(texts, "S1", None))
        return sample(add_spec(model, Refinement(regions, 0.5)), *setting)

    assert not torch.allclose(first_block(0.2), first_block(1.0), atol=1e-3)


def test_the_base_prompts_mask_is_kept_on_a_regions_crop(model, texts, setting):
    """With cfg the negative runs on the region's crop with its own mask, as the stock run of that crop does."""
    base, noise, sigmas = setting
    negative = redux(texts, "G1", 0.3)
    region = Region(Box(0, 0, 0.5, 1), conditioning(texts, "H0"))
    bound = add_spec(model, Binding((region,), 1, features=False))
    _, predictions = run(cfg_guider(bound, base, negative, 3.0), noise, sigmas)
    _, alone = run(cfg_guider(model, conditioning(texts, "H0"), negative, 3.0), noise[..., :12], sigmas)
    torch.testing.assert_close(predictions[0][..., :12], alone[0], rtol=0, atol=1e-5)


def mask_of(texts, keep: torch.Tensor, key: str, dtype: torch.dtype) -> list:
    """A conditioning whose text and image tokens see what `keep` says, [T + image, T + image]."""
    ((text, options),) = conditioning(texts, key)
    mask = (
        keep if dtype == torch.bool else torch.zeros(keep.shape).masked_fill(~keep, float("-inf")).to(dtype)
    )
    return [[text, {**options, "attention_mask": mask[None], "attention_mask_img_shape": (8, 12)}]]


@pytest.fixture
def keep(texts) -> torch.Tensor:
    """A mask that hides the first thirty tokens of the text from all but themselves."""
    length = texts["t5.S0"].shape[1] + 8 * 12
    keep = torch.ones(length, length, dtype=torch.bool)
    keep[:, :30] = False
    keep[range(30), range(30)] = True
    return keep


def test_a_mask_of_true_and_false_hides_what_an_additive_one_hides(model, texts, setting, keep):
    both = [
        sample(add_spec(model, spec((Region(WHOLE, mask_of(texts, keep, "S0", dtype)),), 1)), *setting)
        for spec in (Refinement, Binding)
        for dtype in (torch.bool, torch.float32)
    ]
    for of_bools, of_floats in (both[:2], both[2:]):
        torch.testing.assert_close(of_bools, of_floats, rtol=0, atol=1e-5)
    free = sample(add_spec(model, Refinement((Region(WHOLE, conditioning(texts, "S0")),), 1.0)), *setting)
    assert (both[0] - free).abs().max() > 1e-3


def test_a_mask_of_the_text_alone_is_none_of_the_picture(model, texts, setting):
    """As the encoders of FLUX.2, Z-Image and Anima hand it on, [1, T]; stock FLUX does not read it either."""
    base, noise, sigmas = setting
    ((text, options),) = conditioning(texts, "S0")
    masked = [[text, {**options, "attention_mask": torch.ones(1, text.shape[1], dtype=torch.long)}]]
    for spec in (Binding((Region(WHOLE, masked),), STEPS), Refinement((Region(WHOLE, masked),), 1.0)):
        plain = type(spec)((Region(WHOLE, [[text, options]]),), STEPS if isinstance(spec, Binding) else 1.0)
        ours = sample(add_spec(model, spec), masked, noise, sigmas)
        assert torch.equal(ours, sample(add_spec(model, plain), masked, noise, sigmas))


def test_the_mask_of_a_region_is_moved_once_a_forward(model, texts, setting, keep, monkeypatch):
    region = Region(WHOLE, mask_of(texts, keep, "S0", torch.float64))
    patched, moves, move = add_spec(model, Refinement((region,), 1.0)), [], torch.Tensor.to

    def watched(tensor, *args, **kwargs):
        if tensor.shape == keep.shape:
            moves.append(args)
        return move(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", watched)
    sample(patched, *setting)
    assert len(moves) == STEPS
