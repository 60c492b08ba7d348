"""Nothing of a run lives on, and no run sees another."""

import gc
import math

import comfy.hooks
import comfy.model_management
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from rag_pack.rag_sampler.engine import STEP, add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.repaint import NewRegion, repaint
from rag_pack.rag_sampler.sampling import Settings
from rag_pack.rag_sampler.sampling import sample as make
from test_hooks import lora
from tiny import conditioning, noise_for, sample, schedule


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, 4)


def regional(model, texts, keys=("H0", "H1"), split=0.5, delta=0.5):
    boxes = Box(0, 0, split - 0.1, 0.8), Box(split, 0.2, 0.9 - split, 0.8)
    cells = Cell(0, 0, split, 1), Cell(split, 0, 1, 1)
    binding = Binding(tuple(Region(b, conditioning(texts, k)) for b, k in zip(boxes, keys, strict=True)), 2)
    refinement = Refinement(
        tuple(Region(c, conditioning(texts, k)) for c, k in zip(cells, keys, strict=True)), delta
    )
    return add_spec(add_spec(model, binding), refinement)


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())


def test_ten_runs_leave_no_tensor(model, texts, setting):
    """The fourth is interrupted and the seventh fails, in the middle of a bound step."""
    patched = regional(model, texts)

    def run(number: int) -> None:
        errors = {4: comfy.model_management.InterruptProcessingException(), 7: RuntimeError("boom")}
        broken, calls = patched.clone(), iter(range(1000))

        def apply(forward, args):
            if number in errors and next(calls) == 2:
                raise errors[number]
            return forward(args["input"], args["timestep"], **args["c"])

        broken.set_model_unet_function_wrapper(apply)
        try:
            sample(broken, *setting)
        except (RuntimeError, comfy.model_management.InterruptProcessingException):
            assert number in errors

    run(0)
    before = live_tensors()
    for number in range(1, 11):
        run(number)
    assert live_tensors() <= before


PHASES = {
    "before the first step": lambda place, step: place == "prepared",
    "in a region's run": lambda place, step: place == "block" and step.parts is not None,
    "in a bound main pass": lambda place, step: place == "block" and step.paste,
    "in a refined step": lambda place, step: place == "block" and step.guided and not step.paste,
}
REPAINT_PHASES = {
    "in the new region's own run": lambda place, step: place == "block" and step is None,
    "in the replay of the old picture": lambda place, step: step and step.record and step.parts is None,
    "in the replay of an old region": lambda place, step: step and step.parts is not None,
    "in the new picture": lambda place, step: step and step.plan.replay,
}
ERRORS = [torch.OutOfMemoryError("out of memory"), comfy.model_management.InterruptProcessingException()]


class Fault:
    """What sits in a MODEL's third block and behind its preparation, and raises an error when its phase comes."""

    def __init__(self, model) -> None:
        self.error, self.phase = None, None
        self.model = model.clone()
        self.model.set_model_patch_replace(self.block, "dit", "single_block", 0)
        self.model.add_wrapper(WrappersMP.PREPARE_SAMPLING, self.prepared)

    def block(self, args, extra):
        self.visit("block", args["transformer_options"].get(STEP))
        return extra["original_block"](args)

    def prepared(self, executor, *args, **kwargs):
        out = executor(*args, **kwargs)
        self.visit("prepared", None)
        return out

    def visit(self, place: str, step) -> None:
        if self.error is not None and self.phase(place, step):
            raise self.error

    def strike(self, error: Exception, phase, run) -> None:
        """Run until the phase; then what ComfyUI does when memory is out."""
        self.error, self.phase = error, phase
        with pytest.raises(type(error)):
            run()
        self.error = None
        if isinstance(error, torch.OutOfMemoryError):
            comfy.model_management.unload_all_models()


