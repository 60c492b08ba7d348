"""The demo model in this process, loaded by ComfyUI's own loaders, for the measurements."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from demo.comfy_setup import pack, start_comfyui
from demo.text import load_clip

STEPS = 20


def warn_once() -> None:
    """From here on the root logger, to which ComfyUI and the pack write, passes every message on only once: the runs
    of a measurement would all repeat the same advice."""
    seen: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return message not in seen and not seen.add(message)

    logging.getLogger().addFilter(is_new)


class Demo:
    """Stock nodes and the pack's, on the demo model; texts are encoded once."""

    def __init__(self) -> None:
        start_comfyui()
        import comfy.utils

        import nodes

        comfy.utils.set_progress_bar_enabled(False)
        self.nodes = nodes
        self.model = nodes.UNETLoader().load_unet("rag_demo_flux.safetensors", "default")[0]
        self.vae = nodes.VAELoader().load_vae("rag_demo_vae.safetensors")[0]
        self.clip = load_clip()
        self._texts: dict[str, list] = {}

    def encode(self, text: str) -> list:
        if text not in self._texts:
            self._texts[text] = self.nodes.CLIPTextEncode().encode(self.clip, text)[0]
        return self._texts[text]

    def empty(self, width: int, height: int) -> dict:
        return self.nodes.EmptyLatentImage().generate(width, height, 1)[0]

    def decode(self, latent: dict) -> np.ndarray:
        """The picture [H, W, 3] uint8 of a latent."""
        pixels = self.nodes.VAEDecode().decode(self.vae, latent)[0][0]
        return (pixels.clamp(0, 1) * 255).round().byte().numpy()

    def regions(self, boxes: Sequence[tuple[float, float, float, float]], texts: list[str]) -> tuple:
        """Boxes with their texts, as a chain of Region Box nodes hands them on."""
        made = None
        for box, text in zip(boxes, texts, strict=True):
            made = pack("nodes.regions").RAGRegionBox.execute(
                *box, conditioning=self.encode(text), regions=made
            )[0]
        return made

    def sample(self, model, positive: list, seed: int, width: int, height: int, steps: int = STEPS, cfg: float = 1.0,
               sampler: str = "euler", scheduler: str = "simple") -> dict:  # fmt: skip
        """The stock KSampler from an empty latent, without a negative prompt."""
        return self.nodes.KSampler().sample(
            model, seed, steps, cfg, sampler, scheduler, positive, self.encode(""), self.empty(width, height)
        )[0]
