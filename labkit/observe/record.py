"""Proxies that watch a part through its public methods and write down what happened.

Code that allocates should not also have to log. So a pool, a table or a contiguous allocator is
wrapped, and the wrapper derives the events (`labkit.observe.events`) and the sentence under the picture
from what went in and what came out:

    log = EventLog(num_blocks=8, block_size=4)
    pool = RecordingPool(BlockPool(8), log)
    a = RecordingTable(BlockTable(pool, 4), log, "A")
    a.append(5)         # step 0: ALLOCATE 0, ALLOCATE 1, FILL 0 (4 tokens), FILL 1 (1 token)

A proxy never looks at a private name, never changes an argument, a result or an exception, and does not
mind a part that answers nonsense: what cannot be read as a block id is logged as block -1.
"""

from __future__ import annotations

import operator
import reprlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from labkit.observe.events import NULL_LOG, EventLog, Kind

COLLECTIONS = (list, tuple, set, frozenset, deque, range, np.ndarray)
"""What may be read without using it up; a generator that a part returns is handed on unread."""

INT32_MAX = 2**31 - 1

_REPR = reprlib.Repr()  # cuts what is long: a label is one line
_REPR.maxlist = _REPR.maxtuple = _REPR.maxset = 12


@dataclass
class _TableCall:
    """What recorded pools saw while one table was at work; the table's proxy turns it into events."""

    seq: str
    pool_calls: int = 0
    taken: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    refusals: list[tuple[int, int | None]] = field(default_factory=list)  # (blocks wanted, blocks free)


# A table calls its pool, and both may be recorded on one log. The block was handed out once, so it is
# logged once: while a table is at work its pool reports here instead, because only the table knows the
# sequence and the logical index.
_at_work: WeakKeyDictionary[EventLog, _TableCall] = WeakKeyDictionary()


class RecordingPool:
    """A block pool that logs ALLOCATE, FREE and REFUSE; otherwise the pool it wraps.

    Args:
        pool: any object with the methods of `labkit.cache.protocols.BlockPoolLike`. log: where to.
        owner: the sequence for which blocks are taken through this proxy, "" for nobody in particular.
        Two proxies
            with two owners may wrap one pool. A `RecordingTable` names its own sequence, so its pool
            needs no owner.
    """

    def __init__(self, pool: Any, log: EventLog, owner: str = "") -> None:
        self._inner = pool
        self._log = log
        self.owner = owner

    @property
    def num_blocks(self) -> int:
        return self._inner.num_blocks

    @property
    def num_free(self) -> int:
        return self._inner.num_free

    def allocate(self, *args: Any, **kwargs: Any) -> Any:
        """As the pool's own, recorded."""
        if self._log is NULL_LOG:
            return self._inner.allocate(*args, **kwargs)
        table = _at_work.get(self._log)
        call = _call("allocate", args, kwargs) + (f" for {self.owner}" if self.owner else "")
        with _Step(self._log, call, nested=table is not None) as step:
            result = self._inner.allocate(*args, **kwargs)
            wanted = _int32(args[0] if args else kwargs.get("n"))
            blocks = _block_ids(result)
            if table is not None:
                table.pool_calls += 1
                table.taken += blocks
                if result is None:
                    table.refusals.append((wanted, self._count_free()))
            elif result is None:
                step.outcome = f"None: {_wanted(wanted)}, {_free(self._count_free())}"
                self._log.emit(Kind.REFUSE, self.owner, arg=wanted)
            else:
                readable = isinstance(result, COLLECTIONS)
                step.outcome = _blocks(blocks) if readable else f"{_show(result)}, which is no list of blocks"
                for block in blocks:
                    self._log.emit(Kind.ALLOCATE, self.owner, block)
        return result

    def free(self, blocks: Iterable[int], *args: Any, **kwargs: Any) -> Any:
        """As the pool's own, recorded."""
        if self._log is NULL_LOG:
            return self._inner.free(blocks, *args, **kwargs)
        table = _at_work.get(self._log)
        blocks, ids = _read_once(blocks)
        with _Step(self._log, f"free({_show(blocks if ids is None else ids)})", nested=table is not None) as step:
            result = self._inner.free(blocks, *args, **kwargs)
            returned = _block_ids(ids)
            if table is not None:
                table.pool_calls += 1
                table.returned += returned
            else:
                step.outcome = f"{_blocks(returned)} back in the pool, {_free(self._count_free())}"
                for block in returned:
                    self._log.emit(Kind.FREE, self.owner, block, 0)
        return result

    def _count_free(self) -> int | None:
        try:
            return operator.index(self._inner.num_free)
        except Exception:  # a pool without num_free, or with a broken one, is still worth watching
            return None

    def __getattr__(self, name: str) -> Any:
        return _delegate(self, name)

    def __repr__(self) -> str:
        return f"RecordingPool({self._inner!r})"


