"""For tests: where a template of families.TEMPLATES names a file, ComfyUI's own loader offers it, and makes the tiny
random network of the template's family of it."""

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import folder_paths
import torch

import nodes

TESTS = Path(__file__).resolve().parents[3]
sys.path.append(str(TESTS))

import encoders  # noqa: E402
import families  # noqa: E402

NODE_CLASS_MAPPINGS = {}
FOLDER = Path(folder_paths.get_user_directory()) / "stand_in"


class Pixels:
    """A VAE that shows three channels of any family's latent."""

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """[B, height, width, 3], 0..1"""
        picture = latent[:, :3, 0] if latent.ndim == 5 else latent[:, :3]
        return picture.movedim(1, -1).sigmoid()


@cache
def network(family: str):
    return families.load(family, FOLDER)


@cache
def clip(family: str):
    return encoders.load(family)


LOADERS: dict[str, tuple[str, Callable[[str], tuple]]] = {
    "UNETLoader": ("load_unet", lambda family: (network(family),)),
    "CLIPLoader": ("load_clip", lambda family: (clip(family),)),
    "VAELoader": ("load_vae", lambda family: (Pixels(),)),
    "CheckpointLoaderSimple": ("load_checkpoint", lambda family: (network(family), clip(family), Pixels())),
}
"""The method of each loader, and what it returns."""


def stand_in(loader: str, named: dict[tuple, str]) -> None:
    """Let a loader return a family's tiny network; named: the family by the values of the loader's widgets."""
    method, make = LOADERS[loader]
    own = getattr(getattr(nodes, loader), method)

    def load(self, **inputs):
        family = named.get(tuple(inputs.values()))
        return make(family) if family else own(self, **inputs)

    setattr(getattr(nodes, loader), method, load)


def offer(directory: str, name: str) -> None:
    """Put a file into a loader's list."""
    (FOLDER / directory).mkdir(parents=True, exist_ok=True)
    (FOLDER / directory / name).touch()
    folder_paths.add_model_folder_path(directory, str(FOLDER / directory))


families_of = {loader: {} for loader in LOADERS}
for template, (family, _) in families.TEMPLATES.items():
    path = TESTS.parent / "workflows" / f"{template}.json"
    for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]:
        for model in node["properties"].get("models", ()):
            families_of[node["type"]][tuple(node["widgets_values"])] = family
            offer(model["directory"], model["name"])
for loader, named in families_of.items():
    stand_in(loader, named)
