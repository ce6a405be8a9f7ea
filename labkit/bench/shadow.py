"""A manager and a plain model of it, side by side: every call goes to both, and the answers must agree.

The model keeps what the manager only keeps track of: the K and V. For each token it writes, into the slot that the
manager named, the whole history that K and V depend on (salt and all tokens up to here, as one number). A cached
block that holds something else, a shared block that somebody wrote into, a stale hit: whatever goes wrong inside shows
as a slot that does not hold what its sequence needs.

`labkit stress cache` and the property tests drive it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from labkit.bench.audit import audit
from labkit.cache.base import NoRoom
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.no_prefix_cache import NoPrefixCache
from labkit.errors import LabkitError


class Broken(AssertionError):
    """The manager and its model disagree, or an invariant does not hold."""


class _Modelled:
    """What the model knows of one sequence: a history for each token, and whether its blocks can be found."""

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        self.tokens: list[int] = []
        self.histories: list[int] = []

    def copy(self) -> _Modelled:
        twin = _Modelled(self.salt)
        twin.tokens, twin.histories = list(self.tokens), list(self.histories)
        return twin


class Shadow:
    """Drives a manager and checks it after every call.

    Args:
        manager: a fresh one.
        thorough: look at every slot of every sequence after each call, and not only of those that it concerned.
    """

    def __init__(self, manager: KVCacheManager, thorough: bool = True) -> None:
        self.manager = manager
        self.thorough = thorough
        self.seqs: dict[Hashable, _Modelled] = {}
        self.preempted: dict[Hashable, _Modelled] = {}
        self.evicted = 0
        self.regretted = 0
        self.named = 0
        """Names given so far by `random_operations`."""
        self._memory: dict[int, int] = {}  # slot -> history
        self._histories: dict[tuple[Any, ...], int] = {}
        self._cached: dict[int, int] = {}  # block -> history of its last token, while its content can be found
        self._contents: Counter[int] = Counter()
        self._beginning: dict[int, int | None] = {}  # history of a full block -> of the block before it
        # While a call appends: tokens of each sequence that the model has seen, blocks held before, and taken since.
        self._growing: dict[Hashable, int] = {}
        self._held: set[int] = set()
        self._taken: set[int] = set()
        self._gone: set[int] = set()  # histories that were evicted and have not come back
        evict = manager.cache.evict

        def watched(n: int) -> list[int]:
            self._catch_up()
            gone = evict(n)
            for block in gone:
                self._forget(block)
            self.evicted += len(gone)
            return gone

        manager.cache.evict = watched  # type: ignore[method-assign]

    # ----- the operations --------------------------------------------------------------------------------------

    def allocate(self, seq_id: Hashable, tokens: Sequence[int], salt: bytes = b"") -> bool:
        """Allocate, and compute what is not cached. A name that was preempted comes back with its own tokens."""
        model = self.preempted.get(seq_id) or _Modelled(salt)
        if not model.tokens:
            self._history(model, tokens)
        tokens = list(model.tokens)
        expected = self._expected_hit(model)
        before = self._state()
        looked = self.manager.lookup(tokens, salt=model.salt)
        self._unchanged(before, "lookup")
        got = self.manager.allocate(seq_id, tokens, salt=model.salt)
        if isinstance(got, NoRoom):
            self._unchanged(before, "allocate, which found no room,")
            needed = -(-len(tokens) // self.manager.block_size) - expected // self.manager.block_size
            self._say(got.needed == needed, f"allocate says it needs {got.needed} blocks; {needed} are missing")
            self._say(got.available < needed, "allocate refused although there was room")
            return False
        cached = got.num_cached_tokens
        self._say(looked == cached, f"lookup found {looked} tokens and allocate {cached}")
        self._say(cached == expected, f"allocate found {cached} tokens, but {expected} are cached")
        for i, block in enumerate(self.manager.blocks(seq_id)[: cached // self.manager.block_size]):
            history = model.histories[(i + 1) * self.manager.block_size - 1]
            self._say(self._cached.get(block) == history, f"block {block} was hit, which is not known to hold it")
        self.preempted.pop(seq_id, None)
        self.seqs[seq_id] = model
        self._compute(seq_id, cached)
        self._register(seq_id, cached, len(tokens))
        self._check(seq_id)
        return True

    def append(self, seq_id: Hashable, token: int) -> bool:
        """One token more."""
        return self._more([seq_id], [[token]], lambda: self.manager.append(seq_id, token))

    def extend(self, seq_id: Hashable, tokens: Sequence[int]) -> bool:
        """Many tokens more."""
        return self._more([seq_id], [list(tokens)], lambda: self.manager.extend(seq_id, tokens))

    def append_each(self, seq_ids: Sequence[Hashable], tokens: Sequence[Sequence[int]]) -> bool:
        """The same number of tokens for each of many sequences, in one call."""
        flat = [token for own in tokens for token in own]
        return self._more(seq_ids, tokens, lambda: self.manager.append_each(seq_ids, flat))

    def fork(self, parent: Hashable, child: Hashable) -> None:
        """A second sequence over the same blocks."""
        self.manager.fork(parent, child)
        self.seqs[child] = self.seqs[parent].copy()
        self._check(child)

    def free(self, seq_id: Hashable) -> None:
        """The sequence is finished."""
        del self.seqs[seq_id]
        self.manager.free(seq_id)
        self._check()

    def preempt(self, seq_id: Hashable) -> None:
        """The sequence is preempted."""
        self.preempted[seq_id] = self.seqs.pop(seq_id)
        self.manager.preempt(seq_id)
        self._check()

    def forget(self, seq_id: Hashable) -> None:
        """The sequence, which is not in memory, does not come back."""
        before = self._state()
        self.manager.forget(seq_id)
        del self.preempted[seq_id]
        self._unchanged(before, "forget")
        self.refuse("forget", seq_id)

    def reset(self) -> bool:
        """The weights have changed."""
        before, evicted = self._state(), self.evicted
        done = self.manager.reset_prefix_cache()
        self.evicted = evicted  # nobody needed the room
        self._say(done == (not self.seqs), "reset_prefix_cache is refused while sequences are in memory, and only then")
        if not done:
            self._unchanged(before, "reset_prefix_cache, which was refused,")
            return False
        for known in (self._cached, self._contents, self._gone):
            known.clear()
        self._say(self.manager.num_free == self.manager.num_blocks, "reset_prefix_cache has left something")
        self._check()
        return True

    def refuse(self, name: str, *args: Any, **kwargs: Any) -> None:
        """A call that must end in one of our errors and change nothing."""
        before = self._state()
        try:
            answer = getattr(self.manager, name)(*args, **kwargs)
        except LabkitError:
            self._unchanged(before, f"{name}, which was refused,")
            return
        raise Broken(f"{name}{args} answered {answer!r} where it had to be refused.")

    def finish(self) -> None:
        """Free everything: the cache must be as empty as at the start."""
        for seq_id in list(self.preempted):
            self.forget(seq_id)
        for seq_id in list(self.seqs):
            self.free(seq_id)
        manager = self.manager
        self._say(manager.num_held == 0, f"{manager.num_held} blocks are still held after everything was freed")
        self._say(manager.num_cached == manager.cache.num_evictable, "nobody holds anything, but not all can go")
        manager.cache.evict(manager.cache.num_evictable)
        self._say(
            manager.num_free == manager.num_blocks,
            f"{manager.num_free} of {manager.num_blocks} blocks are free in an empty cache",
        )
        self._check()

    # ----- the model -------------------------------------------------------------------------------------------

    def _more(self, seq_ids: Sequence[Hashable], tokens: Sequence[Sequence[int]], call: Any) -> bool:
        before = self._state()
        self._held = {block for seq_id in self.seqs for block in self.manager.blocks(seq_id)}
        self._growing = {seq_id: self.manager.num_tokens(seq_id) for seq_id in seq_ids}
        had = dict(self._growing)
        for seq_id, new in zip(seq_ids, tokens, strict=True):
            self._history(self.seqs[seq_id], new)
        served = call()
        if served:
            self._catch_up()
        self._growing.clear()
        if not served:
            for seq_id, count in had.items():
                del self.seqs[seq_id].tokens[count:], self.seqs[seq_id].histories[count:]
            self._unchanged(before, "an append that found no room")
            return False
        for source, destination in self.manager.copies:
            self._put(destination, self._block(source))
        self.manager.copies.clear()
        for seq_id in seq_ids:
            self._compute(seq_id, had[seq_id])
        self._check(*seq_ids)
        return True

    def _catch_up(self) -> None:
        """What has been filled so far in a call that appends, one sequence after the other, can be found."""
        now = {seq_id: self.manager.num_tokens(seq_id) for seq_id in self._growing}
        self._taken = {block for seq_id in now for block in self.manager.blocks(seq_id)} - self._held
        for seq_id, start in list(self._growing.items()):
            self._register(seq_id, start, now[seq_id])
            self._growing[seq_id] = now[seq_id]
        self._taken.clear()

    def _history(self, model: _Modelled, tokens: Sequence[int]) -> None:
        last: Any = model.histories[-1] if model.histories else model.salt
        for token in tokens:
            last = self._histories.setdefault((last, token), len(self._histories))
            model.tokens.append(token)
            model.histories.append(last)

    def _compute(self, seq_id: Hashable, start: int) -> None:
        histories = self.seqs[seq_id].histories
        for slot, history in zip(self.manager.slots(seq_id, start, len(histories)), histories[start:], strict=True):
            self._memory[slot] = history

    def _register(self, seq_id: Hashable, start: int, stop: int) -> None:
        """What a sequence has filled with its tokens `start` to `stop - 1` can be found."""
        if type(self.manager.cache) is NoPrefixCache:
            return
        model, block_size = self.seqs[seq_id], self.manager.block_size
        first = start // block_size
        for i, block in enumerate(self.manager.blocks(seq_id)[first : stop // block_size], first):
            self._held.add(block)
            self._taken.discard(block)
            history = model.histories[(i + 1) * block_size - 1]
            self._beginning[history] = model.histories[i * block_size - 1] if i else None
            self._remember(block, history)

    def _remember(self, block: int, history: int) -> None:
        if block in self._cached:
            return
        if not self.manager.cache.keeps_twins and self._contents[history]:
            # The second copy is private, and gone with its last holder; unless nobody holds the first, which goes then.
            first = next(b for b, known in self._cached.items() if known == history)
            if first not in self._taken and any(first in self.manager.blocks(seq_id) for seq_id in self.seqs):
                return
            del self._cached[first]
            self._contents[history] -= 1
        if history in self._gone:
            self._gone.remove(history)
            self.regretted += 1
        self._cached[block] = history
        self._contents[history] += 1

    def _forget(self, block: int) -> None:
        self._say(block in self._cached, f"block {block} was evicted, but held nothing that could be found")
        history = self._cached.pop(block)
        self._contents[history] -= 1
        if not self._contents[history]:
            del self._contents[history]
            self._gone.add(history)

    def _expected_hit(self, model: _Modelled) -> int:
        block_size = self.manager.block_size
        hit = 0
        while hit + block_size < len(model.histories) and self._contents[model.histories[hit + block_size - 1]]:
            hit += block_size
        return hit

    def _block(self, block: int) -> list[int | None]:
        size = self.manager.block_size
        return [self._memory.get(slot) for slot in range(block * size, (block + 1) * size)]

    def _put(self, block: int, histories: list[int | None]) -> None:
        for offset, history in enumerate(histories):
            if history is not None:
                self._memory[block * self.manager.block_size + offset] = history

    # ----- what must hold --------------------------------------------------------------------------------------

    def _say(self, holds: bool, sentence: str) -> None:
        if not holds:
            raise Broken(sentence[0].upper() + sentence[1:] + ".")

    def _state(self) -> Any:
        manager = self.manager
        state = (manager.num_free, manager.num_cached, manager.num_available, manager.counters, list(manager.copies))
        if self.thorough:
            return *state, {seq_id: (manager.blocks(seq_id), manager.num_tokens(seq_id)) for seq_id in self.seqs}
        return state

    def _unchanged(self, before: Any, what: str) -> None:
        self._say(self._state() == before, f"{what} changed something")

    def _check(self, *touched: Hashable) -> None:
        manager = self.manager
        for seq_id in self.seqs if self.thorough else touched:
            histories = self.seqs[seq_id].histories
            self._say(manager.num_tokens(seq_id) == len(histories), f"{seq_id!r} has a wrong number of tokens")
            self._say(
                len(manager.blocks(seq_id)) == -(-len(histories) // manager.block_size),
                f"{seq_id!r} has more or fewer blocks than its tokens need",
            )
            seen = [self._memory.get(slot) for slot in manager.slots(seq_id, 0, len(histories))]
            if seen != histories:
                at = next(i for i, (a, b) in enumerate(zip(seen, histories, strict=True)) if a != b)
                raise Broken(f"Token {at} of {seq_id!r} reads K and V of another history.")
        if not self.thorough and touched:
            return
        self.audit()

    def audit(self) -> None:
        """The invariants over all of memory."""
        manager = self.manager
        holders = Counter(block for seq_id in self.seqs for block in manager.blocks(seq_id))
        for block in range(manager.num_blocks):
            self._say(
                manager.cache.count(block) == holders[block],
                f"block {block} is in {holders[block]} tables and counted {manager.cache.count(block)} times",
            )
        self._say(manager.num_held == len(holders), f"{len(holders)} blocks are held, num_held is {manager.num_held}")
        kept = sum(not holders[block] for block in self._cached)
        self._say(manager.num_cached == kept, f"{kept} blocks are cached, num_cached is {manager.num_cached}")
        self._say(set(self._cached) == set(manager.contents()), "other blocks are findable than should be")
        for history in self._contents:
            before = self._beginning[history]
            self._say(before is None or before in self._contents, "a content has outlived its beginning")
        counters = manager.counters
        self._say(counters.cached_blocks_evicted == self.evicted, "the evictions are not counted right")
        if manager.regret is not None:
            self._say(
                counters.regretted_evictions == self.regretted,
                f"{self.regretted} evictions were regretted, {counters.regretted_evictions} are counted",
            )
        audit(manager.cache)


def random_operations(shadow: Shadow, rng: random.Random, count: int, tokens: int = 3, longest: int = 24) -> int:
    """Drive a shadow with `count` random operations; returns how many of them were served."""
    served = 0
    block_size = shadow.manager.block_size
    for _ in range(count):
        names = list(shadow.seqs)
        roll = rng.random()
        seq_id = rng.choice(names) if names else None
        if seq_id is None or roll < 0.16:
            if shadow.preempted and rng.random() < 0.5:
                name, prompt = rng.choice(list(shadow.preempted)), []
            else:
                name, shadow.named = f"s{shadow.named}", shadow.named + 1
                prompt = [rng.randrange(tokens) for _ in range(rng.randint(1, longest))]
            served += shadow.allocate(name, prompt, rng.choice([b"", b"", b"", b"\x00", b"tenant"]))
        elif roll < 0.45:
            served += shadow.append(seq_id, rng.randrange(tokens))
        elif roll < 0.63:
            chosen = rng.sample(names, rng.randint(1, len(names)))
            each = rng.choice([1, 1, 1, 2, block_size])
            served += shadow.append_each(chosen, [[rng.randrange(tokens) for _ in range(each)] for _ in chosen])
        elif roll < 0.68:
            served += shadow.extend(seq_id, [rng.randrange(tokens) for _ in range(rng.randint(0, 2 * block_size + 1))])
        elif roll < 0.78:
            shadow.fork(seq_id, f"s{shadow.named}")
            shadow.named, served = shadow.named + 1, served + 1
        elif roll < 0.90:
            shadow.free(seq_id)
            served += 1
        elif roll < 0.93:
            shadow.preempt(seq_id)
            served += 1
        elif roll < 0.95 and shadow.preempted:
            shadow.forget(rng.choice(list(shadow.preempted)))
            served += 1
        elif roll < 0.96:
            if roll < 0.952:  # else it is refused
                for name in names:
                    shadow.free(name)
            served += shadow.reset()
        else:
            shadow.refuse("allocate", seq_id, [1])
            shadow.refuse("append", "nobody", 1)
            shadow.refuse("append", seq_id, rng.choice([-1, 2**32, 1.5, None]))
            shadow.refuse("append_each", [seq_id, seq_id], [1, 2])
            shadow.refuse("free", "nobody")
            shadow.refuse("forget", seq_id)
            shadow.refuse("fork", "nobody", "child")
            shadow.refuse("fork", seq_id, seq_id)
    return served
