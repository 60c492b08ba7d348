"""The regional attention against plain softmax with masks written out."""

import pytest
import torch
from rag_pack.rag_sampler.attention import Streams, install_override, regional_attention

B, H, D = 2, 3, 8
TEXTS, IMAGE = (4, 3, 5), 10
CELLS = (torch.tensor([0, 1, 5]), torch.tensor([2, 7, 8, 9]))
REST = torch.tensor([3, 4, 6])
COVERED = (torch.tensor([0, 1, 3, 4, 5]), torch.tensor([2, 6, 7, 8, 9]))
NONE = torch.tensor([], dtype=torch.long)


def attend(q, k, v, mask=None):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def random_qkv(length: int):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(B, H, length, D, generator=generator, dtype=torch.float64) for _ in range(3)]


def masked(q, k, v, pairs) -> torch.Tensor:
    """Softmax attention in which row i sees the columns that pairs[i] lists; other rows are 0."""
    out = torch.zeros_like(q)
    for row, columns in pairs.items():
        columns = list(columns)
        out[:, :, row : row + 1] = attend(q[:, :, row : row + 1], k[:, :, columns], v[:, :, columns])
    return out


def expected(q, k, v, streams: Streams) -> torch.Tensor:
    """The module's equations, row by row."""
    starts = [sum(streams.texts[:r]) for r in range(len(streams.texts))]
    texts = [range(start, start + count) for start, count in zip(starts, streams.texts, strict=True)]
    first = sum(streams.texts)
    main = range(first, first + streams.image)
    guided = range(q.shape[2] - streams.image, q.shape[2])
    base = masked(q, k, v, {row: [*texts[0], *main] for row in [*texts[0], *main]})
    out = base.clone()
    fork = {guided[int(i)]: [*texts[0], *guided] for i in streams.rest}
    if guided != main:
        out += masked(q, k, v, fork)
    for text, cell in zip(texts[1:], streams.cells, strict=True):
        rows = [guided[int(i)] for i in cell]
        regional = masked(q, k, v, {row: [*text, *guided] for row in [*text, *rows]})
        out[:, :, list(text)] = regional[:, :, list(text)]
        if guided != main:
            out[:, :, rows] = regional[:, :, rows]
        for i, row in zip(cell, rows, strict=True):
            target = main[int(i)]
            out[:, :, target] = streams.delta * regional[:, :, row] + (1 - streams.delta) * base[:, :, target]
    return out


@pytest.mark.parametrize("delta", [0.25, 1.0])
@pytest.mark.parametrize("forked", [False, True])
@pytest.mark.parametrize("cells", [(CELLS, REST), (COVERED, NONE)], ids=["some tokens free", "covered"])
def test_equals_masked_softmax(delta, forked, cells):
    streams = Streams(TEXTS, IMAGE, *cells, delta, forked)
    q, k, v = random_qkv(sum(TEXTS) + IMAGE * (1 + forked))
    out, right = regional_attention(attend, q, k, v, streams), expected(q, k, v, streams)
    if delta == 1 and len(streams.rest) == 0:  # nobody reads text_0 then, and it is not computed
        out, right = out[:, :, TEXTS[0] :], right[:, :, TEXTS[0] :]
    torch.testing.assert_close(out, right, rtol=0, atol=1e-12)


def test_without_base_text_where_the_cells_cover_the_picture():
    streams = Streams((0, *TEXTS[1:]), IMAGE, COVERED, NONE, 1.0, False)
    q, k, v = random_qkv(sum(streams.texts) + IMAGE)
    right = expected(q, k, v, streams)
    torch.testing.assert_close(regional_attention(attend, q, k, v, streams), right, rtol=0, atol=1e-12)


def test_a_base_mask_belongs_to_the_base_result():
    streams = Streams(TEXTS, IMAGE, CELLS, REST, 1.0, False)
    q, k, v = random_qkv(sum(TEXTS) + IMAGE)
    size = TEXTS[0] + IMAGE
    mask = torch.zeros(size, size, dtype=torch.float64)
    mask[:, 0] = float("-inf")  # nobody may read the first token of the base text
    out = regional_attention(attend, q, k, v, streams, mask)
    changed = v.clone()
    changed[:, :, 0] = 100.0
    torch.testing.assert_close(out, regional_attention(attend, q, k, changed, streams, mask))


def test_a_foreign_override_computes_every_part():
    calls = []

    def foreign(func, q, k, v, heads, **kwargs):
        calls.append((q.shape[2], k.shape[2]))
        return func(q, k, v, heads, **kwargs)

    def backend(q, k, v, heads, mask=None, **kwargs):
        assert kwargs["_inside_attn_wrapper"] and kwargs["skip_reshape"] and kwargs["skip_output_reshape"]
        return attend(q, k, v, mask)

    options = {"optimized_attention_override": foreign}
    streams = Streams(TEXTS, IMAGE, CELLS, REST, 0.5, False)
    install_override(options, streams)
    q, k, v = random_qkv(sum(TEXTS) + IMAGE)
    out = options["optimized_attention_override"](
        backend,
        q,
        k,
        v,
        H,
        mask=None,
        skip_reshape=True,
        transformer_options=options,
        _inside_attn_wrapper=True,
    )
    assert calls == [(14, 14), (6, 13), (9, 15)]
    right = regional_attention(attend, q, k, v, streams).transpose(1, 2).flatten(2)
    assert torch.equal(out, right)
    assert streams.hits == 1


def test_other_sequences_pass_through():
    options = {}
    install_override(options, Streams(TEXTS, IMAGE, CELLS, REST, 0.5, False))
    q, k, v = random_qkv(17)
    out = options["optimized_attention_override"](
        lambda q, k, v, heads, **kwargs: kwargs["mask"], q, k, v, H, mask="theirs", skip_reshape=True,
        transformer_options=options,
    )  # fmt: skip
    assert out == "theirs"
    assert options["rag_streams"].hits == 0
