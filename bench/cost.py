"""What regions cost, counted: floating point operations of FLUX.1-dev at 1024 × 1024 with 256-token texts.

    python3 dev.py bench cost [--json FILE]

The pack's own code runs under ComfyUI's own sampler; only the network stands on PyTorch's meta device, where
torch.utils.flop_counter counts its matrix products and attention exactly and nothing is computed. Figures are
relative to one plain forward; "a run" is 20 steps against 20 plain ones. Beside them stand the megabytes that an
attention method moves in a block besides attention itself (bench/moved.py).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.flux import (
    DEV,
    Binding,
    Evaluation,
    Refinement,
    RegionalDiffusion,
    RegionalPrompting,
    Replay,
    Trajectory,
    add_spec,
    boxes,
    build,
    cells,
    conditioning,
    sample,
    setting_of,
)
from bench.loras import lora, wearing
from bench.moved import moved

SIDE, TEXT, STEPS = 128, 256, 20
CEILINGS = {
    ("SR, delta 1", 2): 1.06, ("SR, delta 1", 4): 1.18, ("SR, delta 1", 8): 1.42,
    ("SR, delta 0.5, shared", 2): 1.30, ("SR, delta 0.5, shared", 4): 1.42, ("SR, delta 0.5, shared", 8): 1.66,
    ("SR, delta 0.5, published", 2): 1.81, ("SR, delta 0.5, published", 4): 1.93,
    ("SR, delta 0.5, published", 8): 2.16,
    ("RPG, base_ratio 0.5", 2): 1.30, ("RPG, base_ratio 0.5", 4): 1.42, ("RPG, base_ratio 0.5", 8): 1.66,
    ("RP, base 0", 2): 0.97, ("RP, base 0", 4): 1.03, ("RP, base 0", 8): 1.20,
    ("RP, base 0.3, shared", 2): 1.21, ("RP, base 0.3, shared", 4): 1.27, ("RP, base 0.3, shared", 8): 1.44,
    ("RP, base 0.3, published", 2): 1.72, ("RP, base 0.3, published", 4): 1.77,
    ("RP, base 0.3, published", 8): 1.95,
    ("a run, RP base 0.3, 10 of 24 steps", 2): 1.31, ("a run, RP base 0.3, 10 of 24 steps", 4): 1.33,
    ("a run, RP base 0.3, 10 of 24 steps", 8): 1.40,
    ("SR, delta 1, a LoRA of rank 16 in each region", 2): 1.07,
    ("SR, delta 1, a LoRA of rank 16 in each region", 4): 1.19,
    ("SR, delta 1, a LoRA of rank 16 in each region", 8): 1.44,
}  # fmt: skip
"""What a prototype reached; the pack may not cost more."""

IN_PLACE = {torch.ops.aten.addmm_: lambda _, a, b, *args, **kwargs: 2 * a[0] * a[1] * b[1]}
"""How FlopCounterMode, which does not know it, counts a product that is added in place; a, b: shapes."""

MOVED_CEILINGS = {("SR, delta 1", 4): 305, ("SR, delta 1", 8): 355}
"""Megabytes a block, as above."""


@dataclass
class Count:
    """FLOPs of a run and bytes of image states kept at most."""

    flops: int = 0
    kept: int = 0


def counted(model, steps: int, negative: bool = False, seen: dict | None = None) -> Count:
    """Run the MODEL under the real sampler; its network only counts, and predicts zeros.

    seen: FLOPs of forwards by what decides them, so that one that comes again is not run again; without it
    every forward runs, and the states that it keeps are there to be measured.
    """
    count = Count()

    def apply(forward: Callable, args: dict) -> torch.Tensor:
        kind, step = _kind(args), args["c"]["transformer_options"].get("rag_step")
        flops = None if seen is None else seen.get(kind)
        if flops is None:
            with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
                forward(args["input"].to("meta"), args["timestep"].to("meta"), **_on_meta(args["c"]))
            flops = counter.get_total_flops()
        elif step is not None:
            step.log.hits[step.guided] = 1  # a forward that was counted before would have refined, too
        if seen is not None:
            seen[kind] = flops
        count.flops += flops
        kept = [state for recording in step.paste for state in recording.states.values()] if step else []
        count.kept = max(count.kept, sum(state.numel() * state.element_size() for state in kept))
        return torch.zeros_like(args["input"])

    model = model.clone()
    model.set_model_unet_function_wrapper(apply)
    model.remove_wrappers_with_key("prepare_sampling", "rag")
    model.add_wrapper("prepare_sampling", _no_loading)
    sample(
        model,
        conditioning(DEV, TEXT),
        torch.randn(1, 16, SIDE, SIDE),
        steps,
        conditioning(DEV, TEXT, 9) if negative else None,
    )
    return count


def _kind(args: dict) -> tuple:
    """What decides a forward's FLOPs: its shapes, its texts, and what the step asks of it."""
    c, step = args["c"], args["c"]["transformer_options"].get("rag_step")
    texts = tuple(text.shape for text in c.get("rag_texts", ()))
    asks = None
    if step and step.guided and texts:
        spec = step.guided.spec
        settings = (value for value in vars(spec).values() if isinstance(value, int | float))
        asks = type(spec), *settings, bool(step.paste), step.plan.loras.size
    return args["input"].shape, c["c_crossattn"].shape, texts, asks


