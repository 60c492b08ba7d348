"""The nodes without a server: what they hand on, and what bad input gets."""

import asyncio

import pytest
import torch
from rag_pack.nodes import RAGExtension
from rag_pack.nodes.common import encode
from rag_pack.nodes.layout import RAGLayoutPreview, RAGRegionsToMask
from rag_pack.nodes.patches import RAGHardBinding, RAGSoftRefinementAttention
from rag_pack.nodes.regions import RAGRegionBox, RAGRegionMask, RAGSplitRatioLayout
from rag_pack.nodes.sampler import RAGHardBindingSampler
from rag_pack.rag_sampler.regions import Region
from tiny import REPO, conditioning, noise_for

NODES = asyncio.run(RAGExtension().get_node_list())


class SpelledOut:
    """A CLIP whose conditioning says what it encoded."""

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> list:
        return [[torch.zeros(1, 4, 8), {"said": tokens}]]


CLIP = SpelledOut()


def said(regions: tuple[Region, ...]) -> list[str]:
    return [region.conditioning[0][1]["said"] for region in regions]


def box(**inputs) -> tuple[Region, ...]:
    return RAGRegionBox.execute(x=0.0, y=0.0, width=0.5, height=1.0, **inputs)[0]


def test_node_ids():
    assert {node.define_schema().node_id for node in NODES} == {
        "RAGRegionCanvas",
        "RAGRegionBox",
        "RAGRegionMask",
        "RAGSplitRatioLayout",
        "RAGRegionStrength",
        "RAGRegionLora",
        "RAGHardBinding",
        "RAGSoftRefinementAttention",
        "RAGRegionalPrompting",
        "RAGRPGRegionalDiffusion",
        "RAGDenseDiffusion",
        "RAGHardBindingSampler",
        "RAGRepaint",
        "RAGLayoutPreview",
        "RAGRegionsToMask",
        "RAGPlannerPrompt",
        "RAGPlanToRegions",
        "RAGDemoCLIPLoader",
    }


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.define_schema().node_id)
def test_every_input_and_output_is_explained(node):
    schema = node.define_schema()
    assert schema.category == "sampling/regional (RAG)"
    assert schema.description and schema.search_aliases
    assert all(part.tooltip for part in [*schema.inputs, *schema.outputs])


def test_defaults_are_the_ones_to_start_with():
    defaults = {i.id: getattr(i, "default", None) for i in RAGHardBindingSampler.define_schema().inputs}
    assert (defaults["bind_steps"], defaults["delta"], defaults["fidelity"]) == (2, 1.0, "published")
    assert (defaults["cfg"], defaults["sampler_name"], defaults["scheduler"]) == (1.0, "euler", "simple")


def test_regions_are_appended_in_order():
    first = box(clip=CLIP, text="a")
    assert said(box(clip=CLIP, text="b", regions=first)) == ["a", "b"]
    assert said(first) == ["a"]
    cells = RAGSplitRatioLayout.execute("1,1", "c BREAK d", CLIP, regions=first)[0]
    assert said(cells) == ["a", "c", "d"]


def test_style_follows_every_prompt():
    cells = RAGSplitRatioLayout.execute("1,1", "c BREAK d", CLIP, style=" in oil ")[0]
    assert said(cells) == ["c, in oil", "d, in oil"]


def test_text_is_encoded_as_clip_text_encode_does():
    from rag_pack.nodes.demo import load_demo_clip

    from nodes import CLIPTextEncode

    clip = load_demo_clip()
    text = "a (red:1.2) circle, ünïcode"
    [[ours, our_options]] = box(clip=clip, text=text)[0].conditioning
    ((stock, stock_options),) = CLIPTextEncode().encode(clip, text)[0]
    assert torch.equal(ours, stock)
    assert torch.equal(our_options["pooled_output"], stock_options["pooled_output"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"clip": CLIP, "text": "a", "conditioning": [[0, {}]]}, "conditioning and clip are both given"),
        ({"text": "a", "conditioning": [[0, {}]]}, "conditioning and text are both given"),
        ({"text": "a"}, "text is given without clip"),
        ({}, "the region has no prompt"),
        ({"conditioning": []}, "conditioning is connected but empty"),
        ({"clip": CLIP, "text": "a", "regions": ()}, "regions is connected but holds no region"),
        ({"clip": CLIP, "text": "a", "regions": [1]}, "regions is no RAG_REGIONS but list"),
    ],
)
def test_a_region_without_one_source_is_refused(inputs, message):
    with pytest.raises(ValueError, match=f"^Region Box: {message}"):
        box(**inputs)


