"""Prefix caches by name."""

from __future__ import annotations

from collections.abc import Callable

from labkit.cache.eviction import EvictionPolicy
from labkit.cache.hash_prefix_cache import HashPrefixCache
from labkit.cache.no_prefix_cache import NoPrefixCache
from labkit.cache.prefix_cache import PrefixCache
from labkit.cache.radix_prefix_cache import RadixPrefixCache
from labkit.cache.ref_counts import RefCounts
from labkit.errors import CacheError

CALLS = (
    "chain", "lookup", "num_unheld", "num_pages", "fork", "hold", "register", "push", "release", "evict",
)  # fmt: skip
"""What the manager calls."""


def make_prefix_cache(
    kind: str | Callable[..., PrefixCache] | None, refs: RefCounts, page_bytes: int, policy: EvictionPolicy | None
) -> PrefixCache:
    """The prefix cache that goes by this name, or that this function makes.

    Args:
        kind: "hash", "radix", None for no caching, or a function (refs, page_bytes, policy) -> PrefixCache.
        refs, page_bytes, policy: see `HashPrefixCache`.

    Raises:
        CacheError: no cache is called that, or what the function makes is none.
    """
    if kind is None:
        return NoPrefixCache(refs, page_bytes, policy)
    if kind == "hash":
        return HashPrefixCache(refs, page_bytes, policy)
    if kind == "radix":
        return RadixPrefixCache(refs, page_bytes, policy)
    if not callable(kind):
        raise CacheError(f'prefix_cache is {kind!r:.60}, but must be "hash", "radix", None or a function: choose one.')
    try:
        cache = kind(refs, page_bytes, policy)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # the call itself, not its inside
            raise CacheError(f"prefix_cache is called with (refs, page_bytes, policy), and failed ({error}): "
                             "let it take these three.") from error
        raise
    missing = [name for name in CALLS if not callable(getattr(cache, name, None))]
    missing += [name for name in ("num_evictable", "num_cached", "evictions", "regrets") if not hasattr(cache, name)]
    if missing:
        raise CacheError(f"prefix_cache made {cache!r:.60}, which has no {', '.join(missing)}: "
                         "make something with all of PrefixCache.")
    return cache
