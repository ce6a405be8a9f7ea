"""An event log in a file that people and other programs can write: JSON, described by `event_log.schema.json`.

    {"format": "labkit.events", "version": 1, "meta": {"num_blocks": 4, "block_size": 2},
     "labels": ["A comes", "A ends"],
     "events": [{"step": 0, "kind": "allocate", "seq": "A", "block": 0, "index": 0},
                {"step": 1, "kind": "free", "seq": "A", "block": 0, "left": 0}]}

`docs/event-log.md` says what each kind means. A log that is read here plays in every widget that takes an `EventLog`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from labkit.errors import EventLogError, UnreadableError
from labkit.observe.events import EventLog, Kind
from labkit.observe.sentences import Story
from labkit.reading import read_json
from labkit.writing import write_atomically

FORMAT, VERSION = "labkit.events", 1
SCHEMA = Path(__file__).with_name("event_log.schema.json")
MOST_BYTES = 64 << 20
MOST_STEPS = 1_000_000
MOST_NAMES = 65_534  # a record has two bytes for the sequence, and 0 is nobody
MOST = 2**31 - 1


class Fields(NamedTuple):
    """How a kind of event calls what a record keeps as `block`, `arg` and the flag; "" for what it has not."""

    block: str = ""
    arg: str = ""
    flag: str = ""


FIELDS = {
    Kind.ALLOCATE: Fields("block", "index"),
    Kind.SHARE: Fields("block", "index"),
    Kind.COPY: Fields("block", "source"),
    Kind.FREE: Fields("block", "left", "unheld"),
    Kind.STORED: Fields("block", "content"),
    Kind.REMOVED: Fields("block", "", "twin"),
    Kind.CLEARED: Fields(),
    Kind.REUSE: Fields("block", "index"),
    Kind.FILL: Fields("block", "tokens"),
    Kind.PREEMPT: Fields("", "tokens"),
    Kind.FINISH: Fields("", "tokens"),
    Kind.RESERVE: Fields("slot", "slots"),
    Kind.RELEASE: Fields("slot", "slots"),
    Kind.REFUSE: Fields("had", "wanted", "never"),
    Kind.USE: Fields("slot", "slots"),
}
NEEDED = {"block", "slot", "slots", "source"}
"""Fields that an event of a kind which has them cannot be without: -1 says that it is not known, as where code under
check handed out what is no block. All others may be left out."""

KINDS = {kind.name.lower(): kind for kind in Kind}


def to_json(log: EventLog) -> dict[str, Any]:
    """A log as data of the published format."""
    events = []
    for step, kind, flags, seq, block, arg in log.rows():
        fields = FIELDS[Kind(kind)]
        event: dict[str, Any] = {"step": step, "kind": Kind(kind).name.lower()}
        if seq:
            event["seq"] = log.names[seq]
        for name, value in ((fields.block, block), (fields.arg, arg)):
            if name and (value >= 0 or name in NEEDED):
                event[name] = value
        if fields.flag and flags:
            event[fields.flag] = True
        events.append(event)
    return {"format": FORMAT, "version": VERSION, "meta": log.meta, "labels": log.labels, "events": events}


def write_events(log: EventLog, path: Path) -> None:
    """Write a log, whole or not at all, one event a line."""
    data = to_json(log)
    events = ",\n".join(json.dumps(event) for event in data.pop("events"))
    write_atomically(path, f'{json.dumps(data)[:-1]}, "events": [\n{events}\n]}}\n')


def read_events(path: Path) -> EventLog:
    """The log in a file.

    Raises:
        EventLogError: there is no such file, or it is not in the format; the sentence says where and what.
    """
    try:
        return from_json(read_json(path, MOST_BYTES))
    except UnreadableError as error:
        raise EventLogError(f"{path} cannot be read as an event log ({error.reason}).") from None
    except EventLogError as error:
        raise EventLogError(f"{path}: {error}") from None


def from_json(data: Any) -> EventLog:
    """A log from data of the published format. Where it has no labels, they are made from the events.

    Raises:
        EventLogError: it is not in the format.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise EventLogError(f'This is no event log: one is an object with "format": "{FORMAT}".')
    if type(data.get("version")) is not int or data["version"] != VERSION:
        version = data.get("version")
        raise EventLogError(f"It is of version {version!r:.20}, and version {VERSION} is read: update labkit.")
    _only(data, {"format", "version", "meta", "labels", "events"}, "the log")
    log = EventLog(**_meta(data.get("meta", {})))
    events, labels = data.get("events"), data.get("labels")
    if not isinstance(events, list):
        raise EventLogError("It has no list of events.")
    if labels is not None and not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        raise EventLogError("Its labels are no list of texts, one for each step.")
    steps: list[list[dict[str, Any]]] = [[] for _ in labels or ()]
    last = 0
    for number, event in enumerate(events):
        last = step = _step(event, number, last)
        while len(steps) <= step:
            steps.append([])
        steps[step].append(event)
    number, story = 0, Story(log)
    for step, happened in enumerate(steps):
        log.begin(labels[step] if labels and step < len(labels) else "")
        start = len(log)
        for event in happened:
            _emit(log, event, number)
            number += 1
        if labels is None:
            log.relabel(story.tell(start))
    return log