def test_a_linked_number_outside_the_image_is_refused():
    with pytest.raises(ValueError, match="^Region Box: the box leaves the image"):
        RAGRegionBox.execute(x=0.9, y=0.0, width=0.5, height=1.0, clip=CLIP, text="a")


def test_masks():
    batch = torch.ones(2, 8, 8)
    with pytest.raises(ValueError, match="^Region Mask: mask holds 2 masks"):
        RAGRegionMask.execute(batch, clip=CLIP, text="a")
    with pytest.raises(ValueError, match=r"^Region Mask: mask is empty: .* use Load Image \(as Mask\)"):
        RAGRegionMask.execute(torch.zeros(1, 8, 8), clip=CLIP, text="a")
    assert said(RAGRegionMask.execute(batch[:1], clip=CLIP, text="a")[0]) == ["a"]


def test_widget_constants_are_checked_before_anything_runs():
    assert RAGRegionBox.validate_inputs(0.9, 0.0, 0.5, 1.0).startswith("Region Box: the box leaves the image")
    assert RAGRegionBox.validate_inputs(0.5, 0.0, 0.5, 1.0) is True
    assert RAGRegionBox.validate_inputs(x=0.9) is True  # the others are linked
    assert "at character 4" in RAGSplitRatioLayout.validate_inputs("1, x", "a BREAK b")
    assert "2 cells and text holds 3 prompts" in RAGSplitRatioLayout.validate_inputs(
        "1, 1", "a BREAK b BREAK c"
    )
    assert RAGSplitRatioLayout.validate_inputs("1, 1") is True  # the text is linked


@pytest.mark.parametrize("execute", [
    lambda model, regions: RAGHardBinding.execute(model, regions, 2, True),
    lambda model, regions: RAGSoftRefinementAttention.execute(model, regions, 1.0, 0.0, 1.0, "published"),
])  # fmt: skip
def test_empty_regions_are_refused(model, execute):
    with pytest.raises(ValueError, match="regions is connected but holds no region"):
        execute(model, ())


def test_time_window_of_refinement(model, texts):
    regions = box(conditioning=conditioning(texts, "S0"))
    with pytest.raises(ValueError, match=r"start_percent is 0\.5 and end_percent 0\.2"):
        RAGSoftRefinementAttention.execute(model, regions, 1.0, 0.5, 0.2, "published")


def test_the_sampler_without_regions_is_the_stock_ksampler(model, texts):
    from nodes import KSampler

    latent = {"samples": torch.zeros(2, 16, 16, 24), "batch_index": [3, 5]}
    positive, negative = conditioning(texts, "G0"), conditioning(texts, "G1")
    settings = 7, 4, 2.0, "dpmpp_2m_sde", "simple", positive, negative, latent
    ours = RAGHardBindingSampler.execute(model, *settings, 0.9, 2, True, 1.0, "published", False)[0]
    stock = KSampler().sample(model, *settings, 0.9)[0]
    assert torch.equal(ours["samples"], stock["samples"])
    assert ours.keys() == stock.keys()


def test_the_sampler_is_the_two_patches(model, texts):
    from nodes import KSampler

    regions = box(conditioning=conditioning(texts, "H0"))
    latent = {"samples": noise_for(16, 24), "noise_mask": torch.ones(1, 1, 16, 24)}
    settings = 7, 4, 2.0, "heun", "simple", conditioning(texts, "G0"), conditioning(texts, "G1"), latent
    ours = RAGHardBindingSampler.execute(
        model, *settings, 0.8, 2, True, 0.5, "published", binding_regions=regions, refinement_regions=regions
    )[0]
    patched = RAGHardBinding.execute(model, regions, 2, True)[0]
    patched = RAGSoftRefinementAttention.execute(patched, regions, 0.5, 0.0, 1.0, "published")[0]
    assert torch.equal(ours["samples"], KSampler().sample(patched, *settings, 0.8)[0]["samples"])
    assert not torch.equal(ours["samples"], KSampler().sample(model, *settings, 0.8)[0]["samples"])


