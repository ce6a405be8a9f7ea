"""The tensors of a workload, and the answer that is right for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from labkit.attention import over_pages
from labkit.bench.kernel_shapes import Workload

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8,
           "fp8": torch.float8_e4m3fn}  # fmt: skip


class Inputs:
    """Queries, shuffled pages, tables and lengths.

    Attributes:
        q: [sum of new, q_heads, head_dim], bf16 where pages have 8 bits.
        k, v: [num_blocks, page, kv_heads, head_dim].
        tables, lengths: int32 [seqs, max_blocks] and [seqs].
        scales: k_scale and v_scale, where pages have 8 bits.
        longest: tokens of the longest context.
    """

    def __init__(self, workload: Workload, device: torch.device, seed: int = 0) -> None:
        self.workload = w = workload
        self._random = torch.Generator(device).manual_seed(seed)
        self._blocks = [-(-length // w.page) for length in w.lengths]
        dtype, seqs = _DTYPES[w.dtype], len(w.lengths)
        small = dtype.itemsize == 1
        pages = (sum(self._blocks), w.page, w.kv_heads, w.head_dim)
        self.k, self.v = (torch.empty(pages, dtype=dtype, device=device) for _ in range(2))
        self.q = torch.empty(
            (seqs * w.new, w.q_heads, w.head_dim), dtype=torch.bfloat16 if small else dtype, device=device
        )
        self.tables = torch.zeros((seqs, max(self._blocks)), dtype=torch.int32, device=device)
        self.lengths = torch.tensor(w.lengths, dtype=torch.int32, device=device)
        self.longest = max(w.lengths)
        step = torch.full((w.kv_heads,), 1 / 32, device=device)
        self.scales: dict[str, Any] = {"k_scale": step, "v_scale": step} if small else {}
        self.fill()

    def fill(self) -> None:
        """Other numbers, and pages in another order, in the same memory."""
        for layer in (self.k, self.v):
            for part in layer.split(
                max(1, 2**26 // max(layer[0].numel(), 1))
            ):  # what is drawn is wider than what stays
                drawn = torch.randn(part.shape, generator=self._random, device=part.device)
                if self.scales:
                    drawn = (drawn * 32).clamp_(-127, 127)
                part.copy_(drawn.round_() if part.dtype == torch.int8 else drawn)
        self.q.copy_(torch.randn(self.q.shape, generator=self._random, device=self.q.device))
        order = torch.randperm(len(self.k), generator=self._random, device=self.k.device).int()
        first = 0
        for seq, n in enumerate(self._blocks):
            self.tables[seq, :n] = order[first : first + n]
            first += n

    def shorten(self, by: int) -> None:
        """Sequences of a decode step lose up to so many tokens: lengths are numbers on the device, too."""
        full = torch.tensor(self.workload.lengths, dtype=torch.int32, device=self.q.device)
        less = torch.arange(len(full), dtype=torch.int32, device=full.device) % (by + 1)
        self.lengths.copy_((full - less).clamp_min(1) if self.workload.new == 1 else full)

    def starts(self) -> Tensor:
        """Where the rows of each sequence begin, int32 [seqs + 1]."""
        return torch.arange(len(self.lengths) + 1, dtype=torch.int32, device=self.q.device) * self.workload.new

    def right(self) -> Tensor:
        """By PyTorch over gathered pages, in float32: what tests hold to float64."""
        args = (self.q.float(), self.k, self.v, self.tables, self.lengths)
        return over_pages.prefill(*args, self.starts(), **self.scales)
