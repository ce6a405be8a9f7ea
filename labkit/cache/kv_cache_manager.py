"""The KV-cache manager: the one face that a scheduler sees.

A scheduler asks four things many times a second: is there room for this prompt, and how much of it is
computed already; is there room for one more token of these sequences; let go of this one; let these two share
what they have. Having no room is an ordinary answer to the first two, so it is a value and never an
exception, and after it nothing has changed.

The manager adds nothing to the parts below it but their order of calls: the pool hands out blocks (lesson
04), the block table says where tokens lie (05), counts say who holds a block (06), a prefix cache keeps
findable what nobody holds (07 and 08), a policy says what goes first (09). Compare vLLM's
`vllm/v1/core/kv_cache_manager.py`.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from labkit.cache.allocation import Allocation, Counters, NoRoom
from labkit.cache.block_pool import BlockPool
from labkit.cache.block_table import blocks_needed, slot_mapping
from labkit.cache.checks import whole_number
from labkit.cache.eviction import EvictionPolicy
from labkit.cache.guarded_policy import guarded
from labkit.cache.prefix_cache import PrefixCache
from labkit.cache.prefix_cache_maker import make_prefix_cache
from labkit.cache.protocols import BlockPoolLike
from labkit.cache.ref_counts import RefCounts
from labkit.cache.swap import SwapPool
from labkit.cache.tokens import BLOCK_ID_BYTES, TOKEN_BYTES, block_id_bytes, salted, token_bytes, whole_token
from labkit.errors import BlockError, CacheError, UnknownSequenceError


class _Sequence:
    """One sequence in memory.

    `room` is how many tokens can be appended without asking anybody: the free slots of the last block if this
    sequence alone may write there, else 0. It is what makes an append cheap.
    """

    __slots__ = ("blocks", "chain", "keyed", "room", "tail")

    def __init__(self, blocks: list[int], chain: Any, tail: array, room: int, keyed: bool = True) -> None:
        self.blocks = blocks
        self.chain = chain
        self.tail = tail  # the tokens of the last block, as long as it is part filled
        self.room = room
        self.keyed = keyed  # whether what fills up next can be found again: its tokens are known


class KVCacheManager:
    """Blocks for sequences, with prefix caching, sharing and copy-on-write.

    Args:
        num_blocks: blocks of KV memory, 1 or more.
        block_size: tokens a block, 1 or more.
        prefix_cache: "hash", "radix", None for no caching, or a function (refs, page_bytes, policy) -> PrefixCache.
        policy: who is evicted first; least recently used by default.
        pool, counts: other parts in place of `BlockPool(num_blocks)` and `RefCounts`, for instance yours. The pool has
            num_blocks blocks, and all of them are free.
        keyed_by: "tokens", or "blocks" for a trace that names its blocks and not its tokens.
        null_block: take one block out for good, for positions that need no memory (as vLLM does for a sliding
            window); its id is then in `null_block`.
        swap_pool: host memory for sequences that are swapped out; see `labkit.cache.swap`.

    Raises:
        CacheError: numbers or parts that make no sense. PolicyError: the policy is none.

    Where a policy of yours raises anything when it is told what happens, the call is carried out. `free` and `release`
    then raise PolicyError at their end; the others, whose answers are needed, leave that to the next call that could be
    refused, which is. What a policy raises in `evict` refuses the call at once. So after a PolicyError of any call but
    those two nothing has changed, but for what was evicted for it.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int = 16,
        *,
        prefix_cache: str | Callable[..., PrefixCache] | None = "hash",
        policy: EvictionPolicy | None = None,
        pool: BlockPoolLike | None = None,
        counts: Callable[[BlockPoolLike], RefCounts] = RefCounts,
        keyed_by: str = "tokens",
        null_block: bool = False,
        swap_pool: SwapPool | None = None,
    ) -> None:
        if not isinstance(null_block, bool):
            raise CacheError(f"null_block is {null_block!r:.60}, but must be True or False: choose one.")
        self.num_blocks = whole_number(num_blocks, "num_blocks", at_least=1 + null_block, error=CacheError)
        self.block_size = whole_number(block_size, "block_size", at_least=1, error=CacheError)
        if keyed_by not in ("tokens", "blocks"):
            raise CacheError(f'keyed_by is {keyed_by!r}, but must be "tokens" or "blocks": say what prompts are.')
        self.keyed_by = keyed_by
        page_bytes = TOKEN_BYTES * self.block_size if keyed_by == "tokens" else BLOCK_ID_BYTES
        if swap_pool is not None and not isinstance(swap_pool, SwapPool):
            raise CacheError(f"swap_pool is {swap_pool!r:.60}, but must be a SwapPool or None: pass one of them.")
        if not callable(counts):
            raise CacheError(f"counts is {counts!r:.60}, but must be called with a pool: pass a class like RefCounts.")
        self.refs = counts(BlockPool(self.num_blocks) if pool is None else self._checked_pool(pool))
        self._policy = None if policy is None else guarded(policy)
        self.cache = make_prefix_cache(prefix_cache, self.refs, page_bytes, self._policy)
        self.swap_pool = swap_pool
        self.copies: list[tuple[int, int]] = []
        """Blocks to copy before the next tokens are written, as (source, destination). Take them and clear the list."""
        reserved = self.refs.allocate(1) if null_block else None
        self.null_block: int | None = reserved[0] if reserved else None
        self._sequences: dict[Hashable, _Sequence] = {}
        self._swapped: dict[Hashable, _Sequence] = {}
        self._preempted: dict[Hashable, int] = {}  # tokens they had
        self._batch: list[_Sequence] = []  # who `append_each` was called for last
        self._batch_names: list[Hashable] | None = None  # None if somebody of them has left since
        self._taken = 0
        self._counters = Counters()

    # ----- looking ---------------------------------------------------------------------------------------------

    @property
    def num_free(self) -> int:
        """Blocks that hold nothing."""
        return self.refs.num_free

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds and whose content is still findable."""
        return self.cache.num_cached

    @property
    def num_held(self) -> int:
        """Blocks that some sequence holds. free + held + cached + null = num_blocks."""
        return self.num_blocks - self.num_free - self.num_cached - (self.null_block is not None)

    @property
    def num_available(self) -> int:
        """Blocks that the next request could have: free ones, and cached ones after evicting them."""
        return self.refs.num_free + self.cache.num_evictable

    @property
    def counters(self) -> Counters:
        """What has happened so far."""
        out = self.num_blocks - self.refs.num_free - (self.null_block is not None)
        return replace(
            self._counters,
            blocks_recycled=self._taken - out,
            cached_blocks_evicted=self.cache.evictions,
            regretted_evictions=self.cache.regrets,
        )

    def __contains__(self, seq_id: Hashable) -> bool:
        return seq_id in self._sequences

    def __len__(self) -> int:
        return len(self._sequences)

    def sequences(self) -> list[Hashable]:
        """Who is in memory, in the order of allocation."""
        return list(self._sequences)

    def blocks(self, seq_id: Hashable) -> list[int]:
        """The blocks of a sequence in logical order, a copy."""
        return list(self._sequence(seq_id).blocks)

    def num_tokens(self, seq_id: Hashable) -> int:
        """Tokens that a sequence has slots for."""
        return self._num_tokens(self._sequence(seq_id))

    def slots(self, seq_id: Hashable, start: int, stop: int) -> list[int]:
        """The slots of tokens `start` to `stop - 1`; BlockError for tokens that are not there."""
        seq = self._sequence(seq_id)
        if whole_number(stop, "stop") > self._num_tokens(seq):
            raise BlockError(
                f"Token {stop - 1} has no slot, the sequence has {self._num_tokens(seq)} tokens: append it first."
            )
        return slot_mapping(seq.blocks, start, stop, self.block_size)

    def can_ever_fit(self, num_tokens: int) -> bool:
        """Whether an empty cache would have room for a sequence of so many tokens."""
        return blocks_needed(num_tokens, self.block_size) <= self.num_blocks - (self.null_block is not None)

    def lookup(self, prompt: Sequence[int] | bytes, *, salt: bytes = b"", extra_keys: Sequence[Any] = (),
               num_tokens: int | None = None) -> int:
        """How many leading tokens of a prompt are cached, all but one at most. Nothing changes."""
        data, num_tokens = self._prompt(prompt, num_tokens)
        chain = self.cache.chain(data, salted(salt, extra_keys))
        return self.block_size * len(self.cache.lookup(chain, (num_tokens - 1) // self.block_size))

    # ----- sequences come, grow and go -------------------------------------------------------------------------

    def allocate(self, seq_id: Hashable, prompt: Sequence[int] | bytes, *, salt: bytes = b"",
                 extra_keys: Sequence[Any] = (), num_tokens: int | None = None) -> Allocation | NoRoom:
        """Blocks for a new sequence: cached ones for the prefix that is known, fresh ones for the rest.

        Its full blocks can be found by others from now on, although the K and V in them are still to be computed:
        whoever hits one in the same step must wait for it.

        Args:
            seq_id: any hashable name that is not in use.
            prompt: token ids, or their bytes (`labkit.cache.tokens`); with keyed_by="blocks", the ids of its full
                blocks (one of a part-filled block at the end is left out).
            salt, extra_keys: what else must be equal for a hit; see `labkit.cache.tokens.salted`.
            num_tokens: with keyed_by="blocks", how many tokens the prompt has.

        Returns:
            `Allocation`, or the false value `NoRoom`; then nothing has changed.

        Raises:
            CacheError: the name is in use, or there is no token. TokenError: an id that cannot be.
        """
        self._hear_policy()
        self._new_name(seq_id, "free it, or give the new one a name")
        data, num_tokens = self._prompt(prompt, num_tokens)
        block_size, cache = self.block_size, self.cache
        chain = cache.chain(data, salted(salt, extra_keys))
        # The last token is computed even if it is cached: its output is what the next token is chosen from.
        hit = cache.lookup(chain, (num_tokens - 1) // block_size)
        full, rest = divmod(num_tokens, block_size)
        needed = full + (rest > 0) - len(hit)
        # What was found is not free for the taking.
        available = self.num_available - cache.num_unheld(hit)
        if needed > available:
            return NoRoom(needed, available, self.can_ever_fit(num_tokens))
        blocks = hit + self._take_behind(chain, hit, needed)
        cache.register(chain, blocks, full)
        tail = array("I", bytes(TOKEN_BYTES * rest)) if self.keyed_by == "blocks" else _tail(data, rest)
        self._sequences[seq_id] = _Sequence(
            blocks, chain, tail, block_size - rest if rest else 0, self.keyed_by == "tokens"
        )
        counters, cached = self._counters, block_size * len(hit)
        counters.queried_tokens += num_tokens
        counters.hit_tokens += cached
        if seq_id in self._preempted:
            counters.recomputed_tokens += max(0, min(self._preempted.pop(seq_id), num_tokens) - cached)
        return Allocation(blocks, cached)

    def append(self, seq_id: Hashable, token: int) -> bool:
        """A slot for one more token; False, and nothing changed, if there is no room.

        Where the last block is shared, the sequence gets its own and `copies` says what to copy.

        Raises:
            UnknownSequenceError: no such sequence. TokenError: an id that cannot be.
        """
        try:
            seq = self._sequences[seq_id]
        except (KeyError, TypeError):
            raise self._unknown(seq_id) from None
        room = seq.room
        if room > 1:
            try:
                seq.tail.append(token)
            except (TypeError, OverflowError):
                seq.tail.append(whole_token(token))
            seq.room = room - 1
            return True
        token = whole_token(token)
        if not room and seq.tail:
            return self._append([(seq, token)])  # the block is shared, or was
        self._hear_policy()
        if room:
            seq.room = 0
        else:
            fresh = self._take(1)
            if fresh is None:
                return False
            seq.blocks += fresh
            seq.room = self.block_size - 1
        seq.tail.append(token)
        if not seq.room:
            self._fill(seq)
        return True

    def append_each(self, seq_ids: Sequence[Hashable], tokens: Sequence[int]) -> bool:
        """A slot for one more token of each of many sequences: all of them, or none.

        Only those that come to the edge of a block cost more than a step of a loop.

        Args:
            tokens: one for each sequence, in the same order. For k tokens each, k times as many: all of the first
                sequence, then all of the second, ...

        Raises:
            CacheError: a sequence named twice, or a number of tokens that does not go into them.
        """
        # A batch stays the same for many steps, and then it need not be looked up again.
        try:
            same = type(seq_ids) is list and seq_ids == self._batch_names
        except Exception:  # somebody's name cannot be compared; an array, perhaps
            same = False
        if not same:
            names = seq_ids if type(seq_ids) is list else self._listed(seq_ids)
            self._batch, self._batch_names = self._all_different(names), list(names)
        seqs = self._batch
        try:
            new = array("I", tokens if type(tokens) is list else token_bytes(tokens))
        except (TypeError, OverflowError, ValueError):
            new = array("I", token_bytes(tokens))
        if len(new) != len(seqs):
            return self._extend(seqs, self._shares(seqs, new))
        edge = []
        for seq, token in zip(seqs, new, strict=True):
            if seq.room > 1:
                seq.tail.append(token)
                seq.room -= 1
            else:
                edge.append((seq, token))
        # Those at an edge come last, all at once. Should they find no room, which is rare, the others take theirs back.
        served = False
        try:
            served = not edge or self._append(edge)
        finally:
            if not served:
                refused = {id(seq) for seq, _ in edge}
                for seq in seqs:
                    if id(seq) not in refused:
                        seq.tail.pop()
                        seq.room += 1
        return served

    def extend(self, seq_id: Hashable, tokens: Sequence[int] | bytes) -> bool:
        """Slots for many more tokens of one sequence (a chunk of a prompt, say); False, and nothing changed, if there
        is no room.
        """
        return self._extend([self._sequence(seq_id)], [array("I", token_bytes(tokens))])

    def grow(self, seq_id: Hashable, n: int = 1) -> bool:
        """As `extend`, for `n` tokens that are not known (a trace without tokens). What they fill is never found."""
        seq = self._sequence(seq_id)
        n = whole_number(n, "n", error=CacheError)
        if n > self.block_size * (1 + self.num_available):
            return False  # whatever is free at the end of the last block
        keyed, grown = seq.keyed, False
        seq.keyed = False
        try:
            grown = self._extend([seq], [array("I", bytes(TOKEN_BYTES * n))])
        finally:
            seq.keyed = keyed and not (grown and n)
        return grown

    def fork(self, parent_id: Hashable, child_id: Hashable) -> None:
        """A second sequence with the same tokens in the same blocks, at the cost of a count a block.

        Raises:
            UnknownSequenceError: the parent is not in memory, for instance because it has finished.
            CacheError: the child's name is in use.
        """
        parent = self._sequence(parent_id)
        self._new_name(child_id, "give the fork a name of its own")
        chain = self.cache.fork(parent.chain, parent.blocks)
        self._preempted.pop(child_id, None)  # the name stands for another sequence from now on
        parent.room = 0  # neither may write into the last block without asking
        self._sequences[child_id] = _Sequence(list(parent.blocks), chain, parent.tail[:], 0, parent.keyed)

    def free(self, seq_id: Hashable) -> None:
        """A sequence is finished. What its full blocks hold stays findable until the room is needed."""
        self._leaves(seq_id, self._sequence(seq_id))
        self._hear_policy()

    def release(self, seq_id: Hashable) -> None:
        """Take the memory of a sequence that is not finished (preemption by recomputation).

        It comes back under the same name with `allocate`, its prompt then being all tokens that it had; or never, and
        then `forget` it.
        """
        seq = self._sequence(seq_id)
        self._preempted[seq_id] = self._num_tokens(seq)
        self._counters.preemptions += 1
        self._leaves(seq_id, seq)
        self._hear_policy()

    def swap_out(self, seq_id: Hashable) -> list[tuple[int, int]] | None:
        """Move a sequence to host memory and give up its blocks.

        Returns:
            The copies to make now, before anything else is written: (block, host block). None if the swap pool has no
            room; then nothing has changed.

        Raises:
            CacheError: the manager has no swap pool.
        """
        self._hear_policy()
        seq = self._sequence(seq_id)
        host = self._swap_pool().store(seq_id, len(seq.blocks))
        if host is None:
            return None
        self._swapped[seq_id] = seq
        self._leaves(seq_id, seq)
        return list(zip(seq.blocks, host, strict=True))

    def swap_in(self, seq_id: Hashable) -> list[tuple[int, int]] | None:
        """Bring a sequence back. What is still cached of it is used where it lies.

        Returns:
            The copies to make before it goes on: (host block, block). None if there is no room; then nothing has
            changed.

        Raises:
            UnknownSequenceError: it is not swapped out.
        """
        swap_pool = self._swap_pool()
        if not _hashable(seq_id) or seq_id not in self._swapped:
            raise UnknownSequenceError(f"The sequence {seq_id!r} is not swapped out: swap it out before.")
        self._hear_policy()
        seq, host = self._swapped[seq_id], swap_pool.blocks(seq_id)  # before anything is taken: they might be gone
        hit = self.cache.lookup(seq.chain, len(seq.blocks))
        needed = len(seq.blocks) - len(hit)
        if needed > self.num_available - self.cache.num_unheld(hit):
            return None
        fresh = self._take_behind(seq.chain, hit, needed)
        swap_pool.take(seq_id)
        copies = list(zip(host[len(hit) :], fresh, strict=True))
        seq.blocks = hit + fresh
        self.cache.register(seq.chain, seq.blocks, self.cache.num_pages(seq.chain))
        seq.room = self.block_size - len(seq.tail) if seq.tail else 0
        self._sequences[seq_id] = self._swapped.pop(seq_id)
        return copies

    def forget(self, seq_id: Hashable) -> None:
        """Give up a sequence that is not in memory: one that was preempted or swapped out, and whose user has gone.

        Its host blocks are free again. What its full blocks hold stays findable, as after `free`.

        Raises:
            UnknownSequenceError: it is neither preempted nor swapped out, for instance because it is in memory.
        """
        if _hashable(seq_id) and seq_id in self._swapped:
            self._swap_pool().discard(seq_id)
            del self._swapped[seq_id]
        elif _hashable(seq_id) and seq_id in self._preempted:
            del self._preempted[seq_id]
        else:
            raise UnknownSequenceError(
                f"The sequence {seq_id!r:.60} is neither preempted nor swapped out, so there is nothing of it to give "
                "up: free it if it is in memory."
            )

    # ----- inside ----------------------------------------------------------------------------------------------

    def _checked_pool(self, pool: BlockPoolLike) -> BlockPoolLike:
        blocks, free = getattr(pool, "num_blocks", None), getattr(pool, "num_free", None)
        if not blocks == free == self.num_blocks:
            raise CacheError(
                f"The pool has {blocks} blocks, {free} of them free, but the manager was asked for {self.num_blocks}: "
                "give it a fresh pool of as many."
            )
        return pool

    def _leaves(self, seq_id: Hashable, seq: _Sequence) -> None:
        """A sequence lets go of its blocks."""
        del self._sequences[seq_id]
        self._batch_names = None
        self.cache.release(seq.chain, seq.blocks)

    def _hear_policy(self) -> None:
        """Raise what a policy has raised when it was told something; only where nothing is half done."""
        if self._policy is not None:
            self._policy.raise_failure()

    def _only_one_error(self) -> None:
        """A call is being refused: what a policy has raised besides is not to be raised by another call."""
        if self._policy is not None:
            self._policy.failure = None

    def _take(self, n: int) -> list[int] | None:
        """`n` blocks, evicting what must be; None, and nothing changed, if there are fewer."""
        missing = n - self.refs.num_free
        if missing > 0:
            if missing > self.cache.num_evictable:
                return None
            try:
                self.cache.evict(missing)
            except BaseException:
                self._only_one_error()
                raise
        taken = self.refs.allocate(n)
        self._taken += n
        return taken

    def _take_behind(self, chain: Any, hit: list[int], n: int) -> list[int]:
        """Hold a hit, and `n` blocks more, for which there is room."""
        self.cache.hold(chain, hit)  # before anything is evicted, or it might be what goes
        try:
            fresh = self._take(n)
            if fresh is None:
                raise CacheError(
                    f"{type(self.cache).__name__} has fewer blocks to evict than it said: mend its num_unheld."
                )
            return fresh
        except BaseException:  # the cache or its policy has failed
            self.cache.release(chain, hit)
            self._only_one_error()
            raise

    def _append(self, pairs: Sequence[tuple[_Sequence, int]]) -> bool:
        """One token for each sequence; every one of them fills its last block or has no room in it."""
        self._hear_policy()
        last = self.block_size - 1
        without = [seq for seq, _ in pairs if not seq.room]
        shared = [seq.blocks[-1] for seq in without if seq.tail]  # or were, when somebody looked last
        fresh = self._take(len(without) - len(shared) + (self._copies_for(Counter(shared)) if shared else 0))
        if fresh is None:
            return False
        next_block = iter(fresh)
        for seq, token in pairs:
            if seq.room:
                seq.room = 0
            elif not seq.tail:
                seq.blocks.append(next(next_block))
                seq.room = last
            else:
                self._own_last(seq, next_block)
                seq.room -= 1
            seq.tail.append(token)
            if not seq.room:
                self._fill(seq)
        return True

    def _extend(self, seqs: Sequence[_Sequence], more: Sequence[array]) -> bool:
        """Any number of tokens for each sequence."""
        self._hear_policy()
        block_size = self.block_size
        needed = 0
        sharers: dict[int, int] = {}
        for seq, new in zip(seqs, more, strict=True):
            used = len(seq.tail)
            needed += blocks_needed(used + len(new), block_size) - (used > 0)
            if used and new and not seq.room:
                sharers[seq.blocks[-1]] = sharers.get(seq.blocks[-1], 0) + 1
        taken = self._take(needed + self._copies_for(sharers))
        if taken is None:
            return False
        fresh = iter(taken)
        for seq, new in zip(seqs, more, strict=True):
            if new and seq.tail and not seq.room:
                self._own_last(seq, fresh)
            done = 0
            while done < len(new):
                if not seq.tail:
                    seq.blocks.append(next(fresh))
                    seq.room = block_size
                part = new[done : done + seq.room]
                done += len(part)
                seq.tail.extend(part)
                seq.room -= len(part)
                if not seq.room:
                    self._fill(seq)
        return True

    def _copies_for(self, sharers: dict[int, int]) -> int:
        """Blocks that copy-on-write will take; `sharers`: of each shared block, how many holders are about to write."""
        copies = 0
        for block, writers in sharers.items():
            holders = self.refs.count(block)
            copies += writers - (writers == holders)  # the last one to write has the block to itself
        return copies

    def _own_last(self, seq: _Sequence, fresh: Iterator[int]) -> None:
        """Make the part-filled last block the sequence's own, by a copy if somebody else holds it too."""
        shared = seq.blocks[-1]
        if self.refs.count(shared) > 1:
            own = next(fresh)
            seq.blocks[-1] = own
            self.refs.drop([shared])
            self.copies.append((shared, own))
        seq.room = self.block_size - len(seq.tail)

    def _fill(self, seq: _Sequence) -> None:
        """The last block is full: from now on it never changes and can be found."""
        if seq.keyed:
            self.cache.push(seq.chain, _bytes(seq.tail), seq.blocks)
        del seq.tail[:]

    def _swap_pool(self) -> SwapPool:
        if self.swap_pool is None:
            raise CacheError("The manager has no host memory to swap to: make it with swap_pool=SwapPool(num_blocks).")
        return self.swap_pool

    def _num_tokens(self, seq: _Sequence) -> int:
        used = len(seq.tail)
        return (len(seq.blocks) - (used > 0)) * self.block_size + used

    def _sequence(self, seq_id: Hashable) -> _Sequence:
        try:
            return self._sequences[seq_id]
        except (KeyError, TypeError):
            raise self._unknown(seq_id) from None

    def _new_name(self, seq_id: Hashable, todo: str) -> None:
        try:
            used = seq_id in self._sequences or seq_id in self._swapped
        except TypeError:
            raise CacheError(f"A sequence cannot be called {seq_id!r:.60}, which has no hash: name it by a number or a "
                             "string.") from None
        if used:
            raise CacheError(f"The sequence {seq_id!r} is in memory already: {todo}.")

    def _unknown(self, seq_id: Hashable) -> UnknownSequenceError:
        if not _hashable(seq_id):
            return UnknownSequenceError(
                f"No sequence is called {seq_id!r:.60}, which has no hash: name one that was allocated."
            )
        what = "is swapped out" if seq_id in self._swapped else "is not in memory"
        todo = "swap it in" if seq_id in self._swapped else "allocate it"
        return UnknownSequenceError(f"The sequence {seq_id!r} {what}, but must be: {todo} before using it.")

    def _prompt(self, prompt: Sequence[int] | bytes, num_tokens: int | None) -> tuple[bytes, int]:
        if self.keyed_by == "tokens":
            data = token_bytes(prompt)
            if not data:
                raise CacheError("The prompt is empty, but must have a token: there is nothing to compute.")
            length = len(data) // TOKEN_BYTES
            if num_tokens is not None and whole_number(num_tokens, "num_tokens", error=CacheError) != length:
                raise CacheError(
                    f"num_tokens is {num_tokens}, but the prompt has {length} tokens: leave it out, tokens say it."
                )
            return data, length
        data = block_id_bytes(prompt)
        num_tokens = whole_number(num_tokens, "num_tokens", at_least=1, error=CacheError)
        full = num_tokens // self.block_size
        if not full <= len(data) // BLOCK_ID_BYTES <= full + 1:
            raise CacheError(
                f"{num_tokens} tokens fill {full} blocks of {self.block_size}, but {len(data) // BLOCK_ID_BYTES} block "
                "ids were given: give one for each full block, and one more at most for the rest."
            )
        return data[: full * BLOCK_ID_BYTES], num_tokens

    def _all_different(self, seq_ids: list[Hashable]) -> list[_Sequence]:
        """The sequences of these names, of which none may stand there twice."""
        try:
            known = self._sequences
            seqs = list(map(known.__getitem__, seq_ids))
            if len(set(seq_ids)) < len(seqs):
                raise CacheError("A sequence is named twice in one call: name each once, with all of its tokens.")
        except KeyError as error:
            raise self._unknown(error.args[0]) from None
        except TypeError:
            raise self._unknown(next(name for name in seq_ids if not _hashable(name))) from None
        return seqs

    def _listed(self, seq_ids: object) -> list[Hashable]:
        """The names of an `append_each`, whatever they stand in."""
        try:
            return list(seq_ids)  # type: ignore[call-overload]
        except TypeError:
            raise CacheError(f"seq_ids is {seq_ids!r:.60}, but must be several names: pass a list of them.") from None

    def _shares(self, seqs: Sequence[_Sequence], new: array) -> list[array]:
        each, left = divmod(len(new), len(seqs)) if seqs else (0, len(new))
        if left:
            raise CacheError(
                f"{len(new)} tokens do not go into {len(seqs)} sequences: give the same number for each of them."
            )
        return [new[i * each : (i + 1) * each] for i in range(len(seqs))]


def _hashable(name: object) -> bool:
    try:
        hash(name)
    except TypeError:
        return False
    return True


def _tail(data: bytes, tokens: int) -> array:
    """The last `tokens` tokens."""
    tail = array("I")
    if tokens:
        tail.frombytes(data[-TOKEN_BYTES * tokens :])
        if sys.byteorder == "big":
            tail.byteswap()
    return tail


# Tokens are kept little endian; on nearly every machine an array already is.
_bytes: Callable[[array], bytes] = array.tobytes if sys.byteorder == "little" else token_bytes
