"""What `python3 dev.py demo` runs: the demo workflows, through a real ComfyUI, into a folder of pictures."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client import HERE, Output, ProgressLine, PromptError, Server, ServerError, comfyui_root
from .workflow import Prompt, WorkflowError, override, read, to_prompt

WORKFLOWS = HERE / "workflows"
FOUR_REGIONS = "Type regions as numbers, demo model"
ANY_SAMPLER = "Draw regions for any sampler, demo model"
REPAINT, PLANNER = "Repaint a region, demo model", "Plan regions from a sentence, demo model"
LORA, CONTROLNET = "LoRA per region, demo model", "Regions with ControlNet, demo model"
COMPARE = "Regional methods side by side, demo model"
SEED, OTHER_SEED = 1, 2

Changes = Mapping[tuple[str, str], Any]


@dataclass(frozen=True)
class Picture:
    """One picture of the demo: what a workflow, with these inputs overridden, decodes or draws."""

    name: str
    workflow: str
    changes: Changes
    drawn_by: str = "VAEDecode"


# What a node does without its method equals the stock sampler, so this is the plain prompt.
PLAIN_SAMPLER = {("RAGHardBindingSampler", "bind_steps"): 0, ("RAGHardBindingSampler", "delta"): 0.0}
PLAIN_PATCHES = {("RAGHardBinding", "bind_steps"): 0, ("RAGSoftRefinementAttention", "delta"): 0.0}


def sampler_seed(seed: int) -> Changes:
    return {("RAGHardBindingSampler", "seed"): seed}


def noise_seed(seed: int) -> Changes:
    return {("RandomNoise", "noise_seed"): seed}


PICTURES = [
    Picture("four_regions_layout", FOUR_REGIONS, sampler_seed(SEED), drawn_by="RAGLayoutPreview"),
    Picture("four_regions_plain_prompt", FOUR_REGIONS, sampler_seed(SEED) | PLAIN_SAMPLER),
    Picture(f"four_regions_bound_seed_{SEED}", FOUR_REGIONS, sampler_seed(SEED)),
    Picture(f"four_regions_bound_seed_{OTHER_SEED}", FOUR_REGIONS, sampler_seed(OTHER_SEED)),
    Picture("any_sampler_plain_prompt", ANY_SAMPLER, noise_seed(SEED) | PLAIN_PATCHES),
    Picture(f"any_sampler_bound_seed_{SEED}", ANY_SAMPLER, noise_seed(SEED)),
    Picture(f"any_sampler_bound_seed_{OTHER_SEED}", ANY_SAMPLER, noise_seed(OTHER_SEED)),
    Picture("repaint_strip", REPAINT, {}, drawn_by="ImageStitch"),
    Picture("lora_of_two_regions", LORA, {}),
    Picture("controlnet_strip", CONTROLNET, {}, drawn_by="ImageStitch"),
    Picture("methods_sheet", COMPARE, {}, drawn_by="ImageStitch"),
    Picture("planner_layout", PLANNER, {}, drawn_by="RAGPlanToRegions"),
    Picture(f"planner_seed_{SEED}", PLANNER, sampler_seed(SEED)),
]


def showing(outputs: list[Output], prompt: Prompt, drawn_by: str) -> Output:
    """The one image that comes from a node of class `drawn_by`: its own preview, or saved right behind it."""
    for output in outputs:
        node = prompt[output.node]
        link = node["inputs"].get("images")
        behind = prompt[link[0]]["class_type"] if link else None
        if output.kind == "images" and drawn_by in (node["class_type"], behind):
            return output
    raise WorkflowError(f"the workflow shows no picture from {drawn_by}")


def make(server: Server, picture: Picture) -> bytes:
    """The picture as PNG."""
    prompt = to_prompt(read(WORKFLOWS / f"{picture.workflow}.json"), server.object_info)
    override(prompt, picture.changes)
    line = ProgressLine(picture.name)
    outputs = server.run(prompt, line)
    line.done()
    return server.fetch(showing(outputs, prompt, picture.drawn_by))


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    print("starting ComfyUI", flush=True)
    paths = []
    with Server(comfyui_root()) as server:
        print(
            f"ComfyUI is ready ({time.monotonic() - began:.0f} s); making {len(PICTURES)} pictures",
            flush=True,
        )
        for number, picture in enumerate(PICTURES, 1):
            paths.append(out / f"{number}_{picture.name}.png")
            paths[-1].write_bytes(make(server, picture))
    print(*paths, sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="dev.py demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("output"))
    try:
        main(parser.parse_args().out)
    except (ServerError, PromptError, WorkflowError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped")
