"""Features of other packs and of ComfyUI beside ours, each in both orders: every case a real run."""

import inspect
from collections.abc import Callable
from types import MethodType

import comfy.ldm.flux.layers as layers
import comfy.ldm.modules.attention as attention
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models
import pytest
import tiny
import torch
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box, Cell
from rag_pack.rag_sampler.methods.binding import Binding
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.regions import Region
from tiny import conditioning, noise_for, sample, schedule

STEPS = 4
CELLS = (Cell(0, 0, 0.5, 1), "S0"), (Cell(0.5, 0, 1, 1), "S1")
BOXES = (Box(0, 0.1, 0.4, 0.8), "H0"), (Box(0.55, 0.2, 0.4, 0.7), "H1")
DOUBLE, SINGLE = 2, 3


@pytest.fixture
def setting(model, texts):
    return conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)


def regional(model, texts, delta: float = 0.5):
    boxes = tuple(Region(shape, conditioning(texts, key), key) for shape, key in BOXES)
    return add_spec(add_spec(model, Binding(boxes, 2)), Refinement(regional_cells(texts), delta))


def regional_cells(texts) -> tuple:
    return tuple(Region(shape, conditioning(texts, key), key) for shape, key in CELLS)


class Calls:
    """A foreign patch that counts how often it is called."""

    def __init__(self) -> None:
        self.count = 0


def foreign_override(model, calls: Calls):
    """Another pack's attention: halves what attention returns."""
    model = model.clone()

    def override(func, *args, **kwargs):
        calls.count += 1
        return func(*args, **kwargs) * 0.5

    model.model_options["transformer_options"]["optimized_attention_override"] = override
    return model


def foreign_blocks(model, calls: Calls):
    """Another pack's replacement of blocks: scales what a double and a single block return."""
    model = model.clone()

    def double(args, extra):
        calls.count += 1
        out = extra["original_block"](args)
        return {"img": out["img"] * 0.9, "txt": out["txt"] * 0.9}

    def single(args, extra):
        calls.count += 1
        return {"img": extra["original_block"](args)["img"] * 0.9}

    model.set_model_patch_replace(double, "dit", "double_block", 1)
    model.set_model_patch_replace(single, "dit", "single_block", 1)
    return model


def attn1_patch(model, calls: Calls):
    """Another pack's change of queries, keys and values."""
    model = model.clone()

    def patch(q, k, v, **kwargs):
        calls.count += 1
        return {"q": q, "k": k, "v": v * 0.8, **{n: kwargs[n] for n in ("pe", "attn_mask") if n in kwargs}}

    model.set_model_attn1_patch(patch)
    return model


def attn1_output_patch(model, calls: Calls):
    """Another pack's change of what attention returns."""
    model = model.clone()

    def patch(out, extra_options):
        calls.count += 1
        return out * 0.8

    model.set_model_attn1_output_patch(patch)
    return model


def post_input(model, calls: Calls):
    """Another pack's change of the embedded picture."""
    model = model.clone()

    def patch(args):
        calls.count += 1
        return {**args, "img": args["img"] * 0.9}

    model.set_model_patch(patch, "post_input")
    return model


def function_wrapper(model, calls: Calls):
    """Another pack's wrapper of the model's function, as step caches use it."""
    model = model.clone()

    def wrapper(apply, args):
        calls.count += 1
        return apply(args["input"], args["timestep"], **args["c"]) * 0.95

    model.set_model_unet_function_wrapper(wrapper)
    return model


def weight_lora(model, calls: Calls):
    """LoraLoaderModelOnly, twice."""
    model = model.clone()
    weight = model.model.diffusion_model.img_in.weight
    for seed in (1, 2):
        change = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)) * 0.02
        model.add_patches({"diffusion_model.img_in.weight": ("diff", (change,))}, 0.8)
    calls.count += 1
    return model


