"""Training batches, drawn as they are needed: every batch is a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from demo.captions import caption
from demo.comfy_setup import find_comfyui
from demo.scenes import WHOLE, canvas, sample
from demo.shapes import Scene, Sheet
from demo.sizes import TEXT_TOKENS

LENGTHS, SHARES = (TEXT_TOKENS, 60, 96), (12, 5, 3)
"""Tokens of the texts of a batch of whole pictures, and how often: 96 hold nine objects with their places."""
NOISE_SHIFT = 4.0
"""Noise levels are shift·u / (1 + (shift − 1)·u), u uniform: more of the high ones, which decide places and shapes."""
WITHOUT_TEXT = 0.06
"""Share of empty captions, for cfg."""


@dataclass
class Batch:
    """Scenes of one canvas, the T5 token ids [B, T] of their captions, padded with 0, and the noise levels [B] at
    which they are to be seen."""

    columns: int
    rows: int
    sheet: Sheet
    ids: Tensor
    noise: Tensor

    def pin_memory(self) -> Batch:
        """In memory that a GPU fetches by itself."""
        sheet = self.sheet.each(Tensor.pin_memory)
        return Batch(self.columns, self.rows, sheet, self.ids.pin_memory(), self.noise.pin_memory())

    def on(self, device: torch.device) -> Sheet:
        """The scenes there, ready to draw."""
        return self.sheet.each(lambda t: t.to(device, non_blocking=True))


@cache
def tokenizer():
    """FLUX's own T5 tokenizer, from ComfyUI's folder."""
    from transformers import T5TokenizerFast

    return T5TokenizerFast.from_pretrained(find_comfyui() / "comfy" / "text_encoders" / "t5_tokenizer")


def token_ids(texts: list[str], length: int = TEXT_TOKENS) -> Tensor:
    """T5 token ids [B, T] of the texts, padded with 0 to the longest and to `length` at least."""
    rows = tokenizer()(texts)["input_ids"]
    longest = max(length, *map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows], dtype=torch.int32)


def _fitting(
    rng: Random, columns: int, rows: int, noise: float, length: int, captioned: Callable[[Scene], Scene]
) -> tuple[Scene, str]:
    """A scene and a caption of no more than `length` tokens."""
    while True:
        scene = sample(rng, columns, rows, noise)
        text = "" if rng.random() < WITHOUT_TEXT else caption(captioned(scene), rng, noise)
        if len(tokenizer()(text)["input_ids"]) <= length:
            return scene, text


def batch(
    seed: int,
    step: int,
    tokens: int,
    hinted: bool = False,
    captioned: Callable[[Scene], Scene] = lambda scene: scene,
    drawn: Callable[[Scene], Scene] = lambda scene: scene,
) -> Batch:
    """The batch of a step: about so many image and text tokens in all.

    hinted: a hint shows the layout whatever the noise. captioned, drawn: what of a scene the caption tells, and what
    of it the picture shows.
    """
    rng = Random(f"{seed}/{step}")
    columns, rows = canvas(rng)
    length = rng.choices(LENGTHS, SHARES)[0] if min(columns, rows) >= WHOLE else TEXT_TOKENS
    count = max(1, tokens // (columns * rows + length))
    levels = [(i + rng.random()) / count for i in range(count)]
    noise = [NOISE_SHIFT * u / (1 + (NOISE_SHIFT - 1) * u) for u in levels]
    made = [
        (*_fitting(rng, columns, rows, 0.0 if hinted else sigma, length, captioned), sigma) for sigma in noise
    ]
    made.sort(key=lambda one: -len(one[0].items))
    scenes, texts, noise = zip(*made)
    sheet = Sheet.of([drawn(scene) for scene in scenes])
    return Batch(columns, rows, sheet, token_ids(list(texts), length), torch.tensor(noise))


class _Steps(Dataset):
    def __init__(self, make: Callable[[int], Batch], first: int, last: int) -> None:
        self.make, self.first, self.last = make, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> Batch:
        return self.make(self.first + index)


def batches(make: Callable[[int], Batch], first: int, last: int, workers: int = 0) -> Iterator[Batch]:
    """The batches of the steps first..last − 1, in order; made ahead by other processes where workers > 0."""
    options: dict = {}
    if workers:
        options = {"prefetch_factor": 4, "multiprocessing_context": "fork", "pin_memory": True}
    yield from DataLoader(_Steps(make, first, last), batch_size=None, num_workers=workers, **options)
