"""Repaint: equal to the published code, exact outside the mask, and never an error for want of a record."""

import gc
import json
import weakref

import comfy.sd
import numpy as np
import pytest
import torch
from comfy.controlnet import ControlBase
from PIL import Image
from rag_pack.nodes.repaint import RAGRepaint
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.record import TRAJECTORY, OutOfStep, Replay
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.picture import Picture
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.repaint import NewRegion, mask_tokens, repaint
from rag_pack.rag_sampler.sampling import Settings, sample, with_regions
from safetensors.torch import load_file
from test_parity import specs
from tiny import GOLDEN, LOADERS, REPO, conditioning, load_tiny

CASES = {case["name"]: case for case in json.loads((GOLDEN / "repaint_cases.json").read_text())}
MASKS = json.loads((GOLDEN / "repaint_masks.json").read_text())


@pytest.fixture(scope="module")
def models():
    return {name: load() for name, load in LOADERS.items()}


@pytest.mark.parametrize("name", CASES)
def test_every_step_equals_the_published_one(name, models):
    case, model = CASES[name], models[CASES[name]["weights"]]
    texts = load_file(GOLDEN / case["text_file"])
    stored = load_file(GOLDEN / "repaint" / f"{name}.safetensors")
    asked = case["repaint"]
    found = specs(case, texts)
    binding = next((spec for spec in found if isinstance(spec, Binding)), None)
    refinement = next(spec for spec in found if isinstance(spec, Refinement))
    settings = Settings(0, case["steps"], 1.0, "euler", "simple")

    def prompt(key):
        return conditioning(texts, key, guidance=case["guidance"])

    prior = sample(
        with_regions(model, binding, refinement), {"samples": torch.zeros_like(stored["noise"])},
        prompt(case["prompt"]), prompt(case["prompt"]), settings,
        keep_for_repaint=True, noise=stored["noise"], sigmas=stored["sigmas"],
    )  # fmt: skip
    new_cells = specs({**case, "SR_prompt": asked["Repainting_SR_prompt"]}, texts)[-1]
    region = NewRegion(
        stored["mask_tokens"] > 0, prompt(asked["Repainting_HB_prompt"]), asked["Repainting_HB_replace"],
        bool(asked["Repainting_single"]),
    )  # fmt: skip
    result = repaint(
        model, prior, region, prompt(asked["Repainting_prompt"]), prompt(asked["Repainting_prompt"]), settings,
        new_cells, noise=stored["region_noise"],
    )  # fmt: skip
    record = result[TRAJECTORY]
    steps = [e.x for e in record.evaluations[asked["Repainting_HB_replace"] :]]
    final = model.model.process_latent_in(result["samples"])
    ours = torch.cat([*steps, final])
    assert float((ours - stored["latents"]).abs().max()) <= 1e-4


DITHERED = {
    "masks/k_grey_256.png-1024x1024": 652,
    "masks/k_grey_256.png-768x512": 226,
    "masks/k_two_256.png-1024x1024": 544,
}
"""Masks of another size than the picture whose border the published code dithers away, and our tokens."""


@pytest.mark.parametrize("case", MASKS, ids=lambda c: f"{c['mask']}-{c['width']}x{c['height']}")
def test_masks_are_the_published_tokens(case):
    pixels = np.asarray(Image.open(GOLDEN / case["mask"]).convert("L"))
    white = torch.from_numpy((pixels <= 128).astype(np.float32))  # published: black is painted anew
    if "error" in case:
        with pytest.raises(ValueError, match="mask is empty|mask covers no token"):
            mask_tokens(white, Picture.of_pixels(case["width"], case["height"]), grow=10)
        return
    inside = mask_tokens(white, Picture.of_pixels(case["width"], case["height"]), grow=10)
    box, name = case["bbox_tokens"], f"{case['mask']}-{case['width']}x{case['height']}"
    published = torch.zeros_like(inside)
    rows = torch.tensor([[cell == "1" for cell in row] for row in case["rows"]])
    published[box["y0"] : box["y0"] + box["h"], box["x0"] : box["x0"] + box["w"]] = rows
    if name in DITHERED:
        assert int(inside.sum()) == DITHERED[name] and (inside | ~published).all()
    else:
        assert torch.equal(inside, published)


