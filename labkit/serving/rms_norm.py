"""Root-mean-square normalisation (Zhang and Sennrich, 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Scale each vector to root mean square 1, then by a learnt weight: x / sqrt(mean(x^2) + eps) * weight.

    Args:
        size: length of the vectors, the last axis of the input.
        eps: keeps the square root away from 0.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., size] -> [..., size], dtype of x."""
        # Eight bits of mantissa (bf16) are too few for a mean of squares, so at least fp32 is used for it.
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)
