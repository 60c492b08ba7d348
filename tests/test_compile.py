"""Core's TorchCompileModel, before and after our nodes: the same pictures, and no graph twice."""

import logging
import shutil

import families
import pytest
import torch
from comfy import hooks
from comfy.ldm.flux.layers import DoubleStreamBlock, SingleStreamBlock
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_torch_compile import TorchCompileModel, skip_torch_compile_dict
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from test_hooks import lora
from tiny import conditioning, load_k128, noise_for, sample, schedule

REGIONS = (Box(0, 0, 0.4, 0.5), "H0"), (Box(0.5, 0, 0.5, 0.75), "H1")
CELLS = (Cell(0, 0, 0.5, 1), "S0"), (Cell(0.5, 0, 1, 1), "S1")


@pytest.fixture(autouse=True)
def fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, 4)


def regional(model, texts, boxes=REGIONS, delta=0.5):
    regions = [Region(shape, conditioning(texts, key)) for shape, key in boxes]
    cells = [Region(shape, conditioning(texts, key)) for shape, key in CELLS]
    return add_spec(add_spec(model, Binding(tuple(regions), 2)), Refinement(tuple(cells), delta))


def compiled(model, backend="eager"):
    """What TorchCompileModel does, with any of dynamo's backends: it drops the guards on transformer_options."""
    model = model.clone()
    set_torch_compile_wrapper(model, backend=backend, options={"guard_filter_fn": skip_torch_compile_dict})
    return model


def graphs(block: type) -> int:
    return len(torch._dynamo.eval_frame._debug_get_cache_entry_list(block.forward.__code__))


@pytest.mark.feature("TorchCompileModel, eager", "both", order="before and after")
@pytest.mark.parametrize(
    "order",
    [
        lambda model, texts: compiled(regional(model, texts)),
        lambda model, texts: regional(compiled(model), texts),
    ],
    ids=["regions, compile", "compile, regions"],
)
def test_the_same_picture_and_no_graph_twice(model, texts, setting, order):
    expected = sample(regional(model, texts), *setting)
    patched = order(model, texts)
    assert torch.equal(sample(patched, *setting), expected)
    made = graphs(DoubleStreamBlock), graphs(SingleStreamBlock)
    assert made[0] <= 3 and made[1] <= 3  # two crops and the picture
    assert torch.equal(sample(patched, *setting), expected)
    assert (graphs(DoubleStreamBlock), graphs(SingleStreamBlock)) == made


def test_a_graph_made_without_regions_is_not_taken_for_one_with_them(model, texts, setting):
    """All clones of a MODEL share its compiled module, and one cell over the picture has the shapes of none."""
    fast = compiled(model)
    stock = sample(fast, *setting)
    whole = Refinement((Region(Cell(0, 0, 1, 1), conditioning(texts, "S0")),), 1.0)
    assert torch.equal(sample(add_spec(fast, whole), *setting), sample(add_spec(model, whole), *setting))
    assert torch.equal(sample(fast, *setting), stock)


def test_a_unet_reads_by_regions_only_where_there_are_any(tmp_path):
    """Compiled without regions first, and run without them again."""
    unet = families.load("SD1.5", tmp_path)
    base, sigmas = families.conditioning(1), schedule(unet, 2)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    left, right = (Region(shape, families.conditioning(i)) for i, (shape, _) in enumerate(CELLS, 2))
    cells = Refinement((left, right), 0.5)
    stock, expected = sample(unet, base, noise, sigmas), sample(add_spec(unet, cells), base, noise, sigmas)
    fast = compiled(unet)
    assert torch.equal(sample(fast, base, noise, sigmas), stock)
    assert torch.equal(sample(add_spec(fast, cells), base, noise, sigmas), expected)
    assert torch.equal(sample(fast, base, noise, sigmas), stock)


def test_nine_regions_of_different_sizes_are_right(model, texts, setting):
    boxes = [(Box((i % 3) / 3, (i // 3) / 3, 0.1 + 0.02 * i, 0.34 - 0.02 * i), f"H{i % 4}") for i in range(9)]
    expected = sample(regional(model, texts, boxes, 1.0), *setting)
    assert torch.equal(sample(compiled(regional(model, texts, boxes, 1.0)), *setting), expected)
    assert graphs(SingleStreamBlock) <= 10


@pytest.mark.feature("TorchCompileModel, inductor", "both", order="after")
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "cl"))), reason="needs a C++ compiler")
def test_inductor(texts):
    """The real node with code generation, on the smallest network."""
    model = load_k128()
    setting = conditioning(texts, "G0"), noise_for(8, 8), schedule(model, 2)
    boxes = [(Box(0, 0, 0.5, 0.5), "H0")]
    expected = sample(regional(model, texts, boxes), *setting)
    patched = TorchCompileModel.execute(regional(model, texts, boxes), "inductor")[0]
    torch.testing.assert_close(sample(patched, *setting), expected, rtol=0, atol=1e-4)


def test_at_dynamos_limit_the_picture_is_right_and_the_log_says_so(model, texts, setting):
    """Beyond the limit a block runs uncompiled; the line comes from dynamo itself."""
    boxes = [(Box(0.1 * i, 0, 0.1, 0.2 + 0.12 * i), f"H{i % 4}") for i in range(5)]
    expected = sample(regional(model, texts, boxes, 1.0), *setting)
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("torch._dynamo")
    logger.addHandler(handler)
    try:
        with torch._dynamo.config.patch(recompile_limit=2, automatic_dynamic_shapes=False):
            assert torch.equal(sample(compiled(regional(model, texts, boxes, 1.0)), *setting), expected)
    finally:
        logger.removeHandler(handler)
    assert any("recompile_limit" in line for line in said)


@pytest.mark.feature("TorchCompileModel and LoRAs of regions", "both", order="before and after")
@pytest.mark.parametrize("first", ["regions", "compile"])
def test_loras_of_regions_are_never_stale(model, texts, setting, first):
    """A run without them, one with them, and back: each is the picture of the MODEL that is not compiled."""
    worn = hooks.set_hooks_for_conditioning(conditioning(texts, "S0"), lora(model))
    cells = Region(CELLS[0][0], worn), Region(CELLS[1][0], conditioning(texts, "S1"))
    box = (Region(REGIONS[0][0], hooks.set_hooks_for_conditioning(conditioning(texts, "H0"), lora(model))),)

    def with_loras(patched):
        return add_spec(add_spec(patched, Binding(box, 2)), Refinement(cells, 0.5))

    def orders(regions):
        return compiled(regions(model)) if first == "regions" else regions(compiled(model))

    without = lambda patched: regional(patched, texts)  # noqa: E731
    expected = {regions: sample(regions(model), *setting) for regions in (without, with_loras)}
    assert (expected[without] - expected[with_loras]).abs().max() > 1e-2
    for regions in (without, with_loras, without, with_loras):
        torch.testing.assert_close(sample(orders(regions), *setting), expected[regions], rtol=0, atol=1e-4)
