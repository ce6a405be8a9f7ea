"""A trace's blocks through the real caches, under any eviction policy: hits, evictions, regret, distance to Belady.

`labkit.simulate.hit_ratio` has models that are too plain to be wrong; here the parts that serve the engine do the work,
`HashPrefixCache` or another `PrefixCache`, with a policy of `labkit.cache.eviction_policies` or of your own. Three
replays, from the plainest to the one closest to a server:

**`demand_replay`**: the policy alone. All block references of all requests are one string; a reference hits or evicts
one block. No prefix, nothing pinned. Here Belady bounds every policy, by proof.

**`cache_replay`**: the cache serves one request at a time. It looks up the longest cached prefix, holds it, evicts what
the rest needs, stores the rest and lets go of all. The blocks of the request that is served cannot be evicted. Of a
prompt longer than the cache the front is kept. Under LRU this gives the published ratios of the Mooncake trace.

**`manager_replay`**: `KVCacheManager`, with an engine's rules. Only full blocks are cached, the last token is always
computed, and a prompt that does not fit is refused; it counts as looked up in vain.

Regret is counted where it is felt: a block that is asked for in vain and had been evicted before. It is remembered
however long ago that was, so it can be more than the counter of a running cache says, whose memory is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.cache.allocation import Allocation
from labkit.cache.belady import Belady
from labkit.cache.block_pool import BlockPool
from labkit.cache.checks import whole_number
from labkit.cache.eviction import EvictionPolicy
from labkit.cache.hash_prefix_cache import HashPrefixCache
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.prefix_cache import PrefixCache
from labkit.cache.ref_counts import RefCounts
from labkit.cache.tokens import BLOCK_ID_BYTES, block_id_bytes
from labkit.errors import LabkitError, PolicyError
from labkit.simulate.hit_ratio import Requests
from labkit.simulate.traces import Trace

MakePolicy = Callable[[int], EvictionPolicy]
"""Makes a policy for a cache of so many blocks."""


@dataclass(frozen=True)
class Outcome:
    """What a replay counted, in blocks.

    Attributes:
        looked_up: blocks that were asked for.
        hits: of them, found.
        evictions: cached blocks evicted.
        regret: blocks that were asked for in vain and had been evicted before.
        refused: requests that did not fit.
    """

    looked_up: int
    hits: int
    evictions: int
    regret: int
    refused: int = 0

    @property
    def hit_ratio(self) -> float:
        """hits / looked_up; 0 where nothing was asked for."""
        return self.hits / self.looked_up if self.looked_up else 0.0

    @property
    def regret_ratio(self) -> float:
        """Regretted evictions a block asked for; 0 where nothing was asked for."""
        return self.regret / self.looked_up if self.looked_up else 0.0

    def behind(self, best: Outcome) -> float:
        """How far the hit ratio lies below that of `best` (Belady's, say); as a share, 0.02 for two points."""
        return best.hit_ratio - self.hit_ratio


class _Regret:
    """Evicted contents, and which of them were asked for afterwards."""

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.count = 0

    def asked(self, missed: Iterable[int]) -> None:
        back = self.gone.intersection(missed)
        self.count += len(back)
        self.gone -= back


def cache_replay(
    requests: Requests,
    num_blocks: int,
    make_policy: MakePolicy | None = None,
    make_cache: Callable[..., PrefixCache] = HashPrefixCache,
    on_request: Callable[[int, Sequence[int], int, list[int]], Any] | None = None,
) -> Outcome:
    """One request after another through a prefix cache; see the top of this file.

    Args:
        requests: block ids of each request's prompt (`labkit.simulate.hit_ratio.requests_of`).
        num_blocks: blocks of the cache.
        make_policy: the policy for a cache of so many blocks; Belady's optimum if None.
        make_cache: the cache, from (refs, page_bytes, policy).
        on_request: told of each request: its number, its block ids, how many of them hit, and the contents evicted
            for it, in order.

    Raises:
        LabkitError: fewer blocks than 1. PolicyError: the policy named a block that may not go.
    """
    num_blocks = whole_number(num_blocks, "num_blocks", at_least=1, error=LabkitError)
    policy = Belady(requests) if make_policy is None else make_policy(num_blocks)
    begin = getattr(policy, "begin", None)
    refs = RefCounts(BlockPool(num_blocks))
    cache = make_cache(refs, BLOCK_ID_BYTES, policy)
    content = [0] * num_blocks
    regret = _Regret()
    looked_up = hits = 0
    for number, ids in enumerate(requests):
        if begin is not None:
            begin()
        chain = cache.chain(block_id_bytes(ids))
        hit = cache.lookup(chain, len(ids))
        cache.hold(chain, hit)
        missed = ids[len(hit) : num_blocks]
        short = len(missed) - refs.num_free
        gone = [content[block] for block in cache.evict(short)] if short > 0 else []
        looked_up += len(ids)
        hits += len(hit)
        regret.asked(ids[len(hit) :])
        regret.gone.update(gone)
        blocks = hit + (refs.allocate(len(missed)) or [])
        for block, key in zip(blocks[len(hit) :], missed, strict=True):
            content[block] = key
        cache.register(chain, blocks, len(blocks))
        cache.release(chain, blocks)
        if on_request is not None:
            on_request(number, ids, len(hit), gone)
    return Outcome(looked_up, hits, cache.evictions, regret.count)


def manager_replay(
    trace: Trace, num_blocks: int, make_policy: MakePolicy | None = None, prefix_cache: Any = "hash"
) -> Outcome:
    """One request after another through a `KVCacheManager`, by an engine's rules; see the top of this file.

    Only full blocks are counted as looked up. Prompts are served and freed; nothing is generated.

    Args:
        trace: one with hash_ids and block_tokens.
        num_blocks: blocks of the manager.
        make_policy: as for `cache_replay`.
        prefix_cache: as for `KVCacheManager`.

    Raises:
        LabkitError: the trace does not say which prompts begin alike, or how many tokens one id stands for.
    """
    if trace.hash_ids is None or trace.block_tokens is None:
        raise LabkitError(
            f"The trace {trace.name} has no block ids of a known size, but a replay needs them: take a Mooncake trace "
            "or one of labkit.simulate.prefix_workload."
        )
    size = trace.block_tokens
    tokens = trace.input_tokens.tolist()
    prompts = [ids[: n // size].tolist() for ids, n in zip(trace.hash_ids, tokens, strict=True)]
    policy = Belady(prompts) if make_policy is None else make_policy(num_blocks)
    begin = getattr(policy, "begin", None)
    manager = KVCacheManager(num_blocks, size, keyed_by="blocks", policy=policy, prefix_cache=prefix_cache)
    looked_up = hits = refused = 0
    for number, (ids, n) in enumerate(zip(prompts, tokens, strict=True)):
        if begin is not None:
            begin()
        looked_up += len(ids)
        if not n:
            continue
        got = manager.allocate(number, ids, num_tokens=n)
        if isinstance(got, Allocation):
            hits += got.num_cached_tokens // size
            manager.free(number)
        else:
            refused += 1
    counters = manager.counters
    return Outcome(looked_up, hits, counters.cached_blocks_evicted, counters.regretted_evictions, refused)


def demand_replay(requests: Requests, num_blocks: int, make_policy: MakePolicy | None = None) -> Outcome:
    """The policy alone, one block reference after another; see the top of this file.

    Args: as for `cache_replay`. Belady's future is here one request a reference.

    Raises:
        LabkitError: fewer blocks than 1. PolicyError: the policy named a block that is not cached.
    """
    num_blocks = whole_number(num_blocks, "num_blocks", at_least=1, error=LabkitError)
    references = [(key, depth) for ids in requests for depth, key in enumerate(ids)]
    policy = _DeepBelady(references) if make_policy is None else make_policy(num_blocks)
    begin = getattr(policy, "begin", None)
    block_of: dict[int, int] = {}
    content: list[int | None] = []
    regret = _Regret()
    hits = evictions = 0
    for key, depth in references:
        if begin is not None:
            begin()
        block = block_of.get(key)
        if block is not None:
            hits += 1
            policy.remove(block)
            policy.hit((block,))
        else:
            regret.asked((key,))
            if len(content) < num_blocks:
                block = len(content)
                content.append(key)
            else:
                block = policy.evict()
                evictions += 1
                old = content[block] if type(block) is int and 0 <= block < num_blocks else None
                if old is None or block_of.pop(old, None) != block:
                    raise PolicyError(f"{type(policy).__name__} named block {block!r}, which is not cached: evict() "
                                      "returns a block that was added and not removed since.")
                regret.gone.add(old)
                content[block] = key
            block_of[key] = block
            policy.stored((block,), depth)
        policy.released((block,))
        policy.add(block)
    return Outcome(len(references), hits, evictions, regret.count)


class _DeepBelady(Belady):
    """Belady over single references, which knows how deep in its prompt each stood."""

    def __init__(self, references: Sequence[tuple[int, int]]) -> None:
        super().__init__([(key,) for key, _ in references])
        self._depth = {key: depth for key, depth in references}

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        super().stored(blocks, 0)
        (block,) = blocks
        self._content[block] = (self._content[block][0], depth)
