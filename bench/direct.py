"""The published Soft Refinement written down as it is described: one full pass for each regional text.

This is the yardstick that the pack's one-pass engine is measured against, in time (`dev.py bench time`) and in
results (tests/test_direct.py). It reads like the method and costs R + 1 passes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from comfy.ldm.flux.layers import timestep_embedding
from comfy.ldm.flux.math import attention
from torch import Tensor


def direct_forward(
    network,
    x: Tensor,
    timestep: Tensor,
    context: Tensor,
    texts: list[Tensor],
    y: Tensor,
    guidance: Tensor,
    cells: list[Tensor],
    delta: float,
    strengths: list[float] | None = None,
) -> Tensor:
    """The velocity of a FLUX network under Soft Refinement, [B, C, H, W].

    context: the base text [B, T, C]; texts: one for each cell; cells: image token numbers that tile the picture.
    strengths: of each cell, the share of its own result on the second image stream; None is 1 everywhere.
    """
    strengths = strengths or [1.0] * len(cells)
    shares = [delta * strength for strength in strengths]
    image, image_ids = network.process_img(x)
    vec = network.time_in(timestep_embedding(timestep, 256).to(image.dtype))
    if network.params.guidance_embed:
        vec = vec + network.guidance_in(timestep_embedding(guidance, 256).to(image.dtype))
    vec = vec + network.vector_in(y)
    streams = [network.txt_in(text) for text in (context, *texts)]
    positions = [_positions(network, image_ids, stream) for stream in streams]
    image = network.img_in(image)
    for block in network.double_blocks:
        image, streams = _double(block, image, streams, vec, positions, cells, shares)
    regional = image.clone()
    for block in network.single_blocks:
        image, regional, streams = _single(
            block, image, regional, streams, vec, positions, cells, shares, strengths
        )
    out = network.final_layer(image, vec)
    p, (height, width) = network.patch_size, x.shape[-2:]
    out = out.unflatten(1, (-(-height // p), -(-width // p))).unflatten(3, (-1, p, p))
    return out.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)[..., :height, :width]


def _positions(network, image_ids: Tensor, stream: Tensor) -> Tensor:
    text_ids = torch.zeros(*stream.shape[:2], 3, device=stream.device)
    return network.pe_embedder(torch.cat((text_ids, image_ids), 1))


def _heads(qkv: Tensor, heads: int, norm: Callable) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    q, k = norm(q, k, v)
    return q, k, v


def _modulated(x: Tensor, norm: Callable, modulation) -> Tensor:
    return norm(x) * (1 + modulation.scale) + modulation.shift


def _mosaic(base: Tensor, regional: list[Tensor], cells: list[Tensor], shares: list[float]) -> Tensor:
    """(1 - share) · base + share · the regional result of each cell's own text, [B, tokens, C]."""
    whole = base.clone()
    for part, cell, share in zip(regional, cells, shares, strict=True):
        whole[:, cell] = torch.lerp(base[:, cell], part[:, cell], share)
    return whole


def _double(block, image, streams, vec, positions, cells, shares):
    image_1, image_2 = block.img_mod(vec)
    text_1, text_2 = block.txt_mod(vec)
    image_qkv = _heads(
        block.img_attn.qkv(_modulated(image, block.img_norm1, image_1)), block.num_heads, block.img_attn.norm
    )
    on_image, grown = [], []
    for stream, pe in zip(streams, positions, strict=True):
        text_qkv = block.txt_attn.qkv(_modulated(stream, block.txt_norm1, text_1))
        q, k, v = (
            torch.cat(pair, 2)
            for pair in zip(_heads(text_qkv, block.num_heads, block.txt_attn.norm), image_qkv, strict=True)
        )
        result = attention(q, k, v, pe=pe)
        tokens = stream.shape[1]
        stream = stream + text_1.gate * block.txt_attn.proj(result[:, :tokens])
        stream = stream + text_2.gate * block.txt_mlp(_modulated(stream, block.txt_norm2, text_2))
        grown.append(stream)
        on_image.append(result[:, tokens:])
    mixed = _mosaic(on_image[0], on_image[1:], cells, shares)
    image = image + image_1.gate * block.img_attn.proj(mixed)
    image = image + image_2.gate * block.img_mlp(_modulated(image, block.img_norm2, image_2))
    return image, grown


def _single(block, image, regional, streams, vec, positions, cells, shares, strengths):
    modulation, _ = block.modulation(vec)

    def read(stream: Tensor, image: Tensor, pe: Tensor) -> tuple[int, Tensor, Tensor]:
        whole = torch.cat((stream, image), 1)
        projected = block.linear1(_modulated(whole, block.pre_norm, modulation))
        qkv, mlp = projected.split((3 * block.hidden_size, block.mlp_hidden_dim_first), -1)
        q, k, v = _heads(qkv, block.num_heads, block.norm)
        return stream.shape[1], attention(q, k, v, pe=pe), block.mlp_act(mlp)

    def grow(state: Tensor, attended: Tensor, mlp: Tensor) -> Tensor:
        return state + modulation.gate * block.linear2(torch.cat((attended, mlp), 2))

    results = [
        read(stream, regional if number else image, pe)
        for number, (stream, pe) in enumerate(zip(streams, positions, strict=True))
    ]
    tokens, base, base_mlp = results[0]
    on_image = [result[:, tokens:] for tokens, result, _ in results[1:]]
    under = base if min(strengths) == 1 else read(streams[0], regional, positions[0])[1]
    new_image = grow(image, _mosaic(base[:, tokens:], on_image, cells, shares), base_mlp[:, tokens:])
    mixed = _mosaic(under[:, tokens:], on_image, cells, strengths)
    tokens, _, regional_mlp = results[1]
    new_regional = grow(regional, mixed, regional_mlp[:, tokens:])
    grown = [
        grow(stream, result[:, :tokens], mlp[:, :tokens])
        for stream, (tokens, result, mlp) in zip(streams, results, strict=True)
    ]
    return new_image, new_regional, grown
