"""Random operations on KV-cache managers of every make, each beside its model, until one disagrees.

One seed gives one round: a manager of a drawn size, block size, cache and policy, and a few hundred operations on it.
A failure is repeated by its seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from labkit.bench.shadow import Shadow, random_operations
from labkit.cache.eviction_policies import POLICIES
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.ref_counts import CheckedRefCounts
from labkit.cache.tokens import TOKEN_BYTES
from labkit.engine import prefix_cache
from labkit.observe.regret import watch_regret

OPERATIONS_A_ROUND = 500


@dataclass
class StressFailure:
    """A round that went wrong: `labkit stress cache --seed SEED --operations 1` repeats it."""

    seed: int
    manager: str
    what: str


def draw_manager(rng: random.Random) -> tuple[KVCacheManager, str]:
    """A manager of a drawn make, over counts that notice a wrong call, and what it is."""
    num_blocks, block_size = rng.randint(2, 48), rng.choice([1, 2, 3, 4, 8])
    kind = rng.choice(["hash", "hash", "radix", "radix", "radix", None])
    name = rng.choice([*sorted(POLICIES), "no policy"]) if kind else "no policy"
    cache = prefix_cache(
        num_blocks,
        TOKEN_BYTES * block_size,
        kind,
        policy=POLICIES[name](num_blocks) if name in POLICIES else None,
        counts=CheckedRefCounts,
        yours=False,
    )
    manager = KVCacheManager(cache, block_size)
    if kind:
        watch_regret(manager)
    return manager, f"{kind} cache, {name}, {num_blocks} blocks of {block_size}"


def stress_round(seed: int, operations: int = OPERATIONS_A_ROUND, thorough: bool = False) -> StressFailure | None:
    """One round; None if all was well."""
    rng = random.Random(seed)
    manager, about = draw_manager(rng)
    shadow = Shadow(manager, thorough=thorough)
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
