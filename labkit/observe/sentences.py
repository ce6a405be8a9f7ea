"""The sentence of each step of a replay, made from the events of the log alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from labkit.observe.events import NEVER, UNHELD, UNNAMED, EventLog, Kind
from labkit.observe.pool_state import PoolState
from labkit.words import blocks, choose, listed, plural

MOST = 4
"""Sequences of one step that are spoken of."""

_GROW = (Kind.REUSE, Kind.SHARE, Kind.COPY, Kind.ALLOCATE, Kind.FILL)

_SAID: dict[int, str] = {
    Kind.PREEMPT: "preempted",
    Kind.FINISH: "given up",
    Kind.CLEARED: "nothing can be found any more",
}


class Row(NamedTuple):
    """One event, as `EventLog.rows` gives it."""

    step: int
    kind: int
    flags: int
    seq: int
    block: int
    arg: int


class Story:
    """Tells a log from its beginning. It knows what the log has said so far, and nothing else.

    Args:
        log: events and names. Its meta says how many blocks there are.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._told = 0
        self._state = PoolState.empty(int(log.meta.get("num_blocks", 0)))
        self._caches = False  # whether anything was ever kept findable
        self._shared: set[int] = set()  # blocks that had two holders at once
        self._lengths: dict[int, int] = {}  # of reservations

    def tell(self, start: int) -> str:
        """The sentence of the events from number `start` on; those before it are taken note of."""
        rows = [Row(*row) for row in self._log.rows(self._told)]
        self._told += len(rows)
        new = len(rows) - (len(self._log) - start)
        self._apply(rows[:new])
        return self._sentence(rows[new:])

    def _sentence(self, rows: Sequence[Row]) -> str:
        self._caches = self._caches or any(row.kind == Kind.STORED for row in rows)
        before = {row.seq: (self._state.tokens(row.seq) or 0, bool(self._state.tables.get(row.seq))) for row in rows}
        sharers = {(row.seq, row.arg): self._holders(row.arg, row.seq) for row in rows if row.kind == Kind.COPY}
        self._apply(rows)
        words = [self._plain(row) for row in rows]
        growing = dict.fromkeys(row.seq for row in rows if row.kind in _GROW)
        for seq in growing:
            said = self._grown(seq, [row for row in rows if row.seq == seq], *before[seq], sharers)
            words.append(f"{self._log.names[seq]}: {said}" if len(growing) > 1 and seq != UNNAMED and said else said)
        spoken = [word for word in words if word]
        if len(spoken) > MOST:
            spoken[MOST:] = ["..."]
        return "; ".join(filter(None, [*spoken, _stored(rows), self._freed(rows), _removed(rows)]))

    def _apply(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._state.apply(row.kind, row.seq, row.block, row.arg)
            if row.kind == Kind.RESERVE:
                self._lengths[row.seq] = row.arg
            elif row.kind == Kind.ALLOCATE:
                self._shared.discard(row.block)
            elif self._count(row.block) > 1:
                self._shared.add(row.block)

    def _holders(self, block: int, but: int = UNNAMED) -> list[str]:
        """Names of those who hold a block, one of them and nobody left out."""
        known = 0 <= block < len(self._state.holders)
        return [self._log.names[seq] for seq in self._state.holders[block] if seq != but] if known else []

    def _count(self, block: int) -> int:
        return len(self._state.holders[block]) if 0 <= block < len(self._state.holders) else 0

    def _plain(self, row: Row) -> str:
        """What one event says by itself."""
        _, kind, flags, seq, block, arg = row
        if kind == Kind.REFUSE:
            return self._refused(block, arg, flags)
        if kind == Kind.RESERVE:
            return f"slots {block} to {block + arg - 1}"
        if kind == Kind.USE:
            return f"{arg} of {plural(self._lengths.get(seq, arg), 'reserved slot')} {choose(arg, 'is', 'are')} written"
        if kind == Kind.RELEASE:
            return f"slots {block} to {block + arg - 1} are free again"
        return _SAID.get(kind, "")

    def _refused(self, had: int, wanted: int, flags: int) -> str:
        are = choose(had, "is", "are")
        if "num_slots" in self._log.meta:
            return "no hole fits" + (f", though {plural(had, 'slot')} {are} free" if had >= 0 else "")
        what = f"{plural(wanted, 'block')} {choose(wanted, 'is', 'are')} wanted" if wanted >= 0 else "there is no room"
        can = "can be had" if self._state.counts()[2] else f"{are} free"
        return what + (f", {had} {can}" if had >= 0 else "") + ("; it will never fit" if flags & NEVER else "")

    def _grown(
        self, seq: int, rows: Sequence[Row], tokens: int, was_here: bool, sharers: dict[tuple[int, int], list[str]]
    ) -> str:
        """What a sequence found, copied, took and wrote."""
        name = self._log.names[seq]
        found, shared, copied, new, filled = ([row.block for row in rows if row.kind == kind] for kind in _GROW)
        words = []
        if shared:
            words.append(
                f"{name} holds {blocks(shared)} as well: no block is taken, nothing is copied"
                if rows[0].arg >= 0
                else self._references({block: self._count(block) for block in shared}, "now")
            )
        if found:
            cached = sum(max(self._state.fill[block], 0) for block in found if 0 <= block < len(self._state.fill))
            tokens = max(tokens, cached)
            words.append(f"{plural(cached, 'token')} {choose(cached, 'is', 'are')} cached: {blocks(found)}")
        elif new and self._caches and not was_here and not shared and name and filled:
            words.append("nothing is cached")
        now = (self._state.tokens(seq) or 0) if filled else tokens
        one = now - tokens == 1
        what = _tokens(tokens, now)
        if copied:
            source = next(row.arg for row in reversed(rows) if row.kind == Kind.COPY)
            whose = f" with {listed(sharers[seq, source], most=MOST)}" if any(sharers[seq, source]) else ""
            goes = f"the {choose(now - tokens, 'token goes', 'tokens go')} to "
            words.append(f"copy-on-write: block {source} is shared{whose}, {goes}new {blocks([copied[-1], *new])}")
        elif new and what:
            room = min(-tokens % int(self._log.meta.get("block_size", 0) or 1), now - tokens)
            if room and filled[0] not in new:  # the free end of the last block is filled first
                words.append(f"{_tokens(tokens, tokens + room)} {'goes' if room == 1 else 'go'} to block {filled[0]}")
                tokens += room
            count = "a new block" if len(new) == 1 else f"{len(new)} new blocks"
            words.append(f"{_tokens(tokens, now)} {'needs' if now - tokens == 1 else 'need'} {count}: {blocks(new)}")
        elif new:
            words.append(blocks(new))
        elif what:
            words.append(f"{what} {'goes' if one else 'go'} to {self._room(filled[-1], seq)}")
        return "; ".join(words)

    def _room(self, block: int, seq: int) -> str:
        if others := self._holders(block, seq):
            return f"block {block}, which it holds with {listed(others, most=MOST)}"
        return f"block {block}, which {'it holds alone' if block in self._shared else 'has room'}"

    def _freed(self, rows: Sequence[Row]) -> str:
        """What became of the blocks that were let go of; the source of a copy is spoken of already."""
        copied = {row.arg for row in rows if row.kind == Kind.COPY}
        freed = [row for row in rows if row.kind == Kind.FREE and row.block not in copied]
        findable: list[int] = []
        unheld: list[int] = []
        back: list[int] = []
        stay: dict[str, dict[int, int]] = {}  # by whom they stay with: the references that are left, by block
        for row in freed:
            if row.arg > 0:
                stay.setdefault(listed(self._holders(row.block), "", most=MOST), {})[row.block] = row.arg
            elif 0 <= row.block < len(self._state.cached) and self._state.cached[row.block]:
                findable.append(row.block)
            else:
                (unheld if row.flags & UNHELD else back).append(row.block)
        words = []
        if findable:
            words.append(f"{blocks(sorted(findable))} {choose(len(findable), 'stays', 'stay')} findable")
        if back:
            words.append(f"{blocks(back)} back in the pool")
        if unheld:
            words.append(f"{blocks(unheld)} held by nobody now, and not yet in the pool")
        for who, left in stay.items():
            stays = f"{blocks(list(left))} {choose(len(left), 'stays', 'stay')} with {who}"
            words.append(stays if who else self._references(left, "still"))
        return "; ".join(words)

    def _references(self, left: dict[int, int], word: str) -> str:
        """ "blocks 0, 1 now have 2 references", grouped by how many they have."""
        groups: dict[int, list[int]] = {}
        for block, count in left.items():
            groups.setdefault(count, []).append(block)
        return "; ".join(
            f"{blocks(same)} {word} {choose(len(same), 'has', 'have')} {plural(count, 'reference')}"
            for count, same in groups.items()
        )


def _tokens(start: int, stop: int) -> str:
    """ "token 4", "tokens 4 to 6"; "" for none."""
    return "" if stop <= start else f"token {start}" if stop - start == 1 else f"tokens {start} to {stop - 1}"


def _stored(rows: Sequence[Row]) -> str:
    """Blocks that have become full; those of a prompt were so from the start."""
    new = {row.block for row in rows if row.kind in (Kind.ALLOCATE, Kind.COPY)}
    full = [row.block for row in rows if row.kind == Kind.STORED and row.block not in new]
    return f"{blocks(full)} {choose(len(full), 'is', 'are')} full and findable" if full else ""


def _removed(rows: Sequence[Row]) -> str:
    gone = [row.block for row in rows if row.kind == Kind.REMOVED and not row.flags]
    return f"{blocks(gone)} evicted to make room" if gone else ""
