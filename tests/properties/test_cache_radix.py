"""The radix cache beside the hash cache: the same trace, the same answers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.engine import kv_cache_manager

SALTS = (b"", b"a", b"\x00")
prompts = st.lists(st.integers(0, 1), min_size=1, max_size=14)


def replay(kind: str, requests: list[tuple[bytes, list[int], int]], num_blocks: int, block_size: int):
    """Requests one after another, three of them in memory at a time: hits of each, then all counters."""
    manager = kv_cache_manager(num_blocks, block_size, prefix_cache=kind, regret=True, yours=False)
    hits, running = [], []
    for name, (salt, tokens, more) in enumerate(requests):
        if len(running) == 3:
            manager.free(running.pop(0))
        got = manager.allocate(name, tokens, salt=salt)
        while not got and running:
            manager.free(running.pop(0))
            got = manager.allocate(name, tokens, salt=salt)
        hits.append(got.num_cached_tokens if got else None)
        if got:
            running.append(name)
            # What is answered is new each time, so that no two sequences ever compute the same page.
            hits += [manager.append(name, 1000 * name + i + 2) for i in range(more)]
    return hits, manager.counters, manager.cache.num_evictable


requests = st.lists(st.tuples(st.sampled_from(SALTS), prompts, st.integers(0, 6)), max_size=25)


@settings(max_examples=150, deadline=None)
@given(requests, st.integers(1, 4))
def test_without_pressure_both_caches_find_the_same(requests, block_size):
    # A page computed twice stays cached twice under hashes and goes back to the pool under the tree; that is all.
    (hits, counters, _), (same_hits, same_counters, _) = (
        replay(kind, requests, 1000, block_size) for kind in ("hash", "radix")
    )
    assert hits == same_hits and counters.hit_tokens == same_counters.hit_tokens
    assert counters.cached_blocks_evicted == same_counters.cached_blocks_evicted == 0


@settings(max_examples=300, deadline=None)
@given(requests, st.integers(2, 4), st.integers(4, 16))
def test_under_pressure_both_evict_and_regret_the_same_where_no_page_is_computed_twice(requests, block_size, blocks):
    # A prompt of whole pages that is known whole computes its last page again, into a second block.
    requests = [(salt, [*tokens, 2] if len(tokens) % block_size == 0 else tokens, n) for salt, tokens, n in requests]
    requests = [(salt, tokens, n) for salt, tokens, n in requests if len(tokens) % block_size]
    assert replay("hash", requests, blocks, block_size) == replay("radix", requests, blocks, block_size)
