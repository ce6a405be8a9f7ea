"""A proxy that watches a KV-cache manager and its prefix cache, and writes down what happened.

As in `labkit.observe.record`, what is watched knows nothing of it. Every public call that changes something is
one step of the log, with the sentence that stands under the picture:

    log = EventLog()
    manager = RecordingManager(KVCacheManager(8, block_size=4), log)
    manager.allocate("A", range(10))    # allocate(A, 10 tokens) -> nothing is cached; new blocks 0, 1, 2
    manager.free("A")                   # free(A) -> blocks 0, 1 stay findable; block 2 back in the pool
    manager.allocate("B", range(9))     # allocate(B, 9 tokens) -> 8 tokens are cached: blocks 0, 1; new block 3

What a sequence holds is read before and after a call. What became findable and what was evicted cannot be read
off from outside, so a small proxy in `manager.cache` looks at the arguments and answers of `register`, `push` and
`evict`, and one in `manager.refs.pool` sees what goes back to the pool.

A STORED event carries the number of its content: equal numbers mean equal tokens after equal beginnings under
equal salts, which is what `labkit.observe.evictions` pairs evictions by.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from labkit.cache.tokens import BLOCK_ID_BYTES, TOKEN_BYTES, block_id_bytes, salted, token_bytes
from labkit.errors import PolicyError, UnknownSequenceError
from labkit.observe.events import NULL_LOG, EventLog, Kind
from labkit.observe.record import _blocks, _delegate, _int32, _Step

DUPLICATE = 1
"""Flag of a REMOVED event that was no eviction: the cache gave up a block whose content another block holds too."""


class _Watched:
    """A part whose calls are noted before they are answered; everything else is the part's own."""

    def __init__(self, inner: Any, seen: _Seen) -> None:
        self._inner = inner
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return _delegate(self, name)

    def __repr__(self) -> str:
        return repr(self._inner)


class _WatchedCache(_Watched):
    def chain(self, tokens: bytes, salt: bytes = b"") -> Any:
        return self._seen.salted(self._inner.chain(tokens, salt), salt)

    def fork(self, chain: Any, blocks: list[int]) -> Any:
        return self._seen.salted(self._inner.fork(chain, blocks), self._seen.salt(chain))

    def register(self, chain: Any, blocks: Sequence[int], stop: int) -> int:
        findable = self._inner.register(chain, blocks, stop)
        self._seen.stored(blocks[:findable])
        return findable

    def push(self, chain: Any, page: bytes, blocks: Sequence[int]) -> Any:
        self._seen.filled(blocks, page if len(blocks) > 1 else self._seen.salt(chain) + page)
        answer = self._inner.push(chain, page, blocks)
        # `push` says nothing, and a chain that had come to its end (a hash that lied) goes no further. The cache
        # itself is asked; a second block with the same content is findable as well, though another one is found.
        full = self._inner.num_pages(chain)
        if len(self._inner.lookup(chain, full)) == full:
            self._seen.stored(blocks[:full])
        return answer

    def evict(self, n: int) -> list[int]:
        self._seen.evicting = True
        try:
            gone = self._inner.evict(n)
        finally:
            self._seen.evicting = False
        self._seen.evicted(gone)
        return gone


class _WatchedPool(_Watched):
    def free(self, blocks: Any) -> Any:
        blocks = list(blocks)
        answer = self._inner.free(blocks)
        self._seen.returned(blocks)
        return answer


