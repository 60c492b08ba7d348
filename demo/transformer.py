"""FLUX.1's transformer in plain PyTorch, with the published key names, for training.

ComfyUI's own blocks update their input in place, which automatic differentiation cannot follow; this mirror
computes the same function (the tests of `demo.train check` compare the two). Shapes: B pictures, N image tokens,
T text tokens, H heads of 128 channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AXES = (16, 56, 56)
"""Channels of a head that turn with each coordinate: (unused, row, column)."""
HEAD = sum(AXES)


@dataclass(frozen=True)
class Size:
    """Widths and depths of the network."""

    hidden: int = 256
    double: int = 2
    single: int = 4
    context: int = 64
    pooled: int = 16
    channels: int = 64


def timestep_embedding(t: Tensor, dim: int = 256) -> Tensor:
    """Sines and cosines [B, dim] of 1000·t for t [B] in 0..1."""
    half = dim // 2
    frequencies = torch.exp(
        -math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half
    )
    angles = 1000 * t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def positions(
    rows: int, columns: int, text: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines [text + rows·columns, 128] of the rotary positions; text sits at (0, 0)."""
    grid = torch.zeros(rows, columns, 3, dtype=torch.float64, device=device)
    grid[..., 1] = torch.arange(rows, device=device)[:, None]
    grid[..., 2] = torch.arange(columns, device=device)
    ids = torch.cat([grid.new_zeros(text, 3), grid.reshape(-1, 3)])
    angles = []
    for axis, dim in enumerate(AXES):
        omega = 1.0 / 10000 ** (torch.arange(0, dim, 2, dtype=torch.float64, device=device) / dim)
        angles.append(ids[:, axis, None] * omega)
    angle = torch.cat(angles, dim=-1).repeat_interleave(2, dim=-1)
    sign = torch.tensor([-1.0, 1.0], device=device).repeat(HEAD // 2)
    return angle.cos().float(), angle.sin().float() * sign


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns neighbouring channels of x [B, H, L, 128] by the positions' angles."""
    return x * cos + x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2) * sin


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.scale


class QKNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query_norm = RMSNorm(HEAD)
        self.key_norm = RMSNorm(HEAD)


class Attention(nn.Module):
    """The projections of one stream; attention itself runs over both streams together."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.norm = QKNorm()
        self.proj = nn.Linear(hidden, hidden)


class Modulation(nn.Module):
    def __init__(self, hidden: int, count: int) -> None:
        super().__init__()
        self.hidden, self.count = hidden, count
        self.lin = nn.Linear(hidden, count * hidden)

    def forward(self, vec: Tensor) -> tuple[Tensor, ...]:
        return self.lin(F.silu(vec))[:, None].chunk(self.count, dim=-1)


def _heads(qkv: Tensor, norm: QKNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Splits [B, L, 3·hidden] into normalised q, k and v, each [B, H, L, 128]."""
    q, k, v = qkv.unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
    return norm.query_norm(q), norm.key_norm(k), v


