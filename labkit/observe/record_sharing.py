"""Proxies that watch counted blocks: who shares what, and when a copy is made.

As in `labkit.observe.record`, the parts that are watched know nothing of it. Two things can be watched:

    refs = RecordingRefCounts(RefCounts(BlockPool(8)), log, owner="A")     # one object, every public call a step

    world = RecordingSharing(RefCounts(BlockPool(8)), log, BlockTable, fork, append_cow)
    world.prompt("A", 6)     # prompt(A, 6) -> tokens 0 to 5 need 2 new blocks: blocks 0, 1
    world.fork("A", "B")    # fork(A, B) -> B holds blocks 0, 1 as well: no block is taken, nothing is copied
    world.append("B")       # append(B) -> copy-on-write: block 1 is shared with A, the token goes to new block 2

Watch the counts, not the pool below them as well: a block that goes through both would be logged twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from labkit.errors import BlockError
from labkit.observe.events import EventLog, Kind
from labkit.observe.record import (
    COLLECTIONS,
    _block_ids,
    _blocks,
    _call,
    _delegate,
    _free,
    _int32,
    _read_once,
    _show,
    _Step,
    _wanted,
)


class RecordingRefCounts:
    """Reference counts that log ALLOCATE, SHARE, FREE and REFUSE; otherwise the counts they wrap.

    Args:
        refs: any object with the methods of `labkit.cache.ref_counts.RefCounts`.
        log: where to.
        owner: the sequence for which blocks are taken through this proxy, "" for nobody in particular.
    """

    def __init__(self, refs: Any, log: EventLog, owner: str = "") -> None:
        self._inner = refs
        self._log = log
        self.owner = owner
        self._quiet: _Seen | None = None  # while a table is at work, it speaks: see RecordingSharing

    @property
    def num_blocks(self) -> int:
        return self._inner.num_blocks

    @property
    def num_free(self) -> int:
        return self._inner.num_free

    def count(self, block: int) -> int:
        return self._inner.count(block)

    def allocate(self, *args: Any, **kwargs: Any) -> Any:
        """As the counts' own, recorded."""
        with self._step(_call("allocate", args, kwargs)) as step:
            result = self._inner.allocate(*args, **kwargs)
            wanted = _int32(args[0] if args else kwargs.get("n"))
            blocks = _block_ids(result)
            if self._quiet is not None:
                self._quiet.taken += blocks
                if result is None:
                    self._quiet.refused = wanted
            elif result is None:
                step.outcome = f"None: {_wanted(wanted)}, {_free(self._count_free())}"
                self._log.emit(Kind.REFUSE, self.owner, arg=wanted)
            else:
                readable = isinstance(result, COLLECTIONS)
                step.outcome = _blocks(blocks) if readable else f"{_show(result)}, which is no list of blocks"
                for block in blocks:
                    self._log.emit(Kind.ALLOCATE, self.owner, block)
        return result

    def share(self, blocks: Iterable[int]) -> Any:
        """As the counts' own, recorded."""
        blocks, ids = _read_once(blocks)
        with self._step(f"share({_show(blocks if ids is None else ids)})") as step:
            result = self._inner.share(blocks)
            shared = _block_ids(ids)
            if self._quiet is not None:
                self._quiet.shared += shared
            else:
                step.outcome = self._references(shared) or "nothing to do"
                for block in shared:
                    self._log.emit(Kind.SHARE, self.owner, block)
        return result

    def drop(self, blocks: Iterable[int]) -> Any:
        """As the counts' own, recorded."""
        return self._let_go("drop", blocks, "held by nobody now, and not yet in the pool")

    def free(self, blocks: Iterable[int]) -> Any:
        """As the counts' own, recorded."""
        return self._let_go("free", blocks, "back in the pool")

    def recycle(self, blocks: Iterable[int]) -> Any:
        """As the counts' own, recorded."""
        blocks, ids = _read_once(blocks)
        with self._step(f"recycle({_show(blocks if ids is None else ids)})") as step:
            result = self._inner.recycle(blocks)
            # They were let go of before, so this is no event: only the pool's count changes.
            step.outcome = f"{_blocks(_block_ids(ids))} back in the pool, {_free(self._count_free())}"
        return result

    def _let_go(self, method: str, blocks: Iterable[int], where: str) -> Any:
        blocks, ids = _read_once(blocks)
        with self._step(f"{method}({_show(blocks if ids is None else ids)})") as step:
            result = getattr(self._inner, method)(blocks)
            dropped = [(block, self._left(block)) for block in _block_ids(ids)]
            if self._quiet is not None:
                self._quiet.dropped += dropped
            else:
                gone = [block for block, left in dropped if not left]
                kept = self._references([block for block, left in dropped if left], "still")
                step.outcome = "; ".join(filter(None, [f"{_blocks(gone)} {where}" if gone else "", kept])) \
                    or "nothing to do"
                for block, left in dropped:
                    self._log.emit(Kind.FREE, self.owner, block, left)
        return result

    def _step(self, call: str) -> _Step:
        call += f" for {self.owner}" if self.owner else ""
        return _Step(self._log, call, nested=self._quiet is not None)

    def _left(self, block: int) -> int:
        try:
            return max(_int32(self._inner.count(block)), 0)
        except Exception:  # counts that cannot be asked are still worth watching
            return 0

    def _count_free(self) -> int | None:
        try:
            return _int32(self._inner.num_free)
        except Exception:  # as above
            return None

    def _references(self, blocks: list[int], word: str = "now") -> str:
        """ "blocks 0, 1 now have 2 references", grouped by how many they have."""
        groups: dict[int, list[int]] = {}
        for block in blocks:
            groups.setdefault(self._left(block), []).append(block)
        return "; ".join(
            f"{_blocks(some)} {word} {'has' if len(some) == 1 else 'have'} "
            f"{'1 reference' if count == 1 else f'{count} references'}"
            for count, some in groups.items()
        )

    def __getattr__(self, name: str) -> Any:
        return _delegate(self, name)

    def __repr__(self) -> str:
        return f"RecordingRefCounts({self._inner!r})"


