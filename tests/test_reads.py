"""The reads of every method against its rule written down: one dense masked call for each result, on random layouts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from further_method import Invoked, LaidOut
from hypothesis import given
from hypothesis import strategies as st
from rag_pack.rag_sampler import regions
from rag_pack.rag_sampler.attention.reads import FORK, IMAGE, Part, Program, Read, Sequence, own, run_reads
from rag_pack.rag_sampler.engine import add_spec
from rag_pack.rag_sampler.layout import Box
from rag_pack.rag_sampler.methods.refinement import Refinement
from rag_pack.rag_sampler.methods.regional_prompting import RegionalPrompting
from rag_pack.rag_sampler.methods.rpg import RegionalDiffusion
from rag_pack.rag_sampler.methods.spec import Guided, Setting, Spec
from rag_pack.rag_sampler.picture import Picture, TokenBox
from rag_pack.rag_sampler.regions import Region, TokenRegion
from rag_pack.rag_sampler.schedule import Window
from test_properties import examples
from tiny import conditioning, noise_for, sample, schedule
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

B, H, D = 1, 2, 2
SINGLE, DOUBLE = "single_block", "double_block"


@dataclass
class Layout:
    """Regions as bool [R, tokens], maybe empty, overlapping; token counts of the base text and of theirs."""

    inside: Tensor
    texts: tuple[int, ...]
    references: int

    @property
    def with_references(self) -> Tensor:
        """References lie in no region."""
        return torch.cat((self.inside, self.inside.new_zeros(len(self.inside), self.references)), 1)

    @property
    def owner(self) -> Tensor:
        """The last region of each image token, from 1; 0 where there is none."""
        numbers = torch.arange(1, len(self.inside) + 1)[:, None]
        return (self.with_references * numbers).amax(0)

    def regions(self, strengths: list[float] | None = None) -> tuple[Region, ...]:
        strengths = strengths or [1.0] * len(self.inside)
        return tuple(Region(None, [[torch.zeros(1, 1, 1), {}]], strength=strength) for strength in strengths)

    def lay_out(self, spec: Spec) -> Guided:
        """On one row of tokens; nodes refuse regions without any."""
        tokens = self.inside.shape[1]
        found = tuple(TokenRegion(TokenBox(0, 1, 0, tokens), own[None]) for own in self.inside)
        schedule = SimpleNamespace(between=lambda start, end: Window(1.0, 0.0))
        with patch.object(regions, "_rasterised", lambda *_: found):
            return spec.lay_out(Setting(Picture(2, 2 * tokens), schedule, None, "")).guided[0]

    def program(self, guided: Guided, pasted: bool) -> Program:
        fork = SINGLE if guided.forks(pasted) else None
        return guided.program(self.texts[0], self.texts[1:], self.references, fork, "cpu", torch.float64)


@st.composite
def layouts(draw) -> Layout:
    regions, tokens = draw(st.integers(1, 4)), draw(st.integers(3, 12))
    inside = draw(
        st.lists(
            st.lists(st.booleans(), min_size=tokens, max_size=tokens), min_size=regions, max_size=regions
        )
    )
    texts = draw(st.lists(st.integers(1, 5), min_size=regions + 1, max_size=regions + 1))
    return Layout(torch.tensor(inside), tuple(texts), draw(st.sampled_from([0, 0, 1, 3])))


class Rule:
    """Who sees whom in one result, and its attention in one dense call; rows that see nothing are zero."""

    def __init__(self, sequence: Sequence):
        self.sequence, self.sees = sequence, torch.zeros(sequence.tokens, sequence.tokens, dtype=torch.bool)

    def tokens(self, stream: int | str) -> Tensor:
        return torch.arange(self.sequence.tokens)[self.sequence.where(stream)]

    def add(self, queries: list[Tensor], keys: list[Tensor]) -> "Rule":
        self.sees[torch.cat(queries)[:, None], torch.cat(keys)] = True
        return self

    def attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (q @ k.transpose(2, 3) / D**0.5).masked_fill(~self.sees, float("-inf"))
        return scores.softmax(-1).nan_to_num() @ v


def mixed(base: Tensor, regional: Tensor, share: Tensor) -> Tensor:
    """share [tokens] of the regional result."""
    return base + share.to(base)[:, None] * (regional - base)


def cellwise(make: Callable) -> Callable:
    """Methods of cells; make(draw, regions, share) gives the spec and each region's share of its own result. The last
    region has a token; what it guides is the fork where there is one."""

    def method(draw, layout: Layout) -> tuple[Program, Callable]:
        spec, shares = make(draw, layout.regions(), draw(st.sampled_from([0.3, 1.0])))
        program = layout.program(layout.lay_out(spec), pasted=draw(st.booleans()))

        def expected(qkv: list[Tensor], sequence: Sequence, kind: str, number: int) -> Tensor:
            base, regional, owner = Rule(sequence), Rule(sequence), layout.owner
            text, main = base.tokens(0), base.tokens(IMAGE)
            guided = base.tokens(FORK if sequence.forked else IMAGE)
            base.add([text, main], [text, main])
            regional.add([guided[owner == 0]], [text, guided])
            for number in range(1, len(layout.texts)):
                words = base.tokens(number)
                regional.add([words, guided[owner == number]], [words, guided])
            out, other = base.attention(*qkv), regional.attention(*qkv)
            share = torch.tensor([0.0, *shares])[owner]
            image = mixed(out[:, :, main], other[:, :, guided], share)
            out[:, :, len(text) : main[0]] = other[:, :, len(text) : main[0]]
            out[:, :, guided], out[:, :, main] = other[:, :, guided], image
            return out

        return program, expected

    return method


def regional_prompting(draw, layout: Layout) -> tuple[Program, Callable]:
    base_ratio, numbers = draw(st.sampled_from([0.0, 0.3])), range(1, len(layout.texts))
    strengths = [draw(st.sampled_from([1.0, 1.0, 0.5, 0.0])) for _ in numbers]
    intervals = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    spec = RegionalPrompting(
        layout.regions(strengths),
        base_ratio,
        0.0,
        1.0,
        *intervals,
        background=draw(st.booleans()),
        published=draw(st.booleans()),
    )
    program = layout.program(layout.lay_out(spec), pasted=False)

    def expected(qkv: list[Tensor], sequence: Sequence, kind: str, number: int) -> Tensor:
        inside = layout.with_references
        if spec.background and (free := ~layout.inside.any(0)).any():
            inside = torch.cat((inside, torch.cat((free, free.new_zeros(layout.references)))[None]))
        base, regional = Rule(sequence), Rule(sequence)
        texts = [base.tokens(number) for number in range(1, len(inside) + 1)]
        text, main = base.tokens(0), base.tokens(IMAGE)
        second = base.tokens(FORK) if sequence.forked else main
        base.add([text, second], [text, second])
        if number % dict(zip((DOUBLE, SINGLE), intervals, strict=True))[kind]:
            regional.add([*texts, main], [*texts, main])
        else:
            references, outside = main[layout.inside.shape[1] :], main[~inside.any(0)]
            regional.add([main], [references]).add([outside], [outside])
            for words, member in zip(texts, inside, strict=True):
                regional.add([words, main[member]], [words, main[member]]).add([words], [references])
        out, other = base.attention(*qkv), regional.attention(*qkv)
        share = (1 - base_ratio) * torch.tensor([1.0, *strengths])[layout.owner]
        image = mixed(out[:, :, second], other[:, :, main], share)
        out[:, :, len(text) : main[0]] = other[:, :, len(text) : main[0]]
        out[:, :, main] = image
        return out

    return program, expected


def further_method(draw, layout: Layout) -> tuple[Program, Callable]:
    program = layout.program(layout.lay_out(Invoked(layout.regions())), pasted=False)

    def expected(qkv: list[Tensor], sequence: Sequence, kind: str, number: int) -> Tensor:
        return invoked(sequence, layout.with_references, number).attention(*qkv)

    return program, expected


def invoked(sequence: Sequence, inside: Tensor, number: int) -> Rule:
    rule = Rule(sequence)
    texts = [rule.tokens(text) for text in range(len(sequence.texts))]
    main, outside = rule.tokens(IMAGE), rule.tokens(IMAGE)[~inside.any(0)]
    if number % 2:
        return rule.add([*texts, main], [*texts, main])
    rule.add([texts[0], outside], [texts[0], main])
    for text, member in zip(texts[1:], inside, strict=True):
        rule.add([text, main[member]], [text, main[member], outside])
    return rule


METHODS = {
    "Soft Refinement": cellwise(
        lambda draw, regions, share: (
            Refinement(regions, share, published=draw(st.booleans())),
            [share] * len(regions),
        )
    ),
    "RPG": cellwise(
        lambda draw, regions, share: (
            RegionalDiffusion(regions, (1 - share, 0.25)[: len(regions)]),
            [share, *[0.75] * (len(regions) - 1)],
        )
    ),
    "Regional Prompting": regional_prompting,
    "InvokeAI's rule": further_method,
}
"""Each draws its settings, and gives its program and its rule: (q, k, v, sequence, kind, number) -> the right result."""


class NoSquare(TorchDispatchMode):
    """Fails where an operation makes a tensor of so many tokens times as many."""

    def __init__(self, tokens: int):
        super().__init__()
        self.tokens = tokens

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                assert sum(size >= self.tokens for size in tensor.shape) < 2, (func, tensor.shape)
        return out


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    assert mask is None and k.shape[2] > 0
    return torch.nn.functional.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("method", METHODS)
@examples(300)
@given(st.data(), layouts())
def test_the_reads_equal_a_dense_masked_call_for_each_result(method, data, layout):
    program, expected = METHODS[method](data.draw, layout)
    for kind, number in ((DOUBLE, 0), (DOUBLE, 1), (SINGLE, 0), (SINGLE, 1), (SINGLE, 2)):
        sequence, generator = program.sequence(kind), torch.Generator().manual_seed(number)
        qkv = [
            torch.randn(B, H, sequence.tokens, D, generator=generator, dtype=torch.float64) for _ in range(3)
        ]
        with NoSquare(sequence.tokens):
            out = run_reads(attend, *qkv, sequence, program.reads(kind, number))
        torch.testing.assert_close(out, expected(qkv, sequence, kind, number), rtol=0, atol=1e-6)


class InOneCall(LaidOut):
    """The further method with a mask in place of reads."""

    def program(self, base, texts, references, fork, device, dtype) -> Program:
        lengths, image = (base, *texts), self.inside.shape[1]

        def read(kind: str, number: int) -> list[Read]:
            rule = invoked(Sequence(lengths, image), self.inside, number)
            keys = (IMAGE, *range(len(lengths)))
            hidden = ~rule.sees[:, torch.cat([rule.tokens(stream) for stream in keys])]
            mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, float("-inf"))
            return [Read((*map(own, keys[1:]), own(IMAGE)), tuple(map(Part, keys)), mask)]

        return Program(lengths, image, read)


class Dense(Invoked):
    def lay_out(self, setting):
        layer = super().lay_out(setting)
        return replace(layer, guided=(InOneCall(**vars(layer.guided[0])),))


def test_a_further_method_takes_no_change_of_the_engine(model, texts):
    shapes = (Box(0, 0, 0.6, 0.7), "S0"), (Box(0.4, 0.3, 0.5, 0.7), "S1")
    regions = tuple(Region(shape, conditioning(texts, key)) for shape, key in shapes)
    setting = conditioning(texts, "G0"), noise_for(16, 24), schedule(model, 3)
    found, expected = (sample(add_spec(model, method(regions)), *setting) for method in (Invoked, Dense))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (found - sample(model, *setting)).abs().max() > 0.1
