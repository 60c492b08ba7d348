"""The examples that RAG's repository shows (NJU-PCALab/RAG-Diffusion at 92a26ea, data/RAG_Gallery.json and
data/LoRA_Gallery.json), as prompts for ComfyUI's API.

Layouts, sizes, seeds and settings are theirs; the texts say the same in our words, and the three celebrities have become
three people whom nobody knows. ComfyUI draws other noise from a seed than the published code, so that pictures are others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .workflow import Prompt

Box = tuple[float, float, float, float]
MODEL, CLIP, VAE = "flux1-dev.safetensors", ("t5xxl_fp16.safetensors", "clip_l.safetensors"), "ae.safetensors"
SHAKKER = "https://huggingface.co/Shakker-Labs/FLUX.1-dev-LoRA-"
HYPER = "Hyper-FLUX.1-dev-8steps-lora.safetensors"
WUKONG = "FLUX-dev-lora-Black_Myth_Wukong_hyperrealism_v1.safetensors"
YARN = "FLUX-dev-lora-MiaoKa-Yarn-World.safetensors"
DOWNLOADS = {
    WUKONG: ("loras", f"{SHAKKER}collections/resolve/main/{WUKONG}"),
    YARN: ("loras", f"{SHAKKER}MiaoKa-Yarn-World/resolve/main/{YARN}"),
}
"""File -> folder in models/ and address, of those that no template names."""


@dataclass(frozen=True)
class Example:
    """prompt: of the whole picture. ratio and cells: Soft Refinement's, boxes (x, y, width, height as fractions) with a
    text each: Hard Binding's; size: width and height in pixels."""

    name: str
    prompt: str
    ratio: str
    cells: tuple[str, ...]
    boxes: tuple[tuple[Box, str], ...]
    delta: float
    bind_steps: int
    seed: int
    size: tuple[int, int] = (1024, 1024)
    steps: int = 20
    lora: str = ""
    strength: float = 1.0


def columns(xs: tuple[float, ...], y: float, w: float, h: float, texts: tuple[str, ...]) -> tuple:
    """Boxes of one size side by side."""
    return tuple(((x, y, w, h), text) for x, text in zip(xs, texts, strict=True))


COLORS = ("red", "orange", "yellow", "green", "blue", "cyan", "purple")
MUGS = tuple(f"one {c} ceramic mug with the number {n} on it" for n, c in enumerate(COLORS, 1))
ROSES = "a bunch of white roses on a wooden table"
ANIMALS = ("a penguin with sunglasses", "a tiger with a winter scarf", "a panda in a windbreaker")
TREES = ("pink trees in blossom", "green sycamores", "golden maples", "pines under snow")
CAKES = ("red cake", "orange cake", "yellow cake", "green cake")
SEASONS = ("spring in Hokkaido", "Mount Fuji in winter", "summer in Hokkaido", "autumn in Hokkaido")
PEAR, APPLE = "one pear made of wool on a table", "one apple made of wool on a table"

