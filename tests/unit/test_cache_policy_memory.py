"""What a policy remembers is bounded by the cache, however much passes through."""

from __future__ import annotations

import random

import pytest

from labkit.cache.eviction_policies import POLICIES
from labkit.engine import prefix_cache

NUM_BLOCKS = 64


def serve(cache, rng, requests):
    """Prompts of up to ten blocks. Two thirds of them ask for one of twenty beginnings."""
    for _ in range(requests):
        head = bytes([rng.randrange(20)]) * 4 * rng.randint(1, 5) if rng.random() < 0.67 else b""
        tokens = head + rng.randbytes(4 * rng.randint(1, 5))
        hit = cache.lookup(tokens, b"", len(tokens) // 4)
        place = cache.hold(hit)
        fresh = cache.allocate(len(tokens) // 4 - len(hit))
        cache.register(place, tokens[4 * len(hit) :], fresh)
        cache.free([*hit, *fresh][::-1])
        cache.leave(place)


@pytest.mark.parametrize("kind", ["hash", "radix"])
@pytest.mark.parametrize("name", POLICIES)
def test_memory_does_not_grow_with_what_passes_through(name, kind):
    rng = random.Random(1)
    policy = POLICIES[name](NUM_BLOCKS)
    cache = prefix_cache(NUM_BLOCKS, 4, kind, policy=policy)
    lengths = set()
    for _ in range(12):
        serve(cache, rng, 300)
        lengths.add(max(len(kept) for kept in vars(policy).values() if hasattr(kept, "__len__")))
    assert cache.evictions > 5_000
    assert max(lengths) <= 3 * NUM_BLOCKS + 64, lengths  # a heap may hold as many again that it passes over later
