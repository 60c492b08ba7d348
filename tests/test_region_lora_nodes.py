"""Where a user attaches a region's LoRA: the node Region LoRA, and <lora:...> in a region's text; against Create Hook LoRA
on its conditioning, and the CLIP of Load LoRA for its text."""

import json
import logging
import re

import encoders
import families
import folder_paths
import pytest
import torch
from comfy_extras.nodes_hooks import ConditioningSetProperties, CreateHookLora
from rag_pack.nodes.canvas import RAGRegionCanvas
from rag_pack.nodes.dense_diffusion import RAGDenseDiffusion
from rag_pack.nodes.loras import RAGRegionLora
from rag_pack.nodes.patches import RAGHardBinding
from rag_pack.nodes.planner import RAGPlanToRegions
from rag_pack.nodes.regions import RAGRegionBox, RAGRegionMask, RAGSplitRatioLayout
from rag_pack.rag_sampler.methods.lora_hooks import name_of
from rag_pack.rag_sampler.regions import Region
from safetensors.torch import save_file
from test_adapters import prompted, refined, sample
from test_hooks import GGMLOps
from test_region_lora import LEFT, RIGHT, lora
from tiny import conditioning, load_tiny, noise_for, schedule
from tiny import sample as run_tiny

from nodes import CLIPTextEncode, LoraLoader  # ComfyUI's

