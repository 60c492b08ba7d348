"""Caches that leave out steps beside regions, judged by the picture: the demo model in half precision, in which core's
EasyCache is made to run (in full precision it changes the sampler's own latent)."""

import re

import pytest
import torch
from comfy_extras.nodes_easycache import EasyCacheNode, LazyCacheNode
from rag_pack.nodes.layout import RAGRegionsToMask
from rag_pack.nodes.patches import RAGHardBinding, RAGSoftRefinementAttention
from rag_pack.nodes.repaint import RAGRepaint
from rag_pack.nodes.sampler import RAGHardBindingSampler

from bench.demo import Demo

BASE = "a red circle on the left and a green star on the right, white background"
TEXTS = ["a red circle on a white background", "a green star on a white background"]
BOXES = ((0.05, 0.1, 0.4, 0.8), (0.55, 0.1, 0.4, 0.8))
HALVES = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0))
SIZE = 128
CACHES = {"EasyCache": EasyCacheNode, "LazyCache": LazyCacheNode}


@pytest.fixture(scope="module")
def demo() -> Demo:
    demo = Demo()
    demo.model.set_model_compute_dtype(torch.bfloat16)
    return demo


def cached(model, cache: str):
    return CACHES[cache].execute(model, 0.2, 0.15, 0.95, False)[0]


def regional(demo, model):
    """Bound beyond the start of the caches, at 15 % of the sampling."""
    bound = RAGHardBinding.execute(model, demo.regions(BOXES, TEXTS), 6, True)[0]
    return RAGSoftRefinementAttention.execute(bound, demo.regions(HALVES, TEXTS), 1.0, 0.0, 1.0, "published")[
        0
    ]


def picture(demo, model) -> torch.Tensor:
    return demo.sample(model, demo.encode(BASE), 5, 2 * SIZE, SIZE)["samples"]


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().mean())


@pytest.mark.parametrize("cache", CACHES)
def test_steps_are_left_out_as_without_regions(demo, cache, caplog):
    """And it costs the picture no more than it costs a stock run; in both orders."""
    stock, regions = picture(demo, demo.model), picture(demo, regional(demo, demo.model))
    loss = distance(picture(demo, cached(demo.model, cache)), stock)
    with caplog.at_level("INFO"):
        before = picture(demo, regional(demo, cached(demo.model, cache)))
        after = picture(demo, cached(regional(demo, demo.model), cache))
    assert torch.equal(before, after)
    assert 0 < distance(before, regions) < 0.9 * loss
    skipped = re.findall(r"skipped (\d+)/20", caplog.text)
    assert len(skipped) == 2 and all(int(steps) >= 8 for steps in skipped)
    assert "blocks were guided" not in caplog.text
    assert ("(6 were asked for)" in caplog.text) == (cache == "LazyCache")


def test_a_region_is_painted_as_without_the_cache(demo, caplog):
    """EasyCache sees neither the recorded run nor its bound regions, whose states are wanted at every step."""
    first = RAGHardBindingSampler.execute(
        demo.model, 5, 20, 1.0, "euler", "simple", demo.encode(BASE), demo.encode(""), demo.empty(2 * SIZE, SIZE), 1.0,
        4, True, 1.0, "published", True, binding_regions=demo.regions(BOXES, TEXTS),
        refinement_regions=demo.regions(HALVES, TEXTS),
    )[0]  # fmt: skip
    mask = RAGRegionsToMask.execute(demo.regions(BOXES, TEXTS), 1, 2 * SIZE, SIZE)[0]
    base = demo.encode("a yellow heart on the left and a green star on the right, white background")

    def painted(model) -> torch.Tensor:
        return RAGRepaint.execute(
            model, first, mask, base, demo.encode(""), 1.0, 7, 20, 1.0, "euler", "simple", 2, 0, True,
            conditioning=demo.encode("a yellow heart on a white background"),
        )[0]["samples"]  # fmt: skip

    with caplog.at_level("INFO"):
        lost = distance(painted(cached(demo.model, "EasyCache")), painted(demo.model))
    assert "beside the record" in caplog.text
    assert 0 < lost < 0.1
    assert int(re.findall(r"skipped (\d+)/18", caplog.text)[0]) >= 8
