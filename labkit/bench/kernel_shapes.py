"""What kernels are timed on: sizes, the least bytes and operations that each needs, and targets.

Targets are for an H200 (bf16, page 16 and 128 numbers per head unless said otherwise, cold L2). Five shapes are those
of KernelBench-Hard's 03_paged_attention. flashinfer-trace has definitions for 32/8 heads of 128 numbers and pages of 1
and of 64: the sizes are its, batch and ragged lengths here are ours.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from labkit.errors import KernelError
from labkit.kernels.catalog import DTYPES
from labkit.kernels.ledger import floor_bytes

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "fp8": 1}


@dataclass(frozen=True)
class Workload:
    """One step of attention over pages.

    Attributes:
        name, group: e.g. "B32 4K" of "targets"; `labkit bench kernels --shape` takes either.
        lengths: tokens of each sequence, the new ones included.
        new: tokens that each sequence brings: 1 is a decode step.
        chunk: they come in chunks of so many, one launch after another; 0 for all at once.
        target: on an H200: at most so many "us", or at least so much "of_ceiling" or so many "tflops".
    """

    name: str
    group: str
    q_heads: int
    kv_heads: int
    head_dim: int
    lengths: tuple[int, ...]
    page: int = 16
    dtype: str = "bf16"
    new: int = 1
    chunk: int = 0
    target: tuple[str, float] | None = None

    @property
    def floor_bytes(self) -> int:
        """Each key and value once, queries in, results out, page ids."""
        wide = max(2, BYTES[self.dtype])
        sizes = (self.q_heads, self.kv_heads, self.head_dim, self.page)
        one = floor_bytes(list(self.lengths), *sizes, kv_bytes=BYTES[self.dtype], q_bytes=wide)
        return one + 2 * (self.new - 1) * len(self.lengths) * self.q_heads * self.head_dim * wide

    @property
    def flops(self) -> int:
        """Two products, each a multiplication and an addition for each number that a query sees."""
        seen = sum(self.new * (length - self.new) + self.new * (self.new + 1) // 2 for length in self.lengths)
        return 4 * self.q_heads * self.head_dim * seen


def _even(name: str, group: str, sizes: str, **more: Any) -> Workload:
    batch, q_heads, kv_heads, head_dim, length = map(int, sizes.split(","))
    return Workload(name, group, q_heads, kv_heads, head_dim, (length,) * batch, **more)


def _ragged(batch: int) -> tuple[int, ...]:
    draw = random.Random(batch)
    return tuple(draw.randint(512, 4096) for _ in range(batch))


_B32, _PROMPT = "32,32,8,128,4096", "1,32,8,128,8192"
SHAPES: tuple[Workload, ...] = (
    _even("B32 4K", "targets", _B32, target=("us", 136)),
    _even("B128 4K", "targets", "128,64,8,128,4096", target=("us", 530)),
    _even("B16 4K MHA", "targets", "16,32,32,128,4096", target=("of_ceiling", 0.92)),
    _even("B1 128K", "targets", "1,32,8,128,131072", target=("of_ceiling", 0.88)),
    _even("B1 32K", "targets", "1,32,8,128,32768", target=("of_ceiling", 0.75)),
    _even("B1 4K", "targets", "1,32,8,128,4096", target=("us", 10)),
    *(_even(f"B32 4K {dtype}", "targets", _B32, dtype=dtype) for dtype in ("fp8", "int8")),
    *(_even(f"B32 4K page {page}", "pages", _B32, page=page) for page in (1, 128, 256)),
    *(_even(f"KB {sizes}", "kernelbench", sizes) for sizes in (
        "8,32,8,128,1024", "32,32,8,128,2048", "4,64,8,128,4096", "16,32,8,128,1535", "8,16,4,64,2000")),
    *(Workload(f"gqa_paged_decode_h32_kv8_d128_ps{page} B{batch}", "flashinfer-trace", 32, 8, 128, _ragged(batch), page)
      for page in (1, 64) for batch in (1, 16, 64)),
    _even("prefill 8K", "prefill", _PROMPT, new=8192, target=("tflops", 450)),
    _even("prefill 8K in 4 chunks", "prefill", _PROMPT, new=8192, chunk=2048),
)  # fmt: skip

TINY: tuple[Workload, ...] = (
    Workload("tiny", "tiny", 2, 1, 16, (33, 1)),
    Workload("tiny int8", "tiny", 2, 1, 16, (20,), page=8, dtype="int8"),
    Workload("tiny fp8", "tiny", 2, 1, 16, (20,), page=8, dtype="fp8"),
    Workload("tiny prefill", "tiny", 2, 1, 16, (20,), new=20),
    Workload("tiny chunks", "tiny", 2, 1, 16, (20,), new=20, chunk=8),
)
"""For a dry run: small enough for the interpreter."""


def chosen(words: list[str]) -> list[Workload]:
    """The workloads that were asked for: names, groups, or "B,Hq,Hkv,D,L[,page[,dtype]]"; all without any word.

    Raises:
        KernelError: a word that is none of these; the message says what there is.
    """
    found: list[Workload] = []
    for word in words:
        here = [w for w in SHAPES if word.lower() in (w.name.lower(), w.group)]
        found += here or [_by_numbers(word)]
    return found or list(SHAPES)


def _by_numbers(word: str) -> Workload:
    *sizes, last = word.split(",")
    sizes, dtype = (sizes, last) if last in DTYPES else ([*sizes, last], "bf16")
    if len(sizes) not in (5, 6) or not all(part.isdecimal() and 0 < int(part) < 2**24 for part in sizes):
        groups = ", ".join(dict.fromkeys(w.group for w in SHAPES))
        raise KernelError(
            f"--shape is {word!r:.60}, which is no shape: give a group ({groups}), a name that this command prints, or "
            "B,Hq,Hkv,D,L[,page[,dtype]], such as 32,32,8,128,4096,16,bf16."
        )
    return _even(word, "own", ",".join(sizes[:5]), page=int([*sizes, "16"][5]), dtype=dtype)
