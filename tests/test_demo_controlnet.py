"""The demo's ControlNet for training against what ComfyUI's stock loader makes of its file."""

import comfy.sd
import folder_paths
import pytest
import tiny
import torch
from safetensors.torch import load_file
from tiny import basic_guider, run, schedule

from demo.controlnet import SIZE, ControlNet, export
from demo.transformer import Flux, Size, positions, to_latents, to_tokens
from nodes import ControlNetApplyAdvanced, ControlNetLoader

ROWS, COLUMNS, TEXT = 6, 8, 11
DEMO = tiny.REPO / "demo" / "models" / "diffusion_models" / "rag_demo_flux.safetensors"


@pytest.fixture(scope="module")
def network() -> ControlNet:
    """Random weights, none of them zero, rounded to half precision as the file holds them."""
    network = ControlNet()
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        spread = 0.7 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.1
        parameter.data = (spread * torch.randn(parameter.shape, generator=generator)).half().float()
    return network


@pytest.fixture(scope="module")
def loaded(network, tmp_path_factory):
    """The same by the stock ControlNetLoader."""
    folder = tmp_path_factory.mktemp("controlnet")
    export(network, folder / "rag_demo_random.safetensors")
    folder_paths.add_model_folder_path("controlnet", str(folder))
    return ControlNetLoader().load_controlnet("rag_demo_random.safetensors")[0]


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(5)
    latent = torch.randn(2, 16, 2 * ROWS, 2 * COLUMNS, generator=generator)
    hint = torch.rand(2, 3, 16 * ROWS, 16 * COLUMNS, generator=generator)
    text = torch.randn(2, TEXT, SIZE.context, generator=generator)
    pooled = torch.randn(2, SIZE.pooled, generator=generator)
    return latent, hint, text, torch.tensor([0.8, 0.3]), pooled


def test_the_loader_reads_it_whole_and_the_file_is_small(network, loaded, tmp_path):
    mine, theirs = network.state_dict(), loaded.control_model.state_dict()
    assert theirs.keys() == {key.replace("_norm.scale", "_norm.weight") for key in mine}
    export(network, tmp_path / "size.safetensors")
    assert (tmp_path / "size.safetensors").stat().st_size < 6e6


def test_its_additions_are_those_of_comfyui(network, loaded, inputs):
    latent, hint, text, sigma, pooled = inputs
    theirs = loaded.control_model(x=latent, hint=hint, timesteps=sigma, context=text, y=pooled)["input"]
    mine = network(to_tokens(latent), hint, text, sigma, pooled, *positions(ROWS, COLUMNS, TEXT))
    assert len(mine) == SIZE.double and theirs[0].abs().max() > 0.1
    for number, add in enumerate(theirs):
        torch.testing.assert_close(add, mine[number % len(mine)], rtol=0, atol=1e-4)


def test_the_controlled_model_is_that_of_comfyui(network, loaded, inputs):
    """One evaluation of the demo model under the stock Apply ControlNet, without a VAE."""
    latent, hint, text, _, pooled = (value[:1] for value in inputs)
    weights = {key: value.float() for key, value in load_file(DEMO).items()}
    flux = Flux(Size())
    flux.load_state_dict(weights)
    model = comfy.sd.load_diffusion_model(str(DEMO), model_options={"dtype": torch.float32})
    positive, _ = ControlNetApplyAdvanced().apply_controlnet(
        [[text, {"pooled_output": pooled}]], [], loaded, hint.movedim(1, -1), 1.0, 0.0, 1.0
    )
    sigmas = schedule(model, 2)
    latents, predictions = run(basic_guider(model, positive), latent, sigmas)
    arguments = to_tokens(latents[0]), text, sigmas[:1], pooled, *positions(ROWS, COLUMNS, TEXT)
    tokens, *rest = arguments
    control = network(tokens, hint, *rest)
    for given, same in ((control, True), ((), False)):
        velocity = to_latents(flux(*arguments, given), ROWS, COLUMNS)
        difference = (predictions[0] - (latents[0] - sigmas[0] * velocity)).abs().max()
        assert (difference < 1e-4) == same


def test_before_training_it_adds_nothing_and_its_weights_are_the_models(inputs):
    latent, hint, text, sigma, pooled = inputs
    flux, network = Flux(Size()), ControlNet()
    network.start_from(flux)
    (added,) = network(to_tokens(latent), hint, text, sigma, pooled, *positions(ROWS, COLUMNS, TEXT))
    assert not added.any()
    own = network.state_dict()
    assert torch.equal(
        own["double_blocks.0.img_mlp.0.weight"], flux.state_dict()["double_blocks.0.img_mlp.0.weight"]
    )
