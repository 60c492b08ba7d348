"""What stands beside regions on SD3.5 alone: its ControlNets, guidance that skips a layer, core's compiler."""

import comfy.cldm.mmdit
import comfy.controlnet
import comfy.latent_formats
import comfy.ops
import families
import pytest
import torch
from comfy_extras.nodes_sd3 import SkipLayerGuidanceSD3
from rag_pack.nodes.patches import RAGHardBinding
from rag_pack.rag_sampler import networks
from rag_pack.rag_sampler.engine.cost import plain_cost
from rag_pack.rag_sampler.layout import Box
from rag_pack.rag_sampler.regions import Region
from test_adapters import LEFT, RIGHT, STEPS, prompt, refined, sample
from test_compile import compiled
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nodes import ControlNetApplyAdvanced

NAME = "SD3.5"
BOX = Box(0.5, 0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with torch.inference_mode():
        return families.load(NAME, tmp_path_factory.mktemp("models"))


class Pixels:
    """A VAE that makes the mean colour of 8 × 8 pixels a latent."""

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        means = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)
        return means.repeat(1, 6, 1, 1)[:, :16]


@pytest.fixture(scope="module")
def control():
    """As load_controlnet_mmdit makes one of its file."""
    arguments = families.OTHERS[NAME][1] | {"num_blocks": 1, "x_block_self_attn_layers": []}
    network = comfy.cldm.mmdit.ControlNet(
        control_latent_channels=16, dtype=torch.float32, operations=comfy.ops.disable_weight_init, **arguments
    )
    network.load_state_dict(families.random_state(network))
    device = torch.device("cpu")
    return comfy.controlnet.ControlNet(
        network.eval(), compression_ratio=1, latent_format=comfy.latent_formats.SD3(), load_device=device
    )


def controlled(conditioning: list, control, image: torch.Tensor) -> list:
    return ControlNetApplyAdvanced().apply_controlnet(
        conditioning, [], control, image, 0.8, 0.0, 1.0, Pixels()
    )[0]


def hint() -> torch.Tensor:
    """An IMAGE of 6 × 8 tokens."""
    return torch.rand(1, 96, 128, 3, generator=torch.Generator().manual_seed(2))


@pytest.mark.feature("ControlNet, SD3.5", "Soft Refinement")
@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_the_same_text_everywhere_is_the_stock_run_with_a_controlnet(model, control, delta):
    base, noise = prompt(NAME, 0), families.noise(model, 6, 8)
    regions = Region(LEFT, prompt(NAME, 0)), Region(RIGHT, prompt(NAME, 0))
    stock = sample(model, controlled(base, control, hint()), noise)
    ours = sample(refined(model, regions, delta), controlled(base, control, hint()), noise)
    torch.testing.assert_close(ours, stock, rtol=0, atol=1e-5)
    assert (sample(model, base, noise) - stock).abs().max() > 1e-2


@pytest.mark.feature("ControlNet, SD3.5", "Hard Binding")
@pytest.mark.parametrize("features", [True, False])
def test_a_bound_region_is_the_run_with_the_cropped_hint(model, control, features):
    base, own, noise = prompt(NAME, 0), prompt(NAME, 1, 27), families.noise(model, 6, 8)
    bound = RAGHardBinding.execute(model, (Region(BOX, own),), STEPS, features)[0]
    found = sample(bound, controlled(base, control, hint()), noise)[..., 8:]
    expected = sample(model, controlled(own, control, hint()[:, :, 64:]), noise[..., 8:])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (sample(model, own, noise[..., 8:]) - expected).abs().max() > 1e-2


def same_text_in_halves(model):
    return refined(model, (Region(LEFT, prompt(NAME, 0)), Region(RIGHT, prompt(NAME, 0))), 0.5)


def skipped(model):
    return SkipLayerGuidanceSD3.execute(model, "1", 3.0, 0.0, 1.0)[0]


@pytest.mark.feature("SkipLayerGuidanceSD3", "Soft Refinement", order="before and after")
@pytest.mark.parametrize(
    "order", [lambda m: same_text_in_halves(skipped(m)), lambda m: skipped(same_text_in_halves(m))]
)
def test_a_layer_that_guidance_skips_is_skipped_beside_cells(model, order, caplog):
    """The image tokens' second attention, of the layer that is left, is no call that the method missed."""
    base, negative, noise = prompt(NAME, 0), prompt(NAME, 5), families.noise(model, 6, 8)
    stock = sample(skipped(model), base, noise, negative, 4.0)
    torch.testing.assert_close(sample(order(model), base, noise, negative, 4.0), stock, rtol=0, atol=1e-4)
    assert (sample(model, base, noise, negative, 4.0) - stock).abs().max() > 1e-2
    assert (
        "only 1 of 2 blocks were guided by Soft Refinement; a cache or a guidance that skips blocks"
        in caplog.text
    )


@pytest.mark.feature("SkipLayerGuidanceSD3", "Hard Binding", order="before and after")
@pytest.mark.parametrize("first", [True, False], ids=["before the regions", "after them"])
def test_a_layer_that_guidance_skips_is_skipped_in_a_bound_region(model, first):
    base, own, negative, noise = (*(prompt(NAME, seed) for seed in (0, 1, 5)), families.noise(model, 6, 8))
    regions = (Region(Box(0, 0, 1, 1), own),)
    given = skipped(model) if first else model
    bound = RAGHardBinding.execute(given, regions, STEPS, True)[0]
    found = sample(bound if first else skipped(bound), base, noise, negative, 4.0)
    torch.testing.assert_close(found, sample(skipped(model), own, noise, negative, 4.0), rtol=0, atol=1e-4)


def test_regions_on_the_compiled_model(model):
    """Compiled without them first, and run without them again."""
    base, noise, fast = prompt(NAME, 0), families.noise(model, 6, 8), compiled(model)
    regional = RAGHardBinding.execute(
        refined(model, (Region(LEFT, prompt(NAME, 1)),), 0.5), (Region(BOX, prompt(NAME, 2)),), 1, True
    )[0]
    stock, expected = sample(model, base, noise), sample(regional, base, noise)
    assert torch.equal(sample(fast, base, noise), stock)
    assert torch.equal(sample(compiled(regional), base, noise), expected)
    assert torch.equal(sample(fast, base, noise), stock)


def test_the_cost_counts_the_second_attention_of_image_tokens(model):
    """By the difference that it makes to the operations of a forward."""
    name, arguments = families.OTHERS[NAME]
    without = families.built(name, arguments | {"x_block_self_attn_layers": []})
    counted, told = [], []
    for each in (model, without):
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            sample(each, prompt(NAME, 0), families.noise(each, 24, 24))
        counted.append(counter.get_total_flops())
        told.append(plain_cost(networks.of(each), 20, 24 * 24))
    assert 2 * STEPS * (told[0] - told[1]) == pytest.approx(counted[0] - counted[1], rel=0.01)