class _Seen:
    """What the counts saw while one sequence was at work."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.shared: list[int] = []
        self.dropped: list[tuple[int, int]] = []  # (block, references left)
        self.refused: int | None = None


class RecordingSharing:
    """Sequences by name over counted blocks; each operation is a step of the log.

    Args:
        refs: counts over an empty pool, with the methods of `labkit.cache.ref_counts.RefCounts`.
        log: where to; its meta gives `block_size`.
        table: makes a table from (pool, block size): `BlockTable`.
        fork: makes a second table from one.
        append_cow: makes room for tokens in a table whose blocks may be shared.

    Attributes:
        refs: the recorded counts.
        tables: the living tables by name.
        copies: (source, destination) of every copy so far.
    """

    def __init__(
        self,
        refs: Any,
        log: EventLog,
        table: Callable[[Any, int], Any],
        fork: Callable[[Any], Any],
        append_cow: Callable[[Any, int], Any],
    ) -> None:
        self.refs = RecordingRefCounts(refs, log)
        self.tables: dict[str, Any] = {}
        self.copies: list[tuple[int, int]] = []
        self._log = log
        self._block_size = int(log.meta["block_size"])
        self._make, self._fork, self._append_cow = table, fork, append_cow

    def prompt(self, name: str, n: int = 0) -> bool:
        """A new sequence of `n` tokens; False, and no sequence, if there is no room."""
        if name in self.tables:
            raise BlockError(f"There is a sequence {name!r} already: give the new one another name.")
        table = self._make(self.refs, self._block_size)
        self.tables[name] = table
        if self._grow(f"prompt({name}, {n})", name, n):
            return True
        del self.tables[name]
        return False

    def append(self, name: str, n: int = 1) -> bool:
        """Room for `n` more tokens; False, and nothing changed, if there is none."""
        self._table(name)
        return self._grow(f"append({name})" if n == 1 else f"append({name}, {n})", name, n)

    def fork(self, name: str, child: str) -> None:
        """`child` continues where `name` stands now."""
        parent = self._table(name)
        if child in self.tables:
            raise BlockError(f"There is a sequence {child!r} already: give the new one another name.")

        def act(seen: _Seen) -> str:
            self.tables[child] = made = self._fork(parent)
            for index, block in enumerate(_block_ids(made.blocks)):
                self._log.emit(Kind.SHARE, child, block, index)
            held = _blocks(_block_ids(made.blocks))
            return f"{child} holds {held} as well: no block is taken, nothing is copied"

        self._watch(f"fork({name}, {child})", act)

    def release(self, name: str) -> None:
        """The sequence ends and lets go of its blocks."""
        table = self._table(name)

        def act(seen: _Seen) -> str:
            table.release()
            del self.tables[name]
            for block, left in seen.dropped:
                self._log.emit(Kind.FREE, name, block, left)
            gone = [block for block, left in seen.dropped if not left]
            kept = [block for block, left in seen.dropped if left]
            words = [f"{_blocks(gone)} back in the pool"] if gone else []
            stays: dict[str, list[int]] = {}
            for block in kept:
                stays.setdefault(_names(self._holders(block)), []).append(block)
            words += [f"{_blocks(some)} {'stays' if len(some) == 1 else 'stay'} with {who}"
                      for who, some in stays.items()]
            return "; ".join(words) or "nothing to do"

        self._watch(f"release({name})", act)

    def _grow(self, call: str, name: str, n: int) -> bool:
        table = self.tables[name]
        before, tokens = list(table.blocks), table.num_tokens
        others = [other for other in self._holders(before[-1]) if other != name] if before else []

        granted = False

        def act(seen: _Seen) -> str:
            nonlocal granted
            granted = (answer := self._append_cow(table, n)) is not None
            if answer is None:
                self._log.emit(Kind.REFUSE, name, arg=-1 if seen.refused is None else seen.refused)
                return f"None: {_wanted(-1 if seen.refused is None else seen.refused)}, {_free(self.refs.num_free)}"
            after = _block_ids(table.blocks)
            copied = [(old, new) for old, new in zip(before, after, strict=False) if old != new]
            for old, new in copied:
                self._log.emit(Kind.COPY, name, new, old)
            self.copies += copied
            for block, left in seen.dropped:
                self._log.emit(Kind.FREE, name, block, left)
            index = {block: i for i, block in enumerate(after)}
            for block in seen.taken:
                if block not in [new for _, new in copied]:
                    self._log.emit(Kind.ALLOCATE, name, block, index.get(block, -1))
            size = self._block_size
            for i in range(tokens // size, min(len(after), -(-table.num_tokens // size))):
                self._log.emit(Kind.FILL, name, after[i], min(size, table.num_tokens - i * size))
            return _grown(tokens, table.num_tokens, copied, after[len(before):], after, others)

        self._watch(call, act)
        return granted

    def _watch(self, call: str, act: Callable[[_Seen], str]) -> None:
        seen = _Seen()
        with _Step(self._log, call) as step:
            self.refs._quiet = seen
            try:
                step.outcome = act(seen)
            finally:
                self.refs._quiet = None

    def _table(self, name: str) -> Any:
        if name not in self.tables:
            known = ", ".join(self.tables) or "none"
            raise BlockError(f"There is no sequence {name!r} here, there are: {known}; name one of these.")
        return self.tables[name]

    def _holders(self, block: int) -> list[str]:
        return [name for name, table in self.tables.items() if block in table.blocks]


def _grown(
    old: int, new: int, copied: list[tuple[int, int]], added: list[int], blocks: list[int], others: list[str]
) -> str:
    """What an append did, in the words of the lesson."""
    if new == old:
        return "nothing to do"
    one = new == old + 1
    what = f"token {old}" if one else f"tokens {old} to {new - 1}"
    if copied:
        (source, own) = copied[-1]
        where = f"new block {own}" if not added else f"new {_blocks([own, *added])}"
        shared = f"block {source} is shared with {_names(others)}"
        return f"copy-on-write: {shared}, the {'token goes' if one else 'tokens go'} to {where}"
    if added:
        count = "a new block" if len(added) == 1 else f"{len(added)} new blocks"
        return f"{what} {'needs' if one else 'need'} {count}: {_blocks(added)}"
    alone = " alone" if not others else f" with {_names(others)}"
    return f"{what} {'goes' if one else 'go'} to {_blocks(blocks[-1:])}, which it holds{alone}"


def _names(names: list[str]) -> str:
    if len(names) < 2:
        return names[0] if names else "nobody"
    if len(names) > 4:
        return f"{names[0]} and {len(names) - 1} others"
    return ", ".join(names[:-1]) + f" and {names[-1]}"
