"""Each family of models on a tiny random checkpoint: identities of refinement and binding with stock runs."""

import families
import pytest
import torch
from rag_pack.nodes.repaint import RAGRepaint
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.record import TRAJECTORY
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.repaint import NewRegion, repaint
from rag_pack.rag_sampler.sampling import Settings, with_regions
from rag_pack.rag_sampler.sampling import sample as sample_latent
from tiny import basic_guider, cfg_guider, run, sample, schedule

NAMES = [*families.CONFIGS, "Chroma", "Chroma Radiance", "LongCat-Image"]
STEPS = 4
ROWS, COLUMNS = 6, 8
WHOLE, LEFT, RIGHT = Cell(0, 0, 1, 1), Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)


@pytest.fixture(scope="module", params=NAMES)
def family(request, tmp_path_factory):
    """Name, MODEL, base prompt, noise and schedule."""
    with torch.inference_mode():
        model = families.load(request.param, tmp_path_factory.mktemp("models"))
        options = {}
        if request.param == "FLUX.1-Fill":
            picture = torch.randn(1, 16, 2 * ROWS, 2 * COLUMNS, generator=torch.Generator().manual_seed(9))
            mask = torch.zeros(1, 1, 16 * ROWS, 16 * COLUMNS)
            mask[..., 32:, 16:] = 1
            options = {"concat_latent_image": picture, "concat_mask": mask}
        base = families.conditioning(1, **options)
        return request.param, model, base, families.noise(model, ROWS, COLUMNS), schedule(model, STEPS)


def of_text(base: list, conditioning: list) -> list:
    """A text with the base prompt's other options."""
    return [[conditioning[0][0], base[0][1]]]


def test_delta_0_is_the_stock_run(family):
    _, model, base, noise, sigmas = family
    cells = (Region(LEFT, families.conditioning(2)), Region(RIGHT, families.conditioning(3)))
    refined = sample(add_spec(model, Refinement(cells, 0.0)), base, noise, sigmas)
    assert torch.equal(refined, sample(model, base, noise, sigmas))


def test_one_cell_over_the_picture_is_the_stock_run_with_its_text(family):
    _, model, base, noise, sigmas = family
    own = families.conditioning(2, tokens=27)
    refined = sample(add_spec(model, Refinement((Region(WHOLE, own),), 1.0)), base, noise, sigmas)
    stock = sample(model, of_text(base, own), noise, sigmas)
    torch.testing.assert_close(refined, stock, rtol=0, atol=1e-5)
    assert not torch.allclose(stock, sample(model, base, noise, sigmas), atol=1e-2)


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_the_same_text_everywhere_is_the_stock_run(family, delta, published):
    """Every text's positions begin anew, where the family has any; the fork is dropped at the end."""
    _, model, base, noise, sigmas = family
    cells = tuple(Region(cell, families.conditioning(1)) for cell in (LEFT, RIGHT))
    refined = sample(add_spec(model, Refinement(cells, delta, published=published)), base, noise, sigmas)
    torch.testing.assert_close(refined, sample(model, base, noise, sigmas), rtol=0, atol=2e-5)


def test_texts_of_cells_matter(family):
    _, model, base, noise, sigmas = family
    texts = families.conditioning(2), families.conditioning(3)
    one, other = (
        tuple(Region(cell, text) for cell, text in zip((LEFT, RIGHT), order, strict=True))
        for order in (texts, texts[::-1])
    )
    runs = [sample(add_spec(model, Refinement(cells, 0.5)), base, noise, sigmas) for cells in (one, other)]
    assert all(torch.isfinite(r).all() for r in runs)
    assert not torch.allclose(*runs, atol=1e-3)


def test_a_box_over_the_picture_is_the_stock_run_with_its_prompt(family):
    _, model, base, noise, sigmas = family
    own = families.conditioning(4, tokens=31)
    bound = sample(add_spec(model, Binding((Region(Box(0, 0, 1, 1), own),), STEPS)), base, noise, sigmas)
    inherited = {k: v for k, v in base[0][1].items() if k.startswith("concat")}
    stock = sample(model, [[own[0][0], {**own[0][1], **inherited}]], noise, sigmas)
    torch.testing.assert_close(bound, stock, rtol=0, atol=1e-5)