class _Seen:
    """What the cache and the pool did, in order; `take` hands over what happened since it was last asked."""

    def __init__(self) -> None:
        self.findable: set[int] = set()
        self.evicting = False
        self.content: dict[int, int] = {}  # of each full block whose tokens are known
        self.numbers: dict[tuple[int, bytes], int] = {}
        self._rows: list[tuple[Kind, int, int]] = []  # kind, block, flags
        self._salts: dict[int, tuple[Any, bytes]] = {}  # by id of a chain, which is kept so that its id stays its own

    def salted(self, chain: Any, salt: bytes) -> Any:
        """Remember the salt of a chain: a prompt shorter than a block needs it only once that block is full."""
        if salt:
            self._salts[id(chain)] = (chain, salt)
        return chain

    def salt(self, chain: Any) -> bytes:
        return self._salts.get(id(chain), (None, b""))[1]

    def number(self, parent: int, page: bytes) -> int:
        """The number of a content: these tokens after that beginning."""
        return self.numbers.setdefault((parent, page), len(self.numbers))

    def filled(self, blocks: Sequence[int], page: bytes) -> None:
        parent = self.content.get(blocks[-2], -1) if len(blocks) > 1 else -1
        self.content[blocks[-1]] = self.number(parent, page)

    def stored(self, blocks: Sequence[int]) -> None:
        for block in blocks:
            if block not in self.findable:
                self.findable.add(block)
                self._rows.append((Kind.STORED, block, 0))

    def evicted(self, blocks: Sequence[int]) -> None:
        for block in blocks:
            self._gone(block, 0)

    def returned(self, blocks: Sequence[int]) -> None:
        if not self.evicting:  # then `evict` will say which
            for block in blocks:
                self._gone(block, DUPLICATE)

    def _gone(self, block: int, flags: int) -> None:
        if block in self.findable:
            self.findable.discard(block)
            self._rows.append((Kind.REMOVED, block, flags))

    def take(self, kind: Kind) -> list[tuple[int, int]]:
        """(block, flags) of every such row since the last call."""
        found = [(block, flags) for which, block, flags in self._rows if which == kind]
        self._rows = [row for row in self._rows if row[0] != kind]
        return found


