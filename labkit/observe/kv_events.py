"""vLLM's KV events: which blocks became findable and which were evicted, exactly, where a server publishes them.

`/metrics` of vLLM has no count of evictions. With `--kv-events-config` vLLM publishes each change of its prefix cache
over ZMQ (`vllm/distributed/kv_events.py`), with hashes that say what was in a block. So regret can be counted too: what
was evicted and is stored again was computed twice.

    with subscribe("tcp://localhost:5557") as events:
        for row in watch("localhost:8000", beside=events):
            print(row["evicted"], row["regretted"])

`published` gives the batches as bytes, for a loop of one's own (lesson 09 has one); `decode` reads them. Listening
takes `pyzmq`, which Jupyter brings along, or `pip install labkit[events]`. On the wire a batch is a msgpack
array [time, events, rank], and each event is a MAP with its type in it. Older versions wrote events as arrays by
position; which position means what has changed between them, so those are refused.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from labkit.errors import KVEventError
from labkit.observe.regret import Regret
from labkit.observe.series import Worth

BlockHash = int | bytes
ON_THE_CARD = (None, "GPU")
"""Where a block is that counts here; offloaded copies in host memory or on disk do not."""
_HEAD: Any = tuple[float, int | None]
_FIELDS: Any = tuple[tuple[BlockHash, ...], int | None, str | None]
TYPES = ("BlockStored", "BlockRemoved", "AllBlocksCleared")


class Change(NamedTuple):
    """One event.

    Attributes:
        kind: one of `TYPES`.
        hashes: of the blocks' contents, chained with all that comes before.
        group: of the cache groups of a hybrid model; 0 where there is one.
        medium: where the blocks are; see `ON_THE_CARD`.
    """

    kind: str
    hashes: tuple[BlockHash, ...] = ()
    group: int = 0
    medium: str | None = None


class Batch(NamedTuple):
    """What was published at once: when (seconds since 1970), by which data-parallel rank, and what."""

    at_s: float
    rank: int
    changes: tuple[Change, ...]


def decode(payload: bytes) -> Batch:
    """A batch from its bytes. Events of kinds that are not known are left out: there are more of them every year.

    Raises:
        KVEventError: these are no such bytes, or those of an older version.
    """
    msgspec = _library("msgspec")
    try:
        batch = msgspec.msgpack.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise _broken("they are no msgpack") from None
    if not isinstance(batch, list) or len(batch) < 2 or not isinstance(batch[1], list):
        raise _broken("a batch is an array [time, events, rank]")
    if any(isinstance(event, list) for event in batch[1]):
        raise KVEventError(
            "These KV events are written by position, as older versions of vLLM did, and only maps are read here: "
            "update the server."
        )
    try:
        at_s, rank = msgspec.convert([batch[0], batch[2] if len(batch) > 2 else None], _HEAD)
        return Batch(at_s, rank or 0, _changes(batch[1]))
    except msgspec.ValidationError as error:
        raise _broken(str(error).split(" - ")[0][:80].lower()) from None


def _changes(events: list[Any]) -> tuple[Change, ...]:
    msgspec = _library("msgspec")
    found = []
    for event in events:
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise _broken("an event is a map with its type in it")
        if event["type"] in TYPES:
            hashes, group, medium = msgspec.convert(
                [event.get("block_hashes", []), event.get("group_idx"), event.get("medium")], _FIELDS
            )
            found.append(Change(event["type"], hashes, group or 0, medium))
    return tuple(found)


def _broken(reason: str) -> KVEventError:
    return KVEventError(
        f"These bytes are no batch of vLLM's KV events ({reason}): see that the address is that of --kv-events-config."
    )


class KVEvents:
    """Counts what a server's KV events tell; it stands beside its metrics (`labkit.observe.live.Beside`).

    Attributes:
        stored, removed: blocks that became findable, and that were evicted, since it began.
        lost: batches that were published and did not come.
        regret: the meter that tells which evictions were regretted.
        problem: why the last bytes could not be read; "" where they could.
    """

    def __init__(self) -> None:
        self.stored = self.removed = self.lost = 0
        self.regret = Regret()
        self.problem = ""
        self._lock = threading.Lock()
        self._next: int | None = None
        self._told = (0, 0)

    def feed(self, payload: bytes, number: int | None = None) -> None:
        """A batch has come.

        Args:
            payload: its bytes.
            number: counted by the publisher, so that lost ones are noticed. A smaller one: it has been restarted.

        Raises:
            KVEventError: it cannot be read; it counts as lost then.
        """
        with self._lock:
            if number is not None:
                if self._next is not None and number > self._next:
                    self.lost += number - self._next
                elif self._next is not None and number < self._next:
                    self.regret.cleared()  # another process, whose cache is empty
                self._next = number + 1
            try:
                batch = decode(payload)
            except KVEventError as error:
                self.lost += 1
                self.problem = str(error)
                raise
            self.problem = ""
            for change in batch.changes:
                self._take(batch.rank, change)

    def _take(self, rank: int, change: Change) -> None:
        contents = [(rank, change.group, content) for content in change.hashes]
        if change.kind == "AllBlocksCleared":
            self.regret.cleared()
        elif change.medium not in ON_THE_CARD:
            return
        elif change.kind == "BlockStored":
            self.stored += len(contents)
            self.regret.stored(contents)
        else:
            self.removed += len(contents)
            self.regret.removed(contents)

    def figures(self, seconds: float) -> dict[str, float]:
        """Blocks evicted, and contents that were wanted again, a second since the last call."""
        with self._lock:
            before, self._told = self._told, (self.removed, self.regret.count)
            evicted, regretted = (now - then for now, then in zip(self._told, before, strict=True))
        return {"evicted": evicted / seconds, "regretted": regretted / seconds}

    def worths(self) -> dict[str, tuple[Worth, str]]:
        """What they are worth: exact, as long as nothing was lost on the way."""
        if self.lost:
            why = f"Of vLLM's KV events, of which {self.lost:,} batches were lost on the way."
            return {"evicted": (Worth.PROXY, why), "regretted": (Worth.PROXY, why)}
        return {
            "evicted": (Worth.EXACT, ""),
            "regretted": (Worth.PROXY, "Knows only what was evicted since it began to listen to the KV events."),
        }


@contextmanager
def subscribe(address: str, topic: str = "") -> Iterator[KVEvents]:
    """Listen to a server's KV events in a thread until the block is left.

    Args:
        address: as in its --kv-events-config, with a host that can be reached: "tcp://HOST:5557".
        topic: as there; "" for all.

    Raises:
        KVEventError: the address makes no sense, or a package is missing. That nobody publishes there does not show.
    """
    _library("msgspec")
    events, stop = KVEvents(), threading.Event()
    with _listening(address, topic) as socket:

        def listen() -> None:
            while not stop.is_set():
                if socket.poll(50):
                    _take_message(events, socket.recv_multipart())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield events
        finally:
            stop.set()
            thread.join(5)


def published(address: str, topic: str = "") -> Iterator[bytes]:
    """The batches of a server's KV events as they come, as bytes for `decode`; it ends when the loop over it is left.

    Args and errors are those of `subscribe`.
    """
    with _listening(address, topic) as socket:
        while True:
            yield socket.recv_multipart()[-1]


@contextmanager
def _listening(address: str, topic: str) -> Iterator[Any]:
    """A socket on which what is published there arrives."""
    zmq = _library("zmq")
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    try:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        try:
            socket.connect(address)
        except zmq.ZMQError:
            raise KVEventError(f"{address!r:.100} is no address of KV events: give tcp://HOST:PORT.") from None
        yield socket
    finally:
        socket.close()
        context.term()


def _take_message(events: KVEvents, parts: list[bytes]) -> None:
    """A message is a topic, a number in eight bytes and the batch. What cannot be read is counted as lost."""
    number = int.from_bytes(parts[1], "big") if len(parts) == 3 and len(parts[1]) == 8 else None
    try:
        events.feed(parts[-1], number)
    except KVEventError:
        return


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise KVEventError(f"KV events need the package {name}: pip install 'labkit[events]'.") from None
