"""The phrases of a caption: where each stands among its tokens, and the phrase's own embedding in their place.

A CLIP makes tokens for each of its encoders, in chunks of 77 with a start, an end and padding; a text's own tokens are
the others, ids or the vectors of embeddings. SDXL's encoders share the channels of each token of the CONDITIONING.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..lora_tags import read_tags
from ..loras.files import worn_by
from ..regions import Region, describe

ENCODERS = ("l", "g", "h")
"""What ComfyUI calls those of CLIP, in the order of their channels."""


@dataclass(frozen=True, eq=False)
class Caption:
    """A caption in which phrases have embeddings of their own.

    text: as it was encoded. conditioning: its CONDITIONING with the phrases' embeddings in their places.
    phrases: those of the phrases, [1, T, C] each. owner: of each token the number, from 1, of the phrase that claims it,
    the last one where several do; else 0. weighted: numbers of phrases that have other weights in the caption.
    """

    text: str
    conditioning: list
    phrases: tuple[Tensor, ...]
    owner: Tensor
    weighted: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Token:
    """One of a text's own: its id or vector, its weight, and its place among all tokens."""

    value: int | Tensor
    weight: float
    place: int

    def __eq__(self, other: _Token) -> bool:
        one, two = self.value, other.value
        if torch.is_tensor(one) and torch.is_tensor(two):
            return torch.equal(one, two)
        return not torch.is_tensor(one) and not torch.is_tensor(two) and one == two


def with_phrases(clip, text: str, regions: tuple[Region, ...]) -> Caption:
    """The caption with the regions' texts as its phrases; an empty one is all of them, with commas between.

    Raises ValueError for a CLIP of another kind, a region without text, a phrase that is not in the caption, and a
    LoRA's tag in it.
    """
    if read_tags(text)[1]:
        raise ValueError(
            "the caption holds a LoRA's tag, and is for the whole picture: use Load LoRA for it, or write the tag into the "
            "text of a region"
        )
    texts = [region.text or "" for region in regions]
    for number, phrase in enumerate(texts, 1):
        if not phrase.strip():
            raise ValueError(
                f"{describe(number, regions)} has no text, and its text is the phrase of the caption that it holds; write "
                f"one with clip, in place of a conditioning"
            )
    # a comma that touched another sign could be one token with it
    text = text if text.strip() else " , ".join(texts)
    whole, caption = _encoded(clip, text)
    edited, owner = [entry.clone() for entry, _ in caption], torch.zeros(caption[0][0].shape[1])
    phrases, weighted = [], []
    for number, (phrase, region) in enumerate(zip(texts, regions, strict=True), 1):
        hooks = (options.get("hooks") for _, options in region.conditioning)
        own, encoded = _encoded(worn_by(clip, next(hooks, None)), phrase)
        phrases.append(encoded[0][0])
        for encoder, channels in _channels(clip, list(whole)).items():
            found = _found(own[encoder], whole[encoder])
            if found is None:
                raise ValueError(
                    f"the phrase of {describe(number, regions)}, {phrase!r}, is not in the caption {text!r}: write it "
                    f"there, word for word, or leave the caption empty"
                )
            old, new = ([token.place for token in tokens] for tokens in (found, own[encoder]))
            owner[old] = number
            for entry, (embedding, _) in zip(edited, encoded, strict=True):
                entry[:, old, channels] = embedding[:, new, channels]
            if [token.weight for token in found] != [token.weight for token in own[encoder]]:
                weighted.append(number)
    conditioning = [[entry, options] for entry, (_, options) in zip(edited, caption, strict=True)]
    return Caption(text, conditioning, tuple(phrases), owner, tuple(dict.fromkeys(weighted)))


def _encoded(clip, text: str) -> tuple[dict[str, list[_Token]], list]:
    """A text's own tokens for each encoder, and its CONDITIONING."""
    made = clip.tokenize(text, return_word_ids=True)
    names = list(made) if isinstance(made, dict) else [type(made).__name__]
    if not set(names) <= set(ENCODERS):
        raise ValueError(
            f"clip is no CLIP of SD1.5, SD2 or SDXL, whose tokens are {', '.join(ENCODERS)}, but makes tokens of "
            f"{', '.join(names)}; connect the CLIP of the model's checkpoint"
        )

    def is_read(name: str, value: int | Tensor) -> bool:
        """ComfyUI leaves out vectors of another width and pads the chunk at its end."""
        return not torch.is_tensor(value) or value.shape[-1] == _width(clip, name)

    conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    length = conditioning[0][0].shape[1]  # of SDXL's encoders the shorter one's
    own = {name: _own(chunks, partial(is_read, name)) for name, chunks in made.items()}
    return {
        name: [token for token in tokens if token.place < length] for name, tokens in own.items()
    }, conditioning


def _own(chunks: Sequence[Sequence[tuple]], is_read: Callable[[int | Tensor], bool]) -> list[_Token]:
    """The tokens of words and embeddings."""
    found, start = [], 0
    for chunk in chunks:
        kept = [token for token in chunk if is_read(token[0])]
        found += [_Token(value, weight, start + i) for i, (value, weight, word) in enumerate(kept) if word]
        start += len(chunk)
    return found


def _found(phrase: list[_Token], caption: list[_Token]) -> list[_Token] | None:
    """The first place in a caption's tokens where all of a phrase's stand, whatever their weights."""
    if not phrase:
        return None
    starts = range(len(caption) - len(phrase) + 1)
    places = (caption[start : start + len(phrase)] for start in starts)
    return next((place for place in places if place == phrase), None)


def _width(clip, encoder: str) -> int:
    network = getattr(clip.cond_stage_model, f"clip_{encoder}")
    return network.transformer.get_input_embeddings().weight.shape[1]


def _channels(clip, encoders: list[str]) -> dict[str, slice]:
    """The channels of a CONDITIONING that each encoder makes."""
    if len(encoders) == 1:
        return {encoders[0]: slice(None)}
    found, start = {}, 0
    for encoder in sorted(encoders, key=ENCODERS.index):
        end = start + _width(clip, encoder)
        found[encoder], start = slice(start, end), end
    return found
