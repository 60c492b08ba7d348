"""SD1.5, SD2 and SDXL: UNets, whose image tokens read the text in the cross-attention of every transformer block.

Their levels see the picture in fewer and fewer tokens, and a pack may shrink them further (Kohya's deep shrink):
attention/levels.py asks each call for its grid. Their states are not bound: GroupNorm couples those of a box with the
rest of the picture.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from .network import CROSS, IMAGE, TEXT, Family


def _readers(blocks: nn.Module | None) -> int:
    """How many transformer blocks read the text; some of SDXL's distillations have no middle block."""
    modules = blocks.modules() if blocks is not None else ()
    return sum(getattr(module, "attn2", None) is not None for module in modules)


SD = Family(
    "SD1.5, SD2",
    ("BaseModel",),
    blocks={"input": "input_blocks", "middle": "middle_block", "output": "output_blocks"},
    kind=CROSS,
    count=_readers,
    width=lambda module: 0,
    levels=True,
    layers=((r".*\.attn2\.to_[kv]", TEXT), (r"input_blocks|middle_block|output_blocks|out\.", IMAGE)),
)
SDXL = replace(SD, name="SDXL", classes=("SDXL",), sized=True)
