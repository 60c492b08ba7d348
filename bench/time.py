"""What regions cost, timed: one model evaluation of each implementation, interleaved in one process.

    python3 dev.py bench time [--device cuda|cpu] [--size tiny|dev] [--regions R] [--rounds N]

plain        the network without regions
RAG          this pack: Soft Refinement in one pass
direct       the published method as it is described, R + 1 passes (bench/direct.py); the same result
dense mask   appended texts under one additive attention mask of the whole sequence; the same result at delta 1

--size dev is FLUX.1-dev's shape at 1024 × 1024 pixels with random weights (24 GB in bf16: a GPU's job);
tiny is the demo model at 256 × 256. Medians over the rounds; memory is the most allocated at a time beyond
weights, per evaluation.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import comfy.model_management
import comfy.sd
import torch

from bench.demo import STEPS, Demo, warn_once
from bench.direct import direct_forward
from bench.flux import DEV, Picture, Refinement, add_spec, build, cells, conditioning, sample
from bench.layouts import layouts
from demo.comfy_setup import MODELS, pack

install_override = pack("rag_sampler.attention.override").install_override


def tiny_model(device: torch.device):
    """The demo model, with what bench.flux needs to know of its shape."""
    model = comfy.sd.load_diffusion_model(str(MODELS / "diffusion_models" / "rag_demo_flux.safetensors"))
    network = model.model.diffusion_model
    config = {"context_in_dim": network.params.context_in_dim, "vec_in_dim": network.params.vec_in_dim}
    return model, config, 32, 32


def dev_model(device: torch.device):
    """FLUX.1-dev's shape with small random weights."""
    model = build(DEV, device, torch.bfloat16)
    model.load_device = model.offload_device = device
    for weight in model.model.diffusion_model.parameters():
        weight.data.normal_(0, 0.02)
    return model, DEV, 128, 256


def variants(model, config: dict, side: int, tokens: int, count: int) -> dict[str, object]:
    """Name -> MODEL that evaluates that way."""
    regions = cells(count, config, tokens)
    texts = [region.conditioning[0][0] for region in regions]
    columns = side // 2
    grid = torch.arange(columns * columns).unflatten(0, (columns, columns))
    boxes = [region.shape.guided_tokens(Picture(side, side)) for region in regions]
    index = [grid[b.y0 : b.y1, b.x0 : b.x1].flatten() for b in boxes]
    made = {"plain": model}
    for name, delta, published in (
        ("RAG, delta 1", 1.0, True),
        ("RAG, delta 0.5, shared", 0.5, False),
        ("RAG, delta 0.5, published", 0.5, True),
    ):
        made[name] = add_spec(model, Refinement(regions, delta, published=published))
    for delta in (1.0, 0.5):
        made[f"direct, delta {delta:g}"] = model.clone()
        made[f"direct, delta {delta:g}"].set_model_unet_function_wrapper(direct(model, texts, index, delta))
    made["dense mask, delta 1"] = model.clone()
    made["dense mask, delta 1"].set_model_unet_function_wrapper(dense(texts, index, columns**2))
    return made


def direct(model, texts: list, index: list, delta: float) -> Callable:
    def apply(forward, args):
        x, t, c = args["input"], args["timestep"], args["c"]
        network = model.model.diffusion_model
        dtype = model.model.get_dtype_inference()
        own = [text.to(x.device, dtype) for text in texts]
        velocity = direct_forward(
            network, x.to(dtype), t, c["c_crossattn"].to(x.device, dtype), own, c["y"].to(x.device, dtype),
            c["guidance"].to(x.device), [cell.to(x.device) for cell in index], delta,
        )  # fmt: skip
        return x - velocity.float() * t[:, None, None, None]

    return apply


