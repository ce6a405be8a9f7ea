"""What share of a trace's blocks a prefix cache finds, by replays too plain to be wrong.

These are models: a few dictionaries, nothing of `labkit.cache`. The real caches are tested against them, and their
numbers are what a figure of "hit ratio against capacity" shows where no engine runs.

A request is the list of its prompt's block ids in order, and equal ids mean equal prefixes, so an id has the same id
before it wherever it stands. Two replays differ in what they let happen in the middle of a request.

**Plain replay**, `replay`: what a server does that serves one request at a time.

1. *Look up.* Blocks are matched from the first on, up to the first that is not cached. The matched ones are hits;
   all blocks of the request are counted in the denominator. The last token is not held back: a prompt that is
   cached whole hits whole.
2. *Insert.* All blocks of the request are cached afterwards and count as used now. They are used tail first: the
   last block is the oldest of them, the first the youngest. So under LRU a block is never older than one that
   follows it, and a parent is never evicted before its child.
3. *Make room.* While more than `capacity` blocks are cached, one is evicted. Only blocks without a cached child may
   go (under LRU and Belady the oldest, or the one wanted last, is always one of those). The request's own blocks
   are not pinned. That matters only for a request of more than `capacity` blocks, of which the front stays; in
   shorter ones everything older leaves first under LRU, so pinning the request while it runs gives the same numbers.

On the Mooncake conversation trace (12,031 requests, 512 tokens per block, the part-filled last block of each prompt
counted like any other) LRU hits .045 / .212 / .326 / .366 of the blocks at 1,000 / 10,000 / 30,000 / unbounded
blocks of capacity; without the part-filled blocks, `requests_of(trace, full_blocks_only=True)`, it is .047 / .224 /
.345 / .382. A prompt whose length is a multiple of 512 keeps all its blocks in both.

An engine's manager differs in two things: it keeps back the last token of a prompt, and while a prompt runs, its
part-filled last block takes one of the pool's. So with N blocks it hits what this replay, full blocks only, says of
N - 1, wherever no prompt is cached to its very end; on the Mooncake trace that changes no figure above.

**Demand replay**, `demand_replay`: what the theory of caching speaks of. The blocks of all requests, first to last,
are one string of references. A reference to a cached block is a hit; any other evicts one block if the cache is full,
whichever the policy names, and caches the new one. No request is looked ahead at, nothing is pinned, a parent may
leave before its child and then the child still hits. For a fixed string and equal costs Belady's rule, evict what is
wanted again last, has the most hits that any policy can have (Belady, "A study of replacement algorithms for a
virtual-storage computer", IBM Systems Journal 5(2), 1966; proved by Mattson et al., same journal 9(2), 1970). Among
blocks that are never wanted again it takes the deepest in its prompt, so that it too leaves no child without its
parent: what is wanted at all is wanted after its parent in the same request.

In demand replay of the Mooncake trace random eviction hits .046 at 1,000 and .078 at 3,000 blocks, where LRU hits
.0445 and .065: most blocks come back after so long that LRU has thrown them out just before. Plain replay, where
random may take childless blocks only, says .046 and .075: LRU loses there too.
"""

from __future__ import annotations

import heapq
import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.observe.regret import Regret
from labkit.simulate.trace import MOONCAKE_BLOCK_TOKENS, Trace

Policy = Literal["lru", "random", "belady"]
Requests = Sequence[Sequence[int]]
NEVER = 1 << 62


@dataclass(frozen=True)
class HitCount:
    """What a replay counted, in blocks.

    Attributes:
        looked_up: blocks that were asked for.
        hits: of them, found.
        evicted: cached blocks thrown out.
        regret: blocks that were asked for in vain and had been thrown out before: evicted, then wanted again.
    """

    looked_up: int
    hits: int
    evicted: int
    regret: int

    @property
    def ratio(self) -> float:
        """hits / looked_up; 0 where nothing was asked for."""
        return self.hits / self.looked_up if self.looked_up else 0.0


