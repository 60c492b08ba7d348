"""The reads of Soft Refinement against plain softmax with masks written out; and ComfyUI's attention hook."""

from types import SimpleNamespace

import pytest
import torch
from rag_pack.rag_sampler.attention.override import install_override
from rag_pack.rag_sampler.attention.reads import FORK, IMAGE, Program, run_reads
from rag_pack.rag_sampler.layout import Cell
from rag_pack.rag_sampler.methods.refinement import Refinement, reads
from rag_pack.rag_sampler.methods.spec import Setting
from rag_pack.rag_sampler.picture import Picture
from rag_pack.rag_sampler.regions import Region
from rag_pack.rag_sampler.schedule import Window

from bench.moved import moved

B, H, D = 2, 3, 8
TEXTS, TOKENS = (4, 3, 5), 10
CELLS = (torch.tensor([0, 1, 5]), torch.tensor([2, 7, 8, 9]))
UNCOVERED = torch.tensor([3, 4, 6])
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


def program(
    texts=TEXTS, cells=CELLS, uncovered=UNCOVERED, delta=1.0, forked=False, strengths=(1.0, 1.0)
) -> Program:
    shares = {FORK: strengths} if forked else {}
    shares[IMAGE] = tuple(delta * strength for strength in strengths)
    found = reads(cells, uncovered, [None] * len(cells), shares)
    return Program(texts, TOKENS, lambda kind, number: found, "single_block" if forked else None)


def regional(q, k, v, program: Program, mask=None) -> torch.Tensor:
    """What a single block computes."""
    kind = "single_block"
    return run_reads(attend, q, k, v, program.sequence(kind), program.reads(kind, 0), mask)


def expected(q, k, v, program: Program, cells, uncovered, delta, strengths=(1.0, 1.0)) -> torch.Tensor:
    """The method's equations, row by row."""
    sequence = program.sequence("single_block")
    texts = [range(*sequence.where(r).indices(q.shape[2])) for r in range(len(program.texts))]
    main = range(*sequence.where(IMAGE).indices(q.shape[2]))
    guided = range(*sequence.where(FORK if sequence.forked else IMAGE).indices(q.shape[2]))
    base = masked(q, k, v, {row: [*texts[0], *main] for row in [*texts[0], *main]})
    out = base.clone()
    if sequence.forked:
        out += masked(q, k, v, {row: [*texts[0], *guided] for row in guided})
    for text, cell, strength in zip(texts[1:], cells, strengths, strict=True):
        rows = [guided[int(i)] for i in cell]
        result = masked(q, k, v, {row: [*text, *guided] for row in [*text, *rows]})
        out[:, :, list(text)] = result[:, :, list(text)]
        if sequence.forked:
            out[:, :, rows] = strength * result[:, :, rows] + (1 - strength) * out[:, :, rows]
        share = delta * strength
        for i, row in zip(cell, rows, strict=True):
            target = main[int(i)]
            out[:, :, target] = share * result[:, :, row] + (1 - share) * base[:, :, target]
    return out


@pytest.mark.parametrize("delta", [0.25, 1.0])
@pytest.mark.parametrize("strengths", [(1.0, 1.0), (1.0, 0.75)], ids=["equal", "one is weaker"])
@pytest.mark.parametrize("forked", [False, True])
@pytest.mark.parametrize("cells", [(CELLS, UNCOVERED), (COVERED, NONE)], ids=["some tokens free", "covered"])
def test_equals_masked_softmax(delta, strengths, forked, cells):
    found = program(TEXTS, *cells, delta, forked, strengths)
    q, k, v = random_qkv(found.sequence("single_block").tokens)
    out, right = regional(q, k, v, found), expected(q, k, v, found, *cells, delta, strengths)
    if (
        delta == min(strengths) == 1 and len(cells[1]) == 0
    ):  # nobody reads text_0 then, and it is not computed
        out, right = out[:, :, TEXTS[0] :], right[:, :, TEXTS[0] :]
    torch.testing.assert_close(out, right, rtol=0, atol=1e-12)