def _no_loading(executor, model, noise_shape, conds, **kwargs):
    return model.model, conds, []


def _on_meta(c: dict) -> dict:
    def move(value):
        if torch.is_tensor(value):
            return value.to("meta")
        return [move(part) for part in value] if isinstance(value, list) else value

    return {key: value if key == "transformer_options" else move(value) for key, value in c.items()}


def refinement(regions: int, delta: float, fidelity: str = "published") -> Refinement:
    return Refinement(cells(regions, DEV, TEXT), delta, published=fidelity == "published")


def refined(model, regions: int, delta: float):
    return add_spec(model, refinement(regions, delta))


def worn(model, regions: int, rank: int, modulations: bool = False):
    """Soft Refinement with a LoRA of its own in each region."""
    hooks = [lora(model, rank, seed, modulations) for seed in range(regions)]
    return add_spec(model, Refinement(wearing(cells(regions, DEV, TEXT), hooks), 1.0))


def prompting(regions: int, base_ratio: float, fidelity: str = "published") -> RegionalPrompting:
    return RegionalPrompting(cells(regions, DEV, TEXT), base_ratio, published=fidelity == "published")


def bound(model, regions: int, steps: int, features: bool = True):
    return add_spec(model, Binding(boxes(regions, DEV, TEXT), steps, features))


