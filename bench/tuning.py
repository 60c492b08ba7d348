"""What each setting does, one at a time, beside the setting of `bench layout`.

    python3 dev.py bench tuning [--plot] [--out DIR]

Twelve of the layouts of `bench layout` (the first four each of 3, 4 and 6 regions), one seed, on the demo model. The
common setting: 12 of 20 steps bound, features bound too, delta 1, euler, simple, cfg 1. Runs are kept in DIR (default
output/bench_tuning), and the same command goes on where it was stopped. It ends with a table; --plot writes
docs/tuning.png too.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from bench.demo import Demo, warn_once
from bench.judge import Verdict, judge
from bench.layout import Kept, progress, verdict
from bench.layouts import Layout, layouts
from bench.methods import BIND_STEPS, SOFT_REFINEMENT, regional

SEED = 11
COUNTS, EACH = (3, 4, 6), 4
PLOT = Path(__file__).resolve().parent.parent / "docs" / "tuning.png"


@dataclass(frozen=True)
class Setting:
    bind_steps: int = BIND_STEPS
    delta: float = 1.0
    features: bool = True
    fidelity: str = "published"
    steps: int = 20
    cfg: float = 1.0
    sampler: str = "euler"

    def run(self, demo: Demo, layout: Layout) -> Verdict:
        attention = SOFT_REFINEMENT if self.delta else ""
        refined = {"delta": self.delta, "fidelity": self.fidelity} if attention else {}
        model, positive = regional(self.bind_steps, attention, self.features, **refined)(demo, layout)
        latent = demo.sample(
            model, positive, SEED, layout.width, layout.height, self.steps, self.cfg, self.sampler
        )
        return judge(demo.decode(latent), layout)


COMMON = Setting()
FEWER = replace(COMMON, bind_steps=4)
"""For what shows only where refinement has something left to decide."""
SWEEPS: dict[str, list[Setting]] = {
    "bind_steps, of 20": [replace(COMMON, bind_steps=n) for n in (0, 1, 2, 3, 4, 5, 6, 8, 12)],
    "bind_steps, of 20, cfg 2": [replace(COMMON, bind_steps=n, cfg=2.0) for n in (2, 4, 8)],
    "delta, 4 bound": [replace(FEWER, delta=d) for d in (0.0, 0.25, 0.5, 0.75, 1.0)],
    "bind_features off": [replace(COMMON, features=False, bind_steps=n) for n in (2, 4, 12)],
    "fidelity, delta 0.5, 4 bound": [replace(FEWER, delta=0.5, fidelity=f) for f in ("published", "shared")],
    "bind_steps, of 8": [replace(COMMON, steps=8, bind_steps=n) for n in (0, 1, 2, 3, 5)],
    "bind_steps, of 4": [replace(COMMON, steps=4, bind_steps=n) for n in range(3)],
    "cfg": [replace(COMMON, cfg=c) for c in (1.0, 2.0, 3.5)],
    "sampler": [replace(COMMON, sampler=s) for s in ("euler", "euler_ancestral", "heun", "dpmpp_2m")],
}


def label(sweep: str, setting: Setting) -> str:
    """What a setting has that the others of its sweep have not."""
    if sweep.startswith("bind_"):
        return f"{setting.bind_steps} bound"
    return str(getattr(setting, sweep.split(",")[0]))


def measure(kept: Kept, chosen: list[Layout]) -> None:
    """Make all runs that are missing."""
    settings = list(dict.fromkeys(setting for sweep in SWEEPS.values() for setting in sweep))
    missing = [(s, w) for s in settings for w in chosen if f"{w.name}/{s}" not in kept.rows]
    demo, began = None, time.monotonic()
    for number, (setting, layout) in enumerate(missing, 1):
        demo = demo or Demo()
        kept.add(f"{layout.name}/{setting}", **asdict(setting.run(demo, layout)))
        left = (time.monotonic() - began) / number * (len(missing) - number)
        progress(f"{number} of {len(missing)} runs, {left:.0f} s left: {setting}")
    progress("")


def shares(kept: Kept, chosen: list[Layout], setting: Setting) -> dict[str, float]:
    """Percent of all regions that are right or leaked, and the mean seam."""
    seen = [verdict(kept.rows[f"{layout.name}/{setting}"]) for layout in chosen]
    percent = {
        name: 100 * float(np.mean([right for v in seen for right in getattr(v, name)]))
        for name in ("color", "both", "leaked")
    }
    return percent | {"seam": float(np.mean([v.seam for v in seen]))}


def table(kept: Kept, chosen: list[Layout]) -> str:
    lines = ["| swept | | colour | both | leaked | seam |", "| --- " * 6 + "|"]
    for sweep, settings in SWEEPS.items():
        for setting in settings:
            s = shares(kept, chosen, setting)
            lines.append(
                f"| {sweep} | {label(sweep, setting)} | {s['color']:.0f} % | {s['both']:.0f} % "
                f"| {s['leaked']:.0f} % | {s['seam']:.1f} |"
            )
    return "\n".join(lines)


def plot(kept: Kept, chosen: list[Layout], target: Path) -> None:
    """One panel a sweep: bars of what is right and what leaked."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 3, figsize=(11, 8), sharey=True, layout="constrained")
    looks = {"color": ("colour right", "#4c78a8", "o"), "both": ("colour and shape right", "#54a24b", "s"),
             "leaked": ("another region's colour", "#e45756", "x")}  # fmt: skip
    for axis, (sweep, settings) in zip(axes.flat, SWEEPS.items(), strict=True):
        found = [shares(kept, chosen, setting) for setting in settings]
        names = [label(sweep, setting).removesuffix(" bound") for setting in settings]
        ordered = not sweep.startswith(("sampler", "fidelity"))
        for name, (said, color, mark) in looks.items():
            values = [f[name] for f in found]
            axis.plot(names, values, mark, color=color, label=said, linestyle="-" if ordered else "")
        axis.set_title(sweep, fontsize=10)
        axis.set_ylim(-3, 103)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8, axis="x", rotation=30 if sweep == "sampler" else 0)
    for axis in axes[:, 0]:
        axis.set_ylabel("% of regions")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(target, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench tuning", description=__doc__.split("\n")[0])
    parser.add_argument("--plot", action="store_true", help="write docs/tuning.png")
    parser.add_argument("--out", type=Path, default=Path("output") / "bench_tuning")
    options = parser.parse_args()
    warn_once()
    chosen = [w for w in layouts() if len(w.cells) in COUNTS and w.number < EACH]
    kept = Kept(options.out)
    measure(kept, chosen)
    print(table(kept, chosen))
    if options.plot:
        plot(kept, chosen, PLOT)
        print(f"wrote {PLOT.name}")


if __name__ == "__main__":
    main()
