"""Trains the demo model from nothing. Stopped at any point, the same command continues where it was.

    python -m demo.train                 everything: autoencoder, transformer, polish, export, LoRA,
                                         ControlNet, checker, sheet, check
    python -m demo.train transformer     one stage

Run it from the repository's root with the Python of the set-up (`python3 dev.py setup`, then .venv). The transformer
wants a GPU (--device cuda --workers N: minutes); on a CPU the same takes days. Checkpoints and contact sheets lie in
demo/work/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from demo.comfy_setup import start_comfyui

WORK = Path(__file__).resolve().parent / "work"
STAGES = ("autoencoder", "transformer", "polish", "export", "lora", "controlnet", "checker", "sheet", "check")
LARGEST_DIFFERENCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("stage", nargs="?", choices=STAGES, help="one stage alone (default: all in order)")
    parser.add_argument("--steps", type=int, default=5000, help="training steps of the transformer")
    parser.add_argument("--tokens", type=int, default=131072, help="tokens of a batch of the transformer")
    parser.add_argument("--until", type=int, help="stop at this one of the transformer's steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw ahead")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of checkpoints")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    start_comfyui()
    for stage in [options.stage] if options.stage else STAGES:
        run(stage, options)


def run(stage: str, options: argparse.Namespace) -> None:
    """Runs one stage; those already done return at once."""
    from demo import autoencoder, checker, export, sample, train_controlnet, train_lora, train_transformer

    work = options.work
    if stage == "autoencoder":
        autoencoder.train(work, device=options.device, workers=options.workers)
    elif stage == "transformer":
        train_transformer.train(
            work, options.steps, options.tokens, options.device, options.workers, options.until
        )
    elif stage == "polish":
        train_transformer.polish(work, device=options.device, workers=options.workers)
    elif stage == "export":
        autoencoder.export(work, export.VAE)
        export.export(work)
    elif stage == "lora":
        train_lora.train(work, export.load_files(), workers=options.workers)
    elif stage == "controlnet":
        train_controlnet.train(work, export.load_files(), workers=options.workers)
    elif stage == "checker":
        checker.train()
    elif stage == "sheet":
        sample.sheet(work, work / "sheet.png")
        print(f"wrote {work / 'sheet.png'}")
    else:
        difference = export.check()
        print("largest difference from ComfyUI:", {k: f"{v:.1e}" for k, v in difference.items()})
        if max(difference.values()) > LARGEST_DIFFERENCE:
            raise SystemExit("The exported files do not compute what was trained.")


if __name__ == "__main__":
    main()
