"""From the page's workflow format to an API prompt, on small workflows with the prompt written by hand."""

from __future__ import annotations

import pytest

from demo.workflow import WorkflowError, override, replace, to_prompt

SEED = ["INT", {"default": 0, "control_after_generate": True}]
INFO = {
    "Load": {"input": {"required": {"file": [["a.safetensors", "b.safetensors"]]}}},
    "Sample": {
        "input": {
            # V3 nodes send an order of their own: the page follows it, not the mapping's
            "required": {"steps": ["INT", {"default": 20}], "seed": SEED, "model": ["MODEL", {}]},
            "optional": {"text": ["STRING", {"forceInput": True}], "tiled": ["BOOLEAN", {"default": False}]},
        },
        "input_order": {"required": ["model", "seed", "steps"], "optional": ["text", "tiled"]},
    },
    "Patch": {"input": {"required": {"model": ["MODEL"], "points": ["CURVE", {"widgetType": "CURVE"}]}}},
    "Resize": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {
                                "key": "size",
                                "inputs": {"required": {"width": ["INT", {}], "height": ["INT", {}]}},
                            },
                            {"key": "factor", "inputs": {"required": {"by": ["FLOAT", {}]}}},
                        ]
                    },
                ],
                "method": ["COMBO", {"options": ["area", "nearest"]}],
            }
        }
    },
}
LOAD = {"id": 1, "type": "Load", "widgets_values": ["a.safetensors"], "outputs": [{"links": [1]}]}
MODEL_SLOT = {"name": "model", "type": "MODEL", "link": 1}
SAMPLE = {"id": 2, "type": "Sample", "inputs": [MODEL_SLOT], "widgets_values": [7, "randomize", 30, True]}
LINK = [1, 1, 0, 2, 0, "MODEL"]


def workflow(*nodes, links=(LINK,)):
    return {"nodes": list(nodes), "links": list(links)}


def inputs(graph):
    """Node id -> inputs of the converted workflow."""
    return {key: node["inputs"] for key, node in to_prompt(graph, INFO).items()}


SAMPLED = {"model": ["1", 0], "seed": 7, "steps": 30, "tiled": True}


def test_widgets_are_read_in_the_order_of_the_inputs_and_the_seeds_control_is_left_out():
    assert inputs(workflow(LOAD, SAMPLE)) == {"1": {"file": "a.safetensors"}, "2": SAMPLED}


def test_titles_and_classes_are_kept():
    prompt = to_prompt(workflow(LOAD, SAMPLE | {"title": "second stage"}), INFO)
    assert prompt["2"]["class_type"] == "Sample"
    assert prompt["2"]["_meta"] == {"title": "second stage"}


def test_links_may_be_objects():
    link = {"id": 1, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "MODEL"}
    assert inputs(workflow(LOAD, SAMPLE, links=[link]))["2"] == SAMPLED


def test_widget_values_may_be_a_mapping():
    sample = SAMPLE | {"widgets_values": {"seed": 7, "steps": 30, "tiled": True, "videopreview": {}}}
    assert inputs(workflow(LOAD, sample))["2"] == SAMPLED


def test_widgets_without_a_saved_value_have_their_default():
    sample = SAMPLE | {"widgets_values": [7, "fixed"]}
    assert inputs(workflow(LOAD, sample))["2"] == SAMPLED | {"steps": 20, "tiled": False}


def test_a_linked_widget_takes_what_the_link_brings():
    steps = {"name": "steps", "type": "INT", "link": 2, "widget": {"name": "steps"}}
    sample = SAMPLE | {"inputs": [MODEL_SLOT, steps]}
    links = [LINK, [2, 3, 0, 2, 1, "INT"]]
    primitive = {"id": 3, "type": "PrimitiveNode", "widgets_values": [12, "fixed"]}
    assert inputs(workflow(LOAD, sample, primitive, links=links))["2"] == SAMPLED | {"steps": 12}
    load = LOAD | {"id": 3}
    assert inputs(workflow(LOAD, sample, load, links=links))["2"] == SAMPLED | {"steps": ["3", 0]}


def test_notes_are_left_out():
    notes = [{"id": 8, "type": "Note", "widgets_values": ["a"]}, {"id": 9, "type": "MarkdownNote"}]
    assert set(inputs(workflow(LOAD, SAMPLE, *notes))) == {"1", "2"}


def through(node):
    """LOAD -> node 5 -> SAMPLE."""
    return workflow(
        LOAD, node | {"id": 5}, SAMPLE, links=[[1, 5, 0, 2, 0, "MODEL"], [4, 1, 0, 5, 0, "MODEL"]]
    )


