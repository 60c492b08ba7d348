"""A LoRA of its own for every region, through the nodes: against core's Load LoRA, and against the slow definition in
which every token has its own effective weight."""

import comfy.sd
import comfy.utils
import families
import folder_paths
import pytest
import test_adapters
import tiny
import torch
from comfy_extras.nodes_hooks import (
    ConditioningSetProperties,
    CreateHookKeyframe,
    CreateHookLora,
    SetHookKeyframes,
)
from lockstep import Lockstep
from rag_pack.nodes.patches import (
    RAGHardBinding,
    RAGRPGRegionalDiffusion,
)
from rag_pack.rag_sampler import networks
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.networks.network import JOINT as JOINT_KIND
from rag_pack.rag_sampler.regions import Region
from safetensors.torch import save_file
from slow_loras import effective_weights
from test_adapters import BLOCKS, direct, halves, load, prompted, refined, sample
from tiny import conditioning, noise_for, schedule

from bench.direct import direct_forward
from nodes import LoraLoaderModelOnly

__all__ = ["load"]  # a fixture

CROSS = ["SD1.5", "SD2", "SDXL", "Anima"]
JOINT = ["FLUX.1-dev", "FLUX.1-schnell", "FLUX.2-dev", "FLUX.2-Klein", "Chroma", *BLOCKS]
LEFT, RIGHT, WHOLE = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1), Cell(0, 0, 1, 1)
RANK = 3


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Saves weights as a LoRA file that core's nodes find; returns its name."""
    folder = tmp_path_factory.mktemp("loras")
    folder_paths.add_model_folder_path("loras", str(folder))

    def write(weights: dict[str, torch.Tensor]) -> str:
        name = f"rag_region_{len(list(folder.iterdir()))}.safetensors"
        save_file({key: value.contiguous() for key, value in weights.items()}, folder / name)
        return name

    return write


def layers(model, pattern: str = "") -> dict[str, torch.Tensor]:
    """The linear layers that see tokens, and convolutions that see a picture, whose names hold a pattern."""
    network, found = networks.of(model), {}
    for name, module in network.module.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and network.sees(name) and pattern in name:
            found[name] = module.weight
    return found


