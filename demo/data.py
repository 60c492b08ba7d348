"""Training data of the transformer: latents, T5 tokens and pooled vectors of drawn scenes, cached by canvas size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demo.autoencoder import encode
from demo.captions import caption
from demo.scenes import TOKEN, sample
from demo.shapes import draw
from demo.text import load_clip, pooled_vectors, token_ids
from demo.transformer import to_tokens

TEXT = 32
"""Tokens of every training caption; the few longer ones are phrased again."""
PHRASINGS = 2
"""Captions a scene."""
FULL = (16, 16)
"""The picture size, in tokens (columns, rows)."""
CANVASES: dict[tuple[int, int], int] = {
    **{(n, n): 5000 for n in (4, 5, 6, 7, 8, 9, 10)},
    **{pair: 3000 for n in ((4, 6), (4, 8), (5, 7), (6, 8), (6, 10), (7, 9)) for pair in (n, n[::-1])},
    **{pair: 2500 for n in ((6, 12), (7, 14), (8, 16), (10, 13)) for pair in (n, n[::-1])},
    (12, 12): 3000,
    FULL: 12000,
}
"""Scenes to draw for each canvas (columns, rows) in tokens: crops that binding denoises, and whole pictures."""


@dataclass
class Bucket:
    """All scenes of one canvas: tokens [n, rows·columns, 64] half, ids [n, PHRASINGS, TEXT], pooled [n, PHRASINGS, P]."""

    columns: int
    rows: int
    tokens: Tensor
    ids: Tensor
    pooled: Tensor


def _captions(clip, seed: int, index: int, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    scene, first = sample(seed, index, *size)
    rng = np.random.default_rng((seed, index, *size, 1))
    texts: list[str] = []
    candidate = first
    while len(texts) < PHRASINGS:
        if len(token_ids(clip, [candidate])[0]) <= TEXT:
            texts.append(candidate)
        candidate = caption(scene, rng)
    return draw(scene), texts


def _build(clip, seed: int, columns: int, rows: int, count: int, known: dict[str, Tensor]) -> Bucket:
    size = (columns * TOKEN, rows * TOKEN)
    pictures, texts = zip(*(_captions(clip, seed, i, size) for i in range(count)), strict=True)
    tokens = [to_tokens(encode(np.stack(pictures[i : i + 64]))).half() for i in range(0, count, 64)]
    flat = [t for pair in texts for t in pair]
    new = sorted(set(flat) - known.keys())
    if new:
        known.update(zip(new, pooled_vectors(clip, new), strict=True))
    ids = torch.tensor(token_ids(clip, flat), dtype=torch.int32).reshape(count, PHRASINGS, TEXT)
    pooled = torch.stack([known[t] for t in flat]).reshape(count, PHRASINGS, -1)
    return Bucket(columns, rows, torch.cat(tokens), ids, pooled)


def load(work: Path, seed: int = 1) -> list[Bucket]:
    """The cached data; draws what is missing (minutes)."""
    clip, known, buckets = None, {}, []
    for (columns, rows), count in CANVASES.items():
        path = work / f"scenes_{columns}x{rows}.pt"
        if not path.exists():
            clip = clip or load_clip()
            bucket = _build(clip, seed, columns, rows, count, known)
            torch.save(vars(bucket), path.with_suffix(".tmp"))
            path.with_suffix(".tmp").rename(path)
            print(f"drew {count} scenes of {columns}x{rows} tokens", flush=True)
        buckets.append(Bucket(**torch.load(path)))
    return buckets
