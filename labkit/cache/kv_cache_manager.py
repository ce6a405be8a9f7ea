"""The KV-cache manager: the one face that a scheduler sees.

A scheduler asks four things many times per second: is there room for this prompt, and how much of it is computed
already; is there room for one more token of these sequences; let go of this one; let these two share what they have.
Having no room is an ordinary answer to the first two, so it is a value and never an exception, and after it nothing has
changed.

The manager knows the order of calls and nothing else. A sequence is a `BlockTable` (lesson 05) over the prefix cache,
which is a pool to it (04), counts who holds a block (06), keeps findable what nobody holds (07 and 08) and asks a
policy what goes first (09). `fork` and `append_cow` are those of lesson 06. `labkit.engine` puts all of them together,
yours or the reference. Compare vLLM's `vllm/v1/core/kv_cache_manager.py`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from labkit.cache import copy_on_write
from labkit.cache.base import Allocation, BlockTableLike, Counters, NoRoom, PrefixCache
from labkit.cache.block_table import BlockTable, blocks_needed
from labkit.cache.checks import whole_number
from labkit.cache.tokens import TOKEN_BYTES, salted, token_array, token_bytes, whole_token
from labkit.errors import BlockError, CacheError, PartError, UnknownSequenceError

_EMPTY = array("I")  # the tail of who has written nothing yet: `_write` puts another in its place


class _Sequence:
    """One sequence in memory.

    Its table is told of new tokens only at the edge of a block, or when somebody asks for slots. `room` is how many
    tokens it may write in its last block without asking anybody: what is free there, 0 if others may write there too.
    """

    __slots__ = ("place", "room", "table", "tail")

    def __init__(self, table: BlockTableLike, place: Any, tail: array[int], room: int) -> None:
        self.table = table
        self.place = place  # where it stands in the prefix cache
        self.tail = tail  # the tokens of the last block, as long as it is part filled
        self.room = room


class KVCacheManager:
    """Blocks for sequences, with prefix caching, sharing and copy-on-write.

    Args:
        cache: a fresh prefix cache; it is the pool of the tables.
        block_size: tokens per block, 1 or more.
        table: makes the table of a sequence, from (cache, block_size).
        fork, append_cow: as in `labkit.cache.copy_on_write`.

    Raises:
        CacheError: a bad number, and in the calls bad names. UnknownSequenceError: a sequence is not in memory.
        PartError: in any call, if a part breaks its law. The run is over then: nothing is repaired.
    """

    def __init__(
        self,
        cache: PrefixCache,
        block_size: int = 16,
        *,
        table: Callable[[Any, int], BlockTableLike] = BlockTable,
        fork: Callable[[Any], BlockTableLike] = copy_on_write.fork,
        append_cow: Callable[..., list[tuple[int, int]] | None] = copy_on_write.append_cow,
    ) -> None:
        self.block_size = whole_number(block_size, "block_size", at_least=1, error=CacheError)
        self.cache, self.num_blocks = cache, cache.num_blocks
        self.copies: list[tuple[int, int]] = []
        """Blocks to copy before the next tokens are written, as (source, destination). Take them and clear the list."""
        self.regret: Any = None
        """The meter that watches the cache, if there is one; see `labkit.observe.regret`."""
        self._make_table, self._fork, self._append_cow = table, fork, append_cow
        self._sequences: dict[Hashable, _Sequence] = {}
        self._preempted: dict[Hashable, int] = {}  # tokens they had
        self._batch: list[_Sequence] = []  # who `append_each` was called for last
        self._batch_names: list[Hashable] | None = None  # None if somebody of them has left since
        self._counters = Counters()

    # ----- looking ---------------------------------------------------------------------------------------------

    @property
    def num_free(self) -> int:
        """Blocks that hold nothing."""
        return self.cache.refs.num_free

    @property
    def num_cached(self) -> int:
        """Blocks that nobody holds and whose content is still findable."""
        return self.cache.num_cached

    @property
    def num_held(self) -> int:
        """Blocks that some sequence holds. free + held + cached = num_blocks."""
        return self.num_blocks - self.num_free - self.num_cached

    @property
    def num_available(self) -> int:
        """Blocks that the next request could have: free ones, and cached ones after evicting them."""
        return self.cache.num_free

    @property
    def counters(self) -> Counters:
        """What has happened so far."""
        return replace(
            self._counters,
            blocks_recycled=self.cache.taken - (self.num_blocks - self.num_free),
            cached_blocks_evicted=self.cache.evictions,
            regretted_evictions=None if self.regret is None else self.regret.count,
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
        return list(self._sequence(seq_id).table.blocks)

    def num_tokens(self, seq_id: Hashable) -> int:
        """Tokens that a sequence has slots for."""
        return self._num_tokens(self._sequence(seq_id))

    def contents(self) -> dict[int, Hashable]:
        """The blocks whose content can be found, each with a key of that content; see `PrefixCache.contents`."""
        return self.cache.contents()

    def slots(self, seq_id: Hashable, start: int, stop: int) -> list[int]:
        """The slots of tokens `start` to `stop - 1`; BlockError for tokens that are not there."""
        seq = self._sequence(seq_id)
        start, stop, there = whole_number(start, "start"), whole_number(stop, "stop"), self._num_tokens(seq)
        if not start <= stop <= there:
            raise BlockError(
                f"Tokens {start} to {stop - 1} have no slots, the sequence has {there} tokens: append them first."
            )
        self._tell(seq)
        return seq.table.slots(start, stop)

    def lookup(
        self, prompt: bytes | Iterable[int], *, salt: bytes = b"", extra_keys: Sequence[str | bytes | int] = ()
    ) -> int:
        """How many leading tokens of a prompt are cached, all but one at most. Nothing changes."""
        return self.block_size * len(self._find(token_bytes(prompt), salted(salt, extra_keys)))

    # ----- sequences come, grow and go -------------------------------------------------------------------------

    def allocate(
        self,
        seq_id: Hashable,
        prompt: bytes | Iterable[int],
        *,
        salt: bytes = b"",
        extra_keys: Sequence[str | bytes | int] = (),
        limit: int | None = None,
        gate: Callable[[int, int], bool] = lambda cached, available: True,
    ) -> Allocation | NoRoom:
        """Blocks for a new sequence: cached ones for the prefix that is known, fresh ones for the rest.

        Its full blocks can be found by others from now on, although K and V are still to be computed: whoever hits one
        in the same step must wait for it.

        Args:
            prompt: token ids, one at least, or their bytes (`labkit.cache.tokens`).
            salt, extra_keys: what else must be equal for a hit; see `labkit.cache.tokens.salted`.
            limit: slots for so many tokens beyond the cached ones and no more, a first chunk; `extend` adds the others.
            gate: asked with (cached tokens, blocks available beside them), refuses with False.

        Returns:
            `Allocation`, or the false value `NoRoom`; then nothing has changed.
        """
        self._new_name(seq_id, "free it, or give the new one a name")
        cache, block_size, tokens = self.cache, self.block_size, token_bytes(prompt)
        hit = self._find(tokens, salted(salt, extra_keys))
        known, cached = len(tokens) // TOKEN_BYTES, block_size * len(hit)
        num_tokens = known if limit is None else min(known, cached + limit)
        needed = -(-num_tokens // block_size) - len(hit)
        available = cache.num_free
        if hit:  # what was found is not free for the taking
            available -= cache.num_unheld(hit)
        if needed > available or not gate(cached, available):
            return NoRoom(needed, available, blocks_needed(known, block_size) <= self.num_blocks)
        place = cache.hold(hit)  # before anything is evicted, or it might be what goes
        table = self._make_table(cache, block_size)
        table.blocks, table.num_tokens = [*hit], cached  # as `fork` does: no method of a table takes blocks
        if not table.append(num_tokens - cached):
            raise self._lied(needed)
        self._sequences[seq_id] = seq = _Sequence(table, place, _EMPTY, 0)
        self._write(seq, tokens[TOKEN_BYTES * cached : TOKEN_BYTES * num_tokens])
        self._count(seq_id, known, cached)
        return Allocation(table.blocks, cached)

    def append(self, seq_id: Hashable, token: int) -> bool:
        """A slot for one more token; False, and nothing changed, if there is no room.

        Where the last block is shared, the sequence gets its own and `copies` says what to copy. TokenError: no token.
        """
        seq = self._sequences.get(seq_id) or self._sequence(seq_id)
        room = seq.room
        if room > 1:
            try:
                seq.tail.append(token)
            except (TypeError, OverflowError):
                seq.tail.append(whole_token(token))
            seq.room = room - 1
            return True
        token = whole_token(token)
        if not room and not self._take(seq):
            return False
        self._put(seq, token)
        return True

    def append_each(self, seq_ids: Sequence[Hashable], tokens: bytes | Iterable[int]) -> bool:
        """A slot for one more token of each of many sequences: all of them, or none. There is room exactly where one
        `append` after the other would find it.

        Args:
            tokens: one for each sequence, in the same order. For k tokens each, k times as many, sequence by sequence.

        Raises:
            CacheError: a sequence named twice, or a number of tokens that does not go into them.
        """
        if seq_ids != self._batch_names:  # a batch stays the same for many steps: then it need not be looked up again
            if len(set(seq_ids)) < len(seq_ids):
                raise CacheError("A sequence is named twice in one call: name each once, with all of its tokens.")
            self._batch, self._batch_names = [self._sequence(seq_id) for seq_id in seq_ids], list(seq_ids)
        seqs, new = self._batch, token_array(tokens)
        if len(new) != len(seqs):
            return self._extend(seqs, new.tobytes())
        edge = []
        for seq, token in zip(seqs, new, strict=True):
            room = seq.room
            if room > 1:
                seq.tail.append(token)
                seq.room = room - 1
            else:
                edge.append((seq, token))
        # Those at an edge come last. Should they find no room, which is rare, the others take theirs back.
        at_edge = {seq for seq, _ in edge}
        if edge and not self._make_room(at_edge, 1):
            for seq in seqs:
                if seq not in at_edge:
                    seq.tail.pop()
                    seq.room += 1
            return False
        for seq, token in edge:
            if not seq.room and not self._take(seq):
                raise self._lied(1)
            self._put(seq, token)
        return True

    def extend(self, seq_id: Hashable, tokens: bytes | Iterable[int]) -> bool:
        """Slots for more tokens of one sequence (a chunk of a prompt); False, and nothing changed, if full."""
        return self._extend([self._sequence(seq_id)], token_bytes(tokens))

    def fork(self, parent_id: Hashable, child_id: Hashable) -> None:
        """A second sequence with the same tokens in the same blocks, at the cost of a count a block."""
        parent = self._sequence(parent_id)
        self._new_name(child_id, "give the fork a name of its own")
        self._tell(parent)
        table, place = self._fork(parent.table), self.cache.fork(parent.place)
        parent.room = 0  # neither may write into the last block without asking
        self._sequences[child_id] = _Sequence(table, place, parent.tail[:], 0)
        self._preempted.pop(child_id, None)  # the name stands for another sequence from now on

    def free(self, seq_id: Hashable) -> None:
        """A sequence is finished. What its full blocks hold stays findable until the room is needed."""
        seq = self._sequence(seq_id)
        del self._sequences[seq_id]
        self._batch_names = None
        seq.table.release()
        self.cache.leave(seq.place)

    def preempt(self, seq_id: Hashable, kept: bool = False) -> None:
        """Take the memory of a sequence that is not finished, to be computed again, or `kept` elsewhere.

        It comes back under its name with `allocate`, its prompt being all tokens that it had; or never: `forget` it.
        """
        had = 0 if kept else self.num_tokens(seq_id)
        self.free(seq_id)
        self._preempted[seq_id] = had
        self._counters.preemptions += 1

    def forget(self, seq_id: Hashable) -> None:
        """A preempted sequence does not come back: its user has gone."""
        if self._preempted.pop(seq_id, None) is None:
            raise UnknownSequenceError(f"The sequence {seq_id!r} is not preempted: free it if it is in memory.")

    def reset_prefix_cache(self) -> bool:
        """Forget all contents, because they are wrong from now on: the model's weights have changed, say. False, and
        nothing has changed, while sequences are in memory: what they hold would be wrong as well.
        """
        if self._sequences:
            return False
        self.cache.clear()
        return True

    # ----- inside ----------------------------------------------------------------------------------------------

    def _find(self, tokens: bytes, salt: bytes) -> list[int]:
        """The cached blocks of a prompt. Its last token is computed always: the next one is chosen from its output."""
        if not tokens:
            raise CacheError("The prompt is empty, but must have a token: there is nothing to compute.")
        return self.cache.lookup(tokens, salt, (len(tokens) // TOKEN_BYTES - 1) // self.block_size)

    def _take(self, seq: _Sequence) -> bool:
        """Room for a token in a last block of the sequence's own; False, and nothing changed, if there is none."""
        table = seq.table
        if not seq.tail:
            # All tokens since the table was told last, and the new one.
            if not table.append(len(table.blocks) * self.block_size - table.num_tokens + 1):
                return False
            seq.room = self.block_size
            return True
        self._tell(seq)  # the last block is shared, or was when somebody looked last
        copies = self._append_cow(table, 1)
        if copies is None:
            return False
        self.copies += copies
        seq.room = self.block_size - len(seq.tail)
        return True

    def _put(self, seq: _Sequence, token: int) -> None:
        """As `_write`, for one token, for which there is room."""
        tail = seq.tail
        tail.append(token)
        seq.room -= 1
        if not seq.room:
            self.cache.register(seq.place, tail.tobytes(), seq.table.blocks[-1:])
            del tail[:]

    def _write(self, seq: _Sequence, tokens: bytes) -> None:
        """Tokens into the blocks that are there. A full block never changes from then on, and can be found."""
        size, blocks = self.block_size, seq.table.blocks
        if seq.tail:
            tokens = seq.tail.tobytes() + tokens
        full, used = divmod(len(tokens) // TOKEN_BYTES, size)
        if full:
            end = len(blocks) - (used > 0)
            self.cache.register(seq.place, tokens[: full * size * TOKEN_BYTES], blocks[end - full : end])
        seq.tail = array("I", tokens[full * size * TOKEN_BYTES :])
        seq.room = size - used if used else 0

    def _extend(self, seqs: Sequence[_Sequence], new: bytes) -> bool:
        """The same number of tokens for each sequence."""
        tokens = len(new) // TOKEN_BYTES
        each, left = divmod(tokens, len(seqs)) if seqs else (0, tokens)
        if left:
            raise CacheError(
                f"{tokens} tokens do not go into {len(seqs)} sequences: give the same number for each of them."
            )
        if not self._make_room(seqs, each):
            return False
        for at, seq in enumerate(seqs if each else ()):
            if seq.tail and not seq.room and not self._take(seq):  # others may write there too
                raise self._lied(1)
            table, more = seq.table, each - seq.room
            if more > 0 and not table.append(len(table.blocks) * self.block_size - table.num_tokens + more):
                raise self._lied(blocks_needed(more, self.block_size))
            self._write(seq, new[TOKEN_BYTES * at * each : TOKEN_BYTES * (at + 1) * each])
        return True

    def _make_room(self, seqs: Iterable[_Sequence], each: int) -> bool:
        """Room for so many tokens of each, copies of shared blocks included; False, and nothing changed, if not."""
        needed, size = 0, self.block_size
        shared: list[int] = []
        for seq in seqs:
            used = len(seq.tail)
            needed += -(-(used + each) // size) - (used > 0)
            if used and each and not seq.room:
                shared.append(seq.table.blocks[-1])
        for block, count in Counter(shared).items() if shared else ():
            needed += count - (count == self.cache.count(block))  # the last one to write has the block to itself
        return self.cache.make_room(needed)

    def _tell(self, seq: _Sequence) -> None:
        """Tell the table of the tokens that it has room for and has not heard of."""
        missing = self._num_tokens(seq) - seq.table.num_tokens
        if missing and not seq.table.append(missing):
            raise PartError("BlockTable", f"append({missing}) was refused, though the last block has room for it")

    def _num_tokens(self, seq: _Sequence) -> int:
        used = len(seq.tail)
        return (len(seq.table.blocks) - (used > 0)) * self.block_size + used

    def _count(self, seq_id: Hashable, num_tokens: int, cached: int) -> None:
        counters, had = self._counters, self._preempted.pop(seq_id, None)
        if had is None:
            counters.queried_tokens += num_tokens
            counters.hit_tokens += cached
        else:  # what it finds is its own
            counters.preempted_queried_tokens += num_tokens
            counters.preempted_hit_tokens += cached
            counters.recomputed_tokens += max(0, min(had, num_tokens) - cached)

    def _sequence(self, seq_id: Hashable) -> _Sequence:
        seq = self._sequences.get(seq_id)
        if seq is None:
            raise UnknownSequenceError(f"The sequence {seq_id!r} is not in memory, but must be: allocate it before.")
        return seq

    def _new_name(self, seq_id: Hashable, todo: str) -> None:
        if seq_id in self._sequences:
            raise CacheError(f"The sequence {seq_id!r} is in memory already: {todo}.")

    def _lied(self, blocks: int) -> PartError:
        return PartError("BlockTable", f"append was refused, though {blocks} blocks were there for it")
