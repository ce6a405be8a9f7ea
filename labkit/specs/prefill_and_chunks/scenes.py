"""What only lesson 14 shows: the work of a chunk, pages after a write, one prompt, and pages in 8 bits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

CUTS = {
    "50 + 50": [50, 50],
    "16 at a time": [16] * 6 + [4],
    "7 + 60 + 33": [7, 60, 33],
    "one at a time": [1] * 100,
}
"""Ways to cut a prompt of 100 tokens, by what a table calls them."""


class Work(NamedTuple):
    """What attention of one chunk does in one layer."""

    operations: int
    """Multiplications and additions, each counted as one."""
    moved: int
    """Bytes: each key and value once, queries in, outputs out."""

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.operations / self.moved


def work_of_a_chunk(new: int, past: int, q_heads: int, kv_heads: int, head_dim: int, number_bytes: int = 2) -> Work:
    """The work of `new` tokens that come after `past` others of their sequence."""
    cells = new * past + new * (new + 1) // 2
    numbers = 2 * kv_heads * head_dim * (past + new) + 2 * q_heads * head_dim * new
    return Work(4 * q_heads * head_dim * cells, number_bytes * numbers)


def pages_after_a_write(slots: list[int], page: int = 4) -> str:
    """Which token lies in which slot once `write_kv` (yours once it has passed) was launched; a line for each page."""
    import torch

    try:
        import kvkernels
        from kvkernels._triton import INTERPRETED
        from labkit.mine import write_kv
    except ImportError as error:  # no Triton on this platform
        return str(error)
    device = "cpu" if INTERPRETED else "cuda"
    names = torch.arange(len(slots), device=device).float().view(-1, 1, 1).expand(-1, 2, 16).contiguous()
    pages = torch.full((max(slots) // page + 1, page, 2, 16), -1.0, device=device)
    kvkernels.write_kv(names, names, pages, pages.clone(), torch.tensor(slots, device=device), kernel=write_kv)
    rows = [[f"{int(token):3}" if token >= 0 else "  ." for token in row] for row in pages[:, :, 0, 0].tolist()]
    told = [f"page {i} |{''.join(row)}" for i, row in enumerate(rows)]
    left = [str(token) for token, slot in enumerate(slots) if slot < 0]
    return "\n".join([*told, f"left out: token {', '.join(left)}" if left else "left out: none"])


def one_prompt(tokens: int, block_size: int = 16) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(q [tokens, 9, 64], k_cache, v_cache, block_tables [1, ...]) of one sequence, float32, heads as the model's."""
    from labkit.specs.paged_attention.referees import numbers, pages

    k_cache, v_cache, tables = pages([tokens], block_size, kv_heads=3, head_dim=64)
    return numbers(random.Random(1), tokens, 9, 64).float() / 2, k_cache.float(), v_cache.float(), tables


def in_eight_bits(cache: Tensor) -> Tensor:
    """The numbers that come back from pages of int8 with a scale per head, as `kernels/kv_write.py` rounds them."""
    scale = cache.nan_to_num().abs().amax(dim=(0, 1, 3))[:, None] / 127
    return (cache / scale + 0.5).floor() * scale


def with_own_rows(cache: Tensor, exact: Tensor, tables: Tensor, begin: int, end: int) -> Tensor:
    """A copy of `cache` in which positions `begin` to `end` of the one sequence hold what `exact` holds."""
    import torch

    own, at = cache.clone(), torch.arange(begin, end)
    blocks, offsets = tables[0, at // cache.shape[1]], at % cache.shape[1]
    own[blocks, offsets] = exact[blocks, offsets]
    return own


def with_extras() -> str:
    """The last row of a prompt of 24 tokens, plain and with each thing that models add, by the kernel in use."""
    import torch

    try:
        import kvkernels
        from kvkernels._triton import INTERPRETED
        from labkit.mine import prefill
    except ImportError as error:
        return str(error)
    from labkit.specs.paged_attention.referees import numbers, pages

    device = "cpu" if INTERPRETED else "cuda"
    k_cache, v_cache, tables = (x.to(device) for x in pages([24], 4, kv_heads=1, head_dim=16))
    q = 2 * numbers(random.Random(1), 24, 2, 16).float().to(device)[-1:]
    where = [torch.tensor(x, dtype=torch.int32, device=device) for x in ([24], [0, 1])]
    sink = torch.full((2,), 9.0, device=device)
    lines = [f"{'':22}first numbers of the row of query head 0"]
    for name, more in (
        ("plain", {}), ("window of 4", {"window": 4}), ("soft cap of 1", {"softcap": 1.0}),
        ("sink of 9", {"sinks": sink}),
    ):  # fmt: skip
        out = kvkernels.prefill(
            q, k_cache.float(), v_cache.float(), tables.int(), *where, rows=16, tile=16, validate=False, kernel=prefill,
            **more,
        )  # fmt: skip
        lines.append(f"{name:22}" + "".join(f"{x:8.3f}" for x in out[0, 0, :4].tolist()))
    return "\n".join(lines)