def requests_of(trace: Trace, full_blocks_only: bool = False, block_tokens: int | None = None) -> list[list[int]]:
    """The block ids of each prompt of a trace, as the replays take them.

    Args:
        trace: one with hash_ids.
        full_blocks_only: leave out the last block of a prompt where its tokens do not fill it, as engines do.
        block_tokens: tokens that one id stands for; None for what the trace says, or else 512, as in Mooncake's.

    Raises:
        LabkitError: the trace has no hash_ids.
    """
    block_tokens = trace.block_tokens or MOONCAKE_BLOCK_TOKENS if block_tokens is None else block_tokens
    block_tokens = whole_number(block_tokens, "block_tokens", at_least=1, error=LabkitError)
    if trace.hash_ids is None:
        raise LabkitError(
            f"The trace {trace.name} does not say which prompts begin alike, but hit ratios need hash_ids: "
            "take a Mooncake trace, or draw one with labkit.simulate.prefix_workload."
        )
    if not full_blocks_only:
        return [ids.tolist() for ids in trace.hash_ids]
    full = (trace.input_tokens // block_tokens).tolist()
    return [ids[:blocks].tolist() for ids, blocks in zip(trace.hash_ids, full, strict=True)]


def replay(requests: Requests, capacity: int | None, policy: Policy = "lru", seed: int = 0) -> HitCount:
    """Plain replay; see the top of this file.

    Args:
        requests: block ids of each request's prompt.
        capacity: blocks that stay cached between two requests, 1 or more; None for as many as come.
        policy: "lru"; "random", over the cached blocks without a cached child; or "belady", which keeps what the next
            requests want first: no policy has more hits in this replay.
        seed: for "random".

    Raises:
        LabkitError: a capacity below 1, or a policy of another name.
    """
    limit = _limit(capacity)
    parents = _parents(requests)
    cache = _order(policy, requests, parents, seed)
    cached: set[int] = set()
    regret = Regret()
    looked_up = hits = evicted = 0

    for now, blocks in enumerate(requests):
        matched = 0
        while matched < len(blocks) and blocks[matched] in cached:
            matched += 1
        looked_up += len(blocks)
        hits += matched
        regret.stored(set(blocks) - cached)
        cached.update(blocks)
        cache.use(blocks, now)
        while len(cached) > limit:
            victim = cache.pop()
            cached.remove(victim)
            regret.removed((victim,))
            evicted += 1
    return HitCount(looked_up, hits, evicted, regret.count)


def demand_replay(requests: Requests, capacity: int | None, policy: Policy = "lru", seed: int = 0) -> HitCount:
    """Demand replay; see the top of this file.

    Args:
        requests: block ids of each request's prompt; their boundaries do not matter here.
        capacity: blocks that can be cached, 1 or more; None for as many as come.
        policy: "lru"; "random", over all cached blocks; or "belady", the bound for every policy in this replay.
        seed: for "random".

    Raises:
        LabkitError: a capacity below 1, or a policy of another name.
    """
    limit = _limit(capacity)
    # One request a block: then nothing has a parent, and "used now" is said block by block.
    references = [[block] for blocks in requests for block in blocks]
    depths = {block: depth for blocks in requests for depth, block in enumerate(blocks)}
    cache = _order(policy, references, {}, seed, depths)
    cached: set[int] = set()
    regret = Regret()
    hits = evicted = 0

    for now, reference in enumerate(references):
        block = reference[0]
        if block in cached:
            hits += 1
        else:
            if len(cached) >= limit:
                # Before the new block comes in: in demand replay it always stays for a while.
                victim = cache.pop()
                cached.remove(victim)
                regret.removed((victim,))
                evicted += 1
            cached.add(block)
            regret.stored((block,))
        cache.use(reference, now)
    return HitCount(len(references), hits, evicted, regret.count)


# ----- in which order blocks leave -----------------------------------------------------------------------------------


class _Order(Protocol):
    def use(self, blocks: Sequence[int], now: int) -> None:
        """Request number `now` has used `blocks`, which are cached from here on."""
        ...

    def pop(self) -> int:
        """The block to evict, forgotten here."""
        ...


class _Lru:
    def __init__(self) -> None:
        self.blocks: OrderedDict[int, None] = OrderedDict()

    def use(self, blocks: Sequence[int], now: int) -> None:
        for block in reversed(blocks):
            self.blocks[block] = None
            self.blocks.move_to_end(block)

    def pop(self) -> int:
        return self.blocks.popitem(last=False)[0]


class _Random:
    """Any block without a cached child, each with the same probability."""

    def __init__(self, parents: dict[int, int], seed: int) -> None:
        self.parents = parents
        self.draw = random.Random(seed).randrange
        self.children: dict[int, int] = {}  # cached block -> cached children
        self.childless: list[int] = []
        self.places: dict[int, int] = {}  # block -> where in `childless`

    def use(self, blocks: Sequence[int], now: int) -> None:
        for block in blocks:
            if block in self.children:
                continue
            self.children[block] = 0
            self._add(block)
            parent = self.parents.get(block)
            if parent is not None:
                self.children[parent] += 1
                if self.children[parent] == 1:
                    self._remove(parent)

    def pop(self) -> int:
        block = self.childless[self.draw(len(self.childless))]
        self._remove(block)
        del self.children[block]
        parent = self.parents.get(block)
        if parent is not None:
            self.children[parent] -= 1
            if not self.children[parent]:
                self._add(parent)
        return block

    def _add(self, block: int) -> None:
        self.places[block] = len(self.childless)
        self.childless.append(block)

    def _remove(self, block: int) -> None:
        place, last = self.places.pop(block), self.childless.pop()
        if last != block:
            self.childless[place] = last
            self.places[last] = place


class _Belady:
    """What is wanted again last; of those wanted in the same request, or never, the deepest."""

    def __init__(self, requests: Requests, depths: dict[int, int] | None) -> None:
        last: dict[int, int] = {}
        self.wanted: list[list[int]] = [[]] * len(requests)  # for each request and block: the request that is next
        for now in range(len(requests) - 1, -1, -1):
            self.wanted[now] = [last.get(block, NEVER) for block in requests[now]]
            for block in requests[now]:
                last[block] = now
        self.depths = depths
        self.when: dict[int, int] = {}  # cached block -> when it is wanted next
        self.heap: list[tuple[int, int, int]] = []

    def use(self, blocks: Sequence[int], now: int) -> None:
        for depth, (block, wanted) in enumerate(zip(blocks, self.wanted[now], strict=True)):
            self.when[block] = wanted
            heapq.heappush(self.heap, (-wanted, -(depth if self.depths is None else self.depths[block]), block))

    def pop(self) -> int:
        while True:
            wanted, _, block = heapq.heappop(self.heap)
            # An entry is out of date once its block has been used again, or evicted.
            if self.when.get(block) == -wanted:
                del self.when[block]
                return block


def _order(
    policy: str, requests: Requests, parents: dict[int, int], seed: int, depths: dict[int, int] | None = None
) -> _Order:
    if policy == "lru":
        return _Lru()
    if policy == "random":
        return _Random(parents, whole_number(seed, "seed", error=LabkitError))
    if policy == "belady":
        return _Belady(requests, depths)
    raise LabkitError(f"The policy is {policy!r}, but must be 'lru', 'random' or 'belady': name one of the three.")


def _parents(requests: Requests) -> dict[int, int]:
    """The block before each block that is not the first of its prompt."""
    parents: dict[int, int] = {}
    for blocks in requests:
        parents.update(zip(blocks[1:], blocks, strict=False))
    return parents


def _limit(capacity: int | None) -> int:
    if capacity is None:
        return NEVER
    return whole_number(capacity, "capacity", at_least=1, error=LabkitError)
