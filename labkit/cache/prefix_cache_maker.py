"""Prefix caches by name."""

from __future__ import annotations

from collections.abc import Callable

from labkit.cache.hash_prefix_cache import HashPrefixCache
from labkit.cache.no_prefix_cache import NoPrefixCache
from labkit.cache.prefix_cache import PrefixCache
from labkit.cache.radix_prefix_cache import RadixPrefixCache
from labkit.errors import CacheError


def prefix_cache_maker(kind: str | Callable[..., PrefixCache] | None) -> Callable[..., PrefixCache]:
    """The function (refs, page_bytes, policy) -> PrefixCache that goes by this name.

    Raises:
        CacheError: no cache is called that.
    """
    if callable(kind):
        return kind
    if kind is None:
        return NoPrefixCache
    if kind == "hash":
        return HashPrefixCache
    if kind == "radix":
        return RadixPrefixCache
    raise CacheError(f'prefix_cache is {kind!r}, but must be "hash", "radix", None or a function: choose one.')