def dense(texts: list, index: list, image: int) -> Callable:
    """Texts and image in one sequence under one mask: base text | texts | image."""

    def apply(forward, args):
        c, x = dict(args["c"]), args["input"]
        parts = [c["c_crossattn"], *(text.to(c["c_crossattn"]) for text in texts)]
        lengths = [part.shape[1] for part in parts]
        first = sum(lengths)
        allowed = torch.zeros(first + image, first + image, dtype=torch.bool)
        start = 0
        for number, length in enumerate(lengths):
            own, whole = slice(start, start + length), slice(first, first + image)
            rows = torch.arange(start, start + length)
            if number:
                rows = torch.cat((rows, first + index[number - 1]))
            for columns in (own, whole):
                allowed[rows, columns] = True
            start += length
        mask = torch.zeros(allowed.shape).masked_fill_(~allowed, float("-inf"))
        c["c_crossattn"] = torch.cat(parts, 1)
        options = c["transformer_options"] = dict(c["transformer_options"])

        def masked(func, q, k, v, heads, mask=None, **kwargs):
            return func(q, k, v, heads, mask=held.to(q), **kwargs)

        held = mask.to(x.device)
        options["optimized_attention_override"] = masked
        return forward(x, args["timestep"], **c)

    return apply


def peak_memory(run: Callable, device: torch.device) -> float:
    """MiB allocated at most during a run beyond what was there before."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with torch.profiler.profile(
        profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]
    ) as profile:
        run()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        most = max(most, live)
    return most / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench time", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--size", choices=("tiny", "dev"))
    parser.add_argument("--regions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    warn_once()
    device = torch.device(arguments.device)
    size = arguments.size or ("dev" if device.type == "cuda" else "tiny")
    model, config, side, tokens = (dev_model if size == "dev" else tiny_model)(device)
    made = variants(model, config, side, tokens, arguments.regions)
    base, noise = conditioning(config, tokens), torch.randn(1, 16, side, side)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    results = {name: sample(variant, base, noise, 1) for name, variant in made.items()}
    for _ in range(arguments.rounds):
        for name, variant in made.items():
            began = time.perf_counter()
            sample(variant, base, noise, 1)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - began)
    plain = statistics.median(seconds["plain"])
    name = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    )
    print(f"{name}; {size} model, {arguments.regions} regions, {arguments.rounds} rounds\n")
    print("| | median ms | × plain | peak MiB | differs from |\n| --- | --- | --- | --- | --- |")
    for variant, times in seconds.items():
        memory = peak_memory(lambda v=variant: sample(made[v], base, noise, 1), device)
        twin = {"RAG, delta 1": "direct, delta 1", "RAG, delta 0.5, published": "direct, delta 0.5"}.get(
            variant
        )
        twin = "direct, delta 1" if variant.startswith("dense") else twin
        twin = "RAG, delta 0.5, published" if variant.endswith("shared") else twin
        same = (
            size == "tiny" and twin
        )  # bf16 rounds each way differently, and deep random layers magnify that
        apart = f"{twin}: {float((results[variant] - results[twin]).abs().max()):.1e}" if same else ""
        median = statistics.median(times)
        print(f"| {variant} | {1000 * median:.1f} | {median / plain:.2f} | {memory:.0f} | {apart} |")
    if size == "tiny":
        print(f"\n{shared_against_published()}")


def shared_against_published(delta: float = 0.5) -> str:
    """How far fidelity "shared" is from "published" after whole runs, in shares of what refinement does.

    The layouts of four regions of bench layout with their prompts, refinement alone, one seed each.
    """
    demo, chosen = Demo(), [layout for layout in layouts() if len(layout.cells) == 4]
    apart = effect = 0.0
    for layout in chosen:
        made = demo.regions(layout.cells, layout.region_texts())
        base, noise = demo.encode(layout.text()), torch.randn(1, 16, 32, 32, generator=torch.manual_seed(11))
        shared, published = (
            sample(add_spec(demo.model, Refinement(made, delta, published=full)), base, noise, STEPS)
            for full in (False, True)
        )
        apart += float((shared - published).abs().mean())
        effect += float((published - sample(demo.model, base, noise, STEPS)).abs().mean())
    return (
        f"{STEPS} steps at delta {delta:g}, {len(chosen)} layouts: shared differs from published by "
        f"{apart / effect:.0%} of the mean difference that refinement makes"
    )


if __name__ == "__main__":
    main()
