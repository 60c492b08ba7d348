"""The templates' pictures in ComfyUI's template browser, workflows/*.jpg.

    python3 dev.py bench thumbnails [NAME ...]

A template on the demo model is run: its layout beside its picture, or the strip or sheet that it saves. Of one on files
that this machine need not have, the layout that is drawn in it, with a line that says so; one whose layout a language
model has yet to make keeps the picture that it has.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demo.client import Server, comfyui_root
from demo.comfy_setup import pack
from demo.run import WORKFLOWS
from demo.workflow import Prompt, override, read, to_prompt

SIDE, GAP, BAND, QUALITY = 512, 16, 28, 88
CAPTION = "Layout, not a result"
CORRECTED = {"prompt": "a red heart on a black background"}
"""What "Plan regions and edit them" makes of the plan's last region."""

Drawing = dict[str, Any]


def widgets(workflow: Mapping[str, Any], kind: str) -> list[list]:
    return [node["widgets_values"] for node in workflow["nodes"] if node["type"] == kind]


def planned(workflow: Mapping[str, Any]) -> Drawing:
    """What the saved answer, or Create Bounding Boxes, hands to the canvas."""
    given = widgets(workflow, "PrimitiveStringMultiline") or widgets(workflow, "CreateBoundingBoxes")
    width, height = widgets(workflow, "EmptySD3LatentImage")[0][:2]
    return pack("rag_sampler.canvas").read_linked(given[0][0 if len(given[0]) == 1 else 2], width, height)


def drawing_of(workflow: Mapping[str, Any]) -> Drawing:
    """The first layout of a template."""
    for *_, text in widgets(workflow, "RAGRegionCanvas"):
        if text:
            return json.loads(text)
    if boxes := widgets(workflow, "RAGRegionBox"):
        return {
            "regions": [dict(zip(("x", "y", "w", "h", "prompt"), values, strict=True)) for values in boxes]
        }
    return planned(workflow)


def drawn(drawing: Drawing, width: int, height: int) -> Image.Image:
    """A layout as Region Canvas hands it on, SIDE pixels wide."""
    regions = pack("rag_sampler.regions")
    box = pack("rag_sampler.layout").Box
    made = tuple(
        regions.Region(box(*(one[key] for key in "xywh")), [], told(one), one.get("color", ""))
        for one in drawing["regions"]
    )
    picture = pack("rag_sampler.preview").draw_layout(made, SIDE, round(SIDE * height / width / 16) * 16)
    return Image.fromarray((picture[0].clamp(0, 1) * 255).round().byte().numpy())


def told(region: Mapping[str, Any]) -> str:
    return region["prompt"] + (" (a LoRA of its own)" if region.get("loras") else "")


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Side by side, as high as the first."""
    height = pictures[0].height
    pictures = [
        one.resize((round(one.width * height / one.height), height), Image.LANCZOS) for one in pictures
    ]
    row: list[np.ndarray] = []
    for one in pictures:
        row += [np.full((height, GAP, 3), 255, np.uint8), np.asarray(one)]
    return Image.fromarray(np.concatenate(row[1:], axis=1))


def captioned(layout: Image.Image) -> Image.Image:
    draw = ImageDraw.Draw(layout)
    draw.rectangle((0, layout.height - BAND, layout.width, layout.height), fill="black")
    draw.text((10, layout.height - BAND + 5), CAPTION, fill="white", font=ImageFont.load_default(15))
    return layout


def made(server: Server, prompt: Prompt) -> Image.Image:
    """What the template saves."""
    (saved,) = (one for one in server.run(prompt) if prompt[one.node]["class_type"] == "SaveImage")
    return Image.open(io.BytesIO(server.fetch(saved))).convert("RGB")


def thumbnail(server: Server, workflow: Mapping[str, Any]) -> Image.Image | None:
    kinds = {node["type"] for node in workflow["nodes"]}
    if "RAGDemoCLIPLoader" not in kinds:
        if "RAGRegionCanvas" not in kinds:
            return None
        width, height, *_ = widgets(workflow, "RAGRegionCanvas")[0]
        return captioned(drawn(with_loras(workflow), width, height))
    prompt = to_prompt(workflow, server.object_info)
    if "ImageStitch" in kinds:
        return made(server, prompt)
    layouts = [drawing_of(workflow)]
    if {"RAGPlanToRegions", "RAGRegionCanvas"} <= kinds:
        plan = layouts[0]
        corrected = {**plan, "regions": [*plan["regions"][:-1], {**plan["regions"][-1], **CORRECTED}]}
        override(
            prompt,
            {("RAGRegionCanvas", "bboxes"): None, ("RAGRegionCanvas", "regions"): json.dumps(corrected)},
        )
        layouts.append(corrected)
    return beside([*(drawn(one, SIDE, SIDE) for one in layouts), made(server, prompt)])


def with_loras(workflow: Mapping[str, Any]) -> Drawing:
    """The drawing with the LoRAs that Region LoRA nodes add, and the region that a Region Box puts on top."""
    drawing = drawing_of(workflow)
    for number, name, strength in widgets(workflow, "RAGRegionLora"):
        drawing["regions"][number - 1]["loras"] = [{"name": name, "strength": strength}]
    for *place, text in widgets(workflow, "RAGRegionBox"):
        region = dict(zip("xywh", place, strict=True))
        drawing["regions"].append({**region, "prompt": text or "a picture as the prompt"})
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench thumbnails", description=__doc__.split("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="of a template (default: all that can be made)"
    )
    names = parser.parse_args().names
    paths = sorted(WORKFLOWS.glob("*.json"))
    if unknown := {*names} - {path.stem for path in paths}:
        parser.error(f"no template is called {', '.join(sorted(unknown))}")
    with Server(comfyui_root()) as server:
        for path in paths:
            if names and path.stem not in names:
                continue
            if picture := thumbnail(server, read(path)):
                picture.save(target := path.with_suffix(".jpg"), quality=QUALITY, optimize=True)
                print(f"{target.name}: {picture.width} × {picture.height}", flush=True)


if __name__ == "__main__":
    main()
