"""How well Repaint paints: the right colour and shape, and the seam, beside ComfyUI's own noise mask.

    python3 dev.py bench repaint [--out DIR]

24 scenes on the demo model: two objects, made with regions; then one of the two is asked for in another colour
(even scenes) or as another shape (odd scenes). Scenes and seeds are fixed. Three ways to make the second picture:

repaint             Repaint beside the record of the picture's run
repaint, no record  Repaint with the bare latent, as from any sampler or VAE Encode
noise mask          ComfyUI's SetLatentNoiseMask and KSampler at denoise 1 with the new base prompt

right: the largest object in the mask has the colour, or colour and shape, that was asked for (demo/checker.py). seam:
the mean step in 8-bit levels between neighbouring pixels on either side of the mask's edge; the first picture's own
value stands beside it.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.demo import STEPS, Demo, warn_once
from bench.methods import BIND_STEPS
from demo.checker import cut, find
from demo.comfy_setup import pack
from demo.shapes import BACKGROUNDS, PALETTE, SHAPES

SIZE, SCENES, SEED = 256, 24, 5
LEAST_SHARE = 0.03
"""Of the painted half that an object covers at least: a small one in a quarter of the picture."""
CELLS = {
    "across": ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0)),
    "down": ((0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 0.5)),
}
BOXES = {
    "across": ((0.0, 0.28125, 0.4375, 0.4375), (0.5625, 0.28125, 0.4375, 0.4375)),
    "down": ((0.28125, 0.0, 0.4375, 0.4375), (0.28125, 0.5625, 0.4375, 0.4375)),
}
WORDS = {"across": ("on the left", "on the right"), "down": ("at the top", "at the bottom")}


def a(text: str) -> str:
    return f"a{'n' * (text[0] in 'aeiou')} {text}"


def scenes() -> list[dict]:
    """The fixed scenes: place, background, two objects, and what one of them becomes."""
    chance, found = random.Random(SEED), []
    while len(found) < SCENES:
        ground = chance.choice(list(BACKGROUNDS))
        clear = [c for c in PALETTE if np.linalg.norm(np.subtract(PALETTE[c], BACKGROUNDS[ground])) > 120]
        first, second, new = chance.sample(clear, 3)
        shapes = chance.sample(sorted(SHAPES), 3)
        objects = [(first, shapes[0]), (second, shapes[1])]
        which = chance.randrange(2)
        color, shape = objects[which]
        becomes = (new, shape) if len(found) % 2 == 0 else (color, shapes[2])
        found.append({
            "place": chance.choice(["across", "down"]), "ground": ground, "objects": objects, "which": which,
            "becomes": becomes, "seed": 100 + len(found),
        })  # fmt: skip
    return found


class Painter(Demo):
    """The demo model, with the three ways to make the second picture."""

    def texts(self, scene: dict, objects: list) -> tuple[str, list[str]]:
        """Base prompt, and one text for each region."""
        ground = f"on a {scene['ground']} background"
        named = [a(f"{c} {s}") for c, s in objects]
        base = " and ".join(f"{n} {p}" for n, p in zip(named, WORDS[scene["place"]], strict=True))
        return f"{base} {ground}", [f"{n} {ground}" for n in named]

    def first(self, scene: dict) -> dict:
        base, texts = self.texts(scene, scene["objects"])
        return pack("nodes.sampler").RAGHardBindingSampler.execute(
            self.model, scene["seed"], STEPS, 1.0, "euler", "simple", self.encode(base), self.encode(""), self.empty(SIZE, SIZE),
            1.0, BIND_STEPS, True, 1.0, "published", True,
            binding_regions=self.regions(BOXES[scene["place"]], texts),
            refinement_regions=self.regions(CELLS[scene["place"]], texts),
        )[0]  # fmt: skip

    def after(self, scene: dict) -> tuple[str, list[str]]:
        objects = list(scene["objects"])
        objects[scene["which"]] = scene["becomes"]
        return self.texts(scene, objects)

    def mask(self, scene: dict) -> torch.Tensor:
        """The painted object's half of the picture, white, [1, H, W]: its outline may be anywhere in there."""
        layout = self.regions(CELLS[scene["place"]], ["", ""])
        return pack("nodes.layout").RAGRegionsToMask.execute(layout, scene["which"] + 1, SIZE, SIZE)[0]

    def repaint(self, scene: dict, prior: dict) -> dict:
        base, texts = self.after(scene)
        return pack("nodes.repaint").RAGRepaint.execute(
            self.model, prior, self.mask(scene), self.encode(base), self.encode(""), 1.0, scene["seed"] + 1000, STEPS,
            1.0, "euler", "simple", BIND_STEPS, 0, True, conditioning=self.encode(texts[scene["which"]]),
            refinement_regions=self.regions(CELLS[scene["place"]], texts),
        )[0]  # fmt: skip

    def noise_mask(self, scene: dict, prior: dict) -> dict:
        held = self.nodes.SetLatentNoiseMask().set_mask({"samples": prior["samples"]}, self.mask(scene))[0]
        text, empty = self.encode(self.after(scene)[0]), self.encode("")
        return self.nodes.KSampler().sample(
            self.model, scene["seed"] + 1000, STEPS, 1.0, "euler", "simple", text, empty, held
        )[0]


def seam(picture: np.ndarray, mask: np.ndarray) -> float:
    """Mean step over the mask's edge, [H, W, 3] uint8 and [H, W] bool."""
    values, steps = picture.astype(np.float32), []
    for axis in (0, 1):
        edge = np.diff(mask, axis=axis)
        steps.append(np.abs(np.diff(values, axis=axis)).mean(2)[edge])
    return float(np.concatenate(steps).mean())


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench repaint", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for the pictures: first, and the three ways")
    options = parser.parse_args()
    warn_once()
    painter = Painter()
    ways = {
        "repaint": lambda scene, prior: painter.repaint(scene, prior),
        "repaint, no record": lambda scene, prior: painter.repaint(scene, {"samples": prior["samples"]}),
        "noise mask": lambda scene, prior: painter.noise_mask(scene, prior),
    }
    right = {way: {"colour": [], "shape": []} for way in ways}
    seams: dict[str, list[float]] = {way: [] for way in ("first picture", *ways)}
    for number, scene in enumerate(scenes()):
        prior = painter.first(scene)
        pictures = {"first picture": painter.decode(prior)}
        mask = painter.mask(scene)[0].numpy() > 0
        for way, make in ways.items():
            picture = pictures[way] = painter.decode(make(scene, prior))
            found = find(cut(picture, CELLS[scene["place"]][scene["which"]]), LEAST_SHARE)
            color, shape = scene["becomes"]
            right[way]["colour"].append(found is not None and found.color == color)
            right[way]["shape"].append(found is not None and found.is_a(color, shape))
        for way, picture in pictures.items():
            seams[way].append(seam(picture, mask))
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            strip = np.concatenate(list(pictures.values()), 1)
            Image.fromarray(strip).save(options.out / f"scene_{number:02}.png")
    print("| | right colour | right colour and shape | seam |\n| --- | --- | --- | --- |")
    print(f"| first picture | | | {np.mean(seams['first picture']):.2f} |")
    for way in ways:
        colour, shape = (f"{sum(right[way][kind])} of {SCENES}" for kind in ("colour", "shape"))
        print(f"| {way} | {colour} | {shape} | {np.mean(seams[way]):.2f} |")


if __name__ == "__main__":
    main()
