"""What a policy remembers is bounded by the cache, however much passes through."""

from __future__ import annotations

import random

import pytest

from labkit.cache.block_pool import BlockPool
from labkit.cache.eviction_policies import POLICIES
from labkit.cache.hash_prefix_cache import HashPrefixCache
from labkit.cache.ref_counts import RefCounts

NUM_BLOCKS = 64


def serve(cache, refs, rng, requests):
    """Prompts of up to ten blocks. Two thirds of them ask for one of twenty beginnings."""
    for _ in range(requests):
        head = bytes([rng.randrange(20)]) * 4 * rng.randint(1, 5) if rng.random() < 0.67 else b""
        chain = cache.chain(head + rng.randbytes(4 * rng.randint(1, 5)))
        total = len(chain.pages)
        hit = cache.lookup(chain, total)
        cache.hold(chain, hit)
        cache.evict(max(0, total - len(hit) - refs.num_free))
        blocks = hit + (refs.allocate(total - len(hit)) or [])
        cache.register(chain, blocks, total)
        cache.release(chain, blocks)


@pytest.mark.parametrize("name", POLICIES)
def test_memory_does_not_grow_with_what_passes_through(name):
    rng = random.Random(1)
    refs = RefCounts(BlockPool(NUM_BLOCKS))
    policy = POLICIES[name](NUM_BLOCKS)
    cache = HashPrefixCache(refs, 4, policy)
    lengths = set()
    for _ in range(12):
        serve(cache, refs, rng, 300)
        lengths.add(max(len(kept) for kept in vars(policy).values() if hasattr(kept, "__len__")))
    assert cache.evictions > 5_000
    assert max(lengths) <= 3 * NUM_BLOCKS + 64, lengths  # a heap may hold as many again that it passes over later