def low_rank(shape, seed: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    up = spread * torch.randn(shape[0], RANK, *[1 for _ in shape[2:]], generator=generator)
    return up, torch.randn(RANK, *shape[1:], generator=generator)


def lora(model, seed: int = 0, pattern: str = "", spread: float = 0.03) -> dict[str, torch.Tensor]:
    """A LoRA on layers that see tokens, in the generic names."""
    weights = {}
    for number, (name, weight) in enumerate(layers(model, pattern).items()):
        up, down = low_rank(weight.shape, 1000 * seed + number, spread)
        key = f"diffusion_model.{name}"
        weights |= {
            f"{key}.lora_up.weight": up,
            f"{key}.lora_down.weight": down,
            f"{key}.alpha": torch.tensor(2.0),
        }
    return weights


def hooked(conditioning: list, file: str, strength: float = 1.0) -> list:
    hooks = CreateHookLora().create_hook(file, strength, 0.0)[0]
    return ConditioningSetProperties().set_properties(conditioning, 1.0, "default", hooks=hooks)[0]


def loaded(model, file: str, strength: float = 1.0):
    return LoraLoaderModelOnly().load_lora_model_only(model, file, strength)[0]


def prompt(name: str, seed: int, tokens: int = 20) -> list:
    [[text, options]] = test_adapters.prompt(name, seed, tokens)
    width = 16 if name == "SDXL" else 32
    return [[text, {**options, "pooled_output": options["pooled_output"][:, :width]}]]


def own_of(name: str, seed: int = 1) -> list:
    """A region's text, with all else as the base prompt `prompt(name, 0)` has it."""
    return [[prompt(name, seed, 27)[0][0], prompt(name, 0)[0][1]]]


def assert_same(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    """To a share of the largest value where that is above that of noise: UNets start at a sigma of 14.6."""
    scale = max(1.0, float(expected.abs().max()) / 5)
    torch.testing.assert_close(found, expected, rtol=0, atol=atol * scale)


def everywhere(model, own: list):
    """One region over the whole picture, in each of the methods."""
    regions = (Region(WHOLE, own),)
    yield refined(model, regions, 1.0)
    if networks.of(model).family.kind == JOINT_KIND:
        yield prompted(model, regions, 0.0)
    yield RAGRPGRegionalDiffusion.execute(model, regions, 0.0, 0.0, 1.0)[0]
    yield RAGHardBinding.execute(model, (Region(Box(0, 0, 1, 1), own),), 2, True)[0]


@pytest.mark.parametrize("name", [*JOINT, *CROSS])
def test_one_cell_over_the_picture_is_load_lora(load, written, name):
    """On every layer that sees tokens, in every method; 6 × 8 tokens, which Z-Image pads."""
    model = load(name)
    file, noise = written(lora(model)), families.noise(model, 6, 8)
    base, own = prompt(name, 0), own_of(name)
    stock = sample(loaded(model, file, 0.8), own, noise)
    for patched in everywhere(model, hooked(own, file, 0.8)):
        assert_same(sample(patched, base, noise), stock)
    assert (sample(model, own, noise) - stock).abs().max() > 1e-2


@pytest.mark.parametrize("name", [*JOINT, *CROSS])
def test_with_cfg_it_is_cores_hook_on_the_positive(load, written, name):
    """A batch of two, cfg 3: the negative has no LoRA."""
    model = load(name)
    file, noise = written(lora(model)), torch.cat([families.noise(model, 5, 7, seed) for seed in range(2)])
    base, negative = prompt(name, 0), prompt(name, 2, 18)
    own = hooked(own_of(name), file, 0.8)
    stock = sample(model, own, noise, negative, 3.0)
    for patched in everywhere(model, own):
        found = sample(patched, base, noise, negative, 3.0)
        assert_same(found, stock, 3e-5)


KINDS = {}


def kind(make):
    """A kind of LoRA: weights of one layer by their name in a file, of the layer's weight and a seed."""
    KINDS[make.__name__] = make
    return make


@kind
def without_alpha(weight, seed):
    up, down = low_rank(weight.shape, seed, 0.03)
    return {"lora_B.weight": up, "lora_A.weight": down}


@kind
def wide(weight, seed):
    generator = torch.Generator().manual_seed(seed)
    up = 0.01 * torch.randn(len(weight), 130, generator=generator)
    return {"lora_up.weight": up, "lora_down.weight": torch.randn(130, weight.shape[1], generator=generator)}


@kind
def loha(weight, seed):
    (a1, b1), (a2, b2) = low_rank(weight.shape, seed, 0.2), low_rank(weight.shape, seed + 7, 0.2)
    parts = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2}
    return parts | {"alpha": torch.tensor(2.0)}


def blocks(size: int) -> tuple[int, int]:
    """A size as a product of two."""
    first = next(n for n in (4, 3, 2, 1) if size % n == 0)
    return first, size // first


@kind
def lokr(weight, seed):
    generator, ((m, k), (n, l)) = torch.Generator().manual_seed(seed), map(blocks, weight.shape)
    return {
        "lokr_w1": torch.randn(m, n, generator=generator), "lokr_w2": 0.03 * torch.randn(k, l, generator=generator),
        "alpha": torch.tensor(2.0),
    }  # fmt: skip


@kind
def lokr_of_low_rank(weight, seed):
    generator, ((m, k), (n, l)) = torch.Generator().manual_seed(seed), map(blocks, weight.shape)
    parts = {"lokr_w1_a": (m, 2), "lokr_w1_b": (2, n), "lokr_w2_a": (k, 2), "lokr_w2_b": (2, l)}
    made = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in parts.items()}
    return made | {"alpha": torch.tensor(1.0)}


@kind
def dora(weight, seed):
    scale = weight.norm(dim=1, keepdim=True) * (1 + 0.2 * torch.arange(len(weight))[:, None] / len(weight))
    return without_alpha(weight, seed) | {"dora_scale": scale}