PATCHES: dict[str, Callable] = {
    "LoRAs on the MODEL": weight_lora,
    "attention override": foreign_override,
    "replaced blocks": foreign_blocks,
    "attn1 patch": attn1_patch,
    "attn1 output patch": attn1_output_patch,
    "post input patch": post_input,
    "model function wrapper": function_wrapper,
}


@pytest.mark.parametrize("feature", PATCHES)
@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_a_foreign_patch_works_in_both_orders(model, texts, setting, feature, delta):
    """The same picture in both orders; the patch is called; it and the regions both change the picture."""
    if feature == "attn1 patch" and "attn1_patch" not in inspect.getsource(layers):
        pytest.skip("the FLUX of this ComfyUI calls no attn1 patch")
    patch, calls = PATCHES[feature], Calls()
    before = sample(regional(patch(model, calls), texts, delta), *setting)
    called = calls.count
    after = sample(patch(regional(model, texts, delta), calls), *setting)
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)
    assert called and torch.isfinite(before).all()
    assert not torch.allclose(before, sample(regional(model, texts, delta), *setting), atol=1e-3)
    assert not torch.allclose(before, sample(patch(model, calls), *setting), atol=1e-3)


@pytest.mark.parametrize("feature", ["attention override", "attn1 patch", "attn1 output patch"])
def test_a_foreign_patch_sees_every_part_of_the_streams(model, texts, setting, feature):
    """The same text in every cell and in no box: with the patch, too, the run is the stock run with the patch."""
    patch = PATCHES[feature]
    cells = tuple(Region(shape, conditioning(texts, "G0")) for shape, _ in CELLS)
    patched = patch(add_spec(model, Refinement(cells, 0.5)), Calls())
    stock = sample(patch(model, Calls()), *setting)
    torch.testing.assert_close(sample(patched, *setting), stock, rtol=0, atol=5e-5)


BACKENDS = {
    "PyTorch": attention.attention_pytorch,
    "split": attention.attention_split,
    "sub-quadratic": attention.attention_sub_quad,
    "basic": attention.attention_basic,
}


@pytest.mark.feature("{backend} attention", "both")
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_attention_of_comfyui(model, texts, setting, monkeypatch, backend):
    """What --use-split-cross-attention and its like choose: the same picture as with PyTorch's."""
    expected = sample(regional(model, texts), *setting)
    monkeypatch.setattr("comfy.ldm.flux.math.optimized_attention", BACKENDS[backend])
    torch.testing.assert_close(sample(regional(model, texts), *setting), expected, rtol=0, atol=1e-4)


@pytest.mark.feature("cache that skips blocks", "both", order="before and after", found="warned")
@pytest.mark.parametrize("first", ["cache", "regions"])
def test_a_cache_that_skips_blocks_is_warned_of_once(model, texts, setting, caplog, first):
    """As TeaCache and its like: some forwards skip most blocks."""

    def cached(model):
        model = model.clone()
        skipping = {"count": 0}

        def skip(args, extra):
            skipping["count"] += 1
            return {"img": args["img"]} if skipping["count"] % 2 else extra["original_block"](args)

        for number in range(1, SINGLE):
            model.set_model_patch_replace(skip, "dit", "single_block", number)
        return model

    patched = regional(cached(model), texts) if first == "cache" else cached(regional(model, texts))
    result = sample(patched, *setting)
    assert torch.isfinite(result).all()
    assert (
        sum(
            "blocks were guided by Soft Refinement; a cache or a guidance that skips blocks" in r.getMessage()
            for r in caplog.records
        )
        == 1
    )


def with_options(args: tuple, kwargs: dict, change: Callable) -> tuple[tuple, dict]:
    """The arguments of FLUX's forward with other transformer_options, which older versions of ComfyUI hand on by place."""
    if "transformer_options" in kwargs:
        return args, {**kwargs, "transformer_options": change(kwargs["transformer_options"])}
    return tuple(
        change(arg) if isinstance(arg, dict) and "patches_replace" in arg else arg for arg in args
    ), kwargs


