"""Families whose texts and image attend jointly, through the nodes, against the methods written down directly
(lockstep.py)."""

from functools import cache

import comfy.model_patcher
import comfy.ops
import families
import folder_paths
import pytest
import torch
from comfy_extras import nodes_model_patch
from comfy_extras.nodes_custom_sampler import BasicScheduler, CFGGuider, KSamplerSelect, SamplerCustomAdvanced
from comfy_extras.nodes_hooks import ConditioningSetProperties, CreateHookLora
from comfy_extras.nodes_rope import ScaleROPE
from lockstep import Lockstep, Pasted
from rag_pack.nodes.patches import (
    RAGHardBinding,
    RAGRegionalPrompting,
    RAGRPGRegionalDiffusion,
    RAGSoftRefinementAttention,
)
from rag_pack.rag_sampler import networks
from rag_pack.rag_sampler.engine import evaluation
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.networks.states import Recording
from rag_pack.rag_sampler.regions import Region
from safetensors.torch import save_file
from tiny import GivenNoise

from nodes import LoraLoaderModelOnly

BLOCKS = {
    "Z-Image": ["noise_refiner", "layers"],
    "Lumina 2": ["noise_refiner", "layers"],
    "Krea 2": ["blocks"],
    "Qwen-Image": ["transformer_blocks"],
    "SD3.5": ["joint_blocks"],
    "LongCat-Image": ["double_blocks", "single_blocks"],
    "Chroma Radiance": ["double_blocks", "single_blocks"],
}
"""What shows a network's image states, in the order in which it runs."""

MULTIPLE = {"Z-Image": 32}
"""To which a network pads texts and picture."""

WITHOUT_FORK = [name for name, blocks in BLOCKS.items() if "single_blocks" not in blocks]
WIDTHS = {"Krea 2": 12 * 16, "SD3.5": 4096}
LEFT, RIGHT, WHOLE = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1), Cell(0, 0, 1, 1)
STEPS = 2


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    @cache
    def loaded(name: str):
        if not families.exists(name):
            pytest.skip(f"this ComfyUI has no {name}")
        with torch.inference_mode():
            return families.load(name, tmp_path_factory.mktemp("models"))

    return loaded


@pytest.fixture(params=BLOCKS)
def family(request, load):
    """Name and MODEL."""
    return request.param, load(request.param)


def prompt(name: str, seed: int, tokens: int = 20) -> list:
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(1, tokens, WIDTHS.get(name, families.TEXT), generator=generator)
    return [[text, {"pooled_output": torch.randn(1, 32, generator=generator)}]]


def same_pooled(conditioning: list, base: list) -> list:
    """A text beside the base prompt's pooled one, which attention methods have for all texts."""
    return [[conditioning[0][0], base[0][1]]]


def side_of(model) -> int:
    """Latent pixels to a token's side."""
    return 16 // model.get_model_object("latent_format").spacial_downscale_ratio


def sample(model, positive: list, noise: torch.Tensor, negative: list | None = None, cfg=1.0) -> torch.Tensor:
    sigmas = BasicScheduler.execute(model, "simple", STEPS, 1.0)[0]
    guider = CFGGuider.execute(model, positive, negative or positive, cfg)[0]
    sampler, latent = KSamplerSelect.execute("euler")[0], {"samples": torch.zeros_like(noise)}
    return SamplerCustomAdvanced.execute(GivenNoise(noise), guider, sampler, sigmas, latent)[0]["samples"]


def direct(model, forward):
    plain = model.clone()
    plain.set_model_unet_function_wrapper(forward)
    return plain