class RecordingManager:
    """A KV-cache manager that logs what happens to blocks and sequences; otherwise the manager it wraps.

    Args:
        manager: a `KVCacheManager` in which no sequence is yet.
        log: where to. Its meta gets `num_blocks` and `block_size` where they are missing.
    """

    def __init__(self, manager: Any, log: EventLog) -> None:
        self._inner = manager
        self._log = log
        self._seen = _Seen()
        self._away: dict[Hashable, list[int]] = {}  # contents of the full blocks of whoever is swapped out
        if log is NULL_LOG:
            return
        log.meta.setdefault("num_blocks", manager.num_blocks)
        log.meta.setdefault("block_size", manager.block_size)
        manager.cache = _WatchedCache(manager.cache, self._seen)
        if hasattr(manager.refs, "pool"):
            manager.refs.pool = _WatchedPool(manager.refs.pool, self._seen)

    # ----- calls that are steps --------------------------------------------------------------------------------

    def allocate(self, seq_id: Hashable, prompt: Any, *, salt: bytes = b"", extra_keys: Sequence[Any] = (),
                 num_tokens: int | None = None) -> Any:
        """As the manager's own, recorded."""
        manager, more = self._inner, {} if num_tokens is None else {"num_tokens": num_tokens}

        def act() -> Any:
            return manager.allocate(seq_id, prompt, salt=salt, extra_keys=extra_keys, **more)

        if self._log is NULL_LOG:
            return act()
        count = num_tokens if num_tokens is not None else len(prompt) // (TOKEN_BYTES if _is_bytes(prompt) else 1)
        with _Step(self._log, f"allocate({seq_id}, {_tokens(count)})") as step:
            answer = act()
            if not answer:
                self._refuse(seq_id, answer.needed)
                step.outcome = _no_room(answer.needed, answer.available, answer.fits_empty)
                return answer
            hits = answer.num_cached_tokens // manager.block_size
            blocks = list(answer.blocks)
            self._name_contents(blocks, self._pages(prompt, salt, extra_keys))
            evicted = self._hits_and_fresh(seq_id, blocks, hits)
            tokens = manager.num_tokens(seq_id)
            self._fill(seq_id, blocks, hits * manager.block_size, tokens)
            self._stored(seq_id)
            step.outcome = "; ".join(filter(None, [_found(answer.num_cached_tokens, blocks[:hits]),
                                                   _new(blocks[hits:]), _gone(evicted)]))
            return answer

    def append(self, seq_id: Hashable, token: int) -> bool:
        """As the manager's own, recorded."""
        return self._grow(f"append({seq_id})", [seq_id], lambda: self._inner.append(seq_id, token))

    def append_each(self, seq_ids: Sequence[Hashable], tokens: Sequence[int]) -> bool:
        """As the manager's own, recorded."""
        seq_ids = list(seq_ids)
        return self._grow(f"append_each({', '.join(map(str, seq_ids))})", seq_ids,
                          lambda: self._inner.append_each(seq_ids, tokens))

    def extend(self, seq_id: Hashable, tokens: Any) -> bool:
        """As the manager's own, recorded."""
        tokens = tokens if _is_bytes(tokens) else list(tokens)
        count = len(tokens) // (TOKEN_BYTES if _is_bytes(tokens) else 1)
        return self._grow(f"extend({seq_id}, {_tokens(count)})", [seq_id], lambda: self._inner.extend(seq_id, tokens))

    def grow(self, seq_id: Hashable, n: int = 1) -> bool:
        """As the manager's own, recorded."""
        return self._grow(f"grow({seq_id}, {n})", [seq_id], lambda: self._inner.grow(seq_id, n))

    def fork(self, parent_id: Hashable, child_id: Hashable) -> None:
        """As the manager's own, recorded."""
        if self._log is NULL_LOG:
            return self._inner.fork(parent_id, child_id)
        with _Step(self._log, f"fork({parent_id}, {child_id})") as step:
            self._inner.fork(parent_id, child_id)
            blocks = self._inner.blocks(child_id)
            for index, block in enumerate(blocks):
                self._log.emit(Kind.SHARE, str(child_id), block, index)
            step.outcome = f"{child_id} holds {_blocks(blocks)} as well: nothing is copied"

    def free(self, seq_id: Hashable) -> None:
        """As the manager's own, recorded."""
        self._let_go("free", seq_id, lambda: self._inner.free(seq_id))

    def release(self, seq_id: Hashable) -> None:
        """As the manager's own, recorded: a preemption."""
        self._let_go("release", seq_id, lambda: self._inner.release(seq_id), Kind.PREEMPT)

    def swap_out(self, seq_id: Hashable) -> list[tuple[int, int]] | None:
        """As the manager's own, recorded."""
        return self._let_go("swap_out", seq_id, lambda: self._inner.swap_out(seq_id), Kind.SWAP_OUT)

    def swap_in(self, seq_id: Hashable) -> list[tuple[int, int]] | None:
        """As the manager's own, recorded."""
        if self._log is NULL_LOG:
            return self._inner.swap_in(seq_id)
        with _Step(self._log, f"swap_in({seq_id})") as step:
            copies = self._inner.swap_in(seq_id)
            if copies is None:
                step.outcome = f"None: there is no room, {self._inner.num_available} blocks can be had"
                return None
            blocks = self._inner.blocks(seq_id)
            hits = len(blocks) - len(copies)
            for block, content in zip(blocks, self._away.pop(seq_id, ()), strict=False):
                self._seen.content[block] = content
            evicted = self._hits_and_fresh(seq_id, blocks, hits)
            self._fill(seq_id, blocks, hits * self._inner.block_size, self._inner.num_tokens(seq_id))
            self._stored(seq_id)
            self._log.emit(Kind.SWAP_IN, str(seq_id))
            still = f"{_blocks(blocks[:hits])} {_be(blocks[:hits])} still here" if hits else ""
            back = f"copied from the host to {_blocks(blocks[hits:])}" if copies else ""
            step.outcome = "; ".join(filter(None, [still, back, _gone(evicted)]))
            return copies

    def forget(self, seq_id: Hashable) -> None:
        """As the manager's own, recorded."""
        if self._log is NULL_LOG:
            return self._inner.forget(seq_id)
        with _Step(self._log, f"forget({seq_id})") as step:
            host = self._inner.swap_pool
            free = 0 if host is None else host.num_free
            self._inner.forget(seq_id)
            self._away.pop(seq_id, None)
            self._log.emit(Kind.FINISH, str(seq_id))
            back = 0 if host is None else host.num_free - free
            step.outcome = "given up" + (f"; {'1 host block is' if back == 1 else f'{back} host blocks are'} free again"
                                         if back else "")

    # ----- what a call did -------------------------------------------------------------------------------------

    def _grow(self, call: str, seq_ids: list[Hashable], act: Callable[[], bool]) -> bool:
        if self._log is NULL_LOG:
            return act()
        manager = self._inner
        with _Step(self._log, call) as step:
            before = {s: (manager.blocks(s), manager.num_tokens(s)) for s in seq_ids if s in manager}
            if not act():
                for seq_id in before:
                    self._refuse(seq_id, -1)
                step.outcome = f"False: there is no room, {manager.num_available} blocks can be had"
                return False
            evicted = self._removed()
            words = []
            for seq_id, (old, tokens) in before.items():
                blocks = manager.blocks(seq_id)
                copied = [(a, b) for a, b in zip(old, blocks, strict=False) if a != b]
                for source, own in copied:
                    self._log.emit(Kind.COPY, str(seq_id), own, source)
                    self._log.emit(Kind.FREE, str(seq_id), source, self._count(source))
                for index in range(len(old), len(blocks)):
                    self._log.emit(Kind.ALLOCATE, str(seq_id), blocks[index], index)
                now = manager.num_tokens(seq_id)
                self._fill(seq_id, blocks, tokens, now)
                words.append(_grown(seq_id if len(seq_ids) > 1 else "", tokens, now, copied, blocks[len(old):], blocks))
            full = self._stored()
            step.outcome = "; ".join(filter(None, [*words[:4], "..." if len(words) > 4 else "", _findable(full),
                                                   _gone(evicted)])) or "nothing to do"
            return True

    def _let_go(self, name: str, seq_id: Hashable, act: Callable[[], Any], kind: Kind | None = None) -> Any:
        if self._log is NULL_LOG:
            return act()
        manager = self._inner
        with _Step(self._log, f"{name}({seq_id})") as step:
            try:
                blocks, tokens = manager.blocks(seq_id), manager.num_tokens(seq_id)
            except UnknownSequenceError:
                return act()  # which says so, or something that comes before it
            failure: PolicyError | None = None
            try:
                answer = act()
            except PolicyError as error:
                if name == "swap_out":
                    raise  # it was refused
                answer, failure = None, error  # the sequence has let go all the same
            if name == "swap_out" and answer is None:
                step.outcome = "None: the host has no room"
                return answer
            if name == "swap_out":
                self._away[seq_id] = [self._seen.content.get(block, -1) for block in blocks]
            kept, stay, back = [], [], []
            for block in reversed(blocks):  # the tail goes first
                left = self._count(block)
                self._log.emit(Kind.FREE, str(seq_id), block, left)
                (stay if left else kept if block in self._seen.findable else back).append(block)
            self._removed()
            if kind is not None:
                self._log.emit(kind, str(seq_id), arg=_int32(tokens))
            step.outcome = "; ".join(filter(None, [
                {Kind.PREEMPT: "preempted", Kind.SWAP_OUT: "copied to the host"}.get(kind, "") if kind else "",
                f"{_blocks(sorted(kept))} {_stay(kept)} findable" if kept else "",
                f"{_blocks(back)} back in the pool" if back else "",
                f"{_blocks(sorted(stay))} {_stay(stay)} with others" if stay else "",
            ]))
            if failure is not None:
                raise failure
            return answer

    def _hits_and_fresh(self, seq_id: Hashable, blocks: list[int], hits: int) -> list[int]:
        """REUSE what was found, REMOVED what had to go, ALLOCATE what is new; returns what had to go."""
        for index, block in enumerate(blocks[:hits]):
            self._log.emit(Kind.REUSE, str(seq_id), block, index)
        evicted = self._removed()
        for index, block in enumerate(blocks[hits:], hits):
            self._log.emit(Kind.ALLOCATE, str(seq_id), block, index)
        return evicted

    def _fill(self, seq_id: Hashable, blocks: list[int], old: int, new: int) -> None:
        """FILL for the blocks that tokens `old` to `new - 1` lie in."""
        size = self._inner.block_size
        for i in range(old // size, -(-new // size) if new > old else 0):
            self._log.emit(Kind.FILL, str(seq_id), blocks[i], min(size, new - i * size))

    def _stored(self, seq_id: Hashable = "") -> list[int]:
        blocks = [block for block, _ in self._seen.take(Kind.STORED)]
        for block in blocks:
            self._log.emit(Kind.STORED, str(seq_id), block, self._seen.content.get(block, -1))
        return blocks

    def _removed(self) -> list[int]:
        """REMOVED for what is not findable any more; returns what was evicted."""
        rows = self._seen.take(Kind.REMOVED)
        for block, flags in rows:
            self._log.emit(Kind.REMOVED, block=block, flags=flags)
        return [block for block, flags in rows if not flags]

    def _refuse(self, seq_id: Hashable, wanted: int) -> None:
        self._log.emit(Kind.REFUSE, str(seq_id), arg=_int32(wanted))

    def _count(self, block: int) -> int:
        return max(self._inner.refs.count(block), 0)

    def _pages(self, prompt: Any, salt: bytes, extra_keys: Sequence[Any]) -> list[bytes]:
        """The tokens of a prompt's full blocks, the salt in front of the first."""
        tokens = self._inner.keyed_by == "tokens"
        data = token_bytes(prompt) if tokens else block_id_bytes(prompt)
        size = TOKEN_BYTES * self._inner.block_size if tokens else BLOCK_ID_BYTES
        pages = [data[i : i + size] for i in range(0, len(data) - size + 1, size)]
        if pages:
            pages[0] = salted(salt, extra_keys) + pages[0]
        return pages

    def _name_contents(self, blocks: list[int], pages: list[bytes]) -> None:
        parent = -1
        for block, page in zip(blocks, pages, strict=False):
            parent = self._seen.content[block] = self._seen.number(parent, page)

    def __contains__(self, seq_id: Hashable) -> bool:
        return seq_id in self._inner

    def __len__(self) -> int:
        return len(self._inner)

    def __getattr__(self, name: str) -> Any:
        return _delegate(self, name)

    def __repr__(self) -> str:
        return f"RecordingManager({self._inner!r})"


# ----- words --------------------------------------------------------------------------------------------------


def _is_bytes(tokens: Any) -> bool:
    return isinstance(tokens, bytes | bytearray | memoryview)


def _tokens(n: int) -> str:
    return "1 token" if n == 1 else f"{n} tokens"


def _be(blocks: Sequence[int]) -> str:
    return "is" if len(blocks) == 1 else "are"


def _stay(blocks: Sequence[int]) -> str:
    return "stays" if len(blocks) == 1 else "stay"


def _found(tokens: int, blocks: list[int]) -> str:
    return f"{_tokens(tokens)} are cached: {_blocks(blocks)}" if blocks else "nothing is cached"


def _new(blocks: list[int]) -> str:
    return f"new {_blocks(blocks)}" if blocks else ""


def _gone(blocks: list[int]) -> str:
    return f"{_blocks(blocks)} evicted to make room" if blocks else ""


def _findable(blocks: list[int]) -> str:
    return f"{_blocks(blocks)} {_be(blocks)} full and findable" if blocks else ""


def _no_room(needed: int, available: int, fits_empty: bool) -> str:
    wanted = "1 block is needed" if needed == 1 else f"{needed} blocks are needed"
    return f"no room: {wanted}, {available} can be had" + ("" if fits_empty else "; it will never fit")


def _grown(
    name: object, old: int, new: int, copied: list[tuple[int, int]], added: list[int], blocks: list[int]
) -> str:
    who = f"{name}: " if name != "" else ""
    if new == old:
        return ""
    what = f"token {old}" if new == old + 1 else f"tokens {old} to {new - 1}"
    if copied:
        source, own = copied[-1]
        return f"{who}copy-on-write: block {source} is shared, {what} to new {_blocks([own, *added])}"
    return f"{who}{what} to {_new(added) if added else _blocks(blocks[-1:])}"