def test_masks_of_a_layout():
    layout = box(
        clip=CLIP, text="b", regions=RAGRegionBox.execute(0.5, 0.5, 0.5, 0.5, clip=CLIP, text="a")[0]
    )
    first, second, both = (RAGRegionsToMask.execute(layout, i, 64, 32)[0] for i in (1, 2, 0))
    assert first.shape == (1, 32, 64)
    assert first[0, 16:, 32:].all() and first.sum() == 16 * 32
    assert second[0, :, :32].all() and second.sum() == 32 * 32
    assert torch.equal(both, torch.maximum(first, second))
    with pytest.raises(ValueError, match="index is 3 and the layout holds 2 regions"):
        RAGRegionsToMask.execute(layout, 3, 64, 32)


def test_preview_shows_every_region_in_its_colour():
    layout = RAGSplitRatioLayout.execute("1,1", "left BREAK right", CLIP)[0]
    picture = RAGLayoutPreview.execute(layout, 256, 128)[0]
    assert picture.shape == (1, 128, 256, 3)
    left, right, border = picture[0, 100, 60], picture[0, 100, 190], picture[0, 100, 0]
    assert (left - right).abs().max() > 0.05
    assert (border - left).abs().max() > 0.2
    over = RAGLayoutPreview.execute(layout, 256, 128, torch.ones(1, 64, 64, 3))[0]
    assert over[0, 100, 60].min() > picture[0, 100, 60].max()


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.define_schema().node_id)
def test_every_node_has_a_help_page_that_names_its_inputs(node):
    schema = node.define_schema()
    page = (REPO / "js" / "docs" / f"{schema.node_id}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {schema.display_name}\n")
    assert f"](pictures/{schema.node_id}.png)" in page
    assert (REPO / "js" / "docs" / "pictures" / f"{schema.node_id}.png").is_file()
    own = {i.id for i in schema.inputs} - {
        "model",
        "seed",
        "steps",
        "sampler_name",
        "scheduler",
        "denoise",
        "negative",
    }
    shared = {"clip", "text", "conditioning", "regions", "latent_image", "positive", "cfg", "delta"}
    assert all(name in page for name in own - shared)


@pytest.mark.parametrize(
    ("execute", "message"),
    [
        (lambda model: RAGHardBinding.execute(model, box(clip=CLIP, text="a"), float("nan"), True),
         "Hard Binding: bind_steps is nan; it has to be a whole number from 0 to 10000"),
        (lambda model: RAGHardBinding.execute(model, box(clip=CLIP, text="a"), True, True),
         "Hard Binding: bind_steps is True; it has to be a whole number from 0 to 10000"),
        (lambda model: RAGSoftRefinementAttention.execute(model, (), 7.0, 0.0, 1.0, "published"),
         "Soft Refinement Attention: delta is 7.0; it has to be a number from 0.0 to 1.0"),
        (lambda model: RAGSoftRefinementAttention.execute(model, (), 1.0, 0.0, 1.0, "exact"),
         "Soft Refinement Attention: fidelity is 'exact'; it has to be one of published, shared"),
        (lambda model: RAGLayoutPreview.execute(box(clip=CLIP, text="a"), -64, 64),
         "Layout Preview: width is -64; it has to be a whole number from 16 to 16384"),
        (lambda model: RAGRegionBox.execute(0.0, 0.0, "1", 1.0, clip=CLIP, text="a"),
         "Region Box: width is '1'; it has to be a number from 0.001 to 1.0"),
        (lambda model: RAGSplitRatioLayout.execute("1", "a", None),
         "Split Ratio Layout: clip is nothing; it has to be a CLIP"),
        (lambda model: RAGRegionMask.execute(torch.ones(4), clip=CLIP, text="a"),
         "Region Mask: mask is of the type Tensor; it has to be a MASK, [batch, height, width]"),
        (lambda model: RAGHardBinding.execute("model", (), 2, True),
         "Hard Binding: model is 'model'; it has to be a MODEL"),
        (lambda model: RAGHardBinding.execute(model, box(clip=CLIP, text="a"), 2, 1),
         "Hard Binding: bind_features is 1; it has to be true or false"),
    ],
)  # fmt: skip
def test_values_that_links_bring_past_the_widgets_are_refused(model, execute, message):
    with pytest.raises(ValueError) as error:
        execute(model)
    assert message in str(error.value)


def test_half_a_character_is_refused_in_words():
    """A text encoder would answer with a bare TypeError."""
    with pytest.raises(
        ValueError, match=r"holds half of a character, '\\ud83d', .* type it anew: 'a fox \\ud83d'"
    ):
        encode(None, "a fox \ud83d")