@kind
def dora_by_input(weight, seed):
    scale = weight.norm(dim=0, keepdim=True) * (1.2 - 0.3 * torch.arange(weight.shape[1]) / weight.shape[1])
    if len(scale) == len(weight):
        return without_alpha(weight, seed)
    return lokr(weight, seed) | {"dora_scale": scale}


@pytest.mark.parametrize("name", ["FLUX.1-dev", "Z-Image"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_lora(load, written, name, kind):
    """One cell over the picture, at half strength, against Load LoRA."""
    model, weights = load(name), {}
    for number, (layer, weight) in enumerate(layers(model).items()):
        made = KINDS[kind](weight, 10 * number)
        weights |= {f"diffusion_model.{layer}.{key}": value for key, value in made.items()}
    file, noise = written(weights), families.noise(model, 6, 8)
    base, own = prompt(name, 0), own_of(name)
    stock = sample(loaded(model, file, 0.5), own, noise)
    for patched in everywhere(model, hooked(own, file, 0.5)):
        torch.testing.assert_close(sample(patched, base, noise), stock, rtol=0, atol=2e-5)
    assert (sample(model, own, noise) - stock).abs().max() > 1e-2


def test_loras_one_after_the_other(load, written):
    """A DoRA scales what the LoRA before it has made of the weight."""
    name, model = "FLUX.1-dev", load("FLUX.1-dev")
    files = [written(lora(model, 5, "_blocks", 0.1))]
    for kind in (dora, dora_by_input):
        made = {layer: kind(weight, 3) for layer, weight in layers(model, "_blocks").items()}
        files.append(
            written(
                {f"diffusion_model.{layer}.{k}": v for layer, parts in made.items() for k, v in parts.items()}
            )
        )
    base, own, noise = prompt(name, 0), own_of(name), families.noise(model, 6, 8)
    worn, stock = own, model
    for file, strength in zip(files, (0.7, 0.9, 0.5), strict=True):
        worn, stock = hooked(worn, file, strength), loaded(stock, file, strength)
    expected = sample(stock, own, noise)
    for patched in everywhere(model, worn):
        torch.testing.assert_close(sample(patched, base, noise), expected, rtol=0, atol=2e-5)


def diffusers_names(model) -> dict[str, torch.Size]:
    """The layers that see tokens as diffusers calls them, apart where FLUX joins them."""
    keys = comfy.utils.flux_to_diffusers(
        model.model.model_config.unet_config, output_prefix="diffusion_model."
    )
    state, found = model.model.state_dict(), {}
    for key, to in keys.items():
        name, offset = (to[0], to[1]) if isinstance(to, tuple) else (to, None)
        if name not in state or state[name].ndim != 2 or not key.endswith(".weight"):
            continue
        if networks.of(model).sees(name.removeprefix("diffusion_model.")):
            shape = list(state[name].shape)
            if offset is not None:
                shape[offset[0]] = offset[2]
            found[key.removesuffix(".weight")] = torch.Size(shape)
    return found


@pytest.mark.parametrize("kind", ["without_alpha", "loha", "lokr", "dora"])
@pytest.mark.parametrize("prefix", ["transformer.", "lora_transformer_", "lora_unet_"])
def test_names_of_diffusers_and_kohya(load, written, prefix, kind):
    name, model = "FLUX.1-dev", load("FLUX.1-dev")
    if prefix == "lora_unet_":
        shapes = {layer.replace(".", "_"): weight.shape for layer, weight in layers(model).items()}
    else:
        shapes = diffusers_names(model)
        assert any("to_q" in key for key in shapes)
        assert any("norm_out" in key for key in shapes)
    weights = {}
    for number, (key, shape) in enumerate(shapes.items()):
        key = prefix + (key.replace(".", "_") if prefix == "lora_transformer_" else key)
        made = KINDS[kind](torch.full(shape, 0.05), 10 * number)
        weights |= {f"{key}.{part}": value for part, value in made.items()}
    file, noise = written(weights), families.noise(model, 6, 8)
    base, own = prompt(name, 0), own_of(name)
    stock = sample(loaded(model, file), own, noise)
    for patched in everywhere(model, hooked(own, file)):
        torch.testing.assert_close(sample(patched, base, noise), stock, rtol=0, atol=2e-5)
    assert (sample(model, own, noise) - stock).abs().max() > 1e-2


def dense(weights: dict[str, torch.Tensor], strength: float) -> dict[str, torch.Tensor]:
    """What a LoRA of `lora` adds to the weights of layers."""
    names = {
        key.removeprefix("diffusion_model.").removesuffix(".alpha")
        for key in weights
        if key.endswith(".alpha")
    }
    product = lambda key: weights[f"{key}.lora_up.weight"] @ weights[f"{key}.lora_down.weight"] * 2 / RANK  # noqa: E731
    return {name: strength * product(f"diffusion_model.{name}") for name in names}


MODULATIONS = ("_mod.", "modulation", "adaLN", "tproj", "norm_out")


def unmodulated(model, seed: int) -> dict[str, torch.Tensor]:
    """A LoRA of linear layers that leaves modulations as they are: a stock forward has one for all of its tokens."""
    weights = lora(model, seed)
    left = [
        key for key, value in weights.items() if value.ndim > 2 or any(part in key for part in MODULATIONS)
    ]
    bases = tuple(key.rsplit(".lora_", 1)[0] for key in left)
    return {key: value for key, value in weights.items() if not key.startswith(bases)}


@pytest.mark.parametrize(("share", "apart", "cfg"), [(1.0, False, 1.0), (0.5, False, 3.0), (0.7, True, 1.0)])
@pytest.mark.parametrize("name", JOINT)
def test_two_regions_with_two_loras(load, written, name, share, apart, cfg):
    """Soft Refinement at two deltas, and Regional Prompting, against the slow definition; a batch of two."""
    model = load(name)
    noise = torch.cat([families.noise(model, 10, 8, seed) for seed in range(2)])
    base, texts, negative = prompt(name, 0), [own_of(name, 1), own_of(name, 2)], prompt(name, 9, 600)
    both = [unmodulated(model, seed) for seed in (1, 2)]
    worn = [hooked(text, written(weights), 0.8) for text, weights in zip(texts, both, strict=True)]
    regions = Region(LEFT, worn[0]), Region(RIGHT, worn[1])
    ours = prompted(model, regions, 1 - share) if apart else refined(model, regions, share)

    height, width = 20, 16
    cells, image = halves(name, height, width)
    padded = (
        networks.of(model).padded if name.startswith("FLUX.2") else lambda text: text
    )  # else the network does
    lockstep = Lockstep([padded(text[0][0]) for text in texts], cells, image, share, apart)

    lengths = {networks.of(model).text_length(text[0][0]) for text in (base, *texts)}

    def groups(layer: str, x: torch.Tensor):
        """By how many tokens the layer sees: those of the picture, of both, or of a text."""
        number, text = getattr(lockstep.running, "number", None), x.shape[1] - image
        if number is None:
            return  # the negative
        pictured = x.shape[1] in (80, image) or text in lengths
        first = max(text, 0) if pictured else x.shape[1]
        if number > 0:
            yield number - 1, slice(0, first)
        for other, cell in enumerate(cells if pictured else ()):
            yield other, cell[cell < x.shape[1]] + first

    with effective_weights(model.model.diffusion_model, [dense(weights, 0.8) for weights in both], groups):
        expected = sample(direct(model, lockstep), base, noise, negative, cfg)
    found = sample(ours, base, noise, negative, cfg)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * cfg)
    regions = Region(LEFT, texts[0]), Region(RIGHT, texts[1])
    without = prompted(model, regions, 1 - share) if apart else refined(model, regions, share)
    plain = sample(without, base, noise, negative, cfg)
    assert (plain - expected).abs().max() > 1e-2


@pytest.mark.parametrize("name", [*JOINT, *CROSS])
def test_modulations_follow_their_region(load, written, name):
    """The same LoRA in two regions is that LoRA on the MODEL, modulations included; text 0 has no part at delta 1."""
    model = load(name)
    file, base, noise = written(lora(model)), prompt(name, 0), families.noise(model, 6, 8)
    texts = [own_of(name, 1), own_of(name, 2)]

    def regions(*worn: list) -> tuple[Region, ...]:
        return Region(LEFT, worn[0]), Region(RIGHT, worn[1])

    expected = sample(refined(loaded(model, file), regions(*texts), 1.0), base, noise)
    found = sample(refined(model, regions(*(hooked(text, file) for text in texts)), 1.0), base, noise)
    assert_same(found, expected)
    one = sample(refined(model, regions(hooked(texts[0], file), texts[1]), 1.0), base, noise)
    assert (one - expected).abs().max() > 1e-2


@pytest.mark.parametrize("method", ["rpg", "soft refinement"])
def test_rpg_is_soft_refinement_shared(load, written, method):
    """RPG at base ratio 1 - delta, with LoRAs."""
    name, model = "FLUX.1-dev", load("FLUX.1-dev")
    base, noise = prompt(name, 0), families.noise(model, 6, 8)
    regions = tuple(
        Region(cell, hooked(own_of(name, seed), written(lora(model, seed))))
        for seed, cell in enumerate((LEFT, RIGHT), 1)
    )
    rpg = RAGRPGRegionalDiffusion.execute(model, regions, 0.25, 0.0, 1.0)[0]
    found = sample(rpg, base, noise), sample(refined(model, regions, 0.75), base, noise)
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


class Calls:
    """Which tokens the layers of bench/direct.py see at each of their calls in a block: of texts one after the other, in
    single blocks with the picture; their outputs of the picture on both streams first, then of each text."""

    def __init__(self, texts: list[int], cells: list[torch.Tensor]):
        self.texts, self.cells, self.calls = texts, cells, {}

    def __call__(self, layer: str, x: torch.Tensor):
        call = self.calls[layer] = self.calls.get(layer, -1) + 1
        if "img" in layer or layer == "final_layer.linear":
            text, first = 0, 0
        elif layer.endswith("linear1"):
            text = call % len(self.texts)
            first = self.texts[text]
        elif layer.endswith("linear2"):
            text = max(0, call % (len(self.texts) + 2) - 2)
            first = x.shape[1] if call % (len(self.texts) + 2) > 1 else 0
        else:
            text, first = call % len(self.texts), x.shape[1]
        if text:
            yield text - 1, slice(0, first)
        for number, cell in enumerate(self.cells if first < x.shape[1] else ()):
            yield number, cell + first


@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_the_published_second_stream(model, texts, written, delta):
    """Both image streams of a cell wear its LoRA, whatever delta; a batch of two."""
    both = [unmodulated(model, seed) for seed in (1, 2)]
    regions = tuple(
        Region(cell, hooked(conditioning(texts, key), written(weights), 0.8))
        for cell, key, weights in zip((LEFT, RIGHT), ("S0", "S1"), both, strict=True)
    )
    base, noise, sigmas = (
        conditioning(texts, "G0", guidance=4.0),
        noise_for(16, 24, batch=2),
        schedule(model, 2),
    )
    tokens = torch.arange(96).unflatten(0, (8, 12))
    cells = [tokens[:, :6].flatten(), tokens[:, 6:].flatten()]
    keys = ("G0", "S0", "S1")

    def forward(apply, args):
        x, t, c = args["input"], args["timestep"], args["c"]
        velocity = direct_forward(
            model.model.diffusion_model, x, t, c["c_crossattn"], [texts[f"t5.{key}"].expand(len(x), -1, -1) for key in keys[1:]],
            c["y"], c["guidance"], cells, delta,
        )  # fmt: skip
        return x - velocity * t[:, None, None, None]

    calls = Calls([texts[f"t5.{key}"].shape[1] for key in keys], cells)
    with effective_weights(model.model.diffusion_model, [dense(weights, 0.8) for weights in both], calls):
        expected = tiny.sample(direct(model, forward), base, noise, sigmas)
    found = tiny.sample(refined(model, regions, delta, "published"), base, noise, sigmas)
    assert_same(found, expected)
    assert (tiny.sample(refined(model, regions, delta), base, noise, sigmas) - expected).abs().max() > (
        1e-3 if delta < 1 else -1
    )


def scheduled(conditioning: list, file: str, *keyframes: tuple[float, float]) -> list:
    """With (strength, start_percent) keyframes."""
    group = None
    for strength, start in keyframes:
        group = CreateHookKeyframe().create_hook_keyframe(strength, start, group)[0]
    hooks = SetHookKeyframes().set_hook_keyframes(CreateHookLora().create_hook(file, 1.0, 0.0)[0], group)[0]
    return ConditioningSetProperties().set_properties(conditioning, 1.0, "default", hooks=hooks)[0]


def test_keyframes(load, written):
    """A LoRA on a schedule is core's hook on the positive; a second run is the first again."""
    name, model = "FLUX.1-dev", load("FLUX.1-dev")
    file, base, noise = written(lora(model)), prompt(name, 0), families.noise(model, 6, 8)
    own = scheduled(own_of(name), file, (1.0, 0.0), (0.25, 0.5))
    stock = sample(model, own, noise)
    for patched in everywhere(model, own):
        found = sample(patched, base, noise)
        assert_same(found, stock)
        assert torch.equal(sample(patched, base, noise), found)
    assert (sample(model, hooked(own_of(name), file), noise) - stock).abs().max() > 1e-2


def two(model, name: str, written) -> tuple[Region, ...]:
    worn = (hooked(own_of(name, seed), written(lora(model, seed))) for seed in (1, 2))
    return tuple(Region(cell, prompt) for cell, prompt in zip((LEFT, RIGHT), worn, strict=True))


@pytest.mark.parametrize("when", ["before any", "in the middle"])
def test_a_failed_run_leaves_nothing_behind(load, written, when):
    name, model = "FLUX.1-dev", load("FLUX.1-dev")
    noise, network = families.noise(model, 6, 8), model.model.diffusion_model
    before = sample(model, prompt(name, 0), noise)
    layer = network.img_in if when == "before any" else network.single_blocks[1].linear2
    stop = layer.register_forward_pre_hook(lambda module, args: 1 / 0)
    try:
        with pytest.raises(ZeroDivisionError):
            sample(refined(model, two(model, name, written), 0.5), prompt(name, 0), noise)
    finally:
        stop.remove()
    assert not any(module._forward_hooks for module in network.modules())
    assert not any("forward" in vars(module) for module in network.modules())
    assert torch.equal(sample(model, prompt(name, 0), noise), before)
    assert torch.compiler.set_stance is not None
    assert model.hook_patches == {}


def test_beside_loras_of_the_whole_picture(load, written):
    """LoraLoader and LoraLoaderBypass under a region's LoRA are the same."""
    name, model = "FLUX.1-dev", load("FLUX.1-dev")
    regions, base, noise = two(model, name, written), prompt(name, 0), families.noise(model, 6, 8)
    file = written(lora(model, 7, "_blocks"))
    weights = comfy.utils.load_torch_file(folder_paths.get_full_path("loras", file))
    bypassed = comfy.sd.load_bypass_lora_for_models(model, None, weights, 0.5, 0.0)[0]
    pictures = [
        sample(refined(under, regions, 0.5), base, noise) for under in (loaded(model, file, 0.5), bypassed)
    ]
    assert_same(*pictures)
    assert (sample(refined(model, regions, 0.5), base, noise) - pictures[0]).abs().max() > 1e-2
    assert (
        sample(
            refined(loaded(model, file, 0.5), tuple(Region(r.shape, own_of(name)) for r in regions), 0.5),
            base,
            noise,
        )
        - pictures[0]
    ).abs().max() > 1e-2


def test_references_wear_nothing(load, written):
    """Tokens of a reference picture follow the picture's; a LoRA that covers the picture is not on them."""
    name, model = "FLUX.1-dev", load("FLUX.1-dev")
    base, noise = prompt(name, 0), families.noise(model, 6, 8)
    base[0][1]["reference_latents"] = [families.noise(model, 4, 4, seed=6)]
    own, file = own_of(name), written(lora(model, 1, "img_in"))
    plain, worn = (refined(model, (Region(WHOLE, text),), 1.0) for text in (own, hooked(own, file)))
    found = sample(worn, base, noise)
    everything = sample(refined(loaded(model, file), (Region(WHOLE, own),), 1.0), base, noise)
    assert (found - everything).abs().max() > 1e-3
    module = model.model.diffusion_model.img_in
    weights = dense(lora(model, 1, "img_in"), 1.0)["img_in"]

    def forward(module, args, out):
        out[:, :48] += torch.nn.functional.linear(args[0][:, :48], weights)

    hook = module.register_forward_hook(forward)
    expected = sample(plain, base, noise)
    hook.remove()
    assert_same(found, expected)


@pytest.mark.parametrize("name", ["FLUX.2-dev", "Qwen-Image", "Krea 2"])
def test_modulations_apart_for_references_are_left_out(load, written, name, caplog):
    """Where references stand at timestep zero, tokens are modulated by their place; the log says so."""
    model = load(name)
    base, noise = prompt(name, 0), families.noise(model, 6, 8)
    base[0][1] |= {
        "reference_latents": [families.noise(model, 4, 4)],
        "reference_latents_method": "index_timestep_zero",
    }
    every = {seed: lora(model, seed) for seed in (1, 2)}
    some = {seed: unmodulated(model, seed) for seed in (1, 2)}
    pictures = []
    for weights in (every, some):
        regions = tuple(
            Region(cell, hooked(own_of(name, seed), written(weights[seed])))
            for seed, cell in ((1, LEFT), (2, RIGHT))
        )
        pictures.append(sample(refined(model, regions, 0.5), base, noise))
    assert_same(*pictures)
    assert "left out" in caplog.text


def test_layers_that_see_no_tokens_are_left_out_and_told(load, written, caplog):
    name, model = "FLUX.1-dev", load("FLUX.1-dev")
    shape = model.model.diffusion_model.vector_in.in_layer.weight.shape
    up, down = low_rank(shape, 0, 0.1)
    key = "diffusion_model.vector_in.in_layer"
    weights = lora(model) | {f"{key}.lora_up.weight": up, f"{key}.lora_down.weight": down}
    base, noise = prompt(name, 0), families.noise(model, 6, 8)
    pictures = [
        sample(refined(model, (Region(LEFT, hooked(own_of(name), written(each))),), 1.0), base, noise)
        for each in (weights, lora(model))
    ]
    assert torch.equal(*pictures)
    assert caplog.text.count("vector_in.in_layer") == 1
    bound = RAGHardBinding.execute(
        model, (Region(Box(0, 0, 1, 1), hooked(own_of(name), written(weights))),), 2, True
    )[0]
    stock = sample(loaded(model, written(weights)), own_of(name), noise)
    assert_same(sample(bound, base, noise), stock)


@pytest.mark.parametrize("name", ["FLUX.2-Klein", "Qwen-Image", "Krea 2"])
def test_a_bound_region_with_a_reference_at_timestep_zero(load, written, name):
    """The negative beside it in a batch, which is modulated twice, wears nothing: as core's hook on the positive."""
    model = load(name)
    file, noise = written(lora(model)), families.noise(model, 6, 8)
    reference = {
        "reference_latents": [families.noise(model, 4, 4)],
        "reference_latents_method": "index_timestep_zero",
    }
    own, negative = ([[text, options | reference]] for [[text, options]] in (own_of(name), own_of(name, 3)))
    own = hooked(own, file, 0.8)
    bound = RAGHardBinding.execute(model, (Region(Box(0, 0, 1, 1), own),), 2, True)[0]
    base = [[prompt(name, 0)[0][0], negative[0][1]]]
    assert_same(sample(bound, base, noise, negative, 3.0), sample(model, own, noise, negative, 3.0), 3e-5)
