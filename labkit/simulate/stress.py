"""Random operations on KV-cache managers of every make, each beside its model, until one disagrees.

One seed gives one round: a manager of a drawn size, block size, cache and policy, and a few hundred operations on it.
A failure is repeated by its seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from labkit.cache.eviction_policies import POLICIES
from labkit.cache.hash_prefix_cache import HashPrefixCache
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.queue_backed_cache import queue_backed
from labkit.cache.swap import SwapPool
from labkit.simulate.shadow import Shadow, random_operations

OPERATIONS_A_ROUND = 500


@dataclass
class StressFailure:
    """A round that went wrong: `labkit stress cache --seed SEED --operations 1` repeats it."""

    seed: int
    manager: str
    what: str


def weak_hash(pair: tuple[object, bytes]) -> int:
    """A hash with five values, so that nearly every chain meets a collision."""
    return hash(pair) % 5


def draw_manager(rng: random.Random) -> tuple[KVCacheManager, str, bool]:
    """A manager of a drawn make, what it is, and whether it must find everything it could."""
    num_blocks, block_size = rng.randint(2, 48), rng.choice([1, 2, 3, 4, 8])
    null_block, swap = rng.random() < 0.3, rng.random() < 0.6
    make = rng.choice(["hash", "hash", "hash", "radix", "radix", "queue", "weak", "none"])
    name = rng.choice(sorted(POLICIES)) if make in ("hash", "radix", "weak") else "no policy"
    policy = POLICIES[name](num_blocks) if name in POLICIES else None
    cache: object = make if make in ("hash", "radix") else None
    if make == "queue":
        cache = queue_backed()
    if make == "weak":

        def cache(refs, page_bytes, policy):  # type: ignore[no-redef, no-untyped-def]
            return HashPrefixCache(refs, page_bytes, policy, weak_hash)

    manager = KVCacheManager(
        num_blocks, block_size, prefix_cache=cache, policy=policy, null_block=null_block,
        swap_pool=SwapPool(rng.randint(0, 24)) if swap else None,
    )
    about = f"{make} cache, {name}, {num_blocks} blocks of {block_size}"
    return manager, about + (", null block" if null_block else "") + (", swap" if swap else ""), make != "weak"


def stress_round(seed: int, operations: int = OPERATIONS_A_ROUND, thorough: bool = False) -> StressFailure | None:
    """One round; None if all was well."""
    rng = random.Random(seed)
    manager, about, exact = draw_manager(rng)
    shadow = Shadow(manager, thorough=thorough, exact=exact)
    try:
        random_operations(shadow, rng, operations)
        shadow.finish()
    except Exception as error:  # whatever it is, it is what we are looking for
        return StressFailure(seed, about, f"{type(error).__name__}: {error}")
    return None


def stress_cache(
    operations: int, seed: int = 0, tell: Callable[[int], None] = lambda done: None
) -> StressFailure | None:
    """At least `operations` operations, in rounds of consecutive seeds; the first failure, or None.

    Args:
        tell: called after each round with the operations done so far.
    """
    done = 0
    while done < operations:
        failure = stress_round(seed)
        if failure is not None:
            return failure
        seed += 1
        done += OPERATIONS_A_ROUND
        tell(done)
    return None