def _step(event: Any, number: int, last: int) -> int:
    """The step of an event, which is that of the one before it, or a later one."""
    if not isinstance(event, dict):
        raise EventLogError(f"Event {number} is no object.")
    step = _whole(event, "step", number, MOST_STEPS - 1)
    if step < last:
        where = f"is at step {step}, after one at step {last}" if step >= 0 else "has no step"
        raise EventLogError(f"Event {number} {where}.")
    return step


def _emit(log: EventLog, event: dict[str, Any], number: int) -> None:
    kind = KINDS.get(event["kind"]) if isinstance(event.get("kind"), str) else None
    if kind is None:
        raise EventLogError(f"Event {number} is of kind {event.get('kind')!r:.40}; there are {', '.join(KINDS)}.")
    fields = FIELDS[kind]
    where = f"event {number} ({kind.name.lower()})"
    _only(event, {"step", "kind", "seq", *fields} - {""}, where)
    values = [_whole(event, name, number, MOST) if name else -1 for name in (fields.block, fields.arg)]
    for name in (fields.block, fields.arg):
        if name in NEEDED and name not in event:
            raise EventLogError(f"{where.capitalize()} has no {name}.")
    if "num_blocks" in log.meta:
        of_pool = [value for name, value in zip(fields, values, strict=False) if name in ("block", "source")]
        if of_pool and max(of_pool) >= int(log.meta["num_blocks"]):
            there = f"there are {log.meta['num_blocks']}, counted from 0"
            raise EventLogError(f"{where.capitalize()} is of block {max(of_pool)}, and {there}.")
    flag = event.get(fields.flag, False) if fields.flag else False
    seq = event.get("seq", "")
    if not isinstance(flag, bool) or not isinstance(seq, str):
        raise EventLogError(f"{where.capitalize()}: seq is a text, and {fields.flag or 'a flag'} true or false.")
    if len(log.names) > MOST_NAMES and seq not in log.names:
        raise EventLogError(f"There are more than {MOST_NAMES:,} sequences.")
    log.emit(kind, seq or None, values[0], values[1], int(flag))


def _whole(event: Mapping[str, Any], name: str, number: int, most: int) -> int:
    """A whole number of an event, -1 where it has none."""
    value = event.get(name, -1)
    least = -1 if name in NEEDED else 0
    if name in event and (type(value) is not int or not least <= value <= most):
        must = f"must be a whole number from {least} to {most:,}"
        raise EventLogError(f"Event {number}: {name} is {value!r:.30}, but {must}.")
    return int(value)


def _meta(meta: Any) -> dict[str, int | str]:
    if not isinstance(meta, dict) or not all(type(value) in (int, str) for value in meta.values()):
        raise EventLogError("Its meta is no object of texts and whole numbers.")
    for name in ("num_blocks", "block_size", "num_slots"):
        if name in meta and not (type(meta[name]) is int and 0 < meta[name] <= MOST):
            raise EventLogError(f"Its meta says {name} {meta[name]!r:.30}, but it must be a whole number, 1 or more.")
    return meta


def _only(data: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(data.keys() - known):
        names = ", ".join(sorted(known))
        raise EventLogError(f"{where.capitalize()} has a field {unknown[0]!r:.40}; there are {names}.")
