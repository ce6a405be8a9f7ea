"""Attention over a KV cache: the arithmetic in PyTorch, and two memories it can run over.

Nothing here is imported until it is asked for, so that `import labkit.attention` does not pull in torch.

    attend             the one entry that the model calls
    KVCache            what a memory for keys and values must be able to do
    PagedKVCache       blocks of a pool, found through block tables
    ContiguousKVCache  one unbroken row per sequence, reserved to the maximum length
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.attention.contiguous_kv_cache import ContiguousKVCache
    from labkit.attention.grouped import attend, grouped_attention
    from labkit.attention.kv_cache import KVCache
    from labkit.attention.paged_kv_cache import PagedKVCache
    from labkit.attention.plan import AttentionPlan, Rectangle

_HOME = {
    "attend": "labkit.attention.grouped",
    "grouped_attention": "labkit.attention.grouped",
    "KVCache": "labkit.attention.kv_cache",
    "PagedKVCache": "labkit.attention.paged_kv_cache",
    "ContiguousKVCache": "labkit.attention.contiguous_kv_cache",
    "AttentionPlan": "labkit.attention.plan",
    "Rectangle": "labkit.attention.plan",
}

__all__ = [
    "AttentionPlan",
    "ContiguousKVCache",
    "KVCache",
    "PagedKVCache",
    "Rectangle",
    "attend",
    "grouped_attention",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
