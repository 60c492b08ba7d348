"""ComfyUI's MultiGPU CFG Split: bound regions ride on it. Two names of the CPU stand for two devices.

Torch does not mind tensors of both in one operation, so that what would fail between real devices is asserted by
name: which device's copy of the weights each forward and each ControlNet uses.
"""

from collections import Counter

import comfy.controlnet
import comfy.hooks
import comfy.model_management
import pytest
import torch
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.record import of_latent
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.repaint import NewRegion, repaint
from rag_pack.rag_sampler.sampling import Settings
from rag_pack.rag_sampler.sampling import sample as generate
from test_control import apply, hint
from test_hooks import lora
from tiny import cfg_guider, conditioning, load_control, load_k128, noise_for, run, schedule

try:
    from comfy_extras import nodes_multigpu as multigpu
except ImportError:
    multigpu = None
pytestmark = pytest.mark.skipif(multigpu is None, reason="this ComfyUI has no MultiGPU CFG Split")

STEPS, BOUND = 5, 3
DEVICES = torch.device("cpu"), torch.device("cpu", 0)
QUARTERS = tuple(Box(x, y, 0.5, 0.5) for y in (0, 0.5) for x in (0, 0.5))
CELLS = Cell(0, 0, 0.5, 1), Cell(0.5, 0, 1, 1)


@pytest.fixture(scope="module")
def model():
    return load_k128()


@pytest.fixture
def split(monkeypatch):
    """The node, with two devices."""
    management = comfy.model_management
    loaded = management.loaded_models
    monkeypatch.setattr(management, "get_all_torch_devices", lambda exclude_current=False: list(DEVICES))
    # ComfyUI lists models whose MODEL is gone as None, over which the node stumbles.
    monkeypatch.setattr(
        management, "loaded_models", lambda *args, **kwargs: [m for m in loaded(*args, **kwargs) if m]
    )
    yield lambda model: multigpu.MultiGPUCFGSplitNode.execute(model, 2)[0]
    management.unload_all_models()


@pytest.fixture
def setting(model):
    return noise_for(16, 24), schedule(model, STEPS)


def regions(texts, shapes, key: str, hooks=None) -> tuple[Region, ...]:
    prompts = [conditioning(texts, f"{key}{number % 2}") for number in range(len(shapes))]
    prompts[1] = comfy.hooks.set_hooks_for_conditioning(prompts[1], hooks)
    return tuple(map(Region, shapes, prompts))


SPECS = {
    "Hard Binding": lambda model, texts: [Binding(regions(texts, QUARTERS, "H"), BOUND)],
    "Hard Binding with a LoRA": lambda model, texts: [Binding(regions(texts, QUARTERS, "H", lora(model)), BOUND)],
    "Soft Refinement": lambda model, texts: [Refinement(regions(texts, CELLS, "S"), 0.5)],
    "Soft Refinement with LoRAs": lambda model, texts: [Refinement(regions(texts, CELLS, "S", lora(model)), 0.5)],
    "both": lambda model, texts: [
        Binding(regions(texts, QUARTERS, "H"), BOUND), Refinement(regions(texts, CELLS, "S"), 0.5),
    ],
}  # fmt: skip


def with_specs(model, specs):
    for spec in specs:
        model = add_spec(model, spec)
    return model


