"""Nothing of a run lives on, and no run sees another."""

import gc

import comfy.model_management
import pytest
import torch
from rag_pack.rag_sampler.binding import Binding
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
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


def test_the_memory_estimate_sees_texts_streams_and_states(model, texts, setting):
    """In tokens: two texts of 77 beside 96 image tokens, the second image stream, the states of the boxes."""
    base, noise, sigmas = setting

    def estimated(patched) -> float:
        seen = []

        def watch(executor, model, noise_shape, conds, **kwargs):
            seen.append(model.model.memory_required(noise_shape))
            return executor(model, noise_shape, conds, **kwargs)

        patched = patched.clone()
        patched.add_wrapper("prepare_sampling", watch)  # behind ours
        sample(patched, base, noise, sigmas)
        return seen[0]

    plain = estimated(model)
    cells = tuple(Region(Cell(i / 2, 0, (i + 1) / 2, 1), conditioning(texts, "S0")) for i in range(2))
    refined = estimated(add_spec(model, Refinement(cells, 1.0)))
    forked = estimated(add_spec(model, Refinement(cells, 0.5)))
    per_row = plain / 16
    assert refined == pytest.approx(plain * (1 + 154 / 96), abs=per_row)
    assert forked == pytest.approx(plain * (2 + 154 / 96), abs=per_row)
    half = (Region(Box(0, 0, 0.5, 1), conditioning(texts, "H0")),)
    states = 48 * (1 + 2 + 3) * 64 * 4  # tokens, input and blocks, channels, bytes
    bound = estimated(add_spec(model, Binding(half, 1)))
    assert bound == pytest.approx(plain + states, abs=per_row)
    assert estimated(add_spec(model, Binding(half, 1, features=False))) == plain