def repainting(model, regions: int):
    """A step of Repaint in which the region joins the picture: the original run's step beside the new one's."""
    cells_of = Refinement(cells(regions, DEV, TEXT), 1.0)
    latent = torch.zeros(1, 16, SIDE, SIDE)
    base = conditioning(DEV, TEXT)
    record = Trajectory(
        (Evaluation(1.0, latent, latent),),
        torch.tensor([1.0, 0.0]),
        "euler",
        1.0,
        base,
        base,
        (cells_of,),
        (),
        latent,
    )
    inside = torch.zeros(SIDE // 2, SIDE // 2, dtype=torch.bool)
    inside[:32, :32] = True
    return add_spec(add_spec(model, cells_of), Replay(record, 0, inside, True))


def moved_by(model, spec) -> float:
    """Megabytes that a spec's reads move in a block."""
    setting = setting_of(model, SIDE)
    network, guided = setting.network, spec.lay_out(setting).guided[0]
    fork = network.family.fork if guided.forks(pasted=False) else None
    lengths = (TEXT,) * len(guided.texts)
    program = guided.program(TEXT, lengths, 0, fork, torch.device("meta"), torch.bfloat16)
    return moved(program, network.blocks, DEV["num_heads"], DEV["hidden_size"])


def measure() -> dict:
    """All rows: name -> number of regions -> cost relative to plain."""
    model = build(DEV, torch.device("meta"), torch.bfloat16)
    seen: dict = {}
    plain = counted(model, 1, seen=seen).flops
    rows: dict[str, dict[int, float]] = {}
    bytes_of: dict[str, dict[int, int]] = {}

    def row(name: str, make: Callable, steps: int = 1, counts=(2, 4, 8), negative: bool = False) -> None:
        base = plain * steps * (2 if negative else 1)
        rows[name] = {r: round(counted(make(r), steps, negative, seen).flops / base, 3) for r in counts}

    def method(name: str, make: Callable) -> None:
        row(name, lambda r: add_spec(model, make(r)))
        bytes_of[name] = {r: round(moved_by(model, make(r))) for r in (2, 4, 8)}

    method("SR, delta 1", lambda r: refinement(r, 1.0))
    method("SR, delta 0.5, shared", lambda r: refinement(r, 0.5, "shared"))
    method("SR, delta 0.5, published", lambda r: refinement(r, 0.5))
    method("RPG, base_ratio 0.5", lambda r: RegionalDiffusion(cells(r, DEV, TEXT), (0.5,)))
    method("RP, base 0", lambda r: prompting(r, 0.0))
    method("RP, base 0.3, shared", lambda r: prompting(r, 0.3, "shared"))
    method("RP, base 0.3, published", lambda r: prompting(r, 0.3))
    method(
        "RP, base 0.3, published, single_interval 2", lambda r: replace(prompting(r, 0.3), single_interval=2)
    )
    for rank in (16, 64):
        row(f"SR, delta 1, a LoRA of rank {rank} in each region", lambda r, n=rank: worn(model, r, n))
    row("the same, modulations included", lambda r: worn(model, r, 64, True))
    row("SR, delta 1, cfg 3", lambda r: refined(model, r, 1.0), negative=True)
    row("a bound step alone", lambda r: bound(model, r, 1))
    row("a bound step with SR, delta 1", lambda r: refined(bound(model, r, 1), r, 1.0))
    row("a bound step with SR, delta 0.5", lambda r: refined(bound(model, r, 1), r, 0.5))
    row("a step of Repaint, SR delta 1 in both pictures", lambda r: repainting(model, r))
    for steps in (1, 2, 4):
        row(f"a run, HB {steps} of {STEPS} steps", lambda r, n=steps: bound(model, r, n), STEPS, (4,))
    row("a run, defaults (HB 2 of 20, SR delta 1)", lambda r: refined(bound(model, r, 2), r, 1.0), STEPS)
    row("a run, RP base 0.3, 10 of 24 steps", lambda r: add_spec(model, prompting(r, 0.3)), 24)
    row("a run, defaults, cfg 3", lambda r: refined(bound(model, r, 2), r, 1.0), STEPS, (4,), negative=True)
    kept = {
        "SR delta 1": counted(refined(bound(model, 4, 1), 4, 1.0), 1).kept,
        "no SR": counted(bound(model, 4, 1), 1).kept,
    }
    return {
        "plain_tflop": round(plain / 1e12, 2),
        "rows": rows,
        "moved_mb_a_block": bytes_of,
        "kept_bytes": kept,
    }


def over_ceiling(result: dict) -> list[str]:
    """Rows that cost more than they may."""
    return [
        f"{name}, {regions} regions: {result[kind][name][regions]} > {ceiling}"
        for kind, ceilings in (("rows", CEILINGS), ("moved_mb_a_block", MOVED_CEILINGS))
        for (name, regions), ceiling in ceilings.items()
        if result[kind][name][regions] > ceiling
    ]


def table(result: dict) -> str:
    lines = [
        "| relative to plain | R = 2 | R = 4 | R = 8 | MB moved a block, R = 2 / 4 / 8 |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, values in result["rows"].items():
        costs = [f"{values[r]:.2f}" if r in values else "" for r in (2, 4, 8)]
        moves = result["moved_mb_a_block"].get(name, {}).values()
        lines.append(f"| {name} | {' | '.join(costs)} | {' / '.join(map(str, moves))} |")
    kept = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in result["kept_bytes"].items())
    lines += [
        "",
        f"One plain forward: {result['plain_tflop']} TFLOP. Image states kept during a bound step, 4 boxes of 64 % "
        f"of their cells, bf16: {kept}.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench cost", description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    result = measure()
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
    if worse := over_ceiling(result):
        raise SystemExit("over the ceiling:\n" + "\n".join(worse))


if __name__ == "__main__":
    main()