EXAMPLES = (
    Example(
        "three_people",
        "Three scenes: on the left an old man with white hair paints a portrait; in the middle a woman speaks at an election "
        "rally; on the right a man presents a new car.",
        "0.34, 0.33, 0.33",
        (
            "On the left an old man with wild white hair and a moustache stands before an easel, a brush in his hand, and "
            "paints the portrait of a lady.",
            "In the middle a woman in a black jacket speaks to the crowd at an election rally.",
            "On the right a man in a dark suit presents a new electric car on a stage, a large screen behind him.",
        ),
        (
            ((0.01, 0.1, 0.32, 0.8), "an old man with white hair painting a portrait with a brush"),
            ((0.35, 0.1, 0.31, 0.8), "a woman in a black jacket speaking into a microphone, flags behind her"),
            ((0.68, 0.1, 0.31, 0.8), "a man in a suit presenting a new car on a stage"),
        ),
        1.0, 8, 1231, (1536, 768),
    ),
    Example(
        "three_animals",
        "On the left a penguin with sunglasses sunbathes in the desert; in the middle a tiger with a scarf stands on a "
        "glacier; on the right a panda in a windbreaker walks through a forest.",
        "0.33, 0.34, 0.33",
        (
            "A penguin with sunglasses sunbathes in the desert, dunes to the horizon.",
            "A tiger with a scarf stands on a white glacier in cold air.",
            "A panda in a windbreaker walks through a dense green forest.",
        ),
        columns((0.02, 0.35, 0.68), 0.2, 0.28, 0.6, ANIMALS),
        1.0, 3, 1230, (1536, 768),
    ),
    Example(
        "seven_mugs",
        "Seven ceramic mugs in different colours with the numbers 1 to 7 on them stand on a wooden table, a bunch of white "
        "roses on the left.",
        "1,1,1,1,1;1,1,1,1,1",
        (ROSES, *MUGS),
        (
            ((0.0, 0.0, 0.2, 0.49), "a bunch of white roses"),
            *columns((0.25, 0.5, 0.75), 0.0, 0.24, 0.49, tuple(f"{mug} on a wooden table" for mug in MUGS[:3])),
            *columns((0.0, 0.25, 0.5, 0.75), 0.5, 0.24, 0.49, tuple(f"{mug} on a wooden table" for mug in MUGS[3:])),
        ),
        1.0, 2, 1234,
    ),
    Example(
        "balloon_and_dog",
        "a balloon below a dog",
        "0.5; 0.5",
        (
            "A playful golden retriever with its ears up sits on a balloon.",
            "A bright balloon floats below the dog, its string hanging down.",
        ),
        (((0.1, 0.55, 0.8, 0.4), "balloon"), ((0.1, 0.05, 0.8, 0.45), "dog")),
        1.0, 2, 1234,
    ),
    Example(
        "apple_and_glass",
        "A cylindrical glass hides the right half of the apple behind it.",
        "0.5,0.5",
        (
            "An apple, its right half behind a cylindrical glass.",
            "A cylindrical glass that hides the right half of the apple behind it.",
        ),
        (((0.1, 0.2, 0.5, 0.6), "apple"), ((0.3, 0.1, 0.6, 0.8), "cylindrical glass")),
        0.5, 2, 1234,
    ),
    Example(
        "four_trees",
        f"From left to right: {', '.join(TREES)}.",
        "0.25,0.25,0.25,0.25",
        (
            "Pink trees in blossom, a soft carpet of petals below them.",
            "Tall green sycamores whose broad leaves shade the ground.",
            "Golden maples, their leaves shining in the sun.",
            "Pines with branches heavy with snow in the quiet of winter.",
        ),
        columns((0.02, 0.27, 0.52, 0.77), 0.1, 0.21, 0.8, TREES),
        1.0, 2, 1236,
    ),
    Example(
        "four_cakes",
        f"From left to right: {', '.join(f'a {cake}' for cake in CAKES)}.",
        "0.25, 0.25, 0.25, 0.25",
        (
            "A red layer cake with shining cherries on it.",
            "An orange cake with a citrus glaze and curls of orange zest.",
            "A yellow lemon cake with creamy frosting.",
            "A green pistachio cake with small leaves and nuts on it.",
        ),
        columns((0.01, 0.26, 0.51, 0.76), 0.15, 0.23, 0.7, CAKES),
        0.0, 1, 1235, steps=8, lora=HYPER, strength=0.125,
    ),
    Example(
        "four_seasons",
        "Spring, summer, autumn and winter in Hokkaido.",
        "0.5,0.5,0.5;0.5,0.5,0.5",
        (
            "Spring in Hokkaido, cherry trees in blossom and fresh green.",
            "Mount Fuji in winter, quiet under clean snow.",
            "Summer in Hokkaido, wide blue skies over fields full of flowers.",
            "Autumn in Hokkaido, trees like fire in golden light.",
        ),
        columns((0.1, 0.6), 0.1, 0.4, 0.4, SEASONS[:2]) + columns((0.1, 0.6), 0.6, 0.4, 0.4, SEASONS[2:]),
        1.0, 1, 1233, steps=8, lora=HYPER, strength=0.125,
    ),
    Example(
        "bag_and_book",
        "A man on the left holds a bag and a man on the right holds a book.",
        "0.5,0.5",
        (
            "A man with a bag on the left looks about him at ease.",
            "On the right a man with a book, his eyes on the page.",
        ),
        columns((0.05, 0.55), 0.1, 0.4, 0.8, ("man holding a bag", "man holding a book")),
        0.0, 3, 1238, lora=WUKONG, strength=0.7,
    ),
    Example(
        "mountain_and_temple",
        "A mountain on the left, a crouching man in the middle and an ancient building on the right.",
        "0.33, 0.34, 0.33",
        (
            "A steep mountain on the left, its peaks in the sky.",
            "In the middle a crouching man, lost in thought.",
            "On the right an ancient building with stone walls and arches.",
        ),
        (
            ((0.02, 0.1, 0.29, 0.8), "mountain"),
            ((0.35, 0.1, 0.3, 0.8), "crouching man"),
            ((0.68, 0.0, 0.29, 1.0), "ancient building"),
        ),
        0.0, 3, 1236, lora=WUKONG, strength=0.7,
    ),
    Example(
        "wool_fruit",
        "A cabinet with two shelves: two pears made of wool on the upper, three apples made of wool on the lower one.",
        "0.5; 0.5",
        (
            "Two green pears made of wool on the upper shelf in soft light.",
            "Three red apples made of wool side by side on the lower shelf.",
        ),
        columns((0.05, 0.55), 0.05, 0.4, 0.4, (PEAR,) * 2) + columns((0.0, 0.33, 0.66), 0.55, 0.3, 0.4, (APPLE,) * 3),
        0.5, 2, 1238, lora=YARN,
    ),
    Example(
        "wool_landscape",
        "On the left a forest made of wool, on the right a volcano made of wool.",
        "0.5, 0.5",
        (
            "A dense forest made of soft wool on the left.",
            "On the right a volcano made of wool, a little fluffy at its edges.",
        ),
        columns((0.05, 0.55), 0.1, 0.4, 0.8, ("forest made of wool", "volcano made of wool")),
        1.0, 2, 1236, lora=YARN,
    ),
)  # fmt: skip