SIZE = (16, 24)
SAMPLERS = [
    "euler", "heun", "dpmpp_2m", "dpmpp_2m_sde", "res_multistep", "euler_ancestral", "lcm", "uni_pc", "er_sde",
    "ddim", "deis", "dpm_adaptive",
]  # fmt: skip
HELD_BY_MASK = {"dpm_adaptive"}
"""Samplers whose evaluations follow the whole picture, so that two runs never line up."""


@pytest.fixture
def region(texts):
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[2:6, 5:10] = True
    inside[2, 5] = False
    return NewRegion(inside, conditioning(texts, "RH"), 2, True)


def pixels(region: NewRegion) -> torch.Tensor:
    return region.inside.repeat_interleave(2, 0).repeat_interleave(2, 1)


def cells(texts, key: str, delta: float = 0.5) -> Refinement:
    shapes = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)
    return Refinement(
        tuple(Region(s, conditioning(texts, k)) for s, k in zip(shapes, ("S0", key), strict=True)), delta
    )


def make(model, texts, settings, batch=1, keep=True) -> dict:
    """A picture with two bound regions and two cells."""
    boxes = Box(0, 0.1, 0.4, 0.8), Box(0.55, 0.2, 0.4, 0.7)
    bound = Binding(
        tuple(Region(b, conditioning(texts, k)) for b, k in zip(boxes, ("H0", "H1"), strict=True)), 2
    )
    return sample(
        with_regions(model, bound, cells(texts, "S1")), {"samples": torch.zeros(batch, 16, *SIZE)},
        conditioning(texts, "G0"), conditioning(texts, "G1"), settings, keep_for_repaint=keep,
    )  # fmt: skip


def paint(model, texts, prior, region, settings, key="RG"):
    return repaint(
        model,
        prior,
        region,
        conditioning(texts, key),
        conditioning(texts, "G1"),
        settings,
        cells(texts, "R1"),
    )


def assert_only_inside_changed(result, prior, region):
    inside, new, old = pixels(region), result["samples"], prior["samples"]
    assert new.dtype == old.dtype and new.isfinite().all()
    assert torch.equal(new[..., ~inside], old[..., ~inside])
    assert (new[..., inside] - old[..., inside]).abs().mean() > 0.1


@pytest.mark.feature("sampler {sampler}", "Repaint")
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_everything_outside_stays_to_the_bit(model, texts, region, sampler, cfg, caplog):
    settings = Settings(5, 6, cfg, sampler, "simple")
    prior = make(model, texts, settings)
    with caplog.at_level("INFO"):
        result = paint(model, texts, prior, region, settings)
    assert_only_inside_changed(result, prior, region)
    beside = "beside the record" in caplog.text and "without the record" not in caplog.text
    assert beside == (sampler not in HELD_BY_MASK), caplog.text
    assert (TRAJECTORY in result) == beside


@pytest.mark.feature("batch of 2", "Repaint")
def test_batches(model, texts, region):
    settings = Settings(5, 5, 1.0, "dpmpp_2m", "simple")
    prior = make(model, texts, settings, batch=2)
    assert_only_inside_changed(paint(model, texts, prior, region, settings), prior, region)


def other_sources(prior):
    """Latents as other nodes hand them on, the record still attached."""
    from nodes import LatentFromBatch, LatentUpscale, RepeatLatentBatch

    samples = prior["samples"]
    return {
        "another picture": {**prior, "samples": samples.flip(0) * 1.01},
        "upscaled": LatentUpscale().upscale(prior, "bilinear", 256, 192, "disabled")[0],
        "repeated": RepeatLatentBatch().repeat(prior, 2)[0],
        "from batch": LatentFromBatch().frombatch(make_batch(prior), 1, 1)[0],
        "no record": {"samples": samples},
        "half precision": {**prior, "samples": samples.bfloat16()},
    }


def make_batch(prior):
    return {**prior, "samples": torch.cat((prior["samples"], prior["samples"] + 1))}


