"""Trains the demo model from nothing. Stopped at any point, the same command continues where it was.

    python -m demo.train                 everything: autoencoder, drawings, transformer, export, check
    python -m demo.train transformer     one stage (autoencoder, data, transformer, export, sheet, check)

Run it from the repository's root with the Python of the set-up (`python3 dev.py setup`, then .venv). Checkpoints,
cached drawings and contact sheets lie in demo/work/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from demo.comfy_setup import start_comfyui

WORK = Path(__file__).resolve().parent / "work"
STAGES = ("autoencoder", "data", "transformer", "export", "sheet", "check")
LARGEST_DIFFERENCE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("stage", nargs="?", choices=STAGES, help="one stage alone (default: all in order)")
    parser.add_argument("--steps", type=int, default=4850, help="training steps of the transformer")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of checkpoints and cached drawings")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    start_comfyui()
    for stage in [options.stage] if options.stage else STAGES:
        run(stage, options.work, options.steps)


def run(stage: str, work: Path, steps: int) -> None:
    """Runs one stage; those already done return at once."""
    from demo import autoencoder, data, export, sample, train_transformer

    if stage == "autoencoder":
        autoencoder.train(work)
    elif stage == "data":
        data.load(work)
    elif stage == "transformer":
        train_transformer.train(work, steps)
    elif stage == "export":
        autoencoder.export(work, export.VAE)
        export.export(work)
    elif stage == "sheet":
        sample.sheet(work, work / "sheet.png")
        print(f"wrote {work / 'sheet.png'}")
    else:
        difference = export.check(work)
        print("largest difference from ComfyUI:", {k: f"{v:.1e}" for k, v in difference.items()})
        if max(difference.values()) > LARGEST_DIFFERENCE:
            raise SystemExit("The exported files do not compute what was trained.")


if __name__ == "__main__":
    main()
