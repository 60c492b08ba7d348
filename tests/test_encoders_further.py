"""What not every method has, through the nodes on every family of test_encoders.py: DenseDiffusion, and a LoRA of its own
for a region."""

import re

import folder_paths
import pytest
import torch
from comfy_extras.nodes_hooks import ConditioningSetProperties, CreateHookLora
from rag_pack.nodes.dense_diffusion import RAGDenseDiffusion
from rag_pack.nodes.patches import RAGHardBinding
from rag_pack.rag_sampler import networks
from rag_pack.rag_sampler.regions import Region
from safetensors.torch import save_file
from test_encoders import (
    BASE,
    OTHER,
    OWN,
    REFINED,
    Family,
    assert_differ,
    assert_equal,
    family,  # noqa: F401
    ksampler,
    load,  # noqa: F401
    of_a_picture,
    of_picture,  # noqa: F401
    soft_refinement,
)

from nodes import LoraLoaderModelOnly

UNETS = ["SD1.5", "SD2", "SDXL"]
ALL = [*REFINED, "AuraFlow"]


def dense(family: Family, regions: tuple, caption: str = ""):  # noqa: F811
    """MODEL and positive, all steps."""
    return RAGDenseDiffusion.execute(
        family.model, family.clip, regions, caption, 1.0, 0.3, 1.0, 0.0, 1.0
    ).args


@pytest.mark.feature("family {family}", "DenseDiffusion")
@pytest.mark.parametrize("family", UNETS, indirect=True)
def test_a_phrase_over_the_picture_moves_nothing(family):  # noqa: F811
    """With size_strength 1 the largest region moves no score; two halves do."""
    _, negative = family.prompts
    model, positive = dense(family, family.box(OWN))
    assert_equal(ksampler(model, positive, negative, 3.0), ksampler(family.model, positive, negative, 3.0))
    model, positive = dense(family, family.cells(OWN, OTHER), f"{OWN}, {OTHER}")
    assert_differ(ksampler(model, positive, negative, 3.0), ksampler(family.model, positive, negative, 3.0))


@pytest.mark.feature("family {family}", "DenseDiffusion", found="error")
@pytest.mark.parametrize("family", [name for name in ALL if name not in UNETS], indirect=True)
def test_dense_diffusion_is_refused_by_the_name_of_the_family(family):  # noqa: F811
    name = re.escape(family.name.split("-")[0] if family.name.startswith("FLUX") else family.name)
    with pytest.raises(ValueError, match=f"^DenseDiffusion Attention: .*of the family {name}"):
        dense(family, family.box(BASE))


@pytest.mark.feature("family FLUX.1-{of_picture}", "DenseDiffusion", found="error")
def test_dense_diffusion_is_refused_on_a_model_that_is_given_a_picture(of_picture):  # noqa: F811
    with pytest.raises(ValueError, match=r"^DenseDiffusion Attention: .*of the family FLUX\.1"):
        dense(of_picture, of_picture.box(BASE))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Saves a LoRA of a family's layers as core's nodes find it; returns its name."""
    folder = tmp_path_factory.mktemp("loras")
    folder_paths.add_model_folder_path("loras", str(folder))

    def write(name: str, model) -> str:
        network, generator, weights = networks.of(model), torch.Generator().manual_seed(2), {}
        for layer, module in model.model.diffusion_model.named_modules():
            if isinstance(module, torch.nn.Linear) and (network is None or network.sees(layer)):
                rows, columns = module.weight.shape
                up, down = (
                    torch.randn(rows, 2, generator=generator),
                    torch.randn(2, columns, generator=generator),
                )
                key = f"diffusion_model.{layer}"
                weights |= {f"{key}.lora_up.weight": 0.2 * up / columns**0.5, f"{key}.lora_down.weight": down}
        file = f"rag_family_{re.sub('[^a-z0-9]', '_', name.lower())}.safetensors"
        save_file(weights, folder / file)
        return file

    return write


def with_lora(family: Family, prompts: tuple[list, list], file: str):  # noqa: F811
    """The bound MODEL whose one region, over the picture, wears it; the conditioning of that region; and Load LoRA's."""
    hooks = CreateHookLora().create_hook(file, 0.8, 0.0)[0]
    worn = ConditioningSetProperties().set_properties(prompts[0], 1.0, "default", hooks=hooks)[0]
    loaded = LoraLoaderModelOnly().load_lora_model_only(family.model, file, 0.8)[0]
    region = Region(family.box(OWN)[0].shape, worn)
    return RAGHardBinding.execute(family.model, (region,), 1000, True)[0], worn, loaded


@pytest.mark.feature("family {family}", "a LoRA of its own")
@pytest.mark.parametrize("family", ALL, indirect=True)
def test_a_region_over_the_picture_with_a_lora_is_load_lora(family, written):  # noqa: F811
    """Bound, and refined where the family can be."""
    base, own = family.encode(BASE), family.encode(OWN)
    bound, worn, loaded = with_lora(family, (own, base), written(family.name, family.model))
    assert_equal(ksampler(bound, base, base), ksampler(loaded, own, own))
    assert_differ(ksampler(family.model, own, own), ksampler(loaded, own, own))
    if family.name in REFINED:
        pooled = {key: base[0][1][key] for key in ("pooled_output",) if key in base[0][1]}
        refined = soft_refinement(family, (Region(family.cells(OWN)[0].shape, worn),))
        expected = ksampler(loaded, [[own[0][0], own[0][1] | pooled]], base)
        assert_equal(ksampler(refined, base, base), expected)


@pytest.mark.feature("family FLUX.1-{of_picture}", "a LoRA of its own")
def test_a_bound_region_with_a_lora_of_a_model_that_is_given_a_picture(of_picture, written):  # noqa: F811
    base, negative = of_a_picture(of_picture.name, of_picture.prompts)
    own, _ = of_a_picture(of_picture.name, (of_picture.encode(OWN), of_picture.encode(BASE)))
    bound, _, loaded = with_lora(of_picture, (own, base), written(of_picture.name, of_picture.model))
    assert_equal(ksampler(bound, base, base), ksampler(loaded, own, own))
    assert_differ(ksampler(of_picture.model, own, own), ksampler(loaded, own, own))
