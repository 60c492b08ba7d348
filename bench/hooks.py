"""What a LoRA hook on a bound region costs: time, and how often the weights of the model are changed.

    python3 dev.py bench hooks [--rounds N]

The demo model at 256 × 256 pixels, 20 steps, four regions, four of the steps bound; LoRAs of rank 16 on every linear
layer of its blocks. A switch gives the model the weights of another group of hooks, from copies that ComfyUI keeps
for the run; a weight is computed where such a copy is made. Medians over the rounds, interleaved in one process, of
the processor's time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.hooks
import comfy.model_patcher
import torch

from bench.demo import STEPS, Demo
from bench.flux import Binding, Box, Region, add_spec, sample
from bench.layouts import layouts

RANK, BIND_STEPS = 16, 4


def lora(model, seed: int) -> comfy.hooks.HookGroup:
    """A hook that adds a small random matrix to every linear layer of the blocks."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for key, value in model.model.state_dict().items():
        if value.ndim == 2 and "_blocks." in key:
            name = key.removesuffix(".weight")
            weights[f"{name}.lora_up.weight"] = 0.01 * torch.randn(value.shape[0], RANK, generator=generator)
            weights[f"{name}.lora_down.weight"] = torch.randn(RANK, value.shape[1], generator=generator)
    return comfy.hooks.create_hook_lora(lora=weights, strength_model=1.0, strength_clip=0.0)


@contextmanager
def counted() -> Iterator[dict[str, float]]:
    """Count switches and computed weights, and the seconds that both take."""
    patcher, counts = comfy.model_patcher.ModelPatcher, {"switches": 0, "computed": 0, "seconds": 0.0}
    switch, compute = patcher.patch_hooks, patcher.patch_hook_weight_to_device

    def switched(model, hooks):
        counts["switches"] += hooks is not model.current_hooks
        began = time.process_time()
        switch(model, hooks)
        counts["seconds"] += time.process_time() - began

    def computed(*args, **kwargs):
        counts["computed"] += 1
        compute(*args, **kwargs)

    patcher.patch_hooks, patcher.patch_hook_weight_to_device = switched, computed
    try:
        yield counts
    finally:
        patcher.patch_hooks, patcher.patch_hook_weight_to_device = switch, compute


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench hooks", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    bench, layout = Demo(), next(layout for layout in layouts() if len(layout.cells) == 4)
    first, second = (lora(bench.model, seed) for seed in (1, 2))
    base = bench.encode(layout.text())
    noise = torch.randn(1, 16, 32, 32, generator=torch.manual_seed(11))

    def bound(*hooks: comfy.hooks.HookGroup | None):
        prompts = [bench.encode(text) for text in layout.region_texts()]
        regions = tuple(
            Region(Box(*box), comfy.hooks.set_hooks_for_conditioning(prompt, group))
            for box, prompt, group in zip(layout.cells, prompts, hooks, strict=True)
        )
        return add_spec(bench.model, Binding(regions, BIND_STEPS))

    made = {
        "no LoRA": bound(None, None, None, None),
        "one region with a LoRA": bound(None, first, None, None),
        "all four with one LoRA": bound(first, first, first, first),
        "two LoRAs, in turn": bound(first, second, first, second),
    }
    seconds: dict[str, list[float]] = {name: [] for name in made}
    counts = {}
    for name, model in made.items():
        with counted() as counts[name]:
            sample(model, base, noise, STEPS)
    for _ in range(arguments.rounds):
        for name, model in made.items():
            began = time.process_time()
            sample(model, base, noise, STEPS)
            seconds[name].append(time.process_time() - began)
    plain = statistics.median(seconds["no LoRA"])
    print("| | s a run | relative | switches | weights computed | ms for both |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, times in seconds.items():
        median = statistics.median(times)
        count = counts[name]
        changes = f"{count['switches']} | {count['computed']} | {1000 * count['seconds']:.0f}"
        print(f"| {name} | {median:.2f} | {median / plain:.2f} | {changes} |")


if __name__ == "__main__":
    main()