def test_a_reroute_stands_for_its_source():
    reroute = {"type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 4}]}
    assert inputs(through(reroute)) == {"1": {"file": "a.safetensors"}, "2": SAMPLED}


def test_a_bypassed_node_hands_through_its_input_of_the_same_type():
    slots = [{"name": "clip", "type": "CLIP", "link": None}, {"name": "model", "type": "MODEL", "link": 4}]
    outputs = [{"name": "model", "type": "MODEL", "links": [1]}]
    bypassed = {"type": "Patch", "mode": 4, "inputs": slots, "outputs": outputs}
    assert inputs(through(bypassed))["2"] == SAMPLED


@pytest.mark.parametrize(
    ("output", "kind", "expected"),
    [
        (0, "MODEL", {"x": ["1", 0]}),  # the first of the type
        (1, "STRING", {"x": ["1", 1]}),  # its widget, behind the sockets: model, file, text
        (1, "CURVE,STRING", {"x": ["1", 1]}),  # of several types the one that is there
        (2, "*", {"x": ["1", 1]}),  # anything: the input at the same place, whatever it is
        (0, "*", {"x": ["1", 0]}),
        (1, "*", {}),  # nothing is connected there
        (3, "LATENT", {}),
    ],
)
def test_a_bypassed_node_hands_through_what_the_page_chooses(output, kind, expected):
    info = {
        "Make": {"input": {"required": {}}},
        "Show": {"input": {"required": {"x": [kind]}}},
        "Pass": {"input": {"required": {"file": [["a"]], "text": ["STRING", {}], "model": ["MODEL"]}}},
    }
    text = {"name": "text", "type": "STRING", "link": 2, "widget": {"name": "text"}}
    made = ("MODEL", "STRING", "INT", "LATENT")
    nodes = [
        {"id": 1, "type": "Make"},
        {
            "id": 2,
            "type": "Pass",
            "mode": 4,
            "inputs": [{"name": "model", "type": "MODEL", "link": 1}, text],
            "outputs": [{"type": name} for name in made],
        },
        {"id": 3, "type": "Show", "inputs": [{"name": "x", "type": kind, "link": 3}]},
    ]
    links = [[1, 1, 0, 2, 0, "MODEL"], [2, 1, 1, 2, 1, "STRING"], [3, 2, output, 3, 0, kind]]
    assert to_prompt({"nodes": nodes, "links": links}, info)["3"]["inputs"] == expected


def test_a_muted_node_and_what_hangs_on_it_are_left_out():
    muted = {"type": "Patch", "mode": 2, "inputs": [{"name": "model", "type": "MODEL", "link": 4}]}
    assert inputs(through(muted)) == {
        "1": {"file": "a.safetensors"},
        "2": {"seed": 7, "steps": 30, "tiled": True},
    }


def test_a_list_value_is_not_taken_for_a_link():
    patch = {"id": 2, "type": "Patch", "inputs": [MODEL_SLOT], "widgets_values": [["1", 0]]}
    assert inputs(workflow(LOAD, patch))["2"]["points"] == {"__value__": ["1", 0]}


def test_a_dynamic_combo_brings_the_inputs_of_its_option():
    by_size = {"id": 1, "type": "Resize", "widgets_values": ["size", 64, 32, "area"]}
    by_factor = {"id": 2, "type": "Resize", "widgets_values": ["factor", 0.5, "area"]}
    assert inputs(workflow(by_size, by_factor, links=[])) == {
        "1": {"mode": "size", "mode.width": 64, "mode.height": 32, "method": "area"},
        "2": {"mode": "factor", "mode.by": 0.5, "method": "area"},
    }


def test_unknown_nodes_are_named():
    with pytest.raises(WorkflowError, match="Fancy"):
        to_prompt(workflow(LOAD | {"type": "Fancy"}, links=[]), INFO)


def test_a_link_from_nowhere_is_named():
    with pytest.raises(WorkflowError, match="link 1"):
        to_prompt(workflow(SAMPLE), INFO)


def test_override_by_class_and_by_id():
    prompt = to_prompt(workflow(LOAD, SAMPLE), INFO)
    override(prompt, {("Sample", "seed"): 8, ("1", "file"): "b.safetensors", ("2", "model"): None})
    assert prompt["1"]["inputs"] == {"file": "b.safetensors"}
    assert prompt["2"]["inputs"] == {"seed": 8, "steps": 30, "tiled": True}


@pytest.mark.parametrize(
    ("key", "said"), [(("Sampler", "seed"), "Load, Sample"), (("Sample", "sed"), "seed")]
)
def test_an_override_that_would_do_nothing_names_what_there_is(key, said):
    with pytest.raises(WorkflowError, match=said):
        override(to_prompt(workflow(LOAD, SAMPLE), INFO), {key: 1})


def test_replace_keeps_the_links_to_the_node():
    prompt = to_prompt(workflow(LOAD, SAMPLE), INFO)
    replace(prompt, "Load", "Other", {"size": 1})
    assert prompt["1"]["class_type"] == "Other"
    assert prompt["1"]["inputs"] == {"size": 1}
    assert prompt["2"]["inputs"]["model"] == ["1", 0]