@pytest.mark.parametrize(
    "source", ["another picture", "upscaled", "repeated", "from batch", "no record", "half precision"]
)
def test_a_changed_latent_is_never_replayed_from_a_wrong_record(model, texts, region, source, caplog):
    settings = Settings(5, 5, 1.0, "euler", "simple")
    prior = other_sources(make(model, texts, settings))[source]
    height, width = prior["samples"].shape[-2:]
    inside = torch.zeros(height // 2, width // 2, dtype=torch.bool)
    inside[2:6, 5:10] = True
    region = NewRegion(inside, region.conditioning, 2, True)
    with caplog.at_level("INFO"):
        result = paint(model, texts, prior, region, settings)
    assert "repaint without the record of the picture's run: the latent" in caplog.text
    assert "starts from a picture" not in caplog.text  # it does so on purpose
    assert TRAJECTORY not in result
    assert_only_inside_changed(result, prior, region)


def test_a_saved_and_loaded_latent_is_repainted_without_a_record(model, texts, region, caplog, tmp_path):
    import folder_paths

    from nodes import LoadLatent, SaveLatent

    settings = Settings(5, 5, 1.0, "euler", "simple")
    prior = make(model, texts, settings)
    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path))
    try:
        node = SaveLatent()
        node.output_dir = str(tmp_path)
        node.save(prior, "picture")
        (file,) = tmp_path.glob("*.latent")
        loaded = LoadLatent().load(f"{file.name} [output]")[0]
    finally:
        folder_paths.set_output_directory(before)
    with caplog.at_level("INFO"):
        result = paint(model, texts, loaded, region, settings)
    assert "the latent carries no record" in caplog.text
    assert_only_inside_changed(result, loaded, region)


def test_a_record_of_another_model_is_not_used(model, texts, region, caplog):
    settings = Settings(5, 5, 1.0, "euler", "simple")
    prior = make(load_tiny(), texts, settings)
    with caplog.at_level("INFO"):
        paint(model, texts, prior, region, settings)
    assert "the latent was made with another model" in caplog.text


def test_the_record_brings_schedule_sampler_and_cfg(model, texts, region):
    settings = Settings(5, 6, 2.0, "dpmpp_2m", "simple")
    prior = make(model, texts, settings)
    same = paint(model, texts, prior, region, settings)["samples"]
    other = paint(model, texts, prior, region, Settings(5, 30, 1.0, "euler", "karras"))["samples"]
    assert torch.equal(same, other)


def test_a_replay_is_never_beside_an_evaluation_of_another_sigma(model, texts, region):
    prior = make(model, texts, Settings(5, 4, 1.0, "euler", "simple"))
    record = prior[TRAJECTORY]
    replay = Replay(record, 1, region.inside, True)
    sigma = record.evaluations[2].sigma
    assert replay.evaluation(1, sigma) is record.evaluations[2]
    for number, other in ((1, 1.001 * sigma), (2, sigma), (3, 0.0)):
        with pytest.raises(OutOfStep):
            replay.evaluation(number, other)


