"""What LoRAs of regions' own cost: worn by tokens, as this pack has them, and two other ways.

    python3 dev.py bench hooks [--device cuda|cpu] [--rounds N]

The demo model at 256 × 256 pixels, 20 steps, four regions; LoRAs of rank 16 on every linear layer of its blocks, another
for each region. Bound in four of the steps: worn, and left to ComfyUI's hooks, which change the weights of the model for
each group and back, from copies that it keeps for the run. Refined: worn, and by masks on full outputs, where every LoRA
is worked out for all tokens and what is not its region's is thrown away. Medians over the rounds, interleaved in one
process, of the processor's time, or on a GPU of the time that passes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import comfy.model_patcher
import torch
from torch import Tensor, nn

from bench.demo import STEPS, Demo, warn_once
from bench.flux import Binding, Box, Cell, Refinement, Region, add_spec, sample
from bench.layouts import layouts
from bench.loras import lora, wearing
from demo.comfy_setup import pack

RANK, BIND_STEPS = 16, 4
Loras, Hook = pack("rag_sampler.loras.run").Loras, pack("rag_sampler.loras.wearing")._Hook


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    own = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, own)


def left_to_comfyui():
    """No hook is worn, as if all were of kinds that change weights."""
    return replaced(Loras, "of", classmethod(lambda cls, model, hooks: cls(model)))


def masks_on_outputs():
    """Every LoRA for all tokens, and a mask of its region on what comes out."""

    def added(hook, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        wearing, kind, out = hook.wearing, type(output), output.as_subclass(Tensor)
        x = args[0].as_subclass(Tensor)
        worn = wearing.places.worn(hook.name, x, out)
        for number, patches in enumerate(hook.patches):
            where = worn[number][..., None].to(out)
            for one, patch in patches:
                out = out + wearing.loras.place(patch, out)(x) * one.strength * where
        return out.as_subclass(kind)

    return replaced(Hook, "__call__", added)


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Count switches of weights, and weights computed for them."""
    patcher, counts = comfy.model_patcher.ModelPatcher, {"switches": 0, "computed": 0}
    switch, compute = patcher.patch_hooks, patcher.patch_hook_weight_to_device

    def switched(model, hooks):
        counts["switches"] += hooks is not model.current_hooks
        switch(model, hooks)

    def computed(*args, **kwargs):
        counts["computed"] += 1
        compute(*args, **kwargs)

    with (
        replaced(patcher, "patch_hooks", switched),
        replaced(patcher, "patch_hook_weight_to_device", computed),
    ):
        yield counts


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench hooks", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    warn_once()
    device = torch.device(arguments.device)
    bench, layout = Demo(), next(layout for layout in layouts() if len(layout.cells) == 4)
    bench.model.load_device = bench.model.offload_device = device
    base = bench.encode(layout.text())
    noise = torch.randn(1, 16, 32, 32, generator=torch.manual_seed(11))
    prompts = [bench.encode(text) for text in layout.region_texts()]
    # Of modulations, one row for all tokens, no mask could take a part.
    hooks, none = [lora(bench.model, RANK, seed, modulations=False) for seed in range(4)], [None] * 4
    boxes = [Region(Box(*cell), prompt) for cell, prompt in zip(layout.cells, prompts, strict=True)]
    cells = [
        Region(Cell(x, y, x + w, y + h), prompt)
        for (x, y, w, h), prompt in zip(layout.cells, prompts, strict=True)
    ]

    def bound(hooks: list):
        return add_spec(bench.model, Binding(wearing(boxes, hooks), BIND_STEPS))

    def refined(hooks: list):
        return add_spec(bench.model, Refinement(wearing(cells, hooks), 1.0))

    bind, refine = "4 of 20 steps bound, ", "refined, "
    made: dict[str, tuple[Callable, list, Callable]] = {
        f"{bind}no LoRA": (bound, none, nullcontext),
        f"{bind}LoRAs worn": (bound, hooks, nullcontext),
        f"{bind}LoRAs left to ComfyUI": (bound, hooks, left_to_comfyui),
        f"{refine}no LoRA": (refined, none, nullcontext),
        f"{refine}LoRAs worn": (refined, hooks, nullcontext),
        f"{refine}LoRAs by masks on outputs": (refined, hooks, masks_on_outputs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in made}
    counts, pictures = {}, {}

    def run(name: str) -> Tensor:
        make, hooks, way = made[name]
        with way():
            return sample(make(hooks), base, noise, STEPS)

    def clock() -> float:
        if device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    for name in made:
        with counted() as counts[name]:
            pictures[name] = run(name)
    for _ in range(arguments.rounds):
        for name in made:
            began = clock()
            run(name)
            seconds[name].append(clock() - began)
    print("| | s a run | relative | switches | weights computed | largest difference from worn |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, times in seconds.items():
        kind = bind if name.startswith(bind) else refine
        median, plain = (statistics.median(each) for each in (times, seconds[f"{kind}no LoRA"]))
        apart = (pictures[name] - pictures[f"{kind}LoRAs worn"]).abs().max()
        changes = " | ".join(str(count) for count in counts[name].values())
        print(f"| {name} | {median:.2f} | {median / plain:.2f} | {changes} | {apart:.1e} |")


if __name__ == "__main__":
    main()
