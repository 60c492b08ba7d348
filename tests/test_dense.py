"""DenseDiffusion Attention through the node: against the method written down on whole attention modules, and
beside the other methods."""

from contextlib import ExitStack, contextmanager
from functools import partial
from unittest.mock import patch

import encoders
import families
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from hypothesis import given, settings
from hypothesis import strategies as st
from rag_pack.nodes.dense_diffusion import RAGDenseDiffusion
from rag_pack.nodes.patches import RAGHardBinding, RAGRPGRegionalDiffusion, RAGSoftRefinementAttention
from rag_pack.nodes.regions import RAGRegionBox, RAGRegionStrength, RAGSplitRatioLayout
from rag_pack.rag_sampler.attention.scores import moved
from rag_pack.rag_sampler.regions import Mask, Region
from test_compile import compiled
from test_unet import assert_differ, assert_equal, noise_for
from tiny import basic_guider, cfg_guider, run, schedule
from torch import Tensor
from torch.nn.functional import interpolate

import nodes  # ComfyUI's

PHRASES = ("a snowy forest", "a red fox", "an old stone tower")
CAPTION = "a painting of a red fox beside an old stone tower in a snowy forest"
LONG = f"{'very ' * 70}quiet, {CAPTION}"
STEPS = 3
FULL = (1.0, 0.3, 1.0, 0.0, 1.0)
"""cross, self, size, start and end: as published, but in all steps."""


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    loaded = {}

    def get(name: str):
        if name not in loaded:
            with torch.inference_mode():
                loaded[name] = families.load(name, tmp_path_factory.mktemp("models")), encoders.load(name)
        return loaded[name]

    return get


@pytest.fixture(params=["SD1.5", "SD2", "SDXL"])
def both(request, load):
    """MODEL and CLIP of a family."""
    return load(request.param)


@pytest.fixture
def sd15(load):
    return load("SD1.5")


def encode(clip, text: str) -> list:
    return nodes.CLIPTextEncode().encode(clip, text)[0]


