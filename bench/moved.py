"""What regional attention reads and writes besides attention itself, counted on PyTorch's meta device."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from demo.comfy_setup import pack

run_reads = pack("rag_sampler.attention.reads").run_reads

COPIES = {"cat": "result", "index": "result", "lerp": "result", "copy_": "target", "index_put_": "values"}
"""Operations that move data, and which of their tensors says how much."""


class Moved(TorchDispatchMode):
    """Bytes that copies, gathers, scatters and mixes read and write."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if measure := COPIES.get(func.overloadpacket.__name__):
            tensor = {"result": lambda: out, "target": lambda: args[0], "values": lambda: args[2]}[measure]()
            self.bytes += 2 * tensor.numel() * tensor.element_size()
        return out


def moved(program, blocks: dict[str, int], heads: int, width: int) -> float:
    """Megabytes a block, in bf16, of a Program in a network with so many blocks of each kind."""
    with torch.inference_mode(), Moved() as counter:
        for kind, count in blocks.items():
            sequence = program.sequence(kind)
            qkv = torch.empty(1, heads, sequence.tokens, width // heads, device="meta", dtype=torch.bfloat16)
            for number in range(count):
                run_reads(_attend, qkv, qkv, qkv, sequence, program.reads(kind, number))
    return counter.bytes / sum(blocks.values()) / 1e6


def _attend(q, k, v, mask):
    return torch.empty_like(q)
