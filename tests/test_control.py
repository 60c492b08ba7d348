"""A FLUX ControlNet through ComfyUI's own loader and nodes: the whole picture obeys it, bound regions included."""

from types import SimpleNamespace

import comfy.controlnet
import comfy.latent_formats
import comfy.ldm.flux.controlnet
import comfy.ops
import pytest
import torch
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.binding import Binding, cropped_prompt
from rag_pack.rag_sampler.methods.controls import Controls
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.picture import Picture, TokenBox
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.repaint import NewRegion, repaint
from rag_pack.rag_sampler.sampling import Settings
from rag_pack.rag_sampler.sampling import sample as generate
from tiny import (
    basic_guider,
    cfg_guider,
    conditioning,
    load_control,
    load_k128,
    noise_for,
    run,
    sample,
    schedule,
)

from nodes import ControlNetApply, ControlNetApplyAdvanced

STEPS, BOUND = 5, 3
BOX = Box(1 / 3, 0.25, 1 / 3, 0.5)
LATENT = slice(4, 12), slice(8, 16)
"""The box in latent pixels of a picture of 128 × 192 pixels."""
PIXELS = slice(32, 96), slice(64, 128)
QUARTERS = tuple(Box(x, y, 0.5, 0.5) for y in (0, 0.5) for x in (0, 0.5))


@pytest.fixture(scope="module")
def model():
    """The golden network with 128-wide heads, whose size a ControlNet's file can have."""
    return load_k128()


@pytest.fixture(scope="module")
def controls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controlnet")
    return [load_control(folder, seed) for seed in (1, 2)]


@pytest.fixture
def setting(model):
    return noise_for(16, 24), schedule(model, STEPS)


def hint(seed: int = 0, batch: int = 1) -> torch.Tensor:
    """An IMAGE of 128 × 192 pixels."""
    return torch.rand(batch, 128, 192, 3, generator=torch.Generator().manual_seed(seed))


def apply(prompt: list, control, image, strength=1.0, start=0.0, end=1.0, negative=()) -> tuple[list, list]:
    """Apply ControlNet (the advanced node)."""
    return ControlNetApplyAdvanced().apply_controlnet(
        prompt, list(negative), control, image, strength, start, end
    )


def bound(model, texts, shapes=(BOX,), steps=BOUND, features=False, own=None):
    regions = tuple(Region(shape, own or conditioning(texts, "H0"), "H0") for shape in shapes)
    return add_spec(model, Binding(regions, steps, features))


def in_box(values: torch.Tensor) -> torch.Tensor:
    return values[..., LATENT[0], LATENT[1]]


def cropped(image: torch.Tensor) -> torch.Tensor:
    return image[:, PIXELS[0], PIXELS[1]]


def test_a_region_obeys_the_part_of_the_hint_that_lies_on_it(model, texts, setting, controls):
    """And no other; the whole picture obeys all of it."""
    first = hint()
    inside, outside = first.clone(), first.clone()
    inside[:, PIXELS[0], PIXELS[1]] = 0.5
    outside[:, :, :64] = 0.5

    def predicted(image):
        prompt, _ = apply(conditioning(texts, "G0"), controls[0], image)
        return run(basic_guider(bound(model, texts), prompt), *setting)[1][0]

    of_first, of_inside, of_outside = map(predicted, (first, inside, outside))
    assert (in_box(of_first) - in_box(of_inside)).abs().max() > 1e-2
    assert torch.equal(in_box(of_first), in_box(of_outside))
    for other in (of_inside, of_outside):
        assert (of_first - other)[..., :8].abs().max() > 1e-2


CASES = {
    "as it is": {},
    "weak": {"strength": 0.4},
    "from the second step": {"start": 0.3},
    "in the first step": {"end": 0.1},
}