def ellipse() -> Tensor:
    """[128, 192], 8 pixels to a latent pixel of the usual noise."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 192), indexing="ij")
    return ((x - 0.3) ** 2 + (1.5 * y) ** 2 < 0.4).float()


def layout(clip, strengths: tuple[float, ...] = (1.0, 1.0, 1.0)) -> tuple[Region, ...]:
    """A background with a gap, an ellipse on it, and a box on both."""
    forest = RAGRegionBox.execute(0, 0, 1, 0.8, clip, PHRASES[0])[0]
    fox = Region(Mask(ellipse()), encode(clip, PHRASES[1]), PHRASES[1])
    regions = RAGRegionBox.execute(0.55, 0.3, 0.35, 0.55, clip, PHRASES[2], regions=(*forest, fox))[0]
    for number, strength in enumerate(strengths, 1):
        regions = RAGRegionStrength.execute(regions, number, strength)[0]
    return regions


def dense(both, regions: tuple, caption: str = CAPTION, settings: tuple = FULL) -> tuple:
    """MODEL and positive."""
    return tuple(RAGDenseDiffusion.execute(*both, regions, caption, *settings))


def sampled(model, clip, positive: list, noise: Tensor, cfg: float = 1.0, steps: int = STEPS) -> Tensor:
    negative = encode(clip, "blurry")
    guider = basic_guider(model, positive) if cfg == 1 else cfg_guider(model, positive, negative, cfg)
    return run(guider, noise, schedule(model, steps))[0]


def segments(noise: Tensor) -> Tensor:
    """Those of `layout`, [3, height, width] in latent pixels, where the later one wins."""
    height, width = noise.shape[-2:]
    found = torch.zeros(3, height, width)
    found[0, : int(0.8 * height + 1e-6)] = 1
    found[1] = interpolate(ellipse()[None, None], (height, width), mode="nearest")[0, 0]
    left, right = int(0.55 * width + 1e-6), int(0.9 * width + 1e-6)
    found[2, int(0.3 * height + 1e-6) : int(0.85 * height + 1e-6), left:right] = 1
    found[0] *= 1 - found[1:].amax(0)
    found[1] *= 1 - found[2]
    return found


def published(q: Tensor, k: Tensor, v: Tensor, same: Tensor, share: Tensor) -> Tensor:
    """As the code has it, on whole matrices: q [..., N, D], k, v [..., L, D], same [N, L] bool, share [N, 1]."""
    x = q @ k.mT / q.shape[-1] ** 0.5
    least, most = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    x = x + torch.where(same, share * (most - x), -share * (x - least))
    return x.softmax(-1) @ v


@contextmanager
def written_down(model, found: Tensor, spans: list, positive, weights=(1.0, 0.3, 1.0), strengths=(1.0,) * 3):
    """The method in place of all attention of a MODEL, on rows with the text of positive; self-attention on other tokens
    than a level's is left alone. found: segments; spans: the places of their phrases."""
    cross, own, size = weights
    network, ((text, _),), guided = model.model.diffusion_model, positive, []

    def forward(plain, x, timesteps, context, *args, **kwargs):
        same = context.shape[1] == text.shape[1] and (context == text).flatten(1).all(1)
        guided[:] = [same if torch.is_tensor(same) else torch.zeros(len(x), dtype=torch.bool)]
        return plain(x, timesteps, context, *args, **kwargs)

    def attention(module, kind, plain, x, context=None, value=None, mask=None, transformer_options=None):
        rows, columns = transformer_options["activations_shape"][2:]
        result = plain(x, context, value, mask, transformer_options)
        keys = x if context is None else context
        if kind == "self" and (x.shape[1] != rows * columns or keys.shape[1] != rows * columns):
            return result
        inside = interpolate(found[None], (rows, columns), mode="nearest")[0].flatten(1)
        same = inside.T @ inside > 0
        if kind == "cross":
            same = torch.zeros(rows * columns, keys.shape[1], dtype=torch.bool)
            for number, span in enumerate(spans):
                same[:, span] = (inside[number] > 0)[:, None]
        sampling = model.get_model_object("model_sampling")
        time = float(sampling.timestep(transformer_options["sigmas"][:1])) / 1000
        area = (inside * inside.mean(1, keepdim=True)).sum(0)
        strength = 1 - (inside * (1 - torch.tensor(strengths)[:, None])).sum(0)
        share = (cross if kind == "cross" else own) * (1 - size * area) * strength * time**5
        split = lambda y: y.unflatten(2, (module.heads, -1)).transpose(1, 2)  # noqa: E731
        out = published(
            split(module.to_q(x)), split(module.to_k(keys)), split(module.to_v(keys if value is None else value)),
            same, share[:, None],
        )  # fmt: skip
        return torch.where(guided[0][:, None, None], module.to_out(out.transpose(1, 2).flatten(2)), result)

    with ExitStack() as stack:
        stack.enter_context(patch.object(network, "forward", partial(forward, network.forward)))
        for block in network.modules():
            if hasattr(block, "attn2"):
                for module, kind in ((block.attn1, "self"), (block.attn2, "cross")):
                    made = partial(attention, module, kind, module.forward)
                    stack.enter_context(patch.object(module, "forward", made))
        yield


SPANS = [[13, 14, 15], [4, 5, 6], [8, 9, 10, 11]]
"""Of PHRASES in CAPTION, behind the start token."""


def spans_in(caption: str) -> list:
    """Of PHRASES; in LONG the caption follows 72 tokens, the first three of which still fit into the first 77."""
    if caption == CAPTION:
        return SPANS
    flat = [72 + place for span in SPANS for place in span]
    places = iter(place if place <= 75 else place + 2 for place in flat)
    return [[next(places) for _ in span] for span in SPANS]


