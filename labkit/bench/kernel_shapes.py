"""What kernels are timed on: sizes, the least bytes and operations that each needs, and targets.

Targets are for an H200 (bf16, page 16 and 128 numbers per head unless said otherwise, cold L2). Five shapes are those
of KernelBench-Hard's 03_paged_attention. flashinfer-trace has definitions for 32/8 heads of 128 numbers and pages of 1
and of 64: the sizes are its, batch and ragged lengths here are ours.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

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
        us, share: the target on an H200: microseconds at most, or at least so much of the read ceiling.
        tflops: the target of a prefill.
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
    us: float | None = None
    share: float | None = None
    tflops: float | None = None

    @property
    def floor_bytes(self) -> int:
        """Each key and value once, queries in, results out, page ids."""
        wide = 2 if self.dtype in ("int8", "fp8") else BYTES[self.dtype]
        sizes = (self.q_heads, self.kv_heads, self.head_dim, self.page)
        one = floor_bytes(list(self.lengths), *sizes, kv_bytes=BYTES[self.dtype], q_bytes=wide)
        return one + 2 * (self.new - 1) * len(self.lengths) * self.q_heads * self.head_dim * wide

    @property
    def flops(self) -> int:
        """Two products, each a multiplication and an addition for each number that a query sees."""
        seen = sum(self.new * (length - self.new) + self.new * (self.new + 1) // 2 for length in self.lengths)
        return 4 * self.q_heads * self.head_dim * seen


def _even(name: str, group: str, sizes: tuple[int, int, int, int, int], **more: object) -> Workload:
    batch, q_heads, kv_heads, head_dim, length = sizes
    return Workload(name, group, q_heads, kv_heads, head_dim, (length,) * batch, **more)  # type: ignore[arg-type]


def _ragged(batch: int, longest: int) -> tuple[int, ...]:
    draw = random.Random(batch)
    return tuple(draw.randint(longest // 8, longest) for _ in range(batch))


_B32 = (32, 32, 8, 128, 4096)
SHAPES: tuple[Workload, ...] = (
    _even("B32 4K", "targets", _B32, us=136),
    _even("B128 4K", "targets", (128, 64, 8, 128, 4096), us=530),
    _even("B16 4K MHA", "targets", (16, 32, 32, 128, 4096), share=0.92),
    _even("B1 128K", "targets", (1, 32, 8, 128, 131072), share=0.88),
    _even("B1 32K", "targets", (1, 32, 8, 128, 32768), share=0.75),
    _even("B1 4K", "targets", (1, 32, 8, 128, 4096), us=10),
    *(_even(f"B32 4K {dtype}", "targets", _B32, dtype=dtype) for dtype in ("fp8", "int8")),
    *(_even(f"B32 4K page {page}", "pages", _B32, page=page) for page in (1, 128, 256)),
    *(_even("KB " + "x".join(map(str, sizes)), "kernelbench", sizes) for sizes in (
        (8, 32, 8, 128, 1024), (32, 32, 8, 128, 2048), (4, 64, 8, 128, 4096), (16, 32, 8, 128, 1535),
        (8, 16, 4, 64, 2000))),
    *(Workload(f"gqa_paged_decode_h32_kv8_d128_ps{page} B{batch}", "flashinfer-trace", 32, 8, 128,
               _ragged(batch, 4096), page=page) for page in (1, 64) for batch in (1, 16, 64)),
    _even("prefill 8K", "prefill", (1, 32, 8, 128, 8192), new=8192, tflops=450),
    _even("prefill 8K in 4 chunks", "prefill", (1, 32, 8, 128, 8192), new=8192, chunk=2048),
)  # fmt: skip

TINY: tuple[Workload, ...] = (
    Workload("tiny", "tiny", 4, 2, 16, (33, 1)),
    Workload("tiny int8", "tiny", 4, 2, 16, (20, 3), page=8, dtype="int8"),
    Workload("tiny fp8", "tiny", 4, 2, 16, (20, 3), page=8, dtype="fp8"),
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
    parts = word.split(",")
    dtype = parts.pop() if parts[-1] in DTYPES else "bf16"
    numbers = [int(part) for part in parts if part.isdecimal() and 0 < int(part) < 2**24]
    if len(numbers) != len(parts) or len(numbers) not in (5, 6):
        groups = ", ".join(dict.fromkeys(w.group for w in SHAPES))
        raise KernelError(
            f"--shape is {word!r:.60}, which is no shape: give a group ({groups}), a name that this command prints, or "
            "B,Hq,Hkv,D,L[,page[,dtype]], such as 32,32,8,128,4096,16,bf16."
        )
    batch, q_heads, kv_heads, head_dim, length, *page = numbers
    made = _even(word, "own", (batch, q_heads, kv_heads, head_dim, length), dtype=dtype)
    return replace(made, page=page[0]) if page else made