@pytest.mark.feature("ControlNets, chained and scheduled, on the base prompt", "Hard Binding")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("chained", [False, True], ids=["one", "two chained"])
def test_a_bound_region_is_the_run_with_the_cropped_hint(model, texts, setting, controls, case, chained):
    noise, sigmas = setting

    def controlled(prompt, crop):
        if chained:
            prompt, _ = apply(prompt, controls[1], crop(hint(7)), 0.7)
        return apply(prompt, controls[0], crop(hint()), **CASES[case])[0]

    whole = controlled(conditioning(texts, "G0"), lambda image: image)
    _, mine = run(basic_guider(bound(model, texts), whole), noise, sigmas)
    _, alone = run(basic_guider(model, controlled(conditioning(texts, "H0"), cropped)), in_box(noise), sigmas)
    torch.testing.assert_close(in_box(mine[:BOUND]), alone[:BOUND], rtol=0, atol=1e-4)
    _, squeezed = run(
        basic_guider(model, controlled(conditioning(texts, "H0"), lambda i: i)), in_box(noise), sigmas
    )
    assert (in_box(mine[:BOUND]) - squeezed[:BOUND]).abs().max() > 1e-2
    _, free = run(basic_guider(model, conditioning(texts, "H0")), in_box(noise), sigmas)
    assert (in_box(mine[:BOUND]) - free[:BOUND]).abs().max() > 1e-2


@pytest.mark.feature("ControlNet, batch of 2 and cfg 3", "Hard Binding")
@pytest.mark.parametrize("hints", [1, 2], ids=["one hint", "a hint each"])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_batches_and_cfg(model, texts, controls, hints, cfg):
    noise, sigmas, image = noise_for(16, 24, batch=2), schedule(model, STEPS), hint(batch=hints)
    negative = conditioning(texts, "G1")
    whole = apply(conditioning(texts, "G0"), controls[0], image, negative=negative)
    part = apply(conditioning(texts, "H0"), controls[0], cropped(image), negative=negative)
    _, mine = run(cfg_guider(bound(model, texts), *whole, cfg), noise, sigmas)
    _, alone = run(cfg_guider(model, *part, cfg), in_box(noise), sigmas)
    torch.testing.assert_close(in_box(mine[:BOUND]), alone[:BOUND], rtol=0, atol=2e-4)


@pytest.mark.feature("ControlNet on a region", "Hard Binding")
def test_a_regions_own_control_is_used_and_not_the_base_prompts(model, texts, setting, controls):
    noise, sigmas = setting
    prompt, _ = apply(conditioning(texts, "G0"), controls[0], hint())
    own, _ = apply(conditioning(texts, "H0"), controls[1], hint(7))
    _, mine = run(basic_guider(bound(model, texts, own=own), prompt), noise, sigmas)
    part, _ = apply(conditioning(texts, "H0"), controls[1], cropped(hint(7)))
    _, alone = run(basic_guider(model, part), in_box(noise), sigmas)
    torch.testing.assert_close(in_box(mine[:BOUND]), alone[:BOUND], rtol=0, atol=1e-4)


@pytest.mark.parametrize("owner", ["base prompt", "region"])
def test_a_control_for_both_branches(model, texts, setting, controls, owner):
    """The old Apply ControlNet controls the negative too, of whatever it is on."""
    noise, sigmas = setting
    negative = conditioning(texts, "G1")

    def both(key, image):
        return ControlNetApply().apply_controlnet(conditioning(texts, key), controls[0], image, 0.8)[0]

    prompt = both("G0", hint()) if owner == "base prompt" else conditioning(texts, "G0")
    own = both("H0", hint()) if owner == "region" else None
    _, mine = run(cfg_guider(bound(model, texts, own=own), prompt, negative, 3.0), noise, sigmas)
    _, alone = run(cfg_guider(model, both("H0", cropped(hint())), negative, 3.0), in_box(noise), sigmas)
    torch.testing.assert_close(in_box(mine[:BOUND]), alone[:BOUND], rtol=0, atol=2e-4)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_the_hint_is_prepared_once_for_the_picture_and_once_for_each_box(
    model, texts, setting, controls, cfg
):
    """Not at every switch between the whole and a crop, as ComfyUI's own areas have it."""
    sizes = []
    control = controls[0].copy()
    control.preprocess_image = lambda image: sizes.append(tuple(image.shape[-2:])) or image
    prompt = apply(conditioning(texts, "G0"), control, hint(), negative=conditioning(texts, "G1"))
    run(cfg_guider(bound(model, texts, QUARTERS, features=True), *prompt, cfg), *setting)
    assert sorted(sizes) == [(64, 96)] * 4 + [(128, 192)]


