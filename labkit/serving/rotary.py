"""Rotary position embedding (Su et al., 2021): positions as rotations of pairs of numbers.

A query and a key are rotated by angles proportional to their positions, so that their dot product depends on the
distance between the two only. A key is rotated once, by its own position, before it goes into the cache; it never
has to be touched again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from labkit.serving.config import ModelConfig


class Rotary:
    """A model's rotations.

    Args:
        config: gives head_dim, rope_theta and the scaling.
        dtype: of what `at` returns. Angles are computed in fp32 whatever it is, as they were in training.
        device: where positions will be.
    """

    def __init__(self, config: ModelConfig, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        self.dtype = dtype
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
        self.frequencies = _stretch(1.0 / config.rope_theta**exponents, config).to(device)

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines at `positions` [tokens]: each [tokens, 1, head_dim / 2], the 1 standing for all heads."""
        angles = positions[:, None, None].to(torch.float32) * self.frequencies
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate `x` [tokens, heads, head_dim]: number i is paired with number i + head_dim / 2.

    This pairing is the Hugging Face layout. llama.cpp pairs neighbours 2i and 2i + 1 instead, which is why rows of
    Q and K change places between the two file formats (`labkit.serving.gguf_import`).
    """
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def _stretch(frequencies: Tensor, config: ModelConfig) -> Tensor:
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    wave_lengths = 2 * math.pi / frequencies
    # 0 at the long end (stretch fully), 1 at the short end (keep).
    keep = (scaling.original_context / wave_lengths - scaling.low_frequency) / (
        scaling.high_frequency - scaling.low_frequency
    )
    keep = keep.clamp(0, 1)
    return frequencies * keep + frequencies / scaling.factor * (1 - keep)
