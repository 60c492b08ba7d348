"""A ControlNet for the demo model in the layout that XLabs published for FLUX, for training.

ComfyUI's stock loader takes a file for this layout if it holds `controlnet_blocks.0.weight` and
`double_blocks.0.img_attn.norm.key_norm.scale`, and reads all sizes from the weights. The hint is a picture, so that
the stock Apply ControlNet needs no VAE. Additions repeat over the double blocks of the model.
"""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from demo.transformer import DoubleBlock, Embedder, Flux, Size, timestep_embedding

SIZE = Size(double=1, single=0)
"""One double block: 2.6 million weights, 5.3 MB in half precision."""
HINT_CHANNELS = 16


def _hint_block() -> nn.Sequential:
    """A picture [B, 3, 8h, 8w] in -1..1 to [B, 16, h, w], the size of its latent. Its start keeps the spread of what
    goes through; PyTorch's own lets next to nothing of the hint arrive."""
    layers: list[nn.Module] = []
    for number in range(8):
        inputs, stride = (3 if number == 0 else HINT_CHANNELS), (2 if number in (2, 4, 6) else 1)
        layer = nn.Conv2d(inputs, HINT_CHANNELS, 3, stride, padding=1)
        nn.init.normal_(layer.weight, std=1.7 * (9 * inputs) ** -0.5)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class ControlNet(nn.Module):
    """What a hint adds to the image states after each double block; nothing, before training."""

    def __init__(self, size: Size = SIZE) -> None:
        super().__init__()
        self.img_in = nn.Linear(size.channels, size.hidden)
        self.time_in = Embedder(256, size.hidden)
        self.vector_in = Embedder(size.pooled, size.hidden)
        self.txt_in = nn.Linear(size.context, size.hidden)
        self.double_blocks = nn.ModuleList(DoubleBlock(size.hidden) for _ in range(size.double))
        self.controlnet_blocks = nn.ModuleList(
            nn.Linear(size.hidden, size.hidden) for _ in range(size.double)
        )
        self.pos_embed_input = nn.Linear(4 * HINT_CHANNELS, size.hidden)
        self.input_hint_block = _hint_block()
        for layer in self.controlnet_blocks:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def start_from(self, model: Flux) -> None:
        """Take over the weights of the model's embedders and first double blocks."""
        own = self.state_dict()
        self.load_state_dict({k: v for k, v in model.state_dict().items() if k in own}, strict=False)

    def forward(
        self,
        img: Tensor,
        hint: Tensor,
        txt: Tensor,
        sigma: Tensor,
        pooled: Tensor,
        cos: Tensor,
        sin: Tensor,
    ) -> tuple[Tensor, ...]:
        """The additions [B, N, hidden], one a double block; `Flux.forward` takes them as `control`.

        hint: a picture [B, 3, H, W] in 0..1 of 16 × 16 pixels a token; the others as in `Flux.forward`.
        """
        states = F.pixel_unshuffle(self.input_hint_block(2 * hint - 1), 2).flatten(2).mT
        img = self.img_in(img) + self.pos_embed_input(states)
        vec = self.time_in(timestep_embedding(sigma).to(img.dtype)) + self.vector_in(pooled)
        txt = self.txt_in(txt)
        added = []
        for block, out in zip(self.double_blocks, self.controlnet_blocks, strict=True):
            img, txt = block(img, txt, vec, cos, sin)
            added.append(out(img))
        return tuple(added)


def export(network: ControlNet, target: Path) -> None:
    """Write the weights in half precision, as the stock ControlNetLoader reads them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in network.state_dict().items()}, target)
