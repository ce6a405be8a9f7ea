"""Bytes of a decode step's attention, from its shapes: what it needs, and what two kinds of kernel ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

PAGE_ID = 4
"""Bytes of an entry of a block table."""


class DecodeBytes(NamedTuple):
    """Bytes asked for in one decode step of one layer.

    Attributes:
        floor: everything once.
        per_query_head: one program for each sequence and query head, each reading for itself.
        per_kv_head: one program for each sequence and KV head, which serves the whole group.
    """

    floor: int
    per_query_head: int
    per_kv_head: int


def expected_bytes(
    lengths: Sequence[int],
    q_heads: int,
    kv_heads: int,
    head_dim: int,
    page: int,
    kv_bytes: int = 2,
    q_bytes: int = 2,
) -> DecodeBytes:
    """Bytes of a decode step of one layer: keys and values, queries and outputs, and page ids of 4 bytes.

    Args:
        lengths: tokens of each sequence; 0 is allowed.
        page: tokens of a page; a program looks each started page of its sequence up once.
        kv_bytes, q_bytes: per number of keys and values, and of queries and outputs.
    """
    token = 2 * head_dim * kv_bytes
    tokens, pages = sum(lengths), sum(-(-length // page) for length in lengths)
    ends = 2 * len(lengths) * q_heads * head_dim * q_bytes
    return DecodeBytes(
        kv_heads * tokens * token + ends + pages * PAGE_ID,
        q_heads * (tokens * token + pages * PAGE_ID) + ends,
        kv_heads * (tokens * token + pages * PAGE_ID) + ends,
    )


def decode_flops(lengths: Sequence[int], q_heads: int, head_dim: int) -> int:
    """Operations of the same step: a multiplication and an addition for each number of each key, and of each value."""
    return 4 * q_heads * sum(lengths) * head_dim
