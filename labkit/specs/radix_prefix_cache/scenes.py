"""What lesson 08 shows at its beginning: six requests on a small tree, and what asking a large cache costs."""

from __future__ import annotations

import timeit
from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

from labkit.cache.block_hashes import sha256_block
from labkit.cache.hash_prefix_cache import chain_hashes
from labkit.cache.tokens import TOKEN_BYTES
from labkit.engine import kv_cache_manager
from labkit.observe.trees import TreeLog

PAGE = 4
"""Letters of a block in the scene; a letter is a token."""


def six_requests(num_blocks: int = 14) -> TreeLog:
    """Six requests come and go on the engine's radix cache; a step for each that comes or ends."""
    from labkit.mine import match

    manager: Any = kv_cache_manager(num_blocks, PAGE, prefix_cache="radix")
    log = TreeLog(page_bytes=TOKEN_BYTES * PAGE)

    def asks(name: str, text: str) -> None:
        tokens = array("I", map(ord, text))
        got = manager.allocate(name, tokens)
        found, _, _ = match(manager.cache.root, tokens[: got.num_cached_tokens].tobytes(), TOKEN_BYTES * PAGE)
        log.snapshot(manager.cache.root, f'{name} asks: "{text}"', path=[found],
                     note=f"{got.num_cached_tokens} of {len(text)} letters were cached; its blocks are "
                          f"{got.blocks}")  # fmt: skip

    def ends(name: str) -> None:
        manager.free(name)
        log.snapshot(manager.cache.root, f"{name} ends")

    asks("A", "Be kind. What is a page?")
    asks("B", "Be kind. What is a tree?")
    ends("A")
    asks("C", "Be kind. Say hello.")
    ends("B")
    asks("D", "Be kind. What is a page, then?")
    ends("C")
    ends("D")
    asks("E", "Translate: good morning, please")
    ends("E")
    asks("F", "Be kind. What is a leaf?")
    return log


def letters(key: bytes) -> str:
    """The letters that the tokens of an edge stand for."""
    return "".join(map(chr, array("I", key)))


def lookup_times(instructions: int = 8000, block_size: int = 16) -> dict[str, float]:
    """Seconds, at best, of one lookup of a prompt whose instructions both caches know.

    Returns:
        "hash" and "radix", the lookups as the caches do them; "hashing", the part of the first that a server may do
        once for a request.
    """
    known = array("I", [*range(instructions), 9001]).tobytes()
    work: dict[str, Callable[[], Any]] = {}
    for kind in ("hash", "radix"):
        manager = kv_cache_manager(2 * instructions // block_size, block_size, prefix_cache=kind)
        manager.allocate("before", [*range(instructions), 9000])
        work[kind] = partial(manager.cache.lookup, known, b"", instructions // block_size)
        assert len(work[kind]()) == instructions // block_size
    work["hashing"] = partial(chain_hashes, known, block_size * TOKEN_BYTES, b"", sha256_block)
    # In turn and in short stretches: where a machine is busy, it is not busy with one of the three alone.
    rounds = [{name: timeit.timeit(call, number=4) / 4 for name, call in work.items()} for _ in range(100)]
    return {name: min(times[name] for times in rounds) for name in work}
