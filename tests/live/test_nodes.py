"""The nodes as the server announces them: ids and inputs that saved workflows depend on."""

from __future__ import annotations

import pytest

from demo.workflow import inputs_of

SOURCE = "clip text conditioning"
NODES = {  # id -> display name, required inputs, optional inputs, output types
    "RAGRegionCanvas": (
        "Region Canvas",
        "width height clip",
        "style bboxes background regions",
        ["RAG_REGIONS", "IMAGE", "INT", "INT", "ARRAY"],
    ),
    "RAGRegionBox": ("Region Box", "x y width height", f"{SOURCE} regions", ["RAG_REGIONS"]),
    "RAGRegionMask": ("Region Mask", "mask", f"{SOURCE} regions", ["RAG_REGIONS"]),
    "RAGSplitRatioLayout": ("Split Ratio Layout", "split_ratio text clip", "style regions", ["RAG_REGIONS"]),
    "RAGLayoutPreview": ("Layout Preview", "regions width height", "image", ["IMAGE"]),
    "RAGRegionsToMask": ("Regions to Mask", "regions index width height", "", ["MASK"]),
    "RAGHardBinding": ("Hard Binding", "model regions bind_steps bind_features", "", ["MODEL"]),
    "RAGSoftRefinementAttention": (
        "Soft Refinement Attention",
        "model regions delta start_percent end_percent fidelity",
        "",
        ["MODEL"],
    ),
    "RAGRegionalPrompting": (
        "Regional Prompting Attention",
        "model regions base_ratio start_percent end_percent double_interval single_interval background fidelity",
        "",
        ["MODEL"],
    ),
    "RAGHardBindingSampler": (
        "Hard Binding Sampler",
        "model seed steps cfg sampler_name scheduler positive negative latent_image denoise bind_steps "
        "bind_features delta fidelity keep_for_repaint",
        "binding_regions refinement_regions",
        ["LATENT"],
    ),
    "RAGRepaint": (
        "Repaint",
        "model prior mask positive negative delta seed steps cfg sampler_name scheduler repaint_bind_steps grow "
        "match_surroundings",
        f"{SOURCE} refinement_regions",
        ["LATENT", "MASK"],
    ),
    "RAGPlannerPrompt": (
        "Planner Prompt",
        "sentence width height region_count answer_style",
        "feedback",
        ["STRING"],
    ),
    "RAGPlanToRegions": (
        "Plan to Regions",
        "answer clip width height",
        "sentence",
        ["RAG_REGIONS", "RAG_REGIONS", "STRING", "IMAGE", "STRING", "STRING"],
    ),
    "RAGDemoCLIPLoader": ("Demo CLIP Loader", "", "", ["CLIP"]),
}


@pytest.mark.parametrize("name", NODES)
def test_node_is_announced_as_documented(live, name):
    display, required, optional, outputs = NODES[name]
    spec = live.server.object_info[name]
    inputs = list(inputs_of(spec))
    assert spec["display_name"] == display
    assert {entry.name for entry in inputs if entry.required} == set(required.split())
    assert {entry.name for entry in inputs if not entry.required} == set(optional.split())
    assert spec["output"] == outputs
    assert spec["category"] == "sampling/regional (RAG)"


@pytest.mark.parametrize("name", NODES)
def test_every_input_and_node_explains_itself(live, name):
    spec = live.server.object_info[name]
    silent = [entry.name for entry in inputs_of(spec) if not entry.options.get("tooltip", "").strip()]
    assert silent == []
    assert spec["description"].strip()
    assert spec["search_aliases"]


def test_the_seed_stays_after_a_run(live):
    seed = next(i for i in inputs_of(live.server.object_info["RAGHardBindingSampler"]) if i.name == "seed")
    assert seed.options["control_after_generate"] == "fixed"
