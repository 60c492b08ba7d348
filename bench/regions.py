"""How many of four regions hold the right colour: the plain prompt against this pack's Hard Binding Sampler.

    python3 dev.py bench regions [--layouts 4] [--bind-steps N] [--out DIR]

A layout names one shape and colour for each quarter of a 256×256 picture. The plain picture comes from the stock
KSampler with a prompt that names all four and where they are; the bound one from the Hard Binding Sampler with a
box for each object inside its quarter. Same seeds, sampler (euler, simple) and steps (20) for both.
Four of the twenty steps are bound, not the node's default of two: a picture of 256 tokens takes its shape at lower
noise than one of FLUX's size (--bind-steps 2 shows the difference).
Layouts and seeds are fixed; the first layout's sixteen regions are the figure that the pack is held to.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from demo.checker import Finding, cut, find
from demo.comfy_setup import pack, start_comfyui
from demo.text import load_clip

SIZE = 256
SEEDS = (11, 22, 33, 44)
STEPS, BIND_STEPS, DELTA = 20, 4, 1.0
PLACES = ("at the top left", "at the top right", "at the bottom left", "at the bottom right")
CELLS = ((0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 0.5, 0.5), (0.0, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5))
BOX = 7 / 16
BOXES = (
    (0.0, 0.0, BOX, BOX),
    (1 - BOX, 0.0, BOX, BOX),
    (0.0, 1 - BOX, BOX, BOX),
    (1 - BOX, 1 - BOX, BOX, BOX),
)


@dataclass(frozen=True)
class Layout:
    """A background and the (colour, shape) of each quarter in reading order."""

    background: str
    objects: tuple[tuple[str, str], ...]

    def region_texts(self) -> list[str]:
        return [
            f"a{'n' * (c == 'orange')} {c} {s} on a {self.background} background" for c, s in self.objects
        ]

    def text(self) -> str:
        named = (
            f"a{'n' * (c == 'orange')} {c} {s} {p}" for (c, s), p in zip(self.objects, PLACES, strict=True)
        )
        return f"{', '.join(named)} on a {self.background} background"


LAYOUTS = (
    Layout("white", (("red", "circle"), ("blue", "square"), ("green", "triangle"), ("purple", "heart"))),
    Layout("black", (("yellow", "square"), ("cyan", "circle"), ("pink", "heart"), ("orange", "diamond"))),
    Layout("gray", (("orange", "circle"), ("purple", "triangle"), ("white", "square"), ("green", "circle"))),
    Layout("beige", (("blue", "heart"), ("red", "diamond"), ("black", "circle"), ("cyan", "square"))),
)


class Bench:
    """The demo model in this process, loaded by ComfyUI's own loaders."""

    def __init__(self, bind_steps: int = BIND_STEPS) -> None:
        self.bind_steps = bind_steps
        start_comfyui()
        import comfy.utils

        import nodes

        comfy.utils.set_progress_bar_enabled(False)
        self.nodes = nodes
        self.model = nodes.UNETLoader().load_unet("rag_demo_flux.safetensors", "default")[0]
        self.vae = nodes.VAELoader().load_vae("rag_demo_vae.safetensors")[0]
        self.clip = load_clip()
        self.latent = nodes.EmptyLatentImage().generate(SIZE, SIZE, 1)[0]

    def encode(self, text: str) -> list:
        return self.nodes.CLIPTextEncode().encode(self.clip, text)[0]

    def decode(self, latent: dict) -> np.ndarray:
        """The picture [H, W, 3] uint8 of a latent."""
        pixels = self.nodes.VAEDecode().decode(self.vae, latent)[0][0]
        return (pixels.clamp(0, 1) * 255).round().byte().numpy()

    def plain(self, layout: Layout, seed: int) -> np.ndarray:
        text, empty = self.encode(layout.text()), self.encode("")
        sampler = self.nodes.KSampler()
        latent = sampler.sample(self.model, seed, STEPS, 1.0, "euler", "simple", text, empty, self.latent)[0]
        return self.decode(latent)

    def bound(self, layout: Layout, seed: int) -> np.ndarray:
        regions, sampler = pack("nodes.regions"), pack("nodes.sampler")
        boxes = cells = None
        for text, box, cell in zip(layout.region_texts(), BOXES, CELLS, strict=True):
            conditioning = self.encode(text)
            boxes = regions.RAGRegionBox.execute(*box, conditioning=conditioning, regions=boxes)[0]
            cells = regions.RAGRegionBox.execute(*cell, conditioning=conditioning, regions=cells)[0]
        latent = sampler.RAGHardBindingSampler.execute(
            model=self.model,
            seed=seed,
            steps=STEPS,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            positive=self.encode(layout.text()),
            negative=self.encode(""),
            latent_image=self.latent,
            denoise=1.0,
            bind_steps=self.bind_steps,
            bind_features=True,
            delta=DELTA,
            fidelity="published",
            binding_regions=boxes,
            refinement_regions=cells,
        )[0]
        return self.decode(latent)


def judge(picture: np.ndarray) -> list[Finding]:
    """What each quarter shows."""
    return [find(cut(picture, cell)) for cell in CELLS]


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the regions that hold the right colour.")
    parser.add_argument(
        "--layouts", type=int, default=1, choices=range(1, len(LAYOUTS) + 1), help="layouts to run"
    )
    parser.add_argument("--methods", nargs="+", default=["plain", "bound"], choices=["plain", "bound"])
    parser.add_argument(
        "--bind-steps", type=int, default=BIND_STEPS, help="steps bound, of 20 (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    options = parser.parse_args()
    bench = Bench(options.bind_steps)
    print(f"{'layout':<28}{'method':<8}{'colour':>12}{'colour and shape':>20}{'seconds':>10}", flush=True)
    for number, layout in enumerate(LAYOUTS[: options.layouts], 1):
        for method in options.methods:
            begin = time.perf_counter()
            colors = both = 0
            strip = Image.new("RGB", (SIZE * len(SEEDS), SIZE))
            for column, seed in enumerate(SEEDS):
                picture = getattr(bench, method)(layout, seed)
                strip.paste(Image.fromarray(picture), (column * SIZE, 0))
                for finding, (color, shape) in zip(judge(picture), layout.objects, strict=True):
                    colors += finding.color == color
                    both += (finding.color, finding.shape) == (color, shape)
            total = len(SEEDS) * len(CELLS)
            seconds = (time.perf_counter() - begin) / len(SEEDS)
            name = f"{number}, on {layout.background}"
            print(
                f"{name:<28}{method:<8}{f'{colors} of {total}':>12}{f'{both} of {total}':>20}{seconds:>10.2f}",
                flush=True,
            )
            if options.out:
                options.out.mkdir(parents=True, exist_ok=True)
                strip.save(options.out / f"layout{number}_{method}.png")


if __name__ == "__main__":
    main()
