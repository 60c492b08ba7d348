"""What `dev.py gallery` runs: the published examples and the templates on the models that a ComfyUI has, each with one
plain prompt and with regions from the same seed.

    python3 dev.py gallery --comfyui PATH [--only NAME ...] [--use FILE=YOURS ...] [--demo] [--out DIR]

DIR (output/gallery) gets a folder for each NAME: plain.png, regions.png and layout.png as ComfyUI made them (drop one on its
page to have the graph), sheet.jpg with all three, thumbnail.jpg, and settings.json with the prompts, seconds and versions. What
lies there and was made by the very same prompt is not made again: the same command goes on where it was stopped.
DIR/examples.jpg and DIR/templates.jpg show all sheets. What needs a file that is missing is left out and told, with the file's folder and address.

--use: a file of yours in place of one that a template names, say t5xxl_fp16.safetensors=t5xxl_fp8_e4m3fn.safetensors.
--demo: the demo model in place of FLUX.1, small and in few steps, to see what the command makes; in output/gallery_demo.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from . import published, twins
from .client import HERE, ProgressLine, PromptError, Server, ServerError, comfyui_root
from .run import WORKFLOWS
from .sheet import panel_size, sheet, thumbnail, together
from .workflow import Prompt, WorkflowError, read, to_prompt

NAMES = {"plain": "one plain prompt", "layout": "layout", "regions": "regions"}
"""A picture's file -> what stands over it, in the order of a sheet."""
TOLD = ("unet_name", "ckpt_name", "lora_name", "seed", "noise_seed", "steps", "cfg", "sampler_name", "bind_steps", "delta",
        "base_ratio", "repaint_bind_steps")  # fmt: skip
"""Inputs that the line below a sheet tells."""


@dataclass(frozen=True)
class Item:
    """A name, on which page its sheet goes, and how to make its prompt from the server's /object_info."""

    name: str
    page: str
    prompt: Callable[[Mapping[str, Any]], Prompt]

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")


def items() -> list[Item]:
    """The published examples, then the templates as they lie in workflows/."""
    found = [
        Item(one.name, "examples", lambda info, one=one: published.to_prompt(one))
        for one in published.EXAMPLES
    ]
    for path in sorted(WORKFLOWS.glob("*.json")):
        found.append(Item(path.stem, "templates", lambda info, path=path: to_prompt(read(path), info)))
    return found


def downloads() -> dict[str, tuple[str, str]]:
    """File -> folder in models/ and address, as the templates tell ComfyUI's page."""
    nodes = [node for path in WORKFLOWS.glob("*.json") for node in read(path)["nodes"]]
    models = [model for node in nodes for model in node.get("properties", {}).get("models", ())]
    return {one["name"]: (one["directory"], one["url"]) for one in models} | published.DOWNLOADS