class Encoder:
    """A VAE: what it encodes is the mean colour of 8 × 8 pixels, and it remembers the sizes."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(pixels.shape[1:3]))
        means = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)
        return means.repeat(1, 6, 1, 1)[:, :16]


@pytest.mark.feature("ControlNet with a VAE", "Hard Binding")
def test_a_hint_that_a_vae_encodes_is_encoded_once_for_each_box(model, texts, setting):
    """As the ControlNets of InstantX and Shakker take it."""
    noise, sigmas = setting
    config = {**vars(model.model.diffusion_model.params), "depth": 1, "depth_single_blocks": 1}
    network = comfy.ldm.flux.controlnet.ControlNetFlux(
        latent_input=True, control_latent_channels=16, dtype=torch.float32,
        operations=comfy.ops.disable_weight_init, **config,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(4)
    for parameter in network.parameters():
        spread = 0.8 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.1
        parameter.data = spread * torch.randn(parameter.shape, generator=generator)
    latent_format, device = comfy.latent_formats.Flux(), torch.device("cpu")
    control = comfy.controlnet.ControlNet(
        network, compression_ratio=1, latent_format=latent_format, load_device=device,
        extra_conds=["y", "guidance"],
    )  # fmt: skip

    def controlled(key: str, image: torch.Tensor, vae: Encoder) -> list:
        prompt = conditioning(texts, key)
        return ControlNetApplyAdvanced().apply_controlnet(prompt, [], control, image, 1.0, 0.0, 1.0, vae)[0]

    vae = Encoder()
    patched = bound(model, texts, (*QUARTERS, BOX), features=True)
    _, mine = run(basic_guider(patched, controlled("G0", hint(), vae)), noise, sigmas)
    assert sorted(vae.sizes) == [(64, 64)] + [(64, 96)] * 4 + [(128, 192)]
    _, alone = run(basic_guider(model, controlled("H0", cropped(hint()), Encoder())), in_box(noise), sigmas)
    torch.testing.assert_close(in_box(mine[:BOUND]), alone[:BOUND], rtol=0, atol=1e-4)
    _, free = run(basic_guider(model, conditioning(texts, "H0")), in_box(noise), sigmas)
    assert (alone[0] - free[0]).abs().max() > 1e-2


class Masked(comfy.controlnet.ControlNet):
    """A ControlNet with masks of its own, as Advanced ControlNet has them: each stretched over what it gets."""

    mask_cond_hint_original = timestep_keyframes = weights_override = None

    def copy(self):
        copy = super().copy()
        copy.__class__ = Masked
        copy.__dict__ |= {name: value for name, value in vars(self).items() if name not in vars(copy)}
        return copy

    @classmethod
    def with_mask(cls, control, where: str, mask: torch.Tensor):
        made = control.copy()
        made.__class__ = cls
        if where == "itself":
            made.mask_cond_hint_original = mask
        elif where == "weights":
            made.weights_override = SimpleNamespace(weight_mask=mask)
        else:
            weights = SimpleNamespace(weight_mask=mask if where == "weights of a keyframe" else None)
            frame = SimpleNamespace(
                mask_hint_orig=mask if where == "a keyframe" else None, control_weights=weights
            )
            made.timestep_keyframes = SimpleNamespace(keyframes=[frame])
        return made

    def masks(self):
        frames = self.timestep_keyframes.keyframes if self.timestep_keyframes else []
        weights = [self.weights_override, *(frame.control_weights for frame in frames)]
        found = [self.mask_cond_hint_original, *(frame.mask_hint_orig for frame in frames)]
        return [
            mask for mask in [*found, *(w.weight_mask for w in weights if w is not None)] if mask is not None
        ]

    def get_control(self, x_noisy, *args):
        self.grid = x_noisy.shape[-2] // 2, x_noisy.shape[-1] // 2
        return super().get_control(x_noisy, *args)

    def control_merge(self, control, previous, output_dtype):
        merged = super().control_merge(control, previous, output_dtype)
        for mask in self.masks():
            fitted = torch.nn.functional.interpolate(mask[:, None], size=self.grid, mode="area").flatten(1)
            for adds in merged.values():
                adds[:] = [add if add is None else add * fitted[..., None].to(add) for add in adds]
        return merged


@pytest.mark.feature("ControlNet with a mask of its own, on the base prompt", "Hard Binding")
@pytest.mark.parametrize("size", [(128, 192), (64, 96)])
@pytest.mark.parametrize("where", ["itself", "a keyframe", "weights", "weights of a keyframe"])
def test_a_mask_of_the_controls_own_is_cropped_with_the_hint(model, texts, setting, controls, where, size):
    noise, sigmas = setting
    mask = torch.zeros(1, *size)
    mask[..., : size[1] * 5 // 12] = 1  # the left quarter of the box
    control = Masked.with_mask(controls[0], where, mask)
    whole, _ = apply(conditioning(texts, "G0"), control, hint())
    _, mine = run(basic_guider(bound(model, texts), whole), noise, sigmas)

    stretched = torch.nn.functional.interpolate(mask[None], size=(128, 192), mode="bilinear")[0]
    left = Masked.with_mask(controls[0], where, stretched[:, PIXELS[0], PIXELS[1]])
    prompt, _ = apply(conditioning(texts, "H0"), left, cropped(hint()))
    _, alone = run(basic_guider(model, prompt), in_box(noise), sigmas)
    torch.testing.assert_close(in_box(mine[:BOUND]), alone[:BOUND], rtol=0, atol=1e-4)
    everywhere, _ = apply(conditioning(texts, "H0"), controls[0], cropped(hint()))
    _, full = run(basic_guider(model, everywhere), in_box(noise), sigmas)
    assert (alone[:BOUND] - full[:BOUND]).abs().max() > 1e-2
    assert [m.shape for m in control.masks()] == [mask.shape]


@pytest.mark.feature("ControlNet on the base prompt", "Soft Refinement")
def test_refinement_keeps_the_control(model, texts, setting, controls):
    """The same text everywhere, in two streams, is the plain run with that control."""
    prompt, _ = apply(conditioning(texts, "G0"), controls[0], hint())
    cells = tuple(Region(Cell(x, 0, x + 0.5, 1), conditioning(texts, "G0")) for x in (0, 0.5))
    refined = sample(add_spec(model, Refinement(cells, 0.5)), prompt, *setting)
    torch.testing.assert_close(refined, sample(model, prompt, *setting), rtol=0, atol=5e-5)
    assert (refined - sample(model, conditioning(texts, "G0"), *setting)).abs().max() > 1e-2


def test_the_control_is_left_as_it_was(model, texts, setting, controls):
    prompt, _ = apply(conditioning(texts, "G0"), controls[0], hint())
    before = sample(model, prompt, *setting)
    sample(bound(model, texts, QUARTERS, features=True), prompt, *setting)
    control = prompt[0][1]["control"]
    assert (control.cond_hint, control.timestep_range) == (None, None)
    assert not getattr(control, "multigpu_clones", {})
    assert torch.equal(sample(model, prompt, *setting), before)


@pytest.mark.feature("ControlNet on the base prompt", "Repaint")
def test_repaint_with_a_control(model, texts, controls):
    """The region made alone takes guidance and the part of the hint on its box from the base prompt, as a bound one."""
    settings = Settings(0, STEPS, 3.0, "euler", "simple")
    prompt, negative = apply(
        conditioning(texts, "G0", guidance=6.0), controls[0], hint(), negative=conditioning(texts, "G1")
    )
    latent = {"samples": torch.zeros(1, 16, 16, 24)}
    prior = generate(bound(model, texts), latent, prompt, negative, settings, keep_for_repaint=True)
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[2:6, 4:8] = True

    def painted(own: list, prompt=prompt) -> torch.Tensor:
        region = NewRegion(inside, own, 2, True)
        return repaint(model, prior, region, prompt, negative, settings)["samples"]

    inherited = painted(conditioning(texts, "H1"))
    outside = ~Picture(16, 24).spread(inside)
    assert torch.equal(inherited[..., outside], prior["samples"][..., outside])
    same = apply(conditioning(texts, "H1", guidance=6.0), controls[0], hint())[0]
    torch.testing.assert_close(inherited, painted(same), rtol=0, atol=1e-5)
    for other in (conditioning(texts, "H1", guidance=1.0), apply(same, controls[1], hint(7))[0]):
        assert (in_box(inherited) - in_box(painted(other))).abs().max() > 1e-2
    assert (in_box(inherited) - in_box(painted(same, conditioning(texts, "G0")))).abs().max() > 1e-2


@pytest.mark.parametrize("record", [True, False])
def test_repaint_crops_every_hint_of_the_region_that_it_makes_alone(model, texts, controls, record):
    """The negative's, too, which is squeezed into the box otherwise."""
    seen = []
    control = controls[0].copy()
    control.preprocess_image = lambda image: seen.append(image) or image
    prompt, negative = apply(conditioning(texts, "G0"), control, hint(), negative=conditioning(texts, "G1"))
    settings, latent = Settings(0, STEPS, 3.0, "euler", "simple"), {"samples": torch.zeros(1, 16, 16, 24)}
    prior = generate(model, latent, prompt, negative, settings, keep_for_repaint=record)
    seen.clear()
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[2:6, 4:8] = True
    repaint(model, prior, NewRegion(inside, conditioning(texts, "H1"), 2, True), prompt, negative, settings)
    box, picture = seen  # each once, for both branches
    torch.testing.assert_close(box, cropped(hint()).movedim(-1, 1))
    torch.testing.assert_close(picture, hint().movedim(-1, 1))


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((128, 192), (slice(32, 96), slice(64, 128))),
        ((256, 256), (slice(85, 170), slice(85, 171))),  # 171 rows of it are seen, from row 42
        ((128, 256), (slice(32, 96), slice(96, 160))),  # 192 columns of it, from column 32
    ],
    ids=["the picture's size", "square", "wider"],
)
def test_a_hint_is_cut_where_comfyui_shows_it(size, seen):
    """ComfyUI cuts a hint in its middle to the picture's aspect."""
    image = torch.rand(1, 3, *size)
    cut = Controls(Picture(16, 24), TokenBox(2, 6, 4, 8)).hint(image)
    assert torch.equal(cut, image[..., seen[0], seen[1]])


def test_an_inpainting_latent_is_cropped_for_a_region_made_alone(texts):
    controls = Controls(Picture(16, 24), TokenBox(2, 6, 4, 8))
    latent, mask = noise_for(16, 24), hint()[..., 0][:, None]
    inherited = {"concat_latent_image": latent, "concat_mask": mask}
    ((_, options),) = cropped_prompt(conditioning(texts, "H0"), controls, inherited)
    assert torch.equal(options["concat_latent_image"], in_box(latent))
    assert torch.equal(options["concat_mask"], mask[..., PIXELS[0], PIXELS[1]])