def test_without_base_text_where_the_cells_cover_the_picture():
    found = program((0, *TEXTS[1:]), COVERED, NONE)
    q, k, v = random_qkv(sum(found.texts) + TOKENS)
    right = expected(q, k, v, found, COVERED, NONE, 1.0)
    torch.testing.assert_close(regional(q, k, v, found), right, rtol=0, atol=1e-12)


def test_a_base_mask_belongs_to_the_base_result():
    found = program()
    q, k, v = random_qkv(sum(TEXTS) + TOKENS)
    size = TEXTS[0] + TOKENS
    mask = torch.zeros(size, size, dtype=torch.float64)
    mask[:, 0] = float("-inf")  # nobody may read the first token of the base text
    out = regional(q, k, v, found, mask)
    changed = v.clone()
    changed[:, :, 0] = 100.0
    torch.testing.assert_close(out, regional(q, k, changed, found, mask))
    assert not torch.allclose(out, regional(q, k, v, found))


def test_every_token_of_the_base_result_has_its_own_row_of_the_base_mask():
    found = program()
    q, k, v = random_qkv(sum(TEXTS) + TOKENS)
    text, image = list(range(TEXTS[0])), list(range(sum(TEXTS), sum(TEXTS) + TOKENS))
    mask = torch.randn(TEXTS[0] + TOKENS, TEXTS[0] + TOKENS, dtype=torch.float64)
    out = regional(q, k, v, found, mask)
    for place, row in [*enumerate(text), *((TEXTS[0] + int(i), image[int(i)]) for i in UNCOVERED)]:
        one, keys = slice(row, row + 1), text + image
        right = attend(q[:, :, one], k[:, :, keys], v[:, :, keys], mask[place : place + 1])
        torch.testing.assert_close(out[:, :, one], right, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("count", "ceiling"), [(4, 305), (8, 355)])
def test_keys_are_laid_out_once_for_all_texts(count, ceiling):
    """FLUX.1-dev, 1024 × 1024, texts of 256 tokens, delta 1: megabytes a block; a copy for each read moves 604 and
    1057."""
    columns = [Cell(i / count, 0, (i + 1) / count, 1) for i in range(count)]
    spec = Refinement(tuple(Region(cell, [[torch.zeros(1, 1, 1), {}]]) for cell in columns), 1.0)
    schedule = SimpleNamespace(between=lambda start, end: Window(1.0, 0.0))
    guided = spec.lay_out(Setting(Picture(128, 128), schedule, None, "")).guided[0]
    found = guided.program(256, (256,) * count, 0, None, "meta", torch.bfloat16)
    assert ceiling - 5 < moved(found, {"double_block": 19, "single_block": 38}, 24, 3072) <= ceiling


BLOCK = {"block_type": "double", "block_index": 0}


def test_a_foreign_override_computes_every_read():
    calls = []

    def foreign(func, q, k, v, heads, **kwargs):
        calls.append((q.shape[2], k.shape[2]))
        return func(q, k, v, heads, **kwargs)

    def backend(q, k, v, heads, mask=None, **kwargs):
        assert kwargs["_inside_attn_wrapper"] and kwargs["skip_reshape"] and kwargs["skip_output_reshape"]
        return attend(q, k, v, mask)

    options = {"optimized_attention_override": foreign, **BLOCK}
    found = program(delta=0.5)
    install_override(options, found)
    q, k, v = random_qkv(sum(TEXTS) + TOKENS)
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
    assert torch.equal(out, regional(q, k, v, found).transpose(1, 2).flatten(2))
    assert found.hits == 1 and not found.strays


def test_other_sequences_pass_through_and_are_noted():
    options, found = dict(BLOCK), program(delta=0.5)
    install_override(options, found)
    q, k, v = random_qkv(17)
    out = options["optimized_attention_override"](
        lambda q, k, v, heads, **kwargs: kwargs["mask"], q, k, v, H, mask="theirs", skip_reshape=True,
        transformer_options=options,
    )  # fmt: skip
    assert out == "theirs"
    assert found.hits == 0 and found.strays == {((17, 17), (22, 22))}