def test_a_bound_box_is_the_stock_run_of_its_crop(family):
    name, model, base, noise, sigmas = family
    own = families.conditioning(4)
    spec = Binding((Region(Box(0, 0, 0.5, 1), own),), 1, features=False)
    _, predictions = run(basic_guider(add_spec(model, spec), base), noise, sigmas)
    half = noise.shape[-1] // 2
    options = own[0][1]
    if name == "FLUX.1-Fill":
        given = base[0][1]
        options = {
            **options,
            "concat_latent_image": given["concat_latent_image"][..., :half],
            "concat_mask": given["concat_mask"][..., : given["concat_mask"].shape[-1] // 2],
        }
    _, alone = run(basic_guider(model, [[own[0][0], options]]), noise[..., :half], sigmas)
    torch.testing.assert_close(predictions[0][..., :half], alone[0], rtol=0, atol=1e-5)


def test_binding_and_refinement_with_a_negative(family):
    """True CFG, as Chroma wants it: both orders of the nodes agree, and everything is finite."""
    _, model, base, noise, sigmas = family
    cells = (Region(LEFT, families.conditioning(2)), Region(RIGHT, families.conditioning(3)))
    boxes = (Region(Box(0, 0, 0.5, 0.5), families.conditioning(4)),)
    binding, refinement = Binding(boxes, 2), Refinement(cells, 0.5)
    negative = of_text(base, families.conditioning(5))
    runs = [
        run(cfg_guider(add_spec(add_spec(model, a), b), base, negative, 3.0), noise, sigmas)[0]
        for a, b in ((binding, refinement), (refinement, binding))
    ]
    assert torch.equal(*runs) and torch.isfinite(runs[0]).all()


def test_repaint_changes_the_masked_tokens_alone(family):
    _, model, base, noise, _ = family
    settings = Settings(0, STEPS, 1.0, "euler", "simple")
    cells = Refinement((Region(LEFT, families.conditioning(2)), Region(RIGHT, families.conditioning(3))), 0.5)
    latent = {"samples": torch.zeros_like(noise)}
    prior = sample_latent(
        with_regions(model, None, cells), latent, base, base, settings, keep_for_repaint=True
    )
    inside = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    inside[1:5, 2:6] = True
    new = of_text(base, families.conditioning(4)), of_text(base, families.conditioning(5))
    result = repaint(model, prior, NewRegion(inside, new[0], 2, True), new[1], base, settings, cells)
    side = noise.shape[-1] // COLUMNS
    pixels = inside.repeat_interleave(side, 0).repeat_interleave(side, 1)
    assert torch.equal(result["samples"][..., ~pixels], prior["samples"][..., ~pixels])
    assert (result["samples"] - prior["samples"])[..., pixels].abs().mean() > 0.1
    assert TRAJECTORY in result  # beside the record


@pytest.mark.parametrize("name", ["FLUX.1-dev", "FLUX.2-dev"])
def test_the_repaint_node_paints_the_masked_pixels(name, tmp_path):
    """A latent pixel is 8 pixels of the picture on FLUX.1, and 16 on FLUX.2."""
    model = families.load(name, tmp_path)
    base, settings = families.conditioning(1), (0, STEPS, 1.0, "euler", "simple")
    latent = {"samples": torch.zeros_like(families.noise(model, ROWS, COLUMNS))}
    prior = sample_latent(model, latent, base, base, Settings(*settings), keep_for_repaint=True)
    mask = torch.zeros(1, 16 * ROWS, 16 * COLUMNS)
    mask[:, 16:64, 32:96] = 1
    painted, used = RAGRepaint.execute(
        model, prior, mask, base, base, 1.0, *settings, 2, 0, True, conditioning=families.conditioning(3)
    ).result
    assert torch.equal(used, mask)
    side = prior["samples"].shape[-1] // COLUMNS
    changed = (painted["samples"] != prior["samples"]).any(1)[0]
    assert torch.equal(changed, mask[0, :: 16 // side, :: 16 // side] > 0)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, method) for name in ("FLUX.1-dev", "FLUX.2-dev") for method in ("offset", "index", "uxo")),
        ("FLUX.2-dev", "index_timestep_zero"),  # stock FLUX.1 cannot
    ],
)
@pytest.mark.parametrize(("delta", "published"), [(0.5, True), (0.5, False), (1.0, True)])
def test_the_same_text_everywhere_is_the_stock_run_with_a_reference(
    name, method, delta, published, tmp_path, caplog
):
    """References at timestep zero leave no room for the fork: one stream, and a warning."""
    model = families.load(name, tmp_path)
    reference = torch.randn(families.noise(model, 4, 4).shape, generator=torch.Generator().manual_seed(6))
    base = families.conditioning(1, reference_latents=[reference], reference_latents_method=method)
    noise, sigmas = families.noise(model, ROWS, COLUMNS), schedule(model, STEPS)
    cells = tuple(Region(cell, families.conditioning(1)) for cell in (LEFT, RIGHT))
    refined = sample(add_spec(model, Refinement(cells, delta, published=published)), base, noise, sigmas)
    stock = sample(model, base, noise, sigmas)
    torch.testing.assert_close(refined, stock, rtol=0, atol=2e-5)
    one_stream = method == "index_timestep_zero" and delta < 1 and published
    assert ("one stream is used" in caplog.text) == one_stream


@pytest.mark.feature("Flux KV Cache", "Soft Refinement", found="error")
@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_tokens_that_another_node_removes_are_an_error(delta, tmp_path):
    """From the second forward on Flux KV Cache keeps the references out of the sequence."""
    FluxKVCache = pytest.importorskip("comfy_extras.nodes_flux").__dict__.get("FluxKVCache")
    if FluxKVCache is None:
        pytest.skip("this ComfyUI has no Flux KV Cache")
    model = families.load("FLUX.2-Klein", tmp_path)
    reference = torch.randn(1, 128, 4, 4, generator=torch.Generator().manual_seed(6))
    base = families.conditioning(1, reference_latents=[reference])
    noise, sigmas = families.noise(model, ROWS, COLUMNS), schedule(model, STEPS)
    cells = tuple(Region(cell, families.conditioning(1)) for cell in (LEFT, RIGHT))
    patched = add_spec(FluxKVCache.execute(model).result[0], Refinement(cells, delta))
    with pytest.raises(RuntimeError, match=r"called with \d+ queries and \d+ keys.*Flux KV Cache"):
        sample(patched, base, noise, sigmas)


@pytest.mark.feature("reference latent (Kontext)", "Hard Binding")
@pytest.mark.feature("reference latent (Kontext)", "Soft Refinement")
def test_a_reference_latent_is_kept_whole(tmp_path):
    """Kontext: the reference's tokens follow the picture's and belong to no cell."""
    with torch.inference_mode():
        model = families.load("FLUX.1-dev", tmp_path)
        reference = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(6))
        base = families.conditioning(1, reference_latents=[reference])
        noise, sigmas = families.noise(model, ROWS, COLUMNS), schedule(model, STEPS)
        cells = tuple(Region(cell, families.conditioning(1)) for cell in (LEFT, RIGHT))
        refined = sample(add_spec(model, Refinement(cells, 0.5)), base, noise, sigmas)
        torch.testing.assert_close(refined, sample(model, base, noise, sigmas), rtol=0, atol=2e-5)
        own = families.conditioning(2)
        bound = sample(add_spec(model, Binding((Region(Box(0, 0, 1, 1), own),), STEPS)), base, noise, sigmas)
        stock = sample(model, [[own[0][0], {**own[0][1], "reference_latents": [reference]}]], noise, sigmas)
        torch.testing.assert_close(bound, stock, rtol=0, atol=1e-5)
