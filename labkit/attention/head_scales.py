"""Keys and values in 8 bits, with one scale for each KV head; what lesson 15 builds.

What is kept is x / scale, rounded to int8 (-127 ... 127) or to fp8 (e4m3: 3 bits of fraction, up to 448); what is read
is that times the scale. `kvkernels.write_kv` does the same on the way into the pages, with scales measured before.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
"""The largest number of each kind of page."""


def quantize_heads(x: Tensor, dtype: torch.dtype, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Keys or values in 8 bits, with a scale for each KV head.

    Args:
        x: [tokens, kv_heads, head_dim], finite; float32, float16 or bfloat16.
        dtype: torch.int8 or torch.float8_e4m3fn.
        scale: float32 [kv_heads], positive, measured before; None: measured on x.

    Returns:
        (pages, scale): pages of the shape of x and of `dtype`, and the float32 [kv_heads] by which they are read. A
        measured scale is the smallest under which each number of the head fits; for a head of zeros it is 1. A number
        beyond what a given scale reaches becomes the largest there is.
    """
    largest = LARGEST[dtype]
    x = x.float()
    if scale is None:
        top = x.abs().amax(dim=(0, 2))
        scale = torch.where(top > 0, top / largest, 1.0)
    numbers = (x / scale[:, None]).clamp(-largest, largest)
    if dtype == torch.int8:
        numbers = numbers.round()
    return numbers.to(dtype), scale