FAMILY = "FLUX.1-dev"
TEXTS = ("a red cat", "a blue dog")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with torch.inference_mode():
        return families.load(FAMILY, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def clip():
    with torch.inference_mode():
        return encoders.load(FAMILY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder of LoRAs."""
    folder = tmp_path_factory.mktemp("loras")
    folder_paths.add_model_folder_path("loras", str(folder))
    return folder


@pytest.fixture(scope="module")
def files(model, folder) -> tuple[str, str]:
    """Two LoRAs of the network alone."""
    names = "rag_node_one.safetensors", "rag nodes/Two (v1.5).safetensors"
    for seed, name in enumerate(names):
        write(folder, name, lora(model, seed))
    return names


def write(folder, name: str, weights: dict[str, torch.Tensor]) -> str:
    (folder / name).parent.mkdir(exist_ok=True)
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / name)
    return name


def text_part(clip, prefixes: dict[str, str]) -> dict[str, torch.Tensor]:
    """A LoRA of layers of text encoders; prefixes: of the clip's names, what a file has in their place."""
    weights, generator = {}, torch.Generator().manual_seed(3)
    for key, weight in clip.cond_stage_model.state_dict().items():
        place = next((place for place in prefixes if key.startswith(place)), None)
        if place is None or weight.ndim != 2 or (".mlp." not in key and ".SelfAttention." not in key):
            continue
        name = key.removeprefix(place).removesuffix(".weight")
        if prefixes[place].startswith("lora_"):
            name = name.replace(".", "_")
        up, down = (f"{prefixes[place]}{name}.{part}.weight" for part in ("lora_up", "lora_down"))
        weights[up] = 0.5 * torch.randn(len(weight), 2, generator=generator)
        weights[down] = torch.randn(2, weight.shape[1], generator=generator)
    return weights


def halves(clip, *texts: str, style: str = "") -> tuple[Region, ...]:
    return RAGSplitRatioLayout.execute("1,1", " BREAK ".join(texts), clip, style)[0]


def pictures(model, clip, regions: tuple[Region, ...]):
    """In attention methods and bound."""
    base, noise = encode(clip, "a park"), families.noise(model, 6, 8)
    yield sample(refined(model, regions, 0.7, "published"), base, noise)
    yield sample(prompted(model, regions, 0.3), base, noise)
    yield sample(RAGHardBinding.execute(model, regions, 2, True)[0], base, noise)


def encode(clip, text: str) -> list:
    return CLIPTextEncode().encode(clip, text)[0]


def assert_equal(model, clip, found: tuple[Region, ...], expected: tuple[Region, ...], other) -> None:
    """The same pictures to the bit, and none of them the other's."""
    for mine, right, wrong in zip(*(pictures(model, clip, each) for each in (found, expected, other))):
        assert torch.equal(mine, right)
        assert (mine - wrong).abs().max() > 1e-3


def worn(regions: tuple[Region, ...]) -> list[list[tuple[str, float]]]:
    """Of each region its files and strengths."""
    groups = [region.conditioning[0][1].get("hooks") for region in regions]
    return [
        [(name_of(hook).strip(' "'), hook.strength_model) for hook in group.hooks] if group else []
        for group in groups
    ]


def by_hand(regions: tuple[Region, ...], *hooks: list[tuple[str, float]]) -> tuple[Region, ...]:
    """With Create Hook LoRA and Cond Set Props on each region's conditioning; the same twice is one hook."""
    made, groups = [], {}
    for region, each in zip(regions, hooks, strict=True):
        own = region.conditioning
        for one in each:
            group = groups.setdefault(one, CreateHookLora().create_hook(*one, 0.0)[0])
            own = ConditioningSetProperties().set_properties(own, 1.0, "default", hooks=group)[0]
        made.append(Region(region.shape, own, region.text))
    return tuple(made)


@pytest.mark.feature("Region LoRA, one in each region", "both")
def test_two_regions_have_a_lora_each(model, clip, files):
    """The third node's comes behind the first's."""
    plain = halves(clip, *TEXTS)
    found = RAGRegionLora.execute(plain, 1, files[0], 0.8)[0]
    found = RAGRegionLora.execute(found, 2, files[1], -0.5)[0]
    found = RAGRegionLora.execute(found, 2, files[0], 0.3)[0]
    hooks = [(files[0], 0.8)], [(files[1], -0.5), (files[0], 0.3)]
    assert worn(found) == list(hooks)
    assert_equal(model, clip, found, by_hand(plain, *hooks), plain)
    assert worn(plain) == [[], []]


def test_one_for_all_regions_behind_what_they_have(model, clip, files):
    """Other hooks of all entries stay."""
    timed = by_hand(halves(clip, *TEXTS), [(files[0], 0.5)], [])
    first = Region(timed[0].shape, timed[0].conditioning * 2, timed[0].text)
    found = RAGRegionLora.execute((first, timed[1]), 0, files[1], 0.7)[0]
    assert [len(options["hooks"].hooks) for _, options in found[0].conditioning] == [2, 2]
    found = Region(first.shape, found[0].conditioning[1:], first.text), found[1]
    expected = by_hand(halves(clip, *TEXTS), [(files[0], 0.5), (files[1], 0.7)], [(files[1], 0.7)])
    assert_equal(model, clip, found, expected, timed)


@pytest.mark.feature("<lora:name> in a region's text", "both")
def test_a_tag_is_region_lora(model, clip, files):
    """Where the file holds the network's part alone; with and without extension, in a folder, in any case."""
    tagged = halves(clip, f"a red cat <lora:{files[0]}:0.8>", "<lora:TWO (V1.5):-0.5:3>, a blue dog")
    assert [region.text for region in tagged] == list(TEXTS)
    plain = halves(clip, *TEXTS)
    expected = RAGRegionLora.execute(plain, 1, files[0], 0.8)[0]
    expected = RAGRegionLora.execute(expected, 2, files[1], -0.5)[0]
    assert worn(tagged) == worn(expected)
    assert_equal(model, clip, tagged, expected, plain)


def layout(text: str) -> str:
    """A drawing."""
    return json.dumps({"version": 1, "regions": [{"prompt": text, "x": 0, "y": 0, "w": 0.5, "h": 1}]})


NODES = {
    "Region Box": lambda clip, text: RAGRegionBox.execute(0, 0, 0.5, 1, clip, text)[0],
    "Region Mask": lambda clip, text: RAGRegionMask.execute(torch.ones(1, 8, 8), clip, text)[0],
    "Split Ratio Layout": lambda clip, text: RAGSplitRatioLayout.execute("1", text, clip)[0],
    "Split Ratio Layout, style": lambda clip, text: RAGSplitRatioLayout.execute(
        "1", "a red cat", clip, text.replace("a red cat", "")
    )[0],
    "Region Canvas": lambda clip, text: RAGRegionCanvas.execute(64, 64, clip, regions=layout(text))[0],
    "Region Canvas, style": lambda clip, text: RAGRegionCanvas.execute(
        64, 64, clip, text.replace("a red cat", ""), regions=layout("a red cat")
    )[0],
    "Plan to Regions": lambda clip, text: RAGPlanToRegions.execute(layout(text), clip, 64, 64)[0],
}  # fmt: skip


@pytest.mark.parametrize("node", NODES)
def test_every_node_that_encodes_a_text_reads_its_tags(clip, files, node):
    (region,) = NODES[node](clip, "a red cat, <lora:rag_node_one:0.6>")
    assert region.text == "a red cat"
    assert worn([region]) == [[(files[0], 0.6)]]
    assert torch.equal(region.conditioning[0][0], encode(clip, "a red cat")[0][0])


def test_a_base_prompt_of_all_prompts_has_no_tags(clip, files):
    """ComfyUI's nodes would read them as words."""
    assert RAGPlanToRegions.execute(layout("a red cat <lora:rag_node_one>."), clip, 64, 64)[2] == "a red cat"


KOHYA = {
    "FLUX.1-dev": {"clip_l.transformer.": "lora_te1_", "t5xxl.transformer.": "lora_te2_"},
    "SDXL": {"clip_l.transformer.": "lora_te1_", "clip_g.transformer.": "lora_te2_"},
    "SD1.5": {"clip_l.transformer.": "lora_te_"},
    "Z-Image": {"qwen3_4b.": "text_encoders.qwen3_4b."},
}


@pytest.mark.parametrize("name", KOHYA)
def test_the_part_for_the_text_encoder_is_in_the_regions_own_text(folder, name):
    """As the CLIP of Load LoRA encodes it; other regions' texts, and what the CLIP encodes later, are as ever."""
    clip = encoders.load(name)
    file = write(folder, f"rag_text_{name}.safetensors", text_part(clip, KOHYA[name]))
    stock = LoraLoader().load_lora(None, clip, file, 0.0, 0.4)[1]
    (text, options), (plain, _) = encode(stock, "a red cat")[0], encode(clip, "a red cat")[0]
    own, other = halves(clip, f"a red cat <lora:{file}:0.9:0.4>", "a red cat")
    assert torch.equal(own.conditioning[0][0], text)
    assert torch.equal(other.conditioning[0][0], plain)
    if options["pooled_output"] is not None:
        assert torch.equal(own.conditioning[0][1]["pooled_output"], options["pooled_output"])
    assert (text - plain).abs().max() > 1e-3
    assert worn([own, other]) == [[(file, 0.9)], []]
    assert torch.equal(encode(clip, "a red cat")[0][0], plain)


def test_region_lora_tells_that_the_text_is_encoded_already(clip, folder, caplog):
    weights = text_part(clip, KOHYA[FAMILY])
    file = write(folder, "rag_told.safetensors", weights)
    with caplog.at_level(logging.INFO):
        RAGRegionLora.execute(halves(clip, *TEXTS), 1, file, 1.0)
    told = f'RAG: Region LoRA: "{file}" changes {len(weights) // 2} layers of text encoders, too; they are left out'
    assert [record.getMessage()[: len(told)] for record in caplog.records] == [told]


@pytest.mark.parametrize(
    ("keys", "layers"),
    [
        (["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
          "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha", "lora_te2_text_model_encoder_layers_1_mlp_fc1.hada_w1_a"], 2),
        (["text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight", "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_B.weight",
          "text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_linear_layer.up.weight"], 2),
        (["text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.lora_up.weight"], 1),
        (["lora_unet_single_blocks_0_linear1.lora_up.weight", "transformer.x.lora_A.weight", "diffusion_model.te.lora_A.weight"], 0),
    ],
)  # fmt: skip
def test_layers_of_text_encoders_are_counted(folder, clip, caplog, keys, layers):
    file = write(
        folder, f"rag_count_{len(keys)}_{layers}.safetensors", {key: torch.ones(2, 2) for key in keys}
    )
    with caplog.at_level(logging.INFO):
        RAGRegionLora.execute(halves(clip, *TEXTS), 1, file, 1.0)
    assert (f"changes {layers} layers" in caplog.text) == (layers > 0) == bool(caplog.text)


def test_a_part_that_fits_no_encoder_is_told(clip, folder, caplog):
    weights = {
        f"lora_te3_text_model_{n}.{part}.weight": torch.ones(2, 2)
        for n in range(3)
        for part in ("lora_up", "lora_down")
    }
    file = write(folder, "rag_unfit.safetensors", weights)
    (region,) = NODES["Region Box"](clip, f"a red cat <lora:{file}>")
    assert f'the 3 layers of text encoders in the LoRA "{file}" fit none of this clip' in caplog.text
    assert torch.equal(region.conditioning[0][0], encode(clip, "a red cat")[0][0])


@pytest.mark.parametrize(
    ("key", "told"), [("lora_unet_input_blocks_1_1_proj_in", 1), ("lora_te1_text_model_x", 0)]
)
def test_a_lora_of_another_family_is_told_once_a_run(model, clip, folder, caplog, key, told):
    file = write(
        folder,
        f"rag_of_{key}.safetensors",
        {f"{key}.lora_{way}.weight": torch.ones(2, 2) for way in ("up", "down")},
    )
    regions = RAGRegionLora.execute(halves(clip, *TEXTS), 0, file, 1.0)[0]
    both = RAGHardBinding.execute(refined(model, regions, 1.0), regions, 1, True)[0]
    sample(both, encode(clip, "a park"), families.noise(model, 6, 8))
    message = f'the LoRA "{file}" of a region fits no layer of this model (FLUX.1) and does nothing'
    assert caplog.text.count(message) == told
    assert caplog.text.count("fits no layer") == told


@pytest.mark.parametrize("tag", ["<lora:rag_node_one:0>", "<lora:rag_node_one:0:0>"])
def test_strength_0_is_as_if_it_were_not_there(clip, files, tag):
    plain = halves(clip, *TEXTS)
    assert RAGRegionLora.execute(plain, 0, files[0], 0.0)[0] is plain
    assert worn(halves(clip, f"a red cat {tag}", "a blue dog")) == [[], []]


def test_a_file_that_has_changed_is_loaded_anew(clip, folder, model):
    for number in (1, 2):
        file = write(folder, "rag_changed.safetensors", lora(model, number, "img_in"))
        expected = CreateHookLora().create_hook(file, 1.0, 0.0)[0].hooks[0].weights
        found = RAGRegionLora.execute(halves(clip, *TEXTS), 1, file, 1.0)[0][0]
        found = found.conditioning[0][1]["hooks"].hooks[0].weights
        assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("execute", "message"),
    [
        (lambda c, f: RAGRegionLora.execute(halves(c, *TEXTS), 3, f[0], 1.0),
         "Region LoRA: region is 3 and the layout holds 2 regions; write 1 to 2, or 0 for all of them"),
        (lambda c, f: RAGRegionLora.execute(halves(c, *TEXTS), 1, "gone", 1.0), "Region LoRA: lora_name is 'gone'; it has to be one of "),
        (lambda c, f: RAGRegionLora.execute(halves(c, *TEXTS), 1, f[0], 20.5), "Region LoRA: strength is 20.5; it has to be a number from -20.0 to 20.0"),
        (lambda c, f: RAGRegionLora.execute((), 1, f[0], 1.0), "Region LoRA: regions is connected but holds no region"),
        (lambda c, f: halves(c, "a cat <lora:rag_node_on>", "a dog"),
         "Split Ratio Layout: there is no LoRA 'rag_node_on' among the "),
        (lambda c, f: NODES["Region Box"](c, "a cat <lora:rag_node_one:high>"),
         "Region Box: <lora:rag_node_one:high> is no LoRA's tag; write <lora:name>"),
        (lambda c, f: NODES["Plan to Regions"](c, "a cat <lora:quux>"), "Plan to Regions: there is no LoRA 'quux'"),
    ],
)  # fmt: skip
def test_errors_name_the_node_and_what_is_right(clip, files, execute, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        execute(clip, files)


def test_phrases_of_densediffusion(tmp_path, folder):
    """A phrase has the embedding that its region has; the caption's other words and its tokens are as ever."""
    clip, model = encoders.load("SD1.5"), families.load("SD1.5", tmp_path)
    file = write(folder, "rag_phrase.safetensors", text_part(clip, KOHYA["SD1.5"]))
    regions = halves(clip, f"a red cat <lora:{file}:0:0.7>", "a blue dog")
    assert worn(regions) == [[(file, 0)], []]
    settings = (1.0, 0.3, 1.0, 0.0, 1.0)
    found = RAGDenseDiffusion.execute(model, clip, regions, "a red cat and a blue dog", *settings)[1][0][0]
    expected = encode(clip, "a red cat and a blue dog")[0][0].clone()
    expected[:, 1:4] = encode(LoraLoader().load_lora(None, clip, file, 0.0, 0.7)[1], "a red cat")[0][0][
        :, 1:4
    ]
    expected[:, 5:8] = encode(clip, "a blue dog")[0][0][:, 1:4]
    assert torch.equal(found, expected)
    message = "DenseDiffusion Attention: the caption holds a LoRA's tag, and is for the whole picture: use Load LoRA"
    with pytest.raises(ValueError, match=message):
        RAGDenseDiffusion.execute(model, clip, regions, f"a red cat <lora:{file}>", *settings)


@pytest.mark.feature("Region LoRA on a GGUF model", "both")
def test_on_packed_weights(texts, folder):
    """Where ComfyUI cannot patch weights while the model runs, tokens wear it all the same."""
    packed, noise = load_tiny(GGMLOps), noise_for(16, 24)
    regions = tuple(
        Region(cell, conditioning(texts, key)) for cell, key in zip((LEFT, RIGHT), ("S0", "S1"), strict=True)
    )
    file = write(folder, "rag_packed.safetensors", lora(packed))
    named = RAGRegionLora.execute(regions, 2, file, 0.8)[0]
    for node, settings in ((refined, (0.7,)), (lambda *a: RAGHardBinding.execute(*a)[0], (2, True))):
        found, expected, plain = (
            run_tiny(node(model, each, *settings), conditioning(texts, "G0"), noise, schedule(model, 4))
            for model, each in ((packed, named), (load_tiny(), named), (packed, regions))
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert (found - plain).abs().max() > 1e-3