def tells_blocks_nothing(network, *args, **kwargs):
    """TeaCache's and NegPip's forward of FLUX hands its blocks no options."""

    def silent(options: dict) -> dict:
        hooks = {
            key: lambda args, extra, hook=hook: hook(
                {k: v for k, v in args.items() if k != "transformer_options"}, extra
            )
            for key, hook in options["patches_replace"]["dit"].items()
        }
        return {**options, "patches_replace": {**options["patches_replace"], "dit": hooks}}

    args, kwargs = with_options(args, kwargs, silent)
    return type(network).forward_orig(network, *args, **kwargs)


def takes_one_entry(network, img, *args, **kwargs):
    """RES4LYF's forward of FLUX runs the entries of a batch one after the other, with the first one's size of text."""
    if len(img) > 1:
        raise RuntimeError("The size of tensor a (80) must match the size of tensor b (16)")
    return type(network).forward_orig(network, img, *args, **kwargs)


@pytest.mark.parametrize(
    ("forward", "cause"),
    [
        (tells_blocks_nothing, "KeyError: 'transformer_options'"),
        (takes_one_entry, "RuntimeError: The size of"),
    ],
)
def test_a_packs_own_forward_is_named_where_it_fails(model, texts, setting, monkeypatch, forward, cause):
    """And stays on the loaded model, where a pack puts it there for good."""
    monkeypatch.setattr(forward, "__module__", "/comfyui/custom_nodes/ComfyUI-Own-Forward.flux.model")
    twins = tuple(
        Region(box, conditioning(texts, "H0"), "") for box in (Box(0, 0, 0.5, 1), Box(0.5, 0, 0.5, 1))
    )
    patched = add_spec(model, Binding(twins, 1))
    patched.add_object_patch("diffusion_model.forward_orig", MethodType(forward, model.model.diffusion_model))
    told = f"ComfyUI's forward but one of ComfyUI-Own-Forward, .*{cause}.* loaded anew"
    with pytest.raises(RuntimeError, match=told):
        sample(patched, *setting)


def test_a_packs_own_forward_without_comfyuis_hooks_is_named(model, texts, setting, monkeypatch, caplog):
    """As Fluxtapoz has it, whose class stays on the loaded model; Hard Binding binds latents there, and says so."""

    def forward(network, *args, **kwargs):
        args, kwargs = with_options(args, kwargs, lambda options: {})
        return type(network).forward_orig(network, *args, **kwargs)

    monkeypatch.setattr(forward, "__module__", "C:\\comfyui\\custom_nodes\\Own.flux")
    changed = model.clone()
    changed.add_object_patch("diffusion_model.forward_orig", MethodType(forward, model.model.diffusion_model))
    with pytest.raises(RuntimeError, match="had no effect: .*ComfyUI's forward but one of Own"):
        sample(add_spec(changed, Refinement(regional_cells(texts), 1.0)), *setting)
    with caplog.at_level("INFO"):
        sample(
            add_spec(changed, Binding((Region(BOXES[0][0], conditioning(texts, "H0"), "a"),), 1)), *setting
        )
    assert "features are not bound" in caplog.text and "bound at 1 of 4 steps without features" in caplog.text


TILE = 16, 16


def in_tiles(apply, args):
    """What TiledDiffusion makes of every call: tiles of at most 128 pixels a side, side by side."""
    x, c = args["input"], args["c"]
    if x.shape[-1] <= TILE[1]:
        return apply(x, args["timestep"], **c)
    return torch.cat([apply(part, args["timestep"], **c) for part in x.split(TILE[1], -1)], -1)


