"""Whether a region's own LoRA is seen in it, and nowhere else: stripes on two of four regions.

    python3 dev.py bench stripes [--layouts N]

The demo model and its LoRA for stripes, 20 steps, two seeds of the layouts of four regions in bench/layouts.py. The LoRA
is on the conditioning of two regions whose colours can be striped; objects that the checker calls striped are counted
there and in the others. Whole picture: the same regions, and Load LoRA in place of the regions' own; and no regions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import comfy.hooks
import comfy.sd
import comfy.utils
from comfy_extras.nodes_hooks import CreateHookLora

from bench.demo import Demo, warn_once
from bench.layouts import Layout, layouts
from demo.checker import cut, find
from demo.comfy_setup import pack
from demo.scenes import STRIPED
from demo.train_lora import FILE

SEEDS = (1, 2)
ASKED = 2


def asked(layout: Layout) -> tuple[int, ...]:
    """The regions that wear the LoRA: the first whose colour can be striped on the background."""
    able = [i for i, (color, _) in enumerate(layout.objects) if color in STRIPED[layout.background]]
    return tuple(able[:ASKED])


def regions(demo: Demo, layout: Layout, wearers: tuple[int, ...]) -> tuple:
    hooks = CreateHookLora().create_hook(FILE.name, 1.0, 0.0)[0]
    made, node = None, pack("nodes.regions").RAGRegionBox
    for number, (box, text) in enumerate(zip(layout.cells, layout.region_texts(), strict=True)):
        prompt = demo.encode(text)
        if number in wearers:
            prompt = comfy.hooks.set_hooks_for_conditioning(prompt, hooks)
        made = node.execute(*box, conditioning=prompt, regions=made)[0]
    return made


def guided(bind_steps: int, refine: bool) -> Callable:
    """The MODEL with regions."""

    def made(demo: Demo, model, layout: Layout, wearers: tuple[int, ...]):
        patches, its = pack("nodes.patches"), regions(demo, layout, wearers)
        model = patches.RAGHardBinding.execute(model, its, bind_steps, True)[0]
        if refine:
            node = patches.RAGSoftRefinementAttention
            model = node.execute(model, its, 1.0, 0.0, 1.0, "published")[0]
        return model

    return made


WAYS = {f"{steps} of 20 steps bound": guided(steps, False) for steps in (2, 4, 12)} | {
    f"{steps} of 20 steps bound, and refinement": guided(steps, True) for steps in (2, 4, 12)
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench stripes", description=__doc__.split("\n")[0])
    parser.add_argument("--layouts", type=int, default=8)
    arguments = parser.parse_args()
    warn_once()
    demo = Demo()
    lora = comfy.utils.load_torch_file(str(FILE))
    changed, _ = comfy.sd.load_lora_for_models(demo.model, None, lora, 1.0, 0.0)
    four = [layout for layout in layouts(arguments.layouts) if len(layout.cells) == 4]
    rows: dict[str, list[tuple[bool, bool]]] = {}

    def count(name: str, model, layout: Layout, seed: int) -> None:
        """Whether each region was asked, and what was found."""
        picture = demo.decode(
            demo.sample(model, demo.encode(layout.text()), seed, layout.width, layout.height)
        )
        for number in (
            i for i, (color, _) in enumerate(layout.objects) if color in STRIPED[layout.background]
        ):
            found = find(cut(picture, layout.cells[number]))
            rows.setdefault(name, []).append((number in asked(layout), found is not None and found.striped))

    for layout in four:
        for seed in SEEDS:
            for name, way in WAYS.items():
                count(name, way(demo, demo.model, layout, asked(layout)), layout, seed)
            count("whole picture, no regions", changed, layout, seed)
            for steps in (4, 12):
                name = f"whole picture, {steps} of 20 steps bound, and refinement"
                count(name, guided(steps, True)(demo, changed, layout, ()), layout, seed)
        print(f"{layout.name} done", flush=True)
    print("| | striped where asked | elsewhere |")
    print("| --- | --- | --- |")
    for name, seen in rows.items():
        parts = [[striped for was, striped in seen if was is kind] for kind in (True, False)]
        print(f"| {name} | {' | '.join(f'{sum(part)} of {len(part)}' for part in parts)} |")


if __name__ == "__main__":
    main()
