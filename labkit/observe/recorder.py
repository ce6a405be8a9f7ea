"""The recorder: it watches parts through their public methods and writes down what happened.

Code that allocates should not also have to log. So a part is wrapped in one line, and is used as before:

    log = EventLog(num_blocks=8, block_size=4)
    pool = record(BlockPool(8), log)
    a = record(BlockTable(pool, 4), log, "A")
    a.append(5)         # append(A, 5) -> tokens 0 to 4 need 2 new blocks: blocks 0, 1
    manager = record(kv_cache_manager(8, 4), EventLog())
    manager.allocate("A", range(10))

Every kind of part goes through the same proxy. It looks at what the part shows before and after a public call
(`State`), notes what pools below it hand out on the way (`Call`), and writes the difference as events (`changes`) and
as a sentence (`sentences`). What a part shows, by its public names:

- `sequences()`, `blocks(name)`, `num_tokens(name)`, and `contents()` if it has that: a manager, or whatever else
  keeps sequences by name;
- `reserve`, `reservations()`, `holes()`: contiguous memory;
- `allocate`: a pool, counts or a cache of blocks. What it hands out is its answer, what it takes back its argument;
- `blocks`, `num_tokens`: the table of one sequence.

A call that changes nothing, is not refused and raises nothing is no step. A call inside a recorded call opens no step
of its own: the outer one speaks. A proxy never looks at a private name, never changes an argument, an answer or an
exception, and does not mind a part that raises, lies or answers nonsense: what cannot be read as a block is block -1,
and what cannot be read at all is as it was.

Whoever drives parts itself, such as a referee of the checks, opens its own steps and has the events alone, with
`record(part, log, name, steps=False)` or, where several of its things make up the state, with

    with watch(log, look, "A") as call:                 # look() gives a State
        answer = learners_function(...)                 # over a recorded pool, or over any other
        if answer is None:
            call.refuse()
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from labkit.observe.changes import COLLECTIONS, Call, Event, State, block_ids, changes, int32
from labkit.observe.events import NULL_LOG, UNHELD, EventLog, Kind
from labkit.observe.sentences import Story
from labkit.words import listed, plural

ASK: dict[str, object] = {
    **dict.fromkeys(("allocate", "reserve")),
    **dict.fromkeys(("append", "append_each", "extend", "grow", "prompt"), False),
}
"""Methods that may be refused, and the answer that says so; a false answer that says how much was `needed` does too."""

MEAN = {
    "preempt": Kind.PREEMPT,
    "forget": Kind.FINISH,
    "reset_prefix_cache": Kind.CLEARED,
}
"""Methods of a manager that mean more than what they change."""

_REPR = reprlib.Repr()  # cuts what is long: a label is one line
_REPR.maxlist = _REPR.maxtuple = _REPR.maxset = 12


def record(part: Any, log: EventLog, name: str = "", *, steps: bool = True) -> Any:
    """The part, with everything that it does written to `log`.

    Args:
        part: a pool, counts, a table, a manager, contiguous memory; yours or the course's, right or wrong.
        log: where to. Its meta gets `num_blocks`, `block_size` and `num_slots` from the part where they are missing.
            Parts that work together are recorded on one log.
        name: of a table: its sequence. Of a pool: the sequence for which blocks are taken through this proxy, "" for
            nobody in particular; several proxies with several names may wrap one pool.
        steps: whether each call is a step of the log with a sentence; else events go to the step that is open.

    Returns:
        A proxy that is used as the part is; the part itself where nobody listens (`NULL_LOG`).
    """
    if log is NULL_LOG:
        return part
    for fact in ("num_blocks", "block_size", "num_slots"):
        if fact not in log.meta and (value := int32(_try(getattr, part, fact))) > 0:
            log.meta[fact] = value
    return _Recorded(part, _writer(log), name, steps)


def watch(log: EventLog, look: Callable[[], State], name: str = "") -> AbstractContextManager[Call]:
    """Write down what happens in a `with` block once it is over; inside another one, leave that to the outer one.

    Args:
        look: what can be seen now. It may raise: then all is as it was.
        name: the sequence at work.

    Returns:
        What gives the `Call`, for what arguments and answers show.
    """
    writer = _writer(log)
    return _at_work(writer, look, Call(name)) if writer.at_work is None else nullcontext(writer.at_work)


def _writer(log: EventLog) -> _Writer:
    if log.recorder is None:
        log.recorder = _Writer(log)
    return log.recorder


class _Writer:
    """What all recorded parts of one log share: which call is at work, and the story so far."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.at_work: Call | None = None
        self._story = Story(log)
        self._numbers: dict[object, int] = {}  # of contents, by their keys

    def write(self, events: list[Event], label: str, answer: str, failed: BaseException | None) -> None:
        """Append the events of a call that is over, as a step with its sentence where it has a label."""
        log = self.log
        if label:
            log.begin(label)
        start = len(log)
        for kind, seq, block, arg, flags in events:
            if kind == Kind.STORED:
                key, arg = arg, self._numbers.setdefault(arg, len(self._numbers))
                if isinstance(key, str):  # words, of which a picture can show which is which
                    log.contents[str(arg)] = str(key)
            log.emit(kind, seq, block, arg, flags)
        if not label:
            return
        told = self._story.tell(start)
        if failed is not None:
            told = f"{type(failed).__name__}: {_first_line(failed)}"
        outcome = ": ".join(filter(None, [answer, told]))
        log.relabel(f"{label} -> {outcome}" if outcome else label)