def _attend(q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Softmax attention; on a CPU written out, which trains faster there than the fused kernel."""
    q, k = _rotate(q, cos, sin).to(v.dtype), _rotate(k, cos, sin).to(v.dtype)
    if v.is_cuda:
        out = F.scaled_dot_product_attention(q, k, v)
    else:
        out = (q @ k.mT * HEAD**-0.5).softmax(-1).to(v.dtype) @ v
    return out.transpose(1, 2).flatten(2)


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def _mlp(hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(hidden, 4 * hidden), nn.GELU(approximate="tanh"), nn.Linear(4 * hidden, hidden)
    )


class DoubleBlock(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.img_mod = Modulation(hidden, 6)
        self.img_attn = Attention(hidden)
        self.img_mlp = _mlp(hidden)
        self.txt_mod = Modulation(hidden, 6)
        self.txt_attn = Attention(hidden)
        self.txt_mlp = _mlp(hidden)

    def forward(
        self, img: Tensor, txt: Tensor, vec: Tensor, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor]:
        i = self.img_mod(vec)
        t = self.txt_mod(vec)
        img_heads = _heads(self.img_attn.qkv(_modulate(img, i[0], i[1])), self.img_attn.norm)
        txt_heads = _heads(self.txt_attn.qkv(_modulate(txt, t[0], t[1])), self.txt_attn.norm)
        q, k, v = (torch.cat(pair, dim=2) for pair in zip(txt_heads, img_heads, strict=True))
        txt_out, img_out = _attend(q, k, v, cos, sin).split([txt.shape[1], img.shape[1]], dim=1)
        img = img + i[2] * self.img_attn.proj(img_out)
        img = img + i[5] * self.img_mlp(_modulate(img, i[3], i[4]))
        txt = txt + t[2] * self.txt_attn.proj(txt_out)
        txt = txt + t[5] * self.txt_mlp(_modulate(txt, t[3], t[4]))
        return img, txt


class SingleBlock(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.linear1 = nn.Linear(hidden, 7 * hidden)
        self.linear2 = nn.Linear(5 * hidden, hidden)
        self.norm = QKNorm()
        self.modulation = Modulation(hidden, 3)

    def forward(self, x: Tensor, vec: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(vec)
        qkv, mlp = self.linear1(_modulate(x, shift, scale)).split([3 * self.hidden, 4 * self.hidden], dim=-1)
        attention = _attend(*_heads(qkv, self.norm), cos, sin)
        return x + gate * self.linear2(torch.cat([attention, F.gelu(mlp, approximate="tanh")], dim=-1))


class Embedder(nn.Module):
    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.in_layer = nn.Linear(inputs, hidden)
        self.out_layer = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_layer(F.silu(self.in_layer(x)))


class FinalLayer(nn.Module):
    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * hidden))

    def forward(self, x: Tensor, vec: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(vec)[:, None].chunk(2, dim=-1)
        return self.linear(_modulate(x, shift, scale))


class Flux(nn.Module):
    """Predicts noise − picture for tokens of a noisy picture."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.img_in = nn.Linear(size.channels, size.hidden)
        self.time_in = Embedder(256, size.hidden)
        self.vector_in = Embedder(size.pooled, size.hidden)
        self.txt_in = nn.Linear(size.context, size.hidden)
        self.double_blocks = nn.ModuleList(DoubleBlock(size.hidden) for _ in range(size.double))
        self.single_blocks = nn.ModuleList(SingleBlock(size.hidden) for _ in range(size.single))
        self.final_layer = FinalLayer(size.hidden, size.channels)
        self._start()

    def _start(self) -> None:
        """Modulations and the output start at zero but for the gates, which start half open."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
                if name.endswith((".lin", "adaLN_modulation.1", "final_layer.linear")):
                    nn.init.zeros_(module.weight)
            if isinstance(module, Modulation):  # shift, scale, gate, once or twice
                nn.init.constant_(module.lin.bias.data.unflatten(0, (-1, 3, module.hidden))[:, 2], 0.5)

    def forward(
        self,
        img: Tensor,
        txt: Tensor,
        sigma: Tensor,
        pooled: Tensor,
        cos: Tensor,
        sin: Tensor,
        control: tuple[Tensor, ...] = (),
    ) -> Tensor:
        """img [B, N, 64], txt [B, T, context], sigma [B] in 0..1, pooled [B, pooled], cos and sin [T+N, 128];
        control: what a ControlNet adds after each double block, [B, N, hidden], repeated over the blocks."""
        vec = self.vector(sigma, pooled)
        return self.one_stream(*self.two_streams(img, txt, vec, cos, sin, control), vec, cos, sin)

    def vector(self, sigma: Tensor, pooled: Tensor) -> Tensor:
        """What modulates the blocks, [B, hidden]."""
        return self.time_in(timestep_embedding(sigma).to(pooled.dtype)) + self.vector_in(pooled)

    def two_streams(
        self,
        img: Tensor,
        txt: Tensor,
        vec: Tensor,
        cos: Tensor,
        sin: Tensor,
        control: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, Tensor]:
        """Image and text tokens [B, ·, hidden] after the double blocks."""
        img, txt = self.img_in(img), self.txt_in(txt)
        for number, block in enumerate(self.double_blocks):
            img, txt = block(img, txt, vec, cos, sin)
            if control:
                img = img + control[number % len(control)]
        return img, txt

    def one_stream(self, img: Tensor, txt: Tensor, vec: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Those tokens through the single blocks to the prediction [B, N, 64]."""
        x = torch.cat([txt, img], dim=1)
        for block in self.single_blocks:
            x = block(x, vec, cos, sin)
        return self.final_layer(x[:, txt.shape[1] :], vec)


def to_tokens(latents: Tensor) -> Tensor:
    """Latents [B, 16, 2r, 2c] as tokens [B, r·c, 64], as FLUX packs them."""
    b, channels, height, width = latents.shape
    x = latents.reshape(b, channels, height // 2, 2, width // 2, 2)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(b, height * width // 4, channels * 4)


def to_latents(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """The inverse of `to_tokens`: [B, rows·columns, 64] as latents [B, 16, 2·rows, 2·columns]."""
    x = tokens.reshape(tokens.shape[0], rows, columns, -1, 2, 2)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(tokens.shape[0], -1, 2 * rows, 2 * columns)