class Kept:
    """What has been made of an item, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "settings.json"
        self.settings: dict[str, Any] = {"pictures": {}}
        if self.file.exists():
            self.settings = json.loads(self.file.read_text(encoding="utf-8"))

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.png"

    def has(self, name: str, prompt: Prompt) -> bool:
        """Whether the picture is there, made by this very prompt."""
        made = self.settings["pictures"].get(name, {})
        return self.path(name).exists() and made.get("prompt") == prompt

    def add(self, name: str, picture: bytes, prompt: Prompt, **facts: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path(name).write_bytes(picture)
        self.settings["pictures"][name] = {**facts, "prompt": prompt}
        partial = self.file.with_suffix(".partial")  # whoever stops us here keeps the old settings whole
        partial.write_text(json.dumps(self.settings, indent=1, ensure_ascii=False), encoding="utf-8")
        partial.replace(self.file)

    def picture(self, name: str) -> Image.Image:
        return Image.open(self.path(name))


@dataclass
class Gallery:
    """A server and a folder. missing: file -> the items that need it; unfit: item -> why this server cannot run it;
    failed: item -> what went wrong."""

    server: Server | None
    out: Path
    yours: Mapping[str, str] = field(default_factory=dict)
    demo: bool = False
    missing: dict[str, list[str]] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def make(self, item: Item) -> None:
        """All pictures of an item that are not there yet, and its sheet; what stops it is noted."""
        info = self.server.object_info
        try:
            prompt, saved = twins.to_picture(item.prompt(info))
            if self.demo:
                twins.on_demo_model(prompt)
            lacking = [*twins.put_files(prompt, info, self.yours), *self.put_pictures(prompt)]
            for file in lacking:
                self.missing.setdefault(file, []).append(item.name)
            if lacking:
                print(f"{item.name}: left out, {', '.join(lacking)} missing", flush=True)
                return
            self.draw(item, prompt, saved)
            self.done.append(item.name)
        except (PromptError, WorkflowError, ServerError, OSError) as error:
            why = self.unfit if isinstance(error, WorkflowError) else self.failed
            why[item.name] = str(error)
            print(f"{item.name}: {str(error).splitlines()[0]}", flush=True)

    def draw(self, item: Item, prompt: Prompt, saved: str) -> None:
        kept, info = Kept(self.out / item.name), self.server.object_info
        made = ["regions"]
        self.picture(kept, "regions", prompt, saved)
        if twin := twins.plain(prompt, saved, info):
            made.append("plain")
            self.picture(kept, "plain", twin, saved)
        if twins.regions_of(prompt, info):
            made.append("layout")
            size = panel_size(*kept.picture("regions").size, multiple=16)
            self.picture(kept, "layout", twins.layout(prompt, info, *size), twins.LAYOUT)
        pictures = {title: kept.picture(name) for name, title in NAMES.items() if name in made}
        page = sheet(item.title, pictures, settings_line(prompt))
        page.save(kept.folder / "sheet.jpg", quality=88)
        thumbnail(kept.picture("regions")).save(kept.folder / "thumbnail.jpg", quality=85)

    def picture(self, kept: Kept, name: str, prompt: Prompt, node: str) -> None:
        """Make one picture, unless it is there."""
        title = f"{kept.folder.name}, {NAMES[name]}"
        if kept.has(name, prompt):
            print(f"{title}: there", flush=True)
            return
        line, began = ProgressLine(title), time.monotonic()
        outputs = self.server.run(prompt, line)
        found = next(one for one in outputs if one.node == node and one.kind == "images")
        facts = {"seconds": round(time.monotonic() - began, 1), **about(self.server)}
        facts["warned"] = [text for text in self.server.told.values() if text]
        kept.add(name, self.server.fetch(found), prompt, **facts)
        line.done()

    def put_pictures(self, prompt: Prompt) -> list[str]:
        """Copy the pictures that a prompt loads from the ComfyUI's input folder to the server's; those missing there."""
        names = [node["inputs"]["image"] for node in prompt.values() if node["class_type"] == "LoadImage"]
        folder = self.server.root / "input"
        for name in names:
            if (folder / name).is_file():
                shutil.copy(folder / name, self.server.folder / "input")
        return [name for name in names if not (self.server.folder / "input" / name).is_file()]

    def report(self) -> str:
        """What was made, what is missing and where it belongs, and what failed."""
        known, lines = downloads(), [f"{len(self.done)} made or there already"]
        for file, names in self.missing.items():
            folder, address = known.get(file, ("?", ""))
            file = self.yours.get(file, file)
            place = f"models/{folder}/{file}" if file.endswith(twins.MODEL_FILE) else f"input/{file}"
            lines.append(f"missing: {place}\n    for {'; '.join(names)}" + f"\n    {address}" * bool(address))
        if any(file in known for file in self.missing):
            lines.append("    a file of yours in the place of one of these: --use FILE=YOURS")
        lines += [f"left out: {name}: {why}" for name, why in self.unfit.items()]
        lines += [f"failed: {name}: {why}" for name, why in self.failed.items()]
        return "\n".join(lines)

    def lay_out(self) -> list[Path]:
        """The pages of all sheets that are there, those of earlier runs too."""
        sheets: dict[Path, list[Image.Image]] = {}
        for item in items():
            path = self.out / item.name / "sheet.jpg"
            if path.exists():
                sheets.setdefault(self.out / f"{item.page}.jpg", []).append(Image.open(path))
        for page, shown in sheets.items():
            together(shown).save(page, quality=85)
        return list(sheets)


def settings_line(prompt: Prompt) -> str:
    """The settings that matter, in one line."""
    values = {}  # in order, each once
    for name in TOLD:
        for value in (node["inputs"][name] for node in prompt.values() if name in node["inputs"]):
            if not isinstance(value, list):
                values[f"{value}" if name.endswith("_name") else f"{name} {value}"] = None
    return " · ".join(values)


def about(server: Server) -> dict[str, str]:
    """Versions and the device, for the settings."""
    stats = json.loads(server.get("/system_stats"))
    pack = re.search(r'^version = "(.+)"', (HERE / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    return {
        "pack": pack[1],
        "comfyui": stats["system"].get("comfyui_version", "unknown"),
        "torch": stats["system"]["pytorch_version"],
        "device": stats["devices"][0]["name"],
    }


def pick(names: Sequence[str]) -> list[Item]:
    """The items of these names, all where there is none."""
    known = {item.name.casefold(): item for item in items()}
    unknown = [name for name in names if name.casefold() not in known]
    if unknown:
        names = "\n  ".join(item.name for item in known.values())
        raise WorkflowError(f"the gallery has no {unknown[0]!r}; it has:\n  {names}")
    return [known[name.casefold()] for name in names] if names else list(known.values())


def pairs(given: Iterable[str]) -> dict[str, str]:
    wrong = [one for one in given if "=" not in one]
    if wrong:
        raise WorkflowError(f"--use {wrong[0]}: write FILE=YOURS, the file that a template names and yours")
    found, known = dict(one.split("=", 1) for one in given), downloads()
    for file in found.keys() - known.keys():
        raise WorkflowError(
            f"--use {file}=…: nothing names this file; named are:\n  " + "\n  ".join(sorted(known))
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="dev.py gallery", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--use", nargs="+", default=[], metavar="FILE=YOURS")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--out", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    chosen, yours = pick(options.only), pairs(options.use)
    out = options.out or HERE / "output" / ("gallery_demo" if options.demo else "gallery")
    gallery, left = Gallery(None, out, yours, options.demo), list(chosen)
    try:
        while left:
            print("starting ComfyUI", flush=True)
            with Server(comfyui_root()) as gallery.server:
                while left and gallery.server.process.poll() is None:  # a picture too large may end it
                    gallery.make(left.pop(0))
    finally:  # when it is stopped, too
        print(gallery.report(), *gallery.lay_out(), sep="\n")
    if gallery.failed or not gallery.done:
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except (ServerError, WorkflowError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on from here")