class RecordingTable:
    """A block table that logs ALLOCATE, FREE, FILL and REFUSE with its sequence's name; otherwise the table it wraps.

    Over a recorded pool, what the pool saw is what is logged; over any other, the change of `table.blocks`.

    Args:
        table: any object with the methods of `labkit.cache.protocols.BlockTableLike`. log: where to;
        must be the pool's log, if that is recorded too. seq: name of the sequence. block_size: tokens a
        block; by default from `log.meta["block_size"]`, else from the table. Without it no FILL
            events are logged.
    """

    def __init__(self, table: Any, log: EventLog, seq: str, block_size: int | None = None) -> None:
        self._inner = table
        self._log = log
        self.seq = seq
        self._block_size = block_size or log.meta.get("block_size") or getattr(table, "block_size", None)
        self._pool_is_recorded = False

    @property
    def blocks(self) -> list[int]:
        return self._inner.blocks

    @property
    def num_tokens(self) -> int:
        return self._inner.num_tokens

    def append(self, *args: Any, **kwargs: Any) -> Any:
        """As the table's own, recorded."""
        n = args[0] if args else kwargs.get("n", 1)
        call = f"append({self.seq})" if _int32(n) == 1 else f"append({self.seq}, {_show(n)})"
        return self._watch(call, lambda: self._inner.append(*args, **kwargs))

    def release(self, *args: Any, **kwargs: Any) -> Any:
        """As the table's own, recorded."""
        return self._watch(f"release({self.seq})", lambda: self._inner.release(*args, **kwargs))

    def slot(self, position: int) -> int:
        return self._inner.slot(position)

    def slots(self, start: int, stop: int) -> list[int]:
        return self._inner.slots(start, stop)

    def _watch(self, call: str, act: Callable[[], Any]) -> Any:
        if self._log is NULL_LOG:
            return act()
        before = self._look()
        seen = _TableCall(self.seq)
        outer = _at_work.get(self._log)
        with _Step(self._log, call, nested=outer is not None) as step:
            _at_work[self._log] = seen
            try:
                result = act()
                if result is False and not seen.refusals:
                    seen.refusals.append((-1, None))
                step.outcome = self._outcome(result, seen, before, self._look())
                return result
            finally:
                if outer is None:
                    del _at_work[self._log]
                else:
                    _at_work[self._log] = outer
                step.before_exit = lambda: self._emit(seen, before, self._look())

    def _look(self) -> tuple[list[int], int]:
        """The blocks and the number of tokens now, as well as they can be read."""
        try:
            return _block_ids(self._inner.blocks), max(_int32(self._inner.num_tokens), 0)
        except Exception:  # a table without them has nothing to show, which is no reason to stop it
            return [], 0

    def _emit(self, seen: _TableCall, before: tuple[list[int], int], after: tuple[list[int], int]) -> None:
        (old_blocks, old_tokens), (blocks, tokens) = before, after
        self._pool_is_recorded = self._pool_is_recorded or seen.pool_calls > 0
        if not self._pool_is_recorded:
            seen.taken = _without(blocks, old_blocks)
            seen.returned = _without(old_blocks, blocks)
        logical = {block: i for i, block in enumerate(blocks)} if seen.taken else {}
        for block in seen.taken:
            self._log.emit(Kind.ALLOCATE, self.seq, block, logical.get(block, -1))
        for block in seen.returned:
            self._log.emit(Kind.FREE, self.seq, block, 0)
        for wanted, _ in seen.refusals:
            self._log.emit(Kind.REFUSE, self.seq, arg=wanted)
        size = _int32(self._block_size)
        if size < 1 or tokens <= old_tokens:
            return
        for i in range(old_tokens // size, min(len(blocks), -(-tokens // size))):
            self._log.emit(Kind.FILL, self.seq, blocks[i], min(size, tokens - i * size))

    def _outcome(
        self, result: Any, seen: _TableCall, before: tuple[list[int], int], after: tuple[list[int], int]
    ) -> str:
        (old_blocks, old_tokens), (blocks, tokens) = before, after
        if result is False:
            wanted, free = seen.refusals[-1] if seen.refusals else (-1, None)
            return f"False: {_wanted(wanted)}, {_free(free)}"
        if tokens > old_tokens:
            one = tokens == old_tokens + 1
            what = f"token {old_tokens}" if one else f"tokens {old_tokens} to {tokens - 1}"
            new = seen.taken or blocks[len(old_blocks) :]
            if new:
                count = "a new block" if len(new) == 1 else f"{len(new)} new blocks"
                return f"{what} {'needs' if one else 'need'} {count}: {_blocks(new)}"
            return f"{what} {'goes' if one else 'go'} to {_blocks(blocks[-1:])}, which has room"
        gone = seen.returned or _without(old_blocks, blocks)
        if gone:
            return f"{_blocks(gone)} back in the pool"
        return "nothing to do" if result in (None, True) else _show(result)

    def __getattr__(self, name: str) -> Any:
        return _delegate(self, name)

    def __repr__(self) -> str:
        return f"RecordingTable({self.seq}, {self._inner!r})"


class RecordingAllocator:
    """A contiguous allocator that logs RESERVE, USE, RELEASE and REFUSE; otherwise the allocator it wraps.

    How long a reservation is (the allocator may have rounded) is read from how much the holes shrank.

    Args:
        allocator: any object with the methods of `labkit.cache.protocols.ContiguousAllocator`.
        log: where to.
    """

    def __init__(self, allocator: Any, log: EventLog) -> None:
        self._inner = allocator
        self._log = log
        self._runs: dict[str, tuple[int, int]] = {}

    @property
    def num_slots(self) -> int:
        return self._inner.num_slots

    def reserve(self, seq: str, tokens: int, *args: Any, **kwargs: Any) -> Any:
        """As the allocator's own, recorded."""
        if self._log is NULL_LOG:
            return self._inner.reserve(seq, tokens, *args, **kwargs)
        with _Step(self._log, f"reserve({seq}, {_show(tokens)})") as step:
            free_before = self._free_slots()
            start = self._inner.reserve(seq, tokens, *args, **kwargs)
            if start is None:
                free = self._free_slots()
                step.outcome = "None: no hole fits" + ("" if free is None else f", though {free} slots are free")
                self._log.emit(Kind.REFUSE, seq, arg=_int32(tokens))
            else:
                free = self._free_slots()
                length = _int32(tokens)
                if free is not None and free_before is not None and free < free_before:
                    length = free_before - free
                first = _int32(start)
                self._runs[seq] = (first, length)
                step.outcome = f"slots {first} to {first + length - 1}"
                self._log.emit(Kind.RESERVE, seq, first, length)
        return start

    def use(self, seq: str, tokens: int) -> Any:
        """As the allocator's own, recorded."""
        if self._log is NULL_LOG:
            return self._inner.use(seq, tokens)
        with _Step(self._log, f"use({seq}, {_show(tokens)})") as step:
            result = self._inner.use(seq, tokens)
            start, length = self._runs.get(seq, (-1, -1))
            step.outcome = f"{_show(tokens)} of {length} reserved slots are written" if length >= 0 else "done"
            self._log.emit(Kind.USE, seq, start, _int32(tokens))
        return result

    def release(self, seq: str) -> Any:
        """As the allocator's own, recorded."""
        if self._log is NULL_LOG:
            return self._inner.release(seq)
        with _Step(self._log, f"release({seq})") as step:
            result = self._inner.release(seq)
            start, length = self._runs.pop(seq, (-1, -1))
            step.outcome = f"slots {start} to {start + length - 1} are free again" if length >= 0 else "done"
            self._log.emit(Kind.RELEASE, seq, start, length)
        return result

    def _free_slots(self) -> int | None:
        try:
            return sum(operator.index(length) for _, length in self._inner.holes())
        except Exception:  # an allocator that cannot list its holes can still be watched
            return None

    def __getattr__(self, name: str) -> Any:
        return _delegate(self, name)

    def __repr__(self) -> str:
        return f"RecordingAllocator({self._inner!r})"


class _Step:
    """One step of the log: opened with the call, closed with `call -> outcome`, whether it returned or raised.

    A step inside a step opens nothing: the outer one speaks.
    """

    def __init__(self, log: EventLog, call: str, nested: bool = False) -> None:
        self._log, self._call, self._nested = log, call, nested
        self.outcome = ""
        self.before_exit: Callable[[], None] | None = None

    def __enter__(self) -> _Step:
        if not self._nested:
            self._log.begin(self._call)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self.outcome = f"{type(error).__name__}: {_show_error(error)}"
        if not self._nested:
            self._log.relabel(f"{self._call} -> {self.outcome}" if self.outcome else self._call)
        if self.before_exit is not None:
            self.before_exit()


def _delegate(proxy: Any, name: str) -> Any:
    if name.startswith("__") or name == "_inner":  # else copying a proxy would ask for ever what it wraps
        raise AttributeError(name)
    return getattr(proxy._inner, name)


def _int32(value: object) -> int:
    """`value` if it is a whole number that a record can hold, else -1."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return -1
    return number if 0 <= number <= INT32_MAX else -1


def _block_ids(value: object) -> list[int]:
    return [_int32(block) for block in value] if isinstance(value, COLLECTIONS) else []


def _without(blocks: list[int], others: list[int]) -> list[int]:
    known = set(others)
    return [block for block in blocks if block not in known]


def _read_once(blocks: Any) -> tuple[Any, list[Any] | None]:
    """(what to hand on, what is in it). A generator is handed on as an iterator: reading it twice must still fail."""
    if isinstance(blocks, Iterator):
        ids = list(blocks)
        return iter(ids), ids
    if isinstance(blocks, np.ndarray):
        return blocks, blocks.tolist()
    return blocks, list(blocks) if isinstance(blocks, COLLECTIONS) else None


def _call(method: str, args: tuple, kwargs: dict) -> str:
    shown = [_show(value) for value in args] + [f"{name}={_show(value)}" for name, value in kwargs.items()]
    return f"{method}({', '.join(shown)})"


def _show(value: object) -> str:
    try:
        return _REPR.repr(value)
    except Exception:  # a repr that fails is the least of a learner's worries here
        return f"<{type(value).__name__}>"


def _show_error(error: BaseException) -> str:
    try:
        lines = str(error).splitlines()
    except Exception:  # as above
        lines = []
    return lines[0][:300] if lines else "no message"


def _blocks(ids: list[int]) -> str:
    if not ids:
        return "no blocks"
    if len(ids) == 1:
        return f"block {ids[0]}"
    named = ids if len(ids) <= 8 else ids[:6]
    return "blocks " + ", ".join(map(str, named)) + (f" and {len(ids) - 6} more" if len(ids) > 8 else "")


def _wanted(n: int) -> str:
    return "no room" if n < 0 else "1 block is wanted" if n == 1 else f"{n} blocks are wanted"


def _free(n: int | None) -> str:
    return "free blocks unknown" if n is None else "1 is free" if n == 1 else f"{n} are free"