class _Recorded:
    """A part whose public calls are written down. Everything else is the part's own."""

    def __init__(self, part: Any, writer: _Writer, name: str, steps: bool) -> None:
        kind = _kind(part)
        facts = {"_part": part, "_writer": writer, "_name": name, "_kind": kind, "_steps": steps}
        self.__dict__.update(facts, _counted=kind == "pool")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_part":  # copying asks for these before there is a part
            raise AttributeError(name)
        value = getattr(self._part, name)
        return value if name.startswith("_") or not callable(value) else partial(_call, self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._part, name, value)

    def __contains__(self, item: Any) -> bool:
        return item in self._part

    def __len__(self) -> int:
        return len(self._part)

    def __bool__(self) -> bool:
        return bool(self._part)

    def __repr__(self) -> str:
        return repr(self._part)


def _call(proxy: _Recorded, name: str, method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """One public call of a recorded part; the outermost one is a step."""
    part, kind, writer = proxy._part, proxy._kind, proxy._writer
    given = None
    if kind == "pool" and args:
        first, given = _read_once(args[0])
        args = (first, *args[1:])
    if writer.at_work is not None:
        return _noted(proxy, writer.at_work, name, method, args, kwargs, given)
    who = str(args[0]) if kind in ("sequences", "contiguous") and args and not isinstance(args[0], COLLECTIONS) else ""
    label = _label(proxy, name, method, args if given is None else (given, *args[1:]), kwargs) if proxy._steps else ""
    started = Call(proxy._name or who, counted=proxy._counted)
    with _at_work(writer, partial(_look, proxy), started, label) as call:
        answer = _noted(proxy, call, name, method, args, kwargs, given)
        _hear(call, part, kind, name, args, answer)
    return answer


@contextmanager
def _at_work(writer: _Writer, look: Callable[[], State], call: Call, label: str = "") -> Iterator[Call]:
    """The outermost call: what lies between two looks is written down."""
    writer.at_work = call
    failed: BaseException | None = None
    before = _try(look) or State()
    try:
        yield call
    except BaseException as error:
        failed = error
        raise
    finally:
        try:
            # Out of time, out of memory, interrupted: nothing more is asked of the part then.
            if failed is None or isinstance(failed, Exception):
                after = _try(look) or before
                events = list(changes(before, after, call, int32(writer.log.meta.get("block_size"))))
                if not label or events or call.answer or failed or before != after:
                    writer.write(events, label, call.answer, failed)
        finally:
            writer.at_work = None


def _noted(proxy: _Recorded, call: Call, name: str, method: Any, args: Any, kwargs: Any, given: Any) -> Any:
    """Run a call, and note what went in and out of a pool, unless a recorded pool below has told that already."""
    told = call.told()
    answer = method(*args, **kwargs)
    if proxy._kind == "pool" and told == call.told():
        _note(call, proxy._part, name, args, kwargs, given, answer)
    proxy.__dict__["_counted"] = call.counted
    return answer


def _note(call: Call, part: Any, name: str, args: Any, kwargs: Any, given: Any, answer: Any) -> None:
    """What goes in and out of a pool is in its arguments and answers."""
    call.counted = True
    blocks = block_ids(kwargs.get("blocks") if given is None else given)
    if name == "allocate" and answer is None:
        call.asked = int32(args[0] if args else kwargs.get("n")), _had(part)
    elif name == "allocate":
        call.taken += block_ids(answer)
        if not isinstance(answer, COLLECTIONS):
            call.answer = f"{_show(answer)}, which is no list of blocks"
    elif name == "share":
        call.shared += blocks
    elif name in ("free", "drop"):
        for block in blocks:
            left = max(int32(_try(part.count, block)), 0) if hasattr(part, "count") else 0
            call.returned.append((block, left, UNHELD if name == "drop" and not left else 0))


def _hear(call: Call, part: Any, kind: str, name: str, args: Any, answer: Any) -> None:
    """What the answer of a call says that changed something, or was refused."""
    needed = getattr(answer, "needed", None)
    if name in ASK and needed is not None and not answer:
        never = not getattr(answer, "fits_empty", True)
        call.refuse(int32(needed), int32(getattr(answer, "available", None)), never)
        call.answer = "no room"
    elif name in ASK and answer is ASK[name]:
        call.refuse(int32(args[1]) if kind == "contiguous" and len(args) > 1 else -1, _had(part))
        call.answer = str(answer)
    elif kind == "sequences":
        call.meaning = None if answer is False else MEAN.get(name)
        if (cached := int32(getattr(answer, "num_cached_tokens", None))) >= 0:
            call.cached = cached


# ----- what parts show ------------------------------------------------------------------------------------------


def _kind(part: Any) -> str:
    kinds = {"sequences": "sequences", "reserve": "contiguous", "allocate": "pool"}
    return next((kind for name, kind in kinds.items() if callable(_try(getattr, part, name))), "table")


def _look(proxy: _Recorded) -> State:
    part = proxy._part
    match proxy._kind:
        case "sequences":
            tables = {str(seq): _table(part.blocks(seq), part.num_tokens(seq)) for seq in part.sequences()}
            return State(tables, _contents(part), evictions=int32(_try(lambda: part.counters.cached_blocks_evicted)))
        case "contiguous":
            runs = part.reservations().items()
            return State(runs={str(seq): (int32(run[0]), int32(run[1]), int32(run[2])) for seq, run in runs})
        case "pool":
            return State(contents=_contents(part))
    return State({proxy._name: _table(part.blocks, part.num_tokens)})


def _table(blocks: Any, tokens: Any) -> tuple[list[int], int]:
    if not isinstance(blocks, COLLECTIONS):
        raise TypeError
    return block_ids(blocks), max(int32(tokens), 0)


def _contents(part: Any) -> dict[int, Any]:
    return dict(part.contents()) if hasattr(part, "contents") else {}


def _had(part: Any) -> int:
    """How much a part could still give, -1 where it cannot be asked."""
    if (holes := _try(lambda: part.holes())) is not None:
        return int32(_try(lambda: sum(length for _, length in holes)))
    return max(int32(_try(getattr, part, name)) for name in ("num_available", "num_free"))


def _try(read: Callable[..., Any], *args: Any) -> Any:
    """What a read gives; None where it raises: a part that cannot be asked is still worth watching."""
    try:
        return read(*args)
    except Exception:
        return None


def _read_once(blocks: Any) -> tuple[Any, list[Any] | None]:
    """(what to hand on, what is in it). A generator is handed on as an iterator: reading it twice must still fail."""
    if isinstance(blocks, Iterator):
        ids = list(blocks)
        return iter(ids), ids
    if isinstance(blocks, np.ndarray):
        return blocks, blocks.tolist()
    return blocks, list(blocks) if isinstance(blocks, COLLECTIONS) else None


# ----- words ----------------------------------------------------------------------------------------------------


def _label(proxy: _Recorded, name: str, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The call in words. What an argument is, its name says."""
    bound = _try(lambda: inspect.signature(method).bind(*args, **kwargs))
    given: dict[Any, Any] = bound.arguments if bound else {**dict(enumerate(args)), **kwargs}
    parameters = bound.signature.parameters if bound else {}
    words = [proxy._name] if proxy._kind == "table" and proxy._name else []
    for key, value in given.items():
        parameter = parameters.get(key)
        usual = parameter and type(value) in (int, bytes, type(None)) and value == parameter.default
        if key == "token" or callable(value) or usual:
            continue
        shown = _argument(str(key), value)
        words.append(f"{key}={shown}" if parameter and parameter.kind is parameter.KEYWORD_ONLY else shown)
    whose = f" for {proxy._name}" if proxy._kind == "pool" and proxy._name else ""
    return f"{name}({', '.join(words)}){whose}"


def _argument(key: str, value: Any) -> str:
    if key in ("prompt", "tokens") and isinstance(value, (*COLLECTIONS, bytes)):
        return plural(len(value) // 4 if isinstance(value, bytes) else len(value), "token")  # four bytes each
    if key == "seq_ids" and isinstance(value, list):
        return listed(value, most=12)
    return value[:60] if isinstance(value, str) else _show(value)


def _show(value: object) -> str:
    return _try(_REPR.repr, value) or f"<{type(value).__name__}>"


def _first_line(error: BaseException) -> str:
    lines = (_try(str, error) or "").splitlines()
    return lines[0][:300] if lines else "no message"