@pytest.mark.parametrize(
    ("size", "batch", "cfg", "caption", "strengths"),
    [
        ((16, 24), 1, 1.0, CAPTION, (1.0, 1.0, 1.0)),
        ((17, 13), 2, 3.0, CAPTION, (1.0, 0.4, 0.0)),
        ((9, 31), 1, 3.0, LONG, (1.0, 1.0, 1.0)),
        ((22, 28), 1, 1.0, LONG, (0.5, 1.0, 1.0)),  # a level of 11 × 14 tokens, as many as the text has
    ],
)
def test_the_method_is_the_one_written_down(both, size, batch, cfg, caption, strengths):
    model, clip = both
    noise, spans = noise_for(*size, batch), spans_in(caption)
    patched, positive = dense(both, layout(clip, strengths), caption)
    found = sampled(patched, clip, positive, noise, cfg)
    with written_down(model, segments(noise), spans, positive, strengths=strengths):
        expected = sampled(model, clip, positive, noise, cfg)
    assert_equal(found, expected)
    assert_differ(found, sampled(model, clip, positive, noise, cfg))


@pytest.mark.parametrize("weights", [(2.0, 0.0, 0.5), (0.0, 2.0, 0.0), (2.0, 2.0, 0.0)])
def test_weights_are_not_clamped(sd15, weights):
    model, clip = sd15
    noise = noise_for()
    patched, positive = dense(sd15, layout(clip), settings=(*weights, 0.0, 1.0))
    with written_down(model, segments(noise), SPANS, positive, weights):
        expected = sampled(model, clip, positive, noise)
    assert_equal(sampled(patched, clip, positive, noise), expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_scores_move_as_the_formula_says(data):
    """In blocks, and in fp64, so that nothing but the formula differs. Segments may share tokens."""
    draw = lambda least, most: data.draw(st.integers(least, most))  # noqa: E731
    seed, n, queries, keys = draw(0, 2**31), draw(1, 5), draw(1, 600), draw(2, 300)
    generator = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    q, k, v = 3 * make(2, 2, queries, 8), make(2, 2, keys, 8), make(2, 2, keys, 5)
    asking, answering = (make(queries, n) > 0.5).double(), (make(n, keys) > 0.5).double()
    share = make(queries)
    same = (asking[:, None] * answering.T[None]).sum(-1) > 0
    expected = published(q, k, v, same, share[:, None])
    torch.testing.assert_close(moved(q, k, v, asking, answering, share), expected, rtol=1e-9, atol=1e-11)


def test_no_more_than_256_queries_have_scores_at_a_time():
    made = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            made.append(max((x.numel() for x in [out] if torch.is_tensor(x)), default=0))
            return out

    tokens, heads = 2000, 2
    q, k, v = (torch.randn(1, heads, tokens, 4) for _ in range(3))
    with Watch():
        moved(q, k, v, torch.ones(tokens, 1), torch.ones(1, tokens), torch.ones(tokens))
    assert max(made) == heads * 256 * tokens


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.3), (0.4, 0.8), (0.0, 1.0)])
def test_the_window_is_closed(sd15, start, end):
    """At the sigmas of both ends, too, and nowhere else."""
    model, clip = sd15
    sampling = model.get_model_object("model_sampling")
    edges = [float(sampling.percent_to_sigma(p)) for p in (start, end)]
    sigmas = sorted(
        {*schedule(model, 10).tolist(), *(edge for edge in edges if 0 < edge < 100)}, reverse=True
    )
    seen = []

    def watch(executor, *args, **kwargs):
        seen.append("rag_program" in args[5] and args[5]["rag_program"] is not None)
        return executor(*args, **kwargs)

    patched, positive = dense(sd15, layout(clip), settings=(1.0, 0.3, 1.0, start, end))
    patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watch", watch)
    run(basic_guider(patched, positive), noise_for(), torch.tensor(sigmas))
    assert seen == [edges[1] <= sigma <= edges[0] for sigma in sigmas[:-1]]


