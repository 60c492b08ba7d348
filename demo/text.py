"""The demo's text encoders: a frozen random CLIP-L and a tiny T5 that is trained with the transformer.

The T5 mirror has ComfyUI's (and transformers') key names and computes what the Demo CLIP Loader emits. At the
start two of its heads look one and two tokens back, without which a small model does not learn whose colour is
whose: the word "circle" must differ after "red" and after "blue".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from demo import sizes
from demo.comfy_setup import MODELS, pack, start_comfyui

VOCABULARY = 32128
CLIP_FILE = "rag_demo_clip_l.safetensors"
T5_FILE = "rag_demo_t5.safetensors"


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


class SelfAttention(nn.Module):
    """Attention with a learned bias per head and distance; only the first layer owns the bias."""

    def __init__(self, dim: int, heads: int, head: int, owns_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        for name in ("q", "k", "v"):
            setattr(self, name, nn.Linear(dim, heads * head, bias=False))
        self.o = nn.Linear(heads * head, dim, bias=False)
        if owns_bias:
            self.relative_attention_bias = nn.Embedding(32, heads)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), scale=1.0)
        return self.o(out.transpose(1, 2).flatten(2))


class GatedMLP(nn.Module):
    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(dim, inner, bias=False)
        self.wi_1 = nn.Linear(dim, inner, bias=False)
        self.wo = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))


class _Layer(nn.Module):
    """One residual layer; the inner module's name is part of the published key."""

    def __init__(self, name: str, inner: nn.Module, dim: int) -> None:
        super().__init__()
        self.name = name
        setattr(self, name, inner)
        self.layer_norm = RMSNorm(dim)

    def forward(self, x: Tensor, *args: Tensor) -> Tensor:
        return x + getattr(self, self.name)(self.layer_norm(x), *args)


class _Block(nn.Module):
    def __init__(self, dim: int, inner: int, heads: int, head: int, owns_bias: bool) -> None:
        super().__init__()
        attention = SelfAttention(dim, heads, head, owns_bias)
        self.layer = nn.ModuleList(
            [_Layer("SelfAttention", attention, dim), _Layer("DenseReluDense", GatedMLP(dim, inner), dim)]
        )


class _Stack(nn.Module):
    def __init__(self, config: dict[str, int]) -> None:
        super().__init__()
        dim, inner, heads, head = (config[k] for k in ("d_model", "d_ff", "num_heads", "d_kv"))
        self.block = nn.ModuleList(
            _Block(dim, inner, heads, head, i == 0) for i in range(config["num_layers"])
        )
        self.final_layer_norm = RMSNorm(dim)


def _bucket(length: int) -> Tensor:
    """T5's bucket [length, length] of each distance key − query; exact up to 7, then logarithmic up to 128."""
    position = torch.arange(length)
    offset = position[None, :] - position[:, None]
    distance = offset.abs()
    large = 8 + (torch.log(distance.clamp(min=1).float() / 8) / np.log(16) * 8).long()
    return 16 * (offset > 0).long() + torch.where(distance < 8, distance, large.clamp(max=15))


class T5(nn.Module):
    """Token ids [B, T] to context [B, T, d_model]; padding is attended like any token, as in ComfyUI."""

    def __init__(self, config: dict[str, int] = sizes.T5) -> None:
        super().__init__()
        self.shared = nn.Embedding(VOCABULARY, config["d_model"])
        self.encoder = _Stack(config)
        self._start(config)

    @torch.no_grad()
    def _start(self, config: dict[str, int]) -> None:
        dim, inner, heads, head = (config[k] for k in ("d_model", "d_ff", "num_heads", "d_kv"))
        spread = {"q": (dim * head) ** -0.5, "k": dim**-0.5, "v": dim**-0.5, "o": (heads * head) ** -0.5}
        spread |= {"wi_0": dim**-0.5, "wi_1": dim**-0.5, "wo": inner**-0.5}
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=spread[name.rsplit(".", 1)[-1]])
        bias = self.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        bias.zero_()
        bias[1, 0] = bias[2, 1] = 12

    def forward(self, ids: Tensor) -> Tensor:
        table = self.encoder.block[0].layer[0].SelfAttention.relative_attention_bias
        bias = table(_bucket(ids.shape[1]).to(ids.device)).permute(2, 0, 1)[None]
        x = self.shared(ids)
        for block in self.encoder.block:
            x = block.layer[1](block.layer[0](x, bias))
        return self.encoder.final_layer_norm(x)


def write_clip_l(path: Path, seed: int = 11) -> None:
    """Writes the random CLIP-L; it stays as it is, the transformer learns to live with its pooled vector."""
    start_comfyui()
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    model = CLIPTextModel(CLIPTextConfig(vocab_size=49408, hidden_act="quick_gelu", **sizes.CLIP_L))
    state = {
        k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in model.state_dict().items()
    }
    state["text_projection.weight"] = torch.eye(model.config.hidden_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in state.items() if "position_ids" not in k}, path)


def write_t5(path: Path, state: dict[str, Tensor]) -> None:
    """Writes a T5's weights in half precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in state.items()}, path)


def load_clip():
    """The CLIP that the Demo CLIP Loader returns; writes random encoders first where there are none."""
    folder = MODELS / "text_encoders"
    if not (folder / CLIP_FILE).exists():
        write_clip_l(folder / CLIP_FILE)
    if not (folder / T5_FILE).exists():
        torch.manual_seed(0)
        write_t5(folder / T5_FILE, T5().state_dict())
    return pack("nodes.demo").load_demo_clip()
