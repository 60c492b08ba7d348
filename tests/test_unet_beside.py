"""Regions of UNets beside what else changes a UNet: what both make is what the method written down makes there."""

import comfy.cldm.cldm
import comfy.controlnet
import comfy.ops
import families
import pytest
import torch
from comfy_extras.nodes_freelunch import FreeU, FreeU_V2
from comfy_extras.nodes_hypertile import HyperTile
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_sag import SelfAttentionGuidance
from comfy_extras.nodes_tomesd import TomePatchModel
from test_unet import BASE, assert_differ, assert_equal, cells, noise_for, rpg, sampled, text, written

NODES = {
    "FreeU": lambda model: FreeU.execute(model, 1.5, 1.6, 0.5, 0.2),
    "FreeU V2": lambda model: FreeU_V2.execute(model, 1.5, 1.6, 0.5, 0.2),
    "HyperTile": lambda model: HyperTile.execute(model, 32, 1, 1, False),
    "ToMe": lambda model: TomePatchModel.execute(model, 0.5),
    "PAG": lambda model: PerturbedAttentionGuidance.execute(model, 3.0),
    "deep shrink": lambda model: PatchModelAddDownscale.execute(
        model, 2, 1.6, 0.0, 1.0, True, "bicubic", "bicubic"
    ),
    "deep shrink before the skip": lambda model: PatchModelAddDownscale.execute(
        model, 1, 2.0, 0.0, 1.0, False, "bilinear", "bilinear"
    ),
}  # fmt: skip
"""Core's nodes, with settings that matter to a tiny network."""

REGIONS, RATIOS, RATIOS_TEXT = cells("1,2; 1,1,1"), [0.3, 0.0, 0.6], "0.3, 0, 0.6"


@pytest.fixture(params=["SD1.5", "SDXL"])
def unet(request, tmp_path):
    return families.load(request.param, tmp_path)


@pytest.mark.parametrize("first", ["the node", "regions"])
@pytest.mark.parametrize("name", NODES)
def test_a_node_of_core(unet, name, first):
    """ToMe merges tokens on the latent's own level alone, where SDXL has no attention."""
    noise, node = noise_for(24, 24), lambda model: NODES[name](model)[0]
    changed = node(unet)
    both = (
        rpg(changed, REGIONS, RATIOS_TEXT) if first == "the node" else node(rpg(unet, REGIONS, RATIOS_TEXT))
    )
    found = sampled(both, noise)
    assert_equal(found, written(changed, noise, REGIONS, RATIOS))
    assert_differ(found, sampled(changed, noise))
    if name != "ToMe" or type(unet.model).__name__ != "SDXL":
        assert_differ(found, sampled(rpg(unet, REGIONS, RATIOS_TEXT), noise))


def control_for(model, name: str):
    """A random ControlNet of the network's own kind."""
    arguments = {
        key: value for key, value in families.OTHERS[name][1].items() if key not in ("out_channels",)
    }
    arguments.pop("transformer_depth_output")
    network = comfy.cldm.cldm.ControlNet(
        **arguments, hint_channels=3, dtype=torch.float32, operations=comfy.ops.disable_weight_init
    )
    network.load_state_dict(families.random_state(network))
    return comfy.controlnet.ControlNet(network.eval(), load_device=torch.device("cpu"))


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("name", ["SD1.5", "SDXL"])
def test_a_controlnet_reads_the_base_prompt(name, cfg, tmp_path):
    unet, noise = families.load(name, tmp_path), noise_for()
    hint = torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(3))
    control = control_for(unet, name).set_cond_hint(hint, 0.8, (0.0, 1.0))
    base = text(1, control=control, control_apply_to_uncond=True)
    found = sampled(rpg(unet, REGIONS, RATIOS_TEXT), noise, base=base, cfg=cfg)
    assert_equal(found, written(unet, noise, REGIONS, RATIOS, base=base, cfg=cfg))
    assert_differ(found, sampled(rpg(unet, REGIONS, RATIOS_TEXT), noise, base=BASE, cfg=cfg))


def test_self_attention_guidance_has_regions_in_its_second_pass(unet):
    noise, node = noise_for(), lambda model: SelfAttentionGuidance.execute(model, 0.5, 2.0)[0]
    found = sampled(node(rpg(unet, REGIONS, RATIOS_TEXT)), noise, cfg=3.0)
    assert_equal(found, written(node(unet), noise, REGIONS, RATIOS, cfg=3.0))
    assert_differ(found, sampled(rpg(unet, REGIONS, RATIOS_TEXT), noise, cfg=3.0))