def test_rows_of_the_negative_are_a_plain_call(both):
    """Alone, as they come beside regions: to the bit."""
    model, clip = both
    called = []

    def watch(executor, *args, **kwargs):
        out = executor(*args, **kwargs)
        called.append((args[5]["cond_or_uncond"], args[0], args[1], args[2], kwargs.get("y", args[3]), out))
        return out

    patched, positive = dense(both, layout(clip))
    patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watch", watch)
    sampled(patched, clip, positive, noise_for(batch=2), cfg=3.0)
    negative = [call for call in called if call[0] == [1]]
    assert len(negative) == STEPS == len(called) / 2
    for _, x, t, context, y, out in negative:
        assert torch.equal(out, model.model.diffusion_model(x, t, context, y))


def test_of_several_attention_methods_the_last_one_wins(sd15, caplog):
    model, clip = sd15
    cells = RAGSplitRatioLayout.execute("1, 1", "a cat BREAK a dog", clip)[0]
    noise = noise_for()
    rpg = lambda model: RAGRPGRegionalDiffusion.execute(model, cells, 0.3, 0.0, 1.0)[0]  # noqa: E731
    patched, positive = dense(sd15, layout(clip))
    last = dense((rpg(model), clip), layout(clip))[0]
    assert torch.equal(sampled(last, clip, positive, noise), sampled(patched, clip, positive, noise))
    assert caplog.text.count("2 nodes of RPG and DenseDiffusion work at the same time; the last") == 1
    assert torch.equal(
        sampled(rpg(patched), clip, positive, noise), sampled(rpg(model), clip, positive, noise)
    )


def test_a_refined_end_follows_a_dense_begin(sd15):
    """Windows that do not meet: each step as its own node has it."""
    model, clip = sd15
    cells = RAGSplitRatioLayout.execute("1, 1", "a cat BREAK a dog", clip)[0]
    patched, positive = dense(sd15, layout(clip), settings=(1.0, 0.3, 1.0, 0.0, 0.3))
    chain = RAGSoftRefinementAttention.execute(patched, cells, 0.7, 0.5, 1.0, "shared")[0]
    alone = RAGSoftRefinementAttention.execute(model, cells, 0.7, 0.5, 1.0, "shared")[0]
    noise = noise_for()
    sigmas = schedule(model, 10)
    latents = run(basic_guider(chain, positive), noise, sigmas)[0]
    assert torch.equal(latents[:4], run(basic_guider(patched, positive), noise, sigmas)[0][:4])
    assert_differ(latents[-1], run(basic_guider(alone, positive), noise, sigmas)[0][-1])


def test_beside_hard_binding_in_either_order(both):
    model, clip = both
    boxes = RAGRegionBox.execute(0.25, 0.25, 0.5, 0.5, clip, "a cat")[0]
    bind = lambda model: RAGHardBinding.execute(model, boxes, 1, True)[0]  # noqa: E731
    patched, positive = dense(both, layout(clip))
    noise = noise_for()
    found = sampled(bind(patched), clip, positive, noise, 3.0)
    other = dense((bind(model), clip), layout(clip))[0]
    assert torch.equal(found, sampled(other, clip, positive, noise, 3.0))
    assert_differ(found, sampled(bind(model), clip, positive, noise, 3.0))
    assert_differ(found, sampled(patched, clip, positive, noise, 3.0))


def test_a_compiled_network_is_moved_where_regions_are_alone(sd15):
    """Compiled without regions first, and run without them again."""
    model, clip = sd15
    patched, positive = dense(sd15, layout(clip))
    noise = noise_for()
    fast = compiled(model)
    stock, expected = (sampled(one, clip, positive, noise) for one in (model, patched))
    assert torch.equal(sampled(fast, clip, positive, noise), stock)
    assert torch.equal(sampled(dense((fast, clip), layout(clip))[0], clip, positive, noise), expected)
    assert torch.equal(sampled(fast, clip, positive, noise), stock)
