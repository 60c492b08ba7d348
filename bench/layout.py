"""Every way to make a layout's picture, side by side: right objects, leakage, coverage, seams, diversity, cost.

    python3 dev.py bench layout [--quick] [--methods NAME ...] [--out DIR]

Fixed before the first full run: forty layouts (eight each of 2, 3, 4, 6 and 9 regions, bench/layouts.py), two seeds,
euler, simple, 20 steps, cfg 1, on the demo model; regions are the layout's cells, Hard Binding for 12 steps, delta 1. A
region is right if the largest object in its cell has its colour and its shape by demo/checker.py. A method is better
than another where the 95 % interval of their difference, from a paired bootstrap over layouts, lies above zero. FLOPs
are counted once for each method and number of regions, milliseconds are processor time, both relative to the plain
prompt's.

Runs are kept in DIR (default output/bench_layout) as they are made; the same command goes on where it was stopped, and
begins anew where the demo model, the layouts or the settings are others.
It ends with a table, results.json, and for each layout a picture: methods across, seeds down. --quick: the first three
layouts of four regions, three methods; it fails if fewer regions than LEAST_RIGHT are right with the default.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from bench.demo import STEPS, Demo, warn_once
from bench.judge import Verdict, bootstrap, diversity, judge
from bench.layouts import Layout, layouts
from bench.methods import BIND_STEPS, DELTA, METHODS, ways
from demo.export import TRANSFORMER

SEEDS = (11, 22)
DEFAULT = "both"
QUICK = ("plain prompt", "area conditioning", DEFAULT)
LEAST_RIGHT = 0.9
"""Share of regions that are right in colour and shape."""


def attention_flops(q: tuple, k: tuple, v: tuple, *_, out_shape: tuple | None = None, **__) -> int:
    """Of the processor's attention kernel, which torch's counter does not know."""
    return sdpa_flop_count(q, k, v)


FLOPS = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops}


def run(demo: Demo, layout: Layout, method: str, seed: int) -> tuple[np.ndarray, float]:
    """The picture, and the processor time of the sampling in milliseconds."""
    model, positive = METHODS[method](demo, layout)
    began = time.process_time()
    latent = demo.sample(model, positive, seed, layout.width, layout.height)
    return demo.decode(latent), 1000 * (time.process_time() - began)


def flops(demo: Demo, layout: Layout, method: str) -> int:
    """Of a run: counted, which is slow, on fewer steps with the same share of bound ones."""
    part = math.gcd(STEPS, BIND_STEPS)
    model, positive = ways(BIND_STEPS // part)[method](demo, layout)
    with FlopCounterMode(display=False, custom_mapping=FLOPS) as counter:
        demo.sample(model, positive, SEEDS[0], layout.width, layout.height, STEPS // part)
    return part * counter.get_total_flops()


class Kept:
    """What has been run with this demo model on these layouts, one line of JSON each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        content = (
            TRANSFORMER.read_bytes()
            + repr((layouts(), METHODS.keys(), SEEDS, STEPS, BIND_STEPS, DELTA)).encode()
        )
        self.folder = folder
        self.file = folder / f"runs_{hashlib.sha256(content).hexdigest()[:12]}.jsonl"
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.rows: dict[str, dict] = {row["key"]: row for row in map(json.loads, lines)}

    def add(self, key: str, **values) -> None:
        self.rows[key] = {"key": key, **values}
        with self.file.open("a") as file:
            file.write(json.dumps(self.rows[key]) + "\n")

    def picture(self, layout: Layout, method: str, seed: int) -> Path:
        return (
            self.folder / "pictures" / f"{layout.name}_{method.replace(' ', '_').replace(',', '')}_{seed}.png"
        )


def measure(kept: Kept, chosen: list[Layout], methods: list[str], seeds: tuple[int, ...]) -> None:
    """Make all runs that are missing."""
    work = [(layout, method, seed) for layout in chosen for method in methods for seed in seeds]
    missing = [w for w in work if key_of(*w) not in kept.rows]
    demo, began = None, time.monotonic()
    for number, (layout, method, seed) in enumerate(missing, 1):
        demo = demo or Demo()
        picture, milliseconds = run(demo, layout, method, seed)
        path = kept.picture(layout, method, seed)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
        kept.add(key_of(layout, method, seed), ms=milliseconds, **asdict(judge(picture, layout)))
        left = (time.monotonic() - began) / number * (len(missing) - number)
        progress(f"{number} of {len(missing)} runs, {left:.0f} s left: {layout.name}, {method}")
    for layout in {len(layout.cells): layout for layout in reversed(chosen)}.values():
        for method in methods:
            key = f"flops/{len(layout.cells)}/{method}"
            if key not in kept.rows:
                demo = demo or Demo()
                kept.add(key, flops=flops(demo, layout, method))
                progress(f"counting operations: {layout.name}, {method}")
    progress("")


def key_of(layout: Layout, method: str, seed: int) -> str:
    return f"{layout.name}/{method}/{seed}"


