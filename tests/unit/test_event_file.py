"""The published form of the event log: what is written is read, a hand-written log plays, a broken one is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import engine
from labkit.cache.contiguous import FirstFit
from labkit.errors import EventLogError
from labkit.observe.event_file import FIELDS, KINDS, NEEDED, SCHEMA, from_json, read_events, to_json, write_events
from labkit.observe.events import EventLog, Kind
from labkit.observe.recorder import record

PAGE = Path(__file__).resolve().parents[2] / "docs" / "event-log.md"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))

HAND_WRITTEN = {
    "format": "labkit.events",
    "version": 1,
    "meta": {"num_blocks": 4, "block_size": 2, "from": "elsewhere"},
    "events": [
        {"step": 0, "kind": "allocate", "seq": "A", "block": 2, "index": 0},
        {"step": 0, "kind": "fill", "seq": "A", "block": 2, "tokens": 2},
        {"step": 0, "kind": "stored", "seq": "A", "block": 2, "content": 7},
        {"step": 2, "kind": "free", "seq": "A", "block": 2, "left": 0, "unheld": True},
        {"step": 3, "kind": "removed", "block": 2},
        {"step": 3, "kind": "refuse", "seq": "B", "had": 4, "wanted": 9, "never": True},
    ],
}


def state(log: EventLog) -> tuple[Any, ...]:
    rows = [(step, kind, flags, log.names[seq], block, arg) for step, kind, flags, seq, block, arg in log.rows()]
    return rows, log.labels, log.meta


def busy() -> EventLog:
    """A log with most of the kinds, from real parts."""
    log = EventLog()
    manager = record(engine.kv_cache_manager(6, 2, yours=False), log)
    manager.allocate("A", [1, 2, 3, 4, 5])
    manager.fork("A", "B")
    manager.append("B", 9)
    manager.preempt("A")
    manager.free("B")
    manager.allocate("C", [1, 2, 3, 4, 7, 8])
    manager.allocate("D", range(50, 62))
    manager.free("C")
    manager.allocate("D", range(50, 60))
    manager.free("D")
    manager.reset_prefix_cache()
    return log


def contiguous() -> EventLog:
    log = EventLog()
    memory = record(FirstFit(16), log)
    memory.reserve("A", 6)
    memory.use("A", 3)
    memory.reserve("B", 12)
    memory.release("A")
    return log


@pytest.mark.parametrize("make", [busy, contiguous])
def test_what_real_parts_did_is_written_and_read_again(make: Any, tmp_path: Path) -> None:
    log = make()
    path = tmp_path / "log.json"
    write_events(log, path)
    VALIDATOR.validate(json.loads(path.read_text(encoding="utf-8")))
    assert state(read_events(path)) == state(log)
    kinds = {row[1] for row in log.rows()}
    assert len(kinds) >= (10 if make is busy else 4), sorted(Kind(kind).name for kind in kinds)


def test_a_hand_written_log_is_valid_is_read_and_plays(tmp_path: Path) -> None:
    from labkit.observe.evictions import evictions_of
    from labkit.observe.pool_state import LogData, pool_state
    from labkit.widgets.page_table import PageTable

    VALIDATOR.validate(HAND_WRITTEN)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(HAND_WRITTEN), encoding="utf-8")
    log = read_events(path)
    assert log.num_steps == 4 and len(log) == 6
    assert log.labels[1] == "" and "block 2" in log.labels[0]  # made from the events
    widget = PageTable(log)
    assert (widget.num_blocks, widget.block_size, widget.names) == (4, 2, ["", "A", "B"])
    assert widget.records == log.to_bytes()
    seen = pool_state(LogData.of(log), 1, 4)
    assert seen.holders[2] == [1] and seen.cached[2] and seen.fill[2] == 2
    assert [eviction.block for eviction in evictions_of(log)] == [2]


def test_the_log_of_the_page_is_read() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    VALIDATOR.validate(json.loads(text))
    log = from_json(json.loads(text))
    assert log.labels == ["A comes with 3 tokens", "A ends"] and len(log) == 6


def test_the_page_and_the_schema_name_every_kind_and_field() -> None:
    schema, page = VALIDATOR.schema, PAGE.read_text(encoding="utf-8")
    assert set(schema["$defs"]) == set(KINDS) and set(FIELDS) == set(Kind)
    assert set(schema["properties"]["events"]["items"]["properties"]["kind"]["enum"]) == set(KINDS)
    for name, kind in KINDS.items():
        told, fields = schema["$defs"][name], {field for field in FIELDS[kind] if field}
        assert set(told["properties"]) == {"step", "kind", "seq"} | fields
        assert set(told["required"]) == {"step", "kind"} | (fields & NEEDED)
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |") and line.count("|") == 4]
        assert all(f"`{field}`{'' if field in NEEDED else '?'}" in row for field in fields)
        assert told["description"] in row


def changed(**changes: Any) -> dict[str, Any]:
    return {**HAND_WRITTEN, **changes}


def one(**event: Any) -> dict[str, Any]:
    return changed(events=[{"step": 0, **event}])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "This is no event log"),
        ({"kind": "events"}, "This is no event log"),
        (changed(version=2), "of version 2, and version 1 is read"),
        (changed(version=True), "of version True"),
        (changed(more=1), "The log has a field 'more'"),
        (changed(meta=[]), "meta is no object"),
        (changed(meta={"num_blocks": 0}), "num_blocks 0"),
        (changed(labels="x"), "labels are no list"),
        (changed(events=None), "no list of events"),
        (changed(events=[3]), "Event 0 is no object"),
        (one(kind="explode"), "Event 0 is of kind 'explode'; there are allocate, share"),
        (one(kind=None), "of kind None"),
        (one(kind="allocate", seq="A"), r"Event 0 \(allocate\) has no block"),
        (one(kind="allocate", block=-2), "block is -2, but must be a whole number"),
        (one(kind="allocate", block=4), "is of block 4, and there are 4, counted from 0"),
        (one(kind="allocate", block=1, size=3), "has a field 'size'"),
        (one(kind="allocate", block="1"), "block is '1'"),
        (one(kind="free", block=1, unheld=1), "unheld true or false"),
        (one(kind="fill", block=1, tokens=-1), "tokens is -1"),
        (one(kind="copy", block=1, source=9), "block 9"),
        (one(kind="cleared", seq=3), "seq is a text"),
        (changed(events=[{"kind": "cleared"}]), "Event 0 has no step"),
        (changed(events=[{"step": 2, "kind": "cleared"}, {"step": 1, "kind": "cleared"}]), "at step 1, after one at"),
        (changed(events=[{"step": 10**7, "kind": "cleared"}]), "step is 10000000"),
    ],
)
def test_a_broken_log_is_refused_in_a_sentence(data: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match=says):
        from_json(data)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(EventLogError, match=f"log.json: .*{says}"):
        read_events(path)


def test_what_is_no_file_or_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EventLogError, match="there is no such file"):
        read_events(tmp_path / "nothing")
    (tmp_path / "half.json").write_text('{"format": "labkit.events", "ver', encoding="utf-8")
    with pytest.raises(EventLogError, match="it is not JSON"):
        read_events(tmp_path / "half.json")


values = st.none() | st.booleans() | st.integers(-2, 9) | st.text(max_size=2)
events = st.builds(
    lambda step, kind, more: {"step": step, "kind": kind, **more},
    st.integers(-1, 3) | st.none(),
    st.sampled_from([*KINDS, "explode"]),
    st.dictionaries(
        st.sampled_from(sorted({"seq", "odd", *(f for fields in FIELDS.values() for f in fields if f)})), values
    ),
)


@given(
    st.lists(events, max_size=3).map(lambda rows: sorted(rows, key=lambda row: row["step"] or 0)),
    st.dictionaries(st.sampled_from(["block_size", "num_slots", "note"]), values, max_size=2),
)
@settings(max_examples=150)
def test_the_schema_and_the_reader_say_the_same(rows: list[dict[str, Any]], meta: dict[str, Any]) -> None:
    data = {"format": "labkit.events", "version": 1, "meta": meta, "events": rows}
    valid = VALIDATOR.is_valid(data)
    try:
        log = from_json(data)
    except EventLogError:
        assert not valid
    else:
        assert valid
        assert state(from_json(to_json(log))) == state(log)
