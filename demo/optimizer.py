"""Muon for the matrices of the blocks, Adam for everything else.

Every block matrix is cut into hidden×hidden squares (q, k, v, the quarters of an MLP, …), so that one batched
Newton-Schulz iteration makes all updates orthogonal at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _squares(matrix: Tensor, side: int) -> Tensor:
    """Cuts [a·side, b·side] with a = 1 or b = 1 into [a·b, side, side]."""
    rows, columns = matrix.shape
    if columns == side:
        return matrix.reshape(rows // side, side, side)
    return matrix.reshape(side, columns // side, side).transpose(0, 1)


def orthogonal(x: Tensor, steps: int = 5) -> Tensor:
    """Brings the singular values of each matrix [n, s, s] near 1, by a quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    x = x.bfloat16()
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(b * gram, gram, gram, alpha=c) @ x
    return x.float()


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal, scaled to a root mean square of 0.2·lr like Adam's."""

    def __init__(self, matrices: list[nn.Parameter], side: int, lr: float, momentum: float = 0.95) -> None:
        self.side = side
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            used = [p for p in group["params"] if p.grad is not None]
            buffers = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in used]
            gradients = [p.grad for p in used]
            torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
            ahead = torch._foreach_lerp(gradients, buffers, group["momentum"])
            updates = [_squares(update, self.side) for update in ahead]
            done = orthogonal(torch.cat(updates))
            scale = 0.2 * self.side**0.5 * group["lr"]
            for p, part in zip(used, done.split([len(u) for u in updates]), strict=True):
                _squares(p, self.side).add_(part, alpha=-scale)


def split(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The parameters for Muon (matrices of the blocks but the modulations) and the others, for Adam."""
    matrices, others = [], []
    for name, p in model.named_parameters():
        block = "_blocks." in name and p.ndim == 2 and ".lin." not in name
        (matrices if block else others).append(p)
    return matrices, others
