"""The engine's radix prefix cache over functions of yours: how a lesson's tree gets to serve requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.cache import radix_tree
from labkit.cache.radix_prefix_cache import RadixPrefixCache


def tree_backed(
    match: Callable[..., Any] = radix_tree.match,
    split: Callable[..., Any] = radix_tree.split,
    insert: Callable[..., Any] = radix_tree.insert,
    evict_leaf: Callable[..., Any] = radix_tree.evict_leaf,
) -> type[RadixPrefixCache]:
    """A `RadixPrefixCache` that finds, cuts, adds and evicts with these functions.

    Args:
        match, split, insert, evict_leaf: as in `labkit.cache.radix_tree`.

    Returns:
        A class, for `KVCacheManager(..., prefix_cache=tree_backed(...))`.
    """
    functions = {"match": match, "split": split, "insert": insert, "evict_leaf": evict_leaf}
    return type(
        "TreeBackedCache",
        (RadixPrefixCache,),
        {"__doc__": RadixPrefixCache.__doc__, **{name: staticmethod(f) for name, f in functions.items()}},
    )
