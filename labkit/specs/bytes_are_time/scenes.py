"""What only lesson 12 shows: the works under the roof of a card, and what launches ask of memory.

Bytes are counted in Triton's interpreter. Where kernels of this process are compiled, because there is a GPU, another
process counts; where there is no Triton, one sentence says so and nothing is counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

from labkit.errors import KernelError


class Case(NamedTuple):
    """A decode step of one layer; numbers of two bytes."""

    lengths: list[int]
    q_heads: int
    kv_heads: int
    head_dim: int
    page: int


SERVER = Case([4096] * 32, 32, 8, 128, 16)
"""32 conversations of 4,096 tokens, with the heads of Llama-3.1-8B."""
SMALL = Case([100, 37, 64], 8, 2, 64, 16)
"""Small enough to be interpreted in a second."""


class Counted(NamedTuple):
    """What a launch asked of memory.

    Attributes:
        kv, ends, ids, lengths: bytes of keys and values, of queries and outputs, of the block table, of the lengths.
        kv_sectors, id_sectors: bytes of the sectors that loads of keys and values, and of the table, touch.
        loads: of keys, by all programs together.
        programs: of the launch.
    """

    kv: int
    ends: int
    ids: int
    lengths: int
    kv_sectors: int
    id_sectors: int
    loads: int
    programs: int

    @property
    def bytes(self) -> int:
        """All that was asked for."""
        return self.kv + self.ends + self.ids + self.lengths


NOTHING = Counted(*[0] * 8)


def count(launcher: str, case: Case, kernel: Any = None) -> Counted:
    """Launch one of the kernels of the ladder on a case, and count; zeros where there is no Triton, after a sentence.

    Args:
        launcher: "paged_decode", "tiled_decode" or "grouped_decode".
        kernel: takes the place of grouped_decode's own. On a GPU machine the course's own is counted instead.
    """
    try:
        from kvkernels._triton import INTERPRETED
    except ImportError as error:
        print(error)
        return NOTHING
    if not INTERPRETED:
        command = [sys.executable, "-P", "-m", "labkit.specs.bytes_are_time.scenes", json.dumps([launcher, case])]
        told = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
        if told.returncode:
            raise KernelError(f"Counting {launcher} failed: {told.stderr.strip().splitlines()[-1]}")
        return Counted(*json.loads(told.stdout))
    import torch

    import kvkernels
    from labkit.kernels.watched import watched
    from labkit.specs.paged_attention.referees import pages

    k, v, tables = pages(case.lengths, case.page, case.kv_heads, case.head_dim)
    q = torch.ones(len(case.lengths), case.q_heads, case.head_dim, dtype=torch.float16)
    lengths = torch.tensor(case.lengths, dtype=torch.int32)
    more = {"kernel": kernel} if kernel is not None else {}
    with watched() as book:
        getattr(kvkernels, launcher)(q, k.half(), v.half(), tables.int(), lengths, **more)
    (launch,) = book.launches
    kv, ids = launch.of("k_cache", "v_cache"), launch.of("block_tables")
    ends = launch.of("q").read + launch.of("out").written
    loads = sum(access.argument == "k_cache" for access in launch.accesses)
    programs = launch.grid[0] * launch.grid[1]
    return Counted(kv.read, ends, ids.read, launch.of("lengths").read, 32 * kv.sectors_read, 32 * ids.sectors_read,
                   loads, programs)  # fmt: skip


def grouped_kernel() -> Any:
    """The learner's `grouped_decode`, or the course's own; None where there is no Triton, after a sentence."""
    try:
        from labkit.mine import grouped_decode
    except ImportError as error:
        print(error)
        return None
    return grouped_decode


def prompt_work(tokens: int, q_heads: int, kv_heads: int, head_dim: int) -> tuple[int, int]:
    """(bytes, flops) of one layer's attention over a whole prompt: everything read and written once, two bytes each."""
    return 4 * tokens * (q_heads + kv_heads) * head_dim, 2 * q_heads * tokens * (tokens + 1) * head_dim


def four_works() -> list[tuple[str, int, int]]:
    """(name, bytes, flops) of the decode step of `SERVER`, asked for in three ways, and of a prompt."""
    from labkit.attention.decode_bytes import decode_flops, expected_bytes

    flops = decode_flops(SERVER.lengths, SERVER.q_heads, SERVER.head_dim)
    asked, narrow = expected_bytes(*SERVER), expected_bytes(*SERVER, kv_bytes=1)
    return [
        ("a decode, keys read per query head", asked.per_query_head, flops),
        ("a decode, keys read per KV head", asked.per_kv_head, flops),
        ("the same, one byte a number", narrow.per_kv_head, flops),
        ("a prompt of 4,096 tokens", *prompt_work(4096, *SERVER[1:4])),
    ]


if __name__ == "__main__":
    name, sizes = json.loads(sys.argv[1])
    print(json.dumps(count(name, Case(*sizes))))