def progress(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{text[:110]:<110}", end="\n" if not text else "", flush=True)
    elif text:
        print(text, flush=True)


def summary(kept: Kept, chosen: list[Layout], methods: list[str], seeds: tuple[int, ...]) -> list[dict]:
    """One row a number of regions and method."""
    rows = []
    for count in sorted({len(layout.cells) for layout in chosen}):
        same = [layout for layout in chosen if len(layout.cells) == count]
        right: dict[str, list[float]] = {}
        for method in methods:
            by_layout = [[kept.rows[key_of(layout, method, seed)] for seed in seeds] for layout in same]
            verdicts = [[verdict(row) for row in rows_] for rows_ in by_layout]
            flat = [v for group in verdicts for v in group]
            right[method] = [float(np.mean([v.both for v in group])) for group in verdicts]
            pictures = [
                diversity([np.asarray(Image.open(kept.picture(layout, method, seed))) for seed in seeds])
                for layout in same
            ]
            rows.append({
                "regions": count, "method": method, "layouts": len(same),
                "color": float(np.mean([v.color for v in flat])), "shape": float(np.mean([v.shape for v in flat])),
                "both": float(np.mean([v.both for v in flat])), "leaked": float(np.mean([v.leaked for v in flat])),
                "coverage": float(np.mean([v.coverage for v in flat])),
                "seam": float(np.mean([v.seam for v in flat])), "diversity": float(np.mean(pictures)),
                "flops": kept.rows[f"flops/{count}/{method}"]["flops"],
                "ms": statistics.median(row["ms"] for group in by_layout for row in group),
            })  # fmt: skip
        for row in rows[-len(methods) :] if DEFAULT in methods else ():
            row["ahead"] = bootstrap(right[DEFAULT], right[row["method"]])
    return rows


def verdict(row: dict) -> Verdict:
    return Verdict(**{name: row[name] for name in Verdict.__dataclass_fields__})


def table(rows: list[dict]) -> str:
    """In the form of docs/measurements.md."""
    lines = [
        "| regions | method | colour | shape | both | leaked | coverage | seam | diversity | FLOPs | ms "
        "| default ahead by (95 %) |",
        "| --- " * 12 + "|",
    ]
    plain = {row["regions"]: row for row in rows if row["method"] == "plain prompt"}
    for row in rows:
        base = plain.get(row["regions"], row)
        ahead = ""
        if "ahead" in row and row["method"] != DEFAULT:
            mean, low, high = (100 * v for v in row["ahead"])
            ahead = f"{mean:+.0f} ({low:+.0f} to {high:+.0f})"
        shares = (f"{100 * row[name]:.0f} %" for name in ("color", "shape", "both", "leaked", "coverage"))
        costs = f"{row['flops'] / base['flops']:.2f} | {row['ms'] / base['ms']:.2f}"
        lines.append(
            f"| {row['regions']} | {row['method']} | {' | '.join(shares)} | {row['seam']:.1f} "
            f"| {row['diversity']:.0f} | {costs} | {ahead} |"
        )
    return "\n".join(lines)


def sheet(kept: Kept, layout: Layout, methods: list[str], seeds: tuple[int, ...]) -> Image.Image:
    """Methods across, seeds down, the cells as thin lines."""
    w, h, top = layout.width, layout.height, 18
    page = Image.new("RGB", (len(methods) * (w + 6), top + len(seeds) * (h + 6)), "white")
    pen = ImageDraw.Draw(page)
    for column, method in enumerate(methods):
        pen.text((column * (w + 6) + 2, 3), method, fill="black")
        for number, seed in enumerate(seeds):
            x, y = column * (w + 6), top + number * (h + 6)
            page.paste(Image.open(kept.picture(layout, method, seed)), (x, y))
            for a, b, c, d in layout.cells:
                pen.rectangle(
                    (x + a * w, y + b * h, x + (a + c) * w - 1, y + (b + d) * h - 1), outline=(128, 128, 128)
                )
    return page


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench layout", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="three layouts and methods; fails below the goal"
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--each", type=int, default=8, help="layouts of every number of regions")
    parser.add_argument("--out", type=Path, default=Path("output") / "bench_layout")
    options = parser.parse_args()
    warn_once()
    chosen, methods, seeds = layouts(), options.methods, SEEDS
    chosen = [layout for layout in chosen if layout.number < options.each]
    if options.quick:
        chosen, methods = [w for w in layouts() if len(w.cells) == 4][:3], list(QUICK)
    kept = Kept(options.out)
    measure(kept, chosen, methods, seeds)
    rows = summary(kept, chosen, methods, seeds)
    for layout in chosen:
        sheet(kept, layout, methods, seeds).save(options.out / f"{layout.name}.png")
    (options.out / "results.json").write_text(json.dumps(rows, indent=1))
    print(table(rows))
    print(f"pictures and results.json: {options.out}")
    right = [row["both"] for row in rows if row["method"] == DEFAULT and row["regions"] == 4]
    if options.quick and right[0] < LEAST_RIGHT:
        raise SystemExit(f"{right[0]:.0%} of the regions are right; {LEAST_RIGHT:.0%} is the least")


if __name__ == "__main__":
    main()