def to_prompt(example: Example) -> Prompt:
    """The prompt for ComfyUI's API, with the files that ComfyUI's own FLUX.1-dev template names."""
    width, height = example.size
    prompt = {
        "model": _node("UNETLoader", unet_name=MODEL, weight_dtype="default"),
        "clip": _node(
            "DualCLIPLoader", clip_name1=CLIP[0], clip_name2=CLIP[1], type="flux", device="default"
        ),
        "vae": _node("VAELoader", vae_name=VAE),
        "text": _node("CLIPTextEncode", clip=["clip", 0], text=example.prompt),
        "positive": _node("FluxGuidance", conditioning=["text", 0], guidance=3.5),
        "negative": _node("ConditioningZeroOut", conditioning=["text", 0]),
        "latent": _node("EmptySD3LatentImage", width=width, height=height, batch_size=1),
        "cells": _node(
            "RAGSplitRatioLayout",
            split_ratio=example.ratio,
            text=" BREAK\n".join(example.cells),
            clip=["clip", 0],
        ),
    }
    model: list[Any] = ["model", 0]
    if example.lora:
        prompt["lora"] = _node(
            "LoraLoaderModelOnly", model=model, lora_name=example.lora, strength_model=example.strength
        )
        model = ["lora", 0]
    boxes: Mapping[str, Any] = {}
    for number, ((x, y, w, h), text) in enumerate(example.boxes, 1):
        prompt[f"box {number}"] = _node(
            "RAGRegionBox", x=x, y=y, width=w, height=h, text=text, clip=["clip", 0], **boxes
        )
        boxes = {"regions": [f"box {number}", 0]}
    prompt["sampler"] = _node(
        "RAGHardBindingSampler", model=model, seed=example.seed, steps=example.steps, cfg=1.0, sampler_name="euler",
        scheduler="simple", positive=["positive", 0], negative=["negative", 0], latent_image=["latent", 0], denoise=1.0,
        bind_steps=example.bind_steps, bind_features=True, delta=example.delta, fidelity="published",
        keep_for_repaint=False, binding_regions=boxes["regions"], refinement_regions=["cells", 0],
    )  # fmt: skip
    prompt["picture"] = _node("VAEDecode", samples=["sampler", 0], vae=["vae", 0])
    prompt["save"] = _node("SaveImage", images=["picture", 0], filename_prefix=example.name)
    return prompt


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}