def test_the_new_region_is_made_alone_without_the_models_regions(model, texts, region):
    """The MODEL may carry the refinement that the node would be given."""
    settings = Settings(5, 5, 1.0, "euler", "simple")
    prior, new = make(model, texts, settings), cells(texts, "R1")
    prompts = conditioning(texts, "RG"), conditioning(texts, "G1")
    carried = repaint(with_regions(model, new), prior, region, *prompts, settings)["samples"]
    assert torch.equal(carried, repaint(model, prior, region, *prompts, settings, new)["samples"])


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("bind_steps", [0, 2])
def test_latents_that_stay_on_the_gpu_meet_no_tensor_of_the_cpu(
    model, texts, region, monkeypatch, recorded, bind_steps
):
    """As with --gpu-only. The device "meta" stands for the GPU: torch refuses to mix it with another."""
    settings = Settings(5, 4, 1.0, "euler", "simple")
    record = make(model, texts, settings)[TRAJECTORY]
    prior = {"samples": torch.zeros(1, 16, *SIZE, device="meta")}
    move = torch.Tensor.to

    def to(tensor, *args, **kwargs):
        """From this device, which has no values to copy, too."""
        device = getattr(args[0], "device", args[0]) if args else None
        if tensor.is_meta and getattr(device, "type", "") == "cpu":
            tensor = torch.zeros(tensor.shape, dtype=tensor.dtype)
        return move(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", to)
    found = (record if recorded else None, "")
    monkeypatch.setattr("rag_pack.rag_sampler.repaint.of_latent", lambda latent, model: found)
    monkeypatch.setattr("comfy.sample.fix_empty_latent_channels", lambda model, samples: samples)
    sampled = []

    def run_sampler(model, noise, start, *args, noise_mask=None, **kwargs):
        sampled.append(noise + start if noise_mask is None else noise_mask * (noise + start))
        return torch.zeros_like(prior["samples"][..., : noise.shape[-2], : noise.shape[-1]]), ()

    monkeypatch.setattr("rag_pack.rag_sampler.repaint.run_sampler", run_sampler)
    some = NewRegion(region.inside, region.conditioning, bind_steps, True)
    assert paint(model, texts, prior, some, settings)["samples"].is_meta
    assert len(sampled) == 1 + (bind_steps > 0)


def test_three_rounds(model, texts):
    """Each round repaints another region from the record of the round before; the others stay to the bit."""
    settings = Settings(5, 6, 1.0, "euler", "simple")
    picture = make(model, texts, settings)
    for left in (0, 4, 8):
        inside = torch.zeros(8, 12, dtype=torch.bool)
        inside[2:6, left : left + 3] = True
        region = NewRegion(inside, conditioning(texts, "RH"), 2, True)
        result = paint(model, texts, picture, region, settings)
        assert_only_inside_changed(result, picture, region)
        assert torch.equal(result[TRAJECTORY].samples, result["samples"])
        picture = result


def test_the_prior_is_not_changed(model, texts, region):
    settings = Settings(5, 5, 1.0, "euler", "simple")
    prior = make(model, texts, settings)
    samples, keys, record = prior["samples"].clone(), list(prior), prior[TRAJECTORY]
    xs = [e.x.clone() for e in record.evaluations]
    paint(model, texts, prior, region, settings)
    assert torch.equal(prior["samples"], samples) and list(prior) == keys and prior[TRAJECTORY] is record
    assert all(torch.equal(e.x, x) for e, x in zip(record.evaluations, xs, strict=True))


def test_without_keeping_the_latent_is_stock(model, texts):
    assert list(make(model, texts, Settings(5, 3, 1.0, "euler", "simple"), keep=False)) == ["samples"]


def test_recording_changes_nothing(model, texts):
    settings = Settings(5, 4, 2.0, "dpmpp_2m_sde", "simple")
    kept, stock = make(model, texts, settings), make(model, texts, settings, keep=False)
    assert torch.equal(kept["samples"], stock["samples"])


@pytest.mark.parametrize("steps", [5, 99])
def test_too_many_bound_steps_are_refused(model, texts, region, steps):
    settings = Settings(5, 5, 1.0, "euler", "simple")
    for prior in (make(model, texts, settings), make(model, texts, settings, keep=False)):
        many = NewRegion(region.inside, region.conditioning, steps, True)
        with pytest.raises(
            ValueError, match=f"repaint_bind_steps is {steps} and .* 5 steps; it has to be from 0 to 4"
        ):
            paint(model, texts, prior, many, settings)


def test_no_bound_step_starts_from_fresh_noise(model, texts, region):
    settings = Settings(5, 5, 1.0, "euler", "simple")
    prior = make(model, texts, settings)
    none = NewRegion(region.inside, region.conditioning, 0, True)
    assert_only_inside_changed(paint(model, texts, prior, none, settings), prior, none)


def test_a_latent_of_other_channels_is_refused(model, texts, region):
    settings = Settings(5, 5, 1.0, "euler", "simple")
    with pytest.raises(ValueError, match=r"prior has the shape \(1, 4, 16, 24\); .* 16 channels"):
        paint(model, texts, {"samples": torch.zeros(1, 4, *SIZE)}, region, settings)


def test_a_recorded_prompt_that_changes_on_the_way_is_replayed_as_it_was(model, texts, region):
    """The replay finds the entry that is in its time, not the first."""
    settings = Settings(5, 4, 1.0, "euler", "simple")
    whole = conditioning(texts, "G0", start_percent=0.0, end_percent=1.0)
    never = conditioning(texts, "G1", start_percent=0.9, end_percent=1.0)
    painted = []
    for positive in (whole, never + whole):
        latent = {"samples": torch.zeros(1, 16, *SIZE)}
        prior = sample(model, latent, positive, positive, settings, keep_for_repaint=True)
        painted.append(repaint(model, prior, region, whole, whole, settings)["samples"])
    torch.testing.assert_close(*painted, rtol=0, atol=1e-5)


def test_a_picture_of_no_step_is_repainted_without_its_record(model, texts, region, caplog):
    """At denoise 0 nothing is sampled."""
    settings = Settings(5, 4, 1.0, "euler", "simple")
    base, latent = conditioning(texts, "G0"), {"samples": torch.randn(1, 16, *SIZE)}
    none = Settings(5, 4, 1.0, "euler", "simple", denoise=0.0)
    prior = sample(model, latent, base, base, none, keep_for_repaint=True)
    with caplog.at_level("INFO"):
        assert_only_inside_changed(paint(model, texts, prior, region, settings), prior, region)
    assert (
        "without the record of the picture's run: the latent was made without a step (denoise 0)"
        in caplog.text
    )


def test_the_record_of_a_latent_holds_its_controlnet_no_longer_than_the_latent_lives(model, texts):
    """It holds what Repaint has to run again, by reference: with the LATENT in ComfyUI's cache that goes, too."""

    class Control(ControlBase):
        def copy(self):
            return self.copy_to(made := Control()) or made

        def get_control(self, x, t, cond, batched_number, transformer_options):
            return {"input": [], "output": []}

    control = Control()
    control.cond_hint_original = torch.zeros(1, 3, 128, 192)
    held, settings = weakref.ref(control), Settings(5, 2, 1.0, "euler", "simple")
    prompt = conditioning(texts, "G0", control=control)
    boxed = with_regions(model, Binding((Region(Box(0, 0, 0.5, 1), conditioning(texts, "H0")),), 1))
    latent = {"samples": torch.zeros(1, 16, *SIZE)}
    prior = sample(boxed, latent, prompt, prompt, settings, keep_for_repaint=True)
    del control, prompt, boxed
    gc.collect()
    assert held() is prior[TRAJECTORY].positive[0][1]["control"]
    del prior
    gc.collect()
    assert held() is None


def test_the_whole_picture_may_be_painted_anew(model, texts, caplog):
    settings = Settings(5, 5, 1.0, "euler", "simple")
    whole = NewRegion(torch.ones(8, 12, dtype=torch.bool), conditioning(texts, "RH"), 2, True)
    with caplog.at_level("INFO"):
        result = paint(model, texts, make(model, texts, settings), whole, settings)
    assert "the mask covers the whole picture" in caplog.text and result["samples"].isfinite().all()


def test_the_node(model, texts):
    settings = 7, 5, 1.0, "euler", "simple"
    prior = make(model, texts, Settings(*settings))
    mask = torch.zeros(1, 128, 192)
    mask[:, 32:64, 64:96] = 0.5
    given = (
        model,
        prior,
        mask,
        conditioning(texts, "RG"),
        conditioning(texts, "G1"),
        1.0,
        *settings,
        2,
        0,
        True,
    )
    result, used = RAGRepaint.execute(*given, conditioning=conditioning(texts, "RH")).args
    assert used.shape == (1, 128, 192) and torch.equal(used, (mask > 0).float())
    outside = used[0, ::8, ::8] == 0
    assert torch.equal(result["samples"][..., outside], prior["samples"][..., outside])
    for inputs, message in (
        ({}, "the region has no prompt"),
        ({"text": "a"}, "text is given without clip"),
    ):
        with pytest.raises(ValueError, match=f"^Repaint: {message}"):
            RAGRepaint.execute(*given, **inputs)
    for wrong, message in ((mask * 0, "mask is empty"), (mask.repeat(2, 1, 1), "mask holds 2 masks")):
        with pytest.raises(ValueError, match=f"^Repaint: {message}"):
            RAGRepaint.execute(*given[:2], wrong, *given[3:], conditioning=conditioning(texts, "RH"))


def test_pixels_outside_move_a_little_and_not_at_all_when_composited():
    """Through the demo's VAE: far from the mask nothing moves, near it a little, composited nothing."""
    from comfy_extras.nodes_mask import ImageCompositeMasked

    from nodes import VAEDecode

    vae = comfy.sd.VAE(sd=load_file(REPO / "demo/models/vae/rag_demo_vae.safetensors"))
    inside = torch.zeros(16, 24, dtype=torch.bool)
    inside[4:12, 10:20] = True
    prior = torch.randn(1, 16, 16, 24, generator=torch.Generator().manual_seed(0)) * 0.3
    result = torch.where(inside, prior + 0.5, prior)
    before, after = (VAEDecode().decode(vae, {"samples": samples})[0] for samples in (prior, result))
    mask = inside.float().repeat_interleave(8, 0).repeat_interleave(8, 1)[None]
    moved = (after - before).abs().amax(-1)[mask == 0].max()
    composite = ImageCompositeMasked.execute(before, after, 0, 0, False, mask)[0]
    still = (composite - before).abs().amax(-1)[mask == 0].max()
    print(f"largest move outside the mask: {moved:.3f} decoded, {still:.3f} composited, of 1")
    assert moved > 0 and still == 0
