"""A trace's blocks through the real caches, under any eviction policy: hits, evictions, regret, distance to Belady.

`labkit.simulate.hit_ratio` has models that are too plain to be wrong; here the parts that serve the engine do the work,
put together by `labkit.engine`, with a policy of `labkit.cache.eviction_policies` or of your own. Three
replays, from the plainest to the one closest to a server:

**`demand_replay`**: the policy alone. All block references of all requests are one string; a reference hits or evicts
one block. No prefix, nothing pinned. Here Belady bounds every policy, by proof.

**`cache_replay`**: the cache serves one request at a time. It looks up the longest cached prefix, holds it, evicts what
the rest needs, stores the rest and lets go of all. The blocks of the request that is served cannot be evicted. Of a
prompt longer than the cache the front is kept. Under LRU this gives the published ratios of the Mooncake trace.

**`manager_replay`**: `KVCacheManager`, with an engine's rules. Only full blocks are cached, the last token is always
computed, and a prompt that does not fit is refused; it counts as looked up in vain.

Regret is counted by the one meter of `labkit.observe.regret`: a content that was evicted and is computed again. What a
block holds is told by its id here, and by its tokens in the manager; the count is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.cache.base import Allocation, EvictionPolicy
from labkit.cache.belady import Belady
from labkit.cache.checks import whole_number
from labkit.cache.tokens import BLOCK_ID_BYTES, TOKEN_BYTES, block_id_bytes
from labkit.engine import kv_cache_manager, prefix_cache
from labkit.errors import LabkitError, PolicyError
from labkit.observe.regret import Regret
from labkit.simulate.hit_ratio import Requests
from labkit.simulate.trace import Trace

MakePolicy = Callable[[int], EvictionPolicy]
"""Makes a policy for a cache of so many blocks."""


@dataclass(frozen=True)
class Outcome:
    """What a replay counted, in blocks.

    Attributes:
        looked_up: blocks that were asked for.
        hits: of them, found.
        evictions: cached blocks evicted.
        regret: evicted blocks whose content was computed again.
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
        """Regret: evicted blocks that were wanted again, of the blocks asked for; 0 where nothing was."""
        return self.regret / self.looked_up if self.looked_up else 0.0

    def behind(self, best: Outcome) -> float:
        """How far the hit ratio lies below that of `best` (Belady's, say); as a share, 0.02 for two points."""
        return best.hit_ratio - self.hit_ratio


def cache_replay(
    requests: Requests,
    num_blocks: int,
    make_policy: MakePolicy | None = None,
    kind: str = "hash",
    on_request: Callable[[int, Sequence[int], int, list[int]], Any] | None = None,
) -> Outcome:
    """One request after another through a prefix cache; see the top of this file.

    Args:
        requests: block ids of each request's prompt (`labkit.simulate.hit_ratio.requests_of`).
        num_blocks: blocks of the cache.
        make_policy: the policy for a cache of so many blocks; Belady's optimum if None.
        kind: "hash" or "radix".
        on_request: told of each request: its number, its block ids, how many of them hit, and the contents evicted
            for it, in order.

    Raises:
        LabkitError: fewer blocks than 1. PolicyError: the policy named a block that may not go.
    """
    num_blocks = whole_number(num_blocks, "num_blocks", at_least=1, error=LabkitError)
    policy = Belady(requests) if make_policy is None else make_policy(num_blocks)
    begin = getattr(policy, "begin", None)
    cache = prefix_cache(num_blocks, BLOCK_ID_BYTES, kind, policy=policy)
    content = [0] * num_blocks
    regret = Regret()
    looked_up = hits = 0
    for number, ids in enumerate(requests):
        if begin is not None:
            begin()
        tokens = block_id_bytes(ids)
        hit = cache.lookup(tokens, b"", len(ids))
        missed = ids[len(hit) : num_blocks]
        place = cache.hold(hit)
        short = len(missed) - cache.refs.num_free
        gone = [content[block] for block in cache.evict(short)] if short > 0 else []
        looked_up += len(ids)
        hits += len(hit)
        regret.removed(gone)
        regret.stored(missed)
        fresh = cache.allocate(len(missed)) or []
        for block, key in zip(fresh, missed, strict=True):
            content[block] = key
        cache.register(place, tokens[BLOCK_ID_BYTES * len(hit) : BLOCK_ID_BYTES * num_blocks], fresh)
        cache.free([*hit, *fresh][::-1])
        cache.leave(place)
        if on_request is not None:
            on_request(number, ids, len(hit), gone)
    return Outcome(looked_up, hits, cache.evictions, regret.count)


def manager_replay(trace: Trace, num_blocks: int, make_policy: MakePolicy | None = None, kind: str = "hash") -> Outcome:
    """One request after another through a `KVCacheManager`, by an engine's rules; see the top of this file.

    Only full blocks are counted as looked up. Prompts are served and freed; nothing is generated.

    Args:
        trace: one with hash_ids and block_tokens.
        num_blocks: blocks of the manager.
        make_policy: as for `cache_replay`.
        kind: "hash" or "radix".

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
    # An id of 8 bytes is two tokens, and so a block has two; what does not fill one is a single token at the end.
    manager = kv_cache_manager(num_blocks, BLOCK_ID_BYTES // TOKEN_BYTES, policy=policy, prefix_cache=kind, regret=True)
    looked_up = hits = refused = 0
    for number, (ids, n) in enumerate(zip(prompts, tokens, strict=True)):
        if begin is not None:
            begin()
        looked_up += len(ids)
        if not n:
            continue
        got = manager.allocate(number, block_id_bytes(ids) + bytes(TOKEN_BYTES) * (n % size > 0))
        if isinstance(got, Allocation):
            hits += got.num_cached_tokens // manager.block_size
            manager.free(number)
        else:
            refused += 1
    return Outcome(looked_up, hits, manager.cache.evictions, manager.regret.count if manager.regret else 0, refused)


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
    regret = Regret()
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
            if len(content) < num_blocks:
                block = len(content)
                content.append(key)
            else:
                block = policy.evict()
                evictions += 1
                old = content[block] if type(block) is int and 0 <= block < num_blocks else None
                if old is None or block_of.pop(old, None) != block:
                    raise PolicyError(
                        f"{type(policy).__name__} named block {block!r}, which is not cached: evict() "
                        "returns a block that was added and not removed since."
                    )
                regret.removed((old,))
                content[block] = key
            block_of[key] = block
            regret.stored((key,))
            policy.stored((block,), depth)
        policy.released((block,))
        policy.add(block)
    return Outcome(len(references), hits, evictions, regret.count)


class _DeepBelady(Belady):
    """Belady over single references, which knows how deep in its prompt each stood."""

    def __init__(self, references: Sequence[tuple[int, int]]) -> None:
        super().__init__([(key,) for key, _ in references])
        self._depth = dict(references)

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        super().stored(blocks, 0)
        (block,) = blocks
        self._content[block] = (self._content[block][0], depth)