@pytest.mark.parametrize("areas", [False, True], ids=["", "beside an area"])
def test_tiles_of_the_picture_are_named(model, texts, setting, caplog, areas):
    """Soft Refinement stops; Hard Binding binds latents and says so."""
    prompt, noise, sigmas = setting
    if areas:
        prompt = [*prompt, *conditioning(texts, "G1", area=(8, 8, 0, 0), strength=1.0)]
    boxes = tuple(Region(shape, conditioning(texts, key), key) for shape, key in BOXES)
    bound = add_spec(model, Binding(boxes, 1))
    tiled = bound.clone()
    tiled.set_model_unet_function_wrapper(in_tiles)
    assert sample(tiled, prompt, noise, sigmas).isfinite().all()
    assert (
        "features are not bound: another node hands the picture to the model in tiles (128 × 128 of 192 × 128)"
        in (caplog.text)
    )
    refined = add_spec(tiled, Refinement(regional_cells(texts), 1.0))
    with pytest.raises(
        RuntimeError, match="Soft Refinement could not work: .* in tiles .* MODEL from before"
    ):
        sample(refined, prompt, noise, sigmas)


class QuantisedOps(comfy.ops.manual_cast):
    """What GGUF's loader does, as seen from outside: layers of its own that hold packed weights and unpack them for
    every call."""

    class Linear(comfy.ops.manual_cast.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            packed = (self.weight * 64).round().to(torch.int8)
            return torch.nn.functional.linear(x, packed.to(x.dtype) / 64, self.bias)


@pytest.mark.feature("layers of a loader's own, quantised", "both")
def test_quantised_layers(texts, setting):
    """The identities hold on layers of a loader's own, and regions change the picture."""
    model = tiny.load_tiny(QuantisedOps)
    cells = tuple(Region(shape, conditioning(texts, "G0")) for shape, _ in CELLS)
    stock = sample(model, *setting)
    refined = sample(add_spec(model, Refinement(cells, 0.5)), *setting)
    torch.testing.assert_close(refined, stock, rtol=0, atol=5e-5)
    assert not torch.allclose(sample(regional(model, texts), *setting), stock, atol=1e-3)


@pytest.mark.feature("fp8 weights", "both")
def test_fp8_weights(texts):
    """The stock loader's weight_dtype fp8_e4m3fn."""
    model = comfy.sd.load_diffusion_model(
        str(tiny.GOLDEN / "tiny128_flux_bfl.safetensors"), model_options={"dtype": torch.float8_e4m3fn}
    )
    setting = conditioning(texts, "G0"), noise_for(16, 24), schedule(model, STEPS)
    cells = tuple(Region(shape, conditioning(texts, "G0")) for shape, _ in CELLS)
    stock = sample(model, *setting)
    refined = sample(add_spec(model, Refinement(cells, 1.0)), *setting)
    assert torch.isfinite(stock).all()
    torch.testing.assert_close(refined, stock, rtol=0, atol=0.1)
    assert not torch.allclose(sample(regional(model, texts), *setting), stock, atol=1e-3)


@pytest.mark.feature("loader that bypasses ComfyUI's attention", "Hard Binding")
@pytest.mark.feature("loader that bypasses ComfyUI's attention", "Soft Refinement", found="error")
@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_binding_works_where_attention_bypasses_the_hook(model, texts, setting, monkeypatch, delta):
    """As under nunchaku: Soft Refinement is refused at the first step, Hard Binding is not."""
    monkeypatch.setattr(
        "comfy.ldm.flux.math.optimized_attention", lambda q, k, v, heads, **kw: v.transpose(1, 2).flatten(2)
    )
    boxes = tuple(Region(shape, conditioning(texts, key)) for shape, key in BOXES)
    bound = sample(add_spec(model, Binding(boxes, 2)), *setting)
    assert torch.isfinite(bound).all()
    assert not torch.allclose(bound, sample(model, *setting), atol=1e-3)
    with pytest.raises(RuntimeError, match="Soft Refinement had no effect"):
        sample(regional(model, texts, delta), *setting)