@pytest.mark.parametrize("error", ERRORS, ids=["out of memory", "interrupted"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("own_lora", [False, True], ids=["", "region with a LoRA"])
def test_a_broken_run_leaves_the_model_and_the_regions_as_they_were(
    model, texts, setting, error, phase, own_lora
):
    """Both the MODEL without our nodes and the very MODEL that broke give what they gave before."""
    fault = Fault(model)
    start = fault.model
    if own_lora:  # in the first region that is run
        hooked = comfy.hooks.set_hooks_for_conditioning(conditioning(texts, "H2"), lora(model))
        start = add_spec(start, Binding((Region(Box(0.2, 0.2, 0.5, 0.5), hooked),), 2))
    patched = regional(start, texts)
    plain, whole = sample(fault.model, *setting), sample(patched, *setting)
    options, weights = repr(fault.model.model_options), weights_of(model)
    fault.strike(error, PHASES[phase], lambda: sample(patched, *setting))
    assert all(torch.equal(now, before) for now, before in zip(weights_of(model), weights, strict=True))
    assert torch.equal(sample(fault.model, *setting), plain)
    assert torch.equal(sample(patched, *setting), whole)
    assert repr(fault.model.model_options) == options


def weights_of(model) -> list[torch.Tensor]:
    return [weight.clone() for weight in model.model.diffusion_model.state_dict().values()]


@pytest.mark.parametrize("error", ERRORS, ids=["out of memory", "interrupted"])
@pytest.mark.parametrize("phase", REPAINT_PHASES)
def test_a_broken_repaint_leaves_model_and_picture_as_they_were(model, texts, setting, error, phase):
    fault, settings = Fault(model), Settings(5, 5, 1.0, "euler", "simple")
    base, inside = setting[0], torch.zeros(8, 12, dtype=torch.bool)
    inside[2:6, 5:10] = True
    region = NewRegion(inside, conditioning(texts, "RH"), 1, True)
    cell = Refinement((Region(Cell(0, 0, 1, 1), conditioning(texts, "R1")),), 0.5)
    patched = regional(fault.model, texts)
    prior = make(
        patched, {"samples": torch.zeros(1, 16, 16, 24)}, base, base, settings, keep_for_repaint=True
    )
    samples = prior["samples"].clone()

    def painted() -> torch.Tensor:
        return repaint(fault.model, prior, region, base, base, settings, cell)["samples"]

    plain, whole = sample(fault.model, *setting), painted()
    fault.strike(error, REPAINT_PHASES[phase], painted)
    assert torch.equal(prior["samples"], samples)
    assert torch.equal(sample(fault.model, *setting), plain)
    assert torch.equal(painted(), whole)


def test_two_graphs_queued_in_turn_give_the_pictures_of_each_alone(model, texts, setting):
    first, second = regional(model, texts), regional(model, texts, ("H2", "S1"), 0.3, 1.0)
    alone = sample(first, *setting), sample(second, *setting)
    for _ in range(2):
        assert torch.equal(sample(first, *setting), alone[0])
        assert torch.equal(sample(second, *setting), alone[1])


def test_a_patch_on_a_patch_leaves_the_first_alone(model, texts, setting):
    first = regional(model, texts)
    alone = sample(first, *setting)
    sample(add_spec(first, Refinement((Region(Cell(0, 0, 1, 1), conditioning(texts, "S2")),), 1.0)), *setting)
    assert torch.equal(sample(first, *setting), alone)


def test_the_memory_estimate_sees_texts_streams_and_states(model, texts, setting, monkeypatch):
    """As more rows of a latent of 16 × 24: two texts of 77 beside 96 image tokens, the second image stream, and the
    states of half the tokens where a row of the latent takes 24 kB."""
    base, noise, sigmas = setting
    monkeypatch.setattr(
        type(model.model), "memory_required", lambda self, shape, **_: 1000 * math.prod(shape[2:])
    )

    def rows(*specs) -> int:
        seen = []

        def watch(executor, model, noise_shape, conds, **kwargs):
            seen.append(noise_shape[-2])
            return executor(model, noise_shape, conds, **kwargs)

        patched = model.clone()
        for spec in specs:
            patched = add_spec(patched, spec)
        patched.add_wrapper("prepare_sampling", watch)  # behind ours
        sample(patched, base, noise, sigmas)
        return seen[0]

    cells = tuple(Region(Cell(i / 2, 0, (i + 1) / 2, 1), conditioning(texts, "S0")) for i in range(2))
    half = (Region(Box(0, 0, 0.5, 1), conditioning(texts, "H0")),)
    states = 48 * (1 + 2 + 3) * 64 * 4  # tokens, input and blocks, channels, bytes
    assert rows() == 16
    assert rows(Refinement(cells, 1.0)) == math.ceil(16 * (1 + 154 / 96))
    assert rows(Refinement(cells, 0.5)) == math.ceil(16 * (2 + 154 / 96))
    assert rows(Binding(half, 1)) == math.ceil(16 + states / 24_000)
    assert rows(Binding(half, 1), Refinement(cells, 1.0)) == math.ceil(16 * (1 + 154 / 96) + states / 24_000)
    assert rows(Binding(half, 1, features=False)) == 16
