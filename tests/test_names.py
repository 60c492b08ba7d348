"""What messages call a model."""

import re

import comfy.model_base
import comfy.supported_models
import pytest
from rag_pack.nodes.patches import RAGRegionalPrompting, RAGSoftRefinementAttention
from rag_pack.rag_sampler import networks
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.methods.regional_prompting import RegionalPrompting
from rag_pack.rag_sampler.networks.names import NAMES, shown


def called(config: type, model: type) -> str:
    """The name of a model of these classes, of comfy.supported_models and comfy.model_base."""
    return shown(config.__new__(config), model.__new__(model))


@pytest.mark.parametrize("config", comfy.supported_models.models)
def test_no_model_of_comfyui_is_without_a_name(config):
    """A model that merely derives from another may have its name."""
    assert called(config, comfy.model_base.BaseModel) in NAMES.values()


@pytest.mark.parametrize(
    ("config", "model", "name"),
    [
        ("FluxInpaint", "Flux", "FLUX.1"),
        ("FluxSchnell", "Flux", "FLUX.1"),
        ("Flux2", "Flux2", "FLUX.2"),
        ("LongCatImage", "LongCatImage", "LongCat-Image"),
        ("Chroma", "Chroma", "Chroma"),
        ("ChromaRadiance", "ChromaRadiance", "Chroma Radiance"),
        ("SD3", "SD3", "SD3.5"),
        ("SSD1B", "SDXL", "SDXL"),
        ("HiDream", "HiDream", "HiDream-I1"),
        ("WAN22_T2V", "WAN22", "Wan"),
    ],
)
def test_names(config, model, name):
    assert called(getattr(comfy.supported_models, config), getattr(comfy.model_base, model)) == name


def test_a_configuration_of_a_pack_is_called_by_the_model():
    assert called(object, comfy.model_base.Chroma) == "Chroma"


@pytest.mark.parametrize(
    ("node", "method"), [(RAGSoftRefinementAttention, Refinement), (RAGRegionalPrompting, RegionalPrompting)]
)
def test_a_node_names_the_models_that_it_is_for(node, method):
    described = node.define_schema().description
    for family in networks.FAMILIES:
        name = re.split("[,(]", family.name)[0].strip()
        assert (name in described) == (family.kind in method.kinds), name
