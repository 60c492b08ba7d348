"""The picture at the top of the README: layout, plain prompt, bound and refined, repainted.

    python3 dev.py bench picture

Writes docs/four_regions.png: the template "Type regions as numbers, demo model", one seed, then its last region made
anew by Repaint.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from bench.demo import STEPS, Demo, warn_once
from bench.layouts import Layout
from bench.methods import BIND_STEPS
from demo.comfy_setup import pack

TARGET = Path(__file__).resolve().parent.parent / "docs" / "four_regions.png"
SIZE, SEED, GAP = 256, 1, 12
RATIO = "1,1,1; 1,1,1"
CELLS = tuple((x, y, 0.5, 0.5) for y in (0.0, 0.5) for x in (0.0, 0.5))
OBJECTS = (("red", "circle"), ("blue", "square"), ("green", "triangle"), ("purple", "star"))
FIRST = Layout(0, "grid", SIZE, SIZE, "white", CELLS, OBJECTS)
ANEW = replace(FIRST, objects=(*OBJECTS[:-1], ("orange", "heart")))


def panels(demo: Demo) -> list[np.ndarray]:
    """The four pictures, [H, W, 3] uint8."""
    empty, split = demo.encode(""), pack("nodes.regions").RAGSplitRatioLayout
    cells, new_cells = (
        split.execute(RATIO, " BREAK\n".join(layout.region_texts()), demo.clip)[0] for layout in (FIRST, ANEW)
    )
    base, layout = demo.encode(FIRST.text()), pack("nodes.layout")
    drawn = layout.RAGLayoutPreview.execute(cells, SIZE, SIZE)[0][0]
    bound = pack("nodes.sampler").RAGHardBindingSampler.execute(
        demo.model, SEED, STEPS, 1.0, "euler", "simple", base, empty, demo.empty(SIZE, SIZE), 1.0, BIND_STEPS, True,
        1.0, "published", True, binding_regions=cells, refinement_regions=cells,
    )[0]  # fmt: skip
    mask = layout.RAGRegionsToMask.execute(cells, len(CELLS), SIZE, SIZE)[0]
    repainted = pack("nodes.repaint").RAGRepaint.execute(
        demo.model, bound, mask, demo.encode(ANEW.text()), empty, 1.0, SEED + 1, STEPS, 1.0, "euler", "simple",
        BIND_STEPS, 0, True, conditioning=demo.encode(ANEW.region_texts()[-1]), refinement_regions=new_cells,
    )[0]  # fmt: skip
    plain = demo.sample(demo.model, base, SEED, SIZE, SIZE)
    layout_picture = (drawn.clamp(0, 1) * 255).round().byte().numpy()
    return [layout_picture, *(demo.decode(latent) for latent in (plain, bound, repainted))]


def main() -> None:
    argparse.ArgumentParser(prog="dev.py bench picture", description=__doc__.split("\n")[0]).parse_args()
    warn_once()
    gap = np.full((SIZE, GAP, 3), 255, np.uint8)
    row: list[np.ndarray] = []
    for panel in panels(Demo()):
        row += [gap, panel]
    Image.fromarray(np.concatenate(row[1:], axis=1)).save(TARGET, optimize=True)
    print(f"wrote docs/{TARGET.name}")


if __name__ == "__main__":
    main()