def halves(name: str, height: int, width: int) -> tuple[list[torch.Tensor], int]:
    """The token numbers of the left and the right half, and how many tokens the network makes of the picture; its
    padding goes with the last token."""
    rows, columns = -(-height // 2), -(-width // 2)
    tokens = torch.arange(rows * columns).unflatten(0, (rows, columns))
    padding = torch.arange(rows * columns, rows * columns + -(rows * columns) % MULTIPLE.get(name, 1))
    left, right = tokens[:, : width // 4].flatten(), tokens[:, width // 4 :].flatten()
    return [left, torch.cat((right, padding))], rows * columns + len(padding)


def prompted(model, regions: tuple[Region, ...], base_ratio: float, fidelity: str = "shared"):
    return RAGRegionalPrompting.execute(
        model, regions, base_ratio, 0.0, 1.0, double_interval=1, single_interval=1, background="base prompt",
        fidelity=fidelity,
    )[0]  # fmt: skip


def refined(model, regions: tuple[Region, ...], delta: float, fidelity: str = "shared"):
    return RAGSoftRefinementAttention.execute(model, regions, delta, 0.0, 1.0, fidelity)[0]


@pytest.mark.parametrize(("delta", "cfg"), [(0.5, 3.0), (1.0, 1.0)])
@pytest.mark.parametrize(
    ("height", "width", "lengths"), [(16, 16, (20, 27, 45)), (13, 15, (20, 27, 13))], ids=["even", "odd"]
)  # the sides in half tokens
def test_soft_refinement_is_the_method_written_down(family, height, width, lengths, delta, cfg):
    """A batch of two. Where Z-Image pads a picture, the padding's place depends on the length of the text."""
    name, model = family
    rows, columns = (size * side_of(model) // 2 for size in (height, width))
    noise = torch.cat([families.noise(model, 8, 8, seed)[..., :rows, :columns] for seed in range(2)])
    base, one, other = (prompt(name, seed, tokens) for seed, tokens in enumerate(lengths))
    cells, image = halves(name, height, width)
    ours = refined(model, (Region(LEFT, one), Region(RIGHT, other)), delta)
    yardstick = direct(model, Lockstep([one[0][0], other[0][0]], cells, image, delta))
    negative = prompt(name, 9, 18)
    found, expected = (sample(each, base, noise, negative, cfg) for each in (ours, yardstick))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (sample(model, base, noise, negative, cfg) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("base_ratio", [0.0, 0.3])
def test_regional_prompting_is_the_method_written_down(family, base_ratio):
    name, model = family
    noise = families.noise(model, 8, 8)
    base, one, other = prompt(name, 0), prompt(name, 1, 27), prompt(name, 2, 45)
    cells, image = halves(name, 16, 16)
    ours = prompted(model, (Region(LEFT, one), Region(RIGHT, other)), base_ratio)
    texts = [one[0][0], other[0][0]]
    yardstick = direct(model, Lockstep(texts, cells, image, 1 - base_ratio, apart=True))
    found, expected = sample(ours, base, noise), sample(yardstick, base, noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    joint = direct(model, Lockstep(texts, cells, image, 1 - base_ratio))
    assert (sample(joint, base, noise) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("tokens", [27, 45])
def test_one_cell_over_the_picture_is_the_stock_run_with_its_text(family, tokens):
    """6 × 8 tokens, which Z-Image pads; the longer text has another length in it than the base prompt's."""
    name, model = family
    base, own, noise = prompt(name, 0), prompt(name, 1, tokens), families.noise(model, 6, 8)
    regions = (Region(WHOLE, own),)
    stock = sample(model, same_pooled(own, base), noise)
    for patched in (
        refined(model, regions, 1.0),
        prompted(model, regions, 0.0),
        RAGRPGRegionalDiffusion.execute(model, regions, 0.0, 0.0, 1.0)[0],
    ):
        torch.testing.assert_close(sample(patched, base, noise), stock, rtol=0, atol=1e-5)


def test_padding_stretches_the_last_region(load):
    """In Regional Prompting: Z-Image pads 6 × 8 tokens, of which the right region has all but two columns."""
    name, model = "Z-Image", load("Z-Image")
    base, left, right = prompt(name, 0), prompt(name, 1, 27), prompt(name, 2, 45)
    cell = Cell(0.25, 0, 1, 1)
    runs = [
        sample(prompted(model, regions, 0.0), base, families.noise(model, 6, 8))
        for regions in (
            (Region(Cell(0, 0, 0.25, 1), left), Region(cell, right)),
            (Region(cell, right), Region(Cell(0, 0, 0.25, 1), left)),
        )
    ]
    torch.testing.assert_close(*runs, rtol=0, atol=1e-5)


def test_runs_are_called_by_the_name_that_users_know(family, caplog):
    name, model = family
    caplog.set_level("INFO")
    ours = refined(model, (Region(LEFT, prompt(name, 1)),), 1.0)
    sample(ours, prompt(name, 0), families.noise(model, 4, 4))
    assert f"RAG: {name}; 1 cells" in caplog.text


@pytest.mark.parametrize("family", WITHOUT_FORK, indirect=True)
def test_published_is_shared(family):
    name, model = family
    base, noise = prompt(name, 0), families.noise(model, 6, 8)
    regions = Region(LEFT, prompt(name, 1)), Region(RIGHT, prompt(name, 2))
    for method, share in ((refined, 0.5), (prompted, 0.3)):
        runs = [
            sample(method(model, regions, share, fidelity), base, noise)
            for fidelity in ("published", "shared")
        ]
        assert torch.equal(*runs)


def test_binding_pastes_states_behind_every_block(family):
    """Through the hooks that the family has, the same as by torch's on the blocks themselves."""
    name, model = family
    base, noise = prompt(name, 0), families.noise(model, 6, 8)
    own = same_pooled(prompt(name, 1, 45), base)
    regions = (Region(Box(0.25, 0, 0.5, 0.5), own),)
    bound, apart = (RAGHardBinding.execute(model, regions, STEPS, features)[0] for features in (True, False))
    network = model.model.diffusion_model
    blocks = [block for attribute in BLOCKS[name] for block in getattr(network, attribute)]
    pasted = Pasted(blocks, own[0][0], slice(0, 3), slice(2, 6), MULTIPLE.get(name, 1), side_of(model))
    expected = sample(direct(model, pasted), base, noise)
    torch.testing.assert_close(sample(bound, base, noise), expected, rtol=0, atol=1e-5)
    assert (sample(apart, base, noise) - expected).abs().max() > 1e-4


def test_kept_states_take_the_memory_that_is_told(family, monkeypatch):
    name, model = family
    kept = []

    class Kept(Recording):
        def find(self, *place):
            if not kept or kept[-1] is not self:
                kept.append(self)
            return super().find(*place)

    monkeypatch.setattr(evaluation, "Recording", Kept)
    regions = (Region(Box(0, 0, 0.5, 1), prompt(name, 1)),)
    sample(RAGHardBinding.execute(model, regions, 1, True)[0], prompt(name, 0), families.noise(model, 4, 6))
    states = sum(states.nbytes for states in kept[0].states.values())
    assert states == networks.of(model).state_bytes(12, 4)


LAYERS = {
    "Z-Image": "layers.0.attention.out",
    "Lumina 2": "layers.0.attention.out",
    "Krea 2": "blocks.0.attn.wo",
    "Qwen-Image": "transformer_blocks.0.attn.to_out.0",
    "SD3.5": "joint_blocks.0.x_block.attn.proj",
    "LongCat-Image": "double_blocks.0.img_attn.proj",
    "Chroma Radiance": "double_blocks.0.img_attn.proj",
}
"""A layer that a LoRA changes."""


def lora(name: str, network, folder, layer: str) -> str:
    """The name of a LoRA file as core's nodes find it."""
    key, generator = f"diffusion_model.{layer}", torch.Generator().manual_seed(3)
    rows, columns = network.get_submodule(layer).weight.shape
    weights = {
        f"{key}.lora_B.weight": torch.randn(rows, 2, generator=generator),
        f"{key}.lora_A.weight": torch.randn(2, columns, generator=generator),
    }
    save_file(weights, folder / f"rag_{name}.safetensors")
    folder_paths.add_model_folder_path("loras", str(folder))
    return f"rag_{name}.safetensors"


def test_loras_on_the_model_and_on_a_bound_region(family, tmp_path):
    name, model = family
    file = lora(name, model.model.diffusion_model, tmp_path, LAYERS[name])
    base, noise = prompt(name, 0), families.noise(model, 4, 4)
    own = same_pooled(prompt(name, 1), base)
    loaded = LoraLoaderModelOnly().load_lora_model_only(model, file, 1.0)[0]
    stock = sample(loaded, own, noise)
    cells = Region(LEFT, own), Region(RIGHT, own)
    torch.testing.assert_close(sample(refined(loaded, cells, 1.0), base, noise), stock, rtol=0, atol=1e-5)
    hooked = ConditioningSetProperties().set_properties(
        own, 1.0, "default", hooks=CreateHookLora().create_hook(file, 1.0, 0.0)[0]
    )[0]
    bound = RAGHardBinding.execute(model, (Region(Box(0, 0, 1, 1), hooked),), STEPS, True)[0]
    torch.testing.assert_close(sample(bound, base, noise), stock, rtol=0, atol=1e-5)
    assert (sample(model, own, noise) - stock).abs().max() > 1e-3


@pytest.mark.parametrize("method", [refined, prompted])
def test_a_mask_hides_the_padding_of_its_text(load, method):
    """Of the families here Qwen-Image alone reads it."""
    name, model = "Qwen-Image", load("Qwen-Image")
    base, own, noise = prompt(name, 0), prompt(name, 1, 27), families.noise(model, 4, 4)
    expected = sample(method(model, (Region(LEFT, own),), 0.5), base, noise)
    for number in range(2):
        prompts = [base, own]
        (text, options), padding = prompts[number][0], 50 * prompt(name, 5, 7)[0][0]
        mask = torch.tensor([[1] * text.shape[1] + [0] * 7])
        prompts[number] = [[torch.cat((text, padding), 1), {**options, "attention_mask": mask}]]
        found = sample(method(model, (Region(LEFT, prompts[1]),), 0.5), prompts[0], noise)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["Qwen-Image", "Krea 2", "LongCat-Image"])
def test_the_same_text_everywhere_is_the_stock_run_with_a_reference(load, name):
    """Its tokens follow the picture's."""
    model = load(name)
    reference = families.noise(model, 4, 4, seed=6)
    base, noise = prompt(name, 0), families.noise(model, 6, 8)
    base[0][1] |= {"reference_latents": [reference], "reference_latents_method": "index"}
    cells = Region(LEFT, prompt(name, 0)), Region(RIGHT, prompt(name, 0))
    stock = sample(model, base, noise)
    torch.testing.assert_close(sample(refined(model, cells, 0.5), base, noise), stock, rtol=0, atol=1e-5)
    assert (sample(model, prompt(name, 0), noise) - stock).abs().max() > 1e-3


@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_the_same_text_everywhere_is_the_stock_run_where_positions_are_shifted(load, delta):
    """By core's node: LongCat-Image's picture then stands elsewhere than behind the text."""
    name, model = "LongCat-Image", load("LongCat-Image")
    shifted = ScaleROPE.execute(model, 1.0, 3.0, 1.5, 5.0, 1.0, 1.0)[0]
    base, noise = prompt(name, 0), families.noise(model, 6, 8)
    cells = Region(LEFT, prompt(name, 0)), Region(RIGHT, prompt(name, 0))
    stock = sample(shifted, base, noise)
    torch.testing.assert_close(sample(refined(shifted, cells, delta), base, noise), stock, rtol=0, atol=1e-5)
    assert (sample(model, base, noise) - stock).abs().max() > 1e-3


def test_a_reference_that_the_network_leaves_out_is_left_out(load):
    """Krea 2 takes a reference where a method says how."""
    name, model = "Krea 2", load("Krea 2")
    base, noise = prompt(name, 0), families.noise(model, 4, 4)
    ours = refined(model, (Region(LEFT, prompt(name, 1)),), 0.5)
    expected = sample(ours, base, noise)
    base[0][1]["reference_latents"] = [families.noise(model, 2, 2, seed=3)]
    assert torch.equal(sample(ours, base, noise), expected)


def test_reference_latents_are_refused_beside_regional_texts(load):
    """Z-Image Omni: the network puts references and texts of their own before the picture's."""
    model = load("Z-Image")
    base, noise = prompt("Z-Image", 0), families.noise(model, 4, 4)
    base[0][1]["reference_latents"] = [families.noise(model, 2, 2, seed=3)]
    ours = refined(model, (Region(LEFT, prompt("Z-Image", 1)),), 1.0)
    with pytest.raises(ValueError, match="no place beside reference latents"):
        sample(ours, base, noise)


class Pixels:
    """A VAE that knows sizes alone."""

    def __init__(self, frames: tuple[int, ...]):
        self.frames = frames

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(4)
        size = pixels.shape[1] // 8, pixels.shape[2] // 8
        return torch.randn(1, 16, *self.frames, *size, generator=generator)


def with_control(name: str, model):
    """The MODEL with its family's ControlNet, which is a patch of it."""
    operations = {"operations": comfy.ops.disable_weight_init}
    if name == "Qwen-Image":
        network = nodes_model_patch.QwenImageBlockWiseControlNet(2, dim=64, **operations)
    else:
        network = comfy.ldm.lumina.controlnet.ZImage_Control(
            256, 8, 8, 32, n_control_layers=15, refiner_control=True, **operations
        )
    network.load_state_dict(families.random_state(network))
    patch = comfy.model_patcher.ModelPatcher(network.eval(), torch.device("cpu"), torch.device("cpu"))
    vae, picture = Pixels((1,) if name == "Qwen-Image" else ()), torch.zeros(1, 96, 128, 3)
    return nodes_model_patch.QwenImageDiffsynthControlnet().diffsynth_controlnet(model, patch, vae, picture)[
        0
    ]


@pytest.mark.parametrize("first", [True, False], ids=["before the regions", "after them"])
@pytest.mark.parametrize("name", ["Z-Image", "Qwen-Image"])
def test_the_same_text_everywhere_is_the_stock_run_with_a_controlnet(load, name, first):
    if not hasattr(nodes_model_patch, "ZImageControlPatch"):
        pytest.skip("this ComfyUI has no ControlNet for Z-Image")
    model, base = load(name), prompt(name, 0)
    noise = families.noise(model, 6, 8)
    regions = Region(LEFT, prompt(name, 0)), Region(RIGHT, prompt(name, 0))
    controlled = with_control(name, model)
    ours = refined(controlled, regions, 0.5) if first else with_control(name, refined(model, regions, 0.5))
    stock = sample(controlled, base, noise)
    torch.testing.assert_close(sample(ours, base, noise), stock, rtol=0, atol=1e-5)
    assert (sample(model, base, noise) - stock).abs().max() > 1e-3