def watched(model, seen: list):
    """The MODEL, telling of each forward its device, the size of its picture and how many conditions it runs."""
    model = model.clone()

    def forward(apply, args):
        options = args["c"]["transformer_options"]
        seen.append(
            (options["multigpu_thread_device"], args["input"].shape[-2:], len(args["cond_or_uncond"]))
        )
        return apply(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(forward)
    return model


@pytest.mark.feature("MultiGPU CFG Split", "{name}", order="before and after")
@pytest.mark.parametrize("first", ["split", "regions"])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("name", SPECS)
def test_two_devices_make_the_picture_of_one(model, texts, setting, split, name, cfg, first):
    specs, prompts = SPECS[name](model, texts), (conditioning(texts, "G0"), conditioning(texts, "G1"))
    one, _ = run(cfg_guider(with_specs(model, specs), *prompts, cfg), *setting)
    seen: list = []
    patched = (
        with_specs(split(watched(model, seen)), specs)
        if first == "split"
        else split(watched(with_specs(model, specs), seen))
    )
    two, _ = run(cfg_guider(patched, *prompts, cfg), *setting)
    torch.testing.assert_close(two, one, rtol=0, atol=1e-4)
    if not name.startswith("Soft Refinement"):
        shares = Counter()
        for device, size, count in seen:
            shares[device] += count if size != (16, 24) else 0
        conditions = BOUND * len(QUARTERS) * (1 if cfg == 1 else 2)
        assert shares == dict.fromkeys(DEVICES, conditions // 2)


@pytest.fixture
def watched_controls(monkeypatch):
    """Copies of weights made, and of each run of a ControlNet its device and its weights."""
    copies, runs = [], []
    kind = comfy.controlnet.ControlNet
    copy, get = kind.deepclone_multigpu, kind.get_control

    def copied(control, device, **kwargs):
        copies.append(device)
        return copy(control, device, **kwargs)

    def got(control, x, t, cond, number, options):
        assert control.timestep_range is not None, "pre_run was not called"
        runs.append((options["multigpu_thread_device"], control.control_model))
        return get(control, x, t, cond, number, options)

    monkeypatch.setattr(kind, "deepclone_multigpu", copied)

    def start():
        monkeypatch.setattr(kind, "get_control", got)
        return copies, runs

    return start


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("where", ["both prompts", "negative", "a region"])
def test_crops_of_a_control_share_its_copy_on_each_device(
    model, texts, setting, split, watched_controls, tmp_path, where, cfg
):
    """ComfyUI copies the weights of every ControlNet object to every device, and a crop is an object of its own."""
    positive, negative = conditioning(texts, "G0"), conditioning(texts, "G1")
    control = load_control(tmp_path, 1)
    boxes = regions(texts, QUARTERS, "H")
    if where == "both prompts":
        positive, negative = apply(positive, control, hint(), negative=negative)
    elif where == "negative":
        _, negative = apply([], control, hint(), negative=negative)
    else:
        own, _ = apply(boxes[1].conditioning, control, hint())
        boxes = (boxes[0], Region(boxes[1].shape, own), *boxes[2:])
    patched = add_spec(model, Binding(boxes, BOUND))
    one, _ = run(cfg_guider(patched, positive, negative, cfg), *setting)
    patched = split(patched)
    copies, runs = watched_controls()
    for _ in range(2):
        two, _ = run(cfg_guider(patched, positive, negative, cfg), *setting)
        torch.testing.assert_close(two, one, rtol=0, atol=1e-4)
    assert copies == [DEVICES[1]]
    weights = {device: {id(used) for on, used in runs if on == device} for device in DEVICES}
    assert weights[DEVICES[0]] <= {id(control.control_model)}
    assert len(weights[DEVICES[1]]) <= 1 and not weights[DEVICES[1]] & weights[DEVICES[0]]


@pytest.mark.feature("MultiGPU CFG Split", "Repaint", order="before")
def test_repaint(model, texts, split):
    """The replayed run and the new one are both shared out, and the record is valid for the split MODEL."""
    base, negative = conditioning(texts, "G0"), conditioning(texts, "G1")
    patched = add_spec(model, Binding(regions(texts, QUARTERS, "H", lora(model)), BOUND))
    settings, latent = Settings(0, STEPS, 3.0, "euler", "simple"), {"samples": torch.zeros(1, 16, 16, 24)}
    prior = generate(patched, latent, base, negative, settings, keep_for_repaint=True)
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[2:6, 4:8] = True
    region = NewRegion(inside, conditioning(texts, "H1"), 2, True)
    new = conditioning(texts, "G1")
    one = repaint(model, prior, region, new, negative, settings)["samples"]
    divided = split(model)
    assert of_latent(prior, divided)[0] is not None
    two = repaint(divided, prior, region, new, negative, settings)["samples"]
    torch.testing.assert_close(two, one, rtol=0, atol=1e-4)
