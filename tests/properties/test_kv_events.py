"""vLLM's KV events: bytes that its own classes made, bytes that are drawn, and bytes that are broken."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import KVEventError
from labkit.observe.kv_events import Change, KVEvents, decode, published, subscribe
from labkit.observe.live import Watch
from labkit.observe.series import Worth

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "recordings" / "metrics"
recorded = pytest.mark.skipif(not FOLDER.is_dir(), reason="an installed wheel has no recordings of metrics")


def batches() -> list[bytes]:
    """The batches that vLLM published, as it encoded them."""
    data, found = (FOLDER / "vllm_kv_events.bin").read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<I", data)
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


@recorded
def test_what_vllm_published_is_what_its_cache_did() -> None:
    truth = json.loads((FOLDER / "vllm.json").read_text())["truth"][-1]
    events, copies, gone, regret = KVEvents(), Counter[Any](), set(), 0
    for number, payload in enumerate(batches()):
        events.feed(payload, number)
        for change in decode(payload).changes:  # the same in plain words
            for content in change.hashes:
                if change.kind == "BlockStored":
                    regret += content in gone
                    gone.discard(content)
                    copies[content] += 1
                else:
                    copies[content] -= 1
                    if not copies[content]:
                        gone.add(content)
    assert events.removed == truth["evicted"] == 60
    assert events.stored - events.removed == sum(copies.values()) <= 22
    assert min(copies.values()) >= 0
    assert events.regret.count == regret > 0
    assert events.figures(2.0) == {"evicted": 30.0, "regretted": regret / 2}
    assert events.figures(2.0) == {"evicted": 0.0, "regretted": 0.0}
    assert events.worths()["evicted"] == (Worth.EXACT, "")


hashes = st.lists(st.integers(0, 2**64 - 1) | st.binary(min_size=32, max_size=32), max_size=4)
event = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("BlockStored"), "block_hashes": hashes, "parent_block_hash": st.none() | st.integers(0, 99),
         "token_ids": st.lists(st.integers(0, 99), max_size=3), "block_size": st.just(16)},
        optional={"medium": st.sampled_from([None, "GPU", "CPU"]), "group_idx": st.integers(0, 3), "new": st.text()},
    ),
    st.fixed_dictionaries(
        {"type": st.just("BlockRemoved"), "block_hashes": hashes}, optional={"medium": st.sampled_from([None, "CPU"])}
    ),
    st.just({"type": "AllBlocksCleared"}),
    st.fixed_dictionaries({"type": st.just("SomethingNew"), "value": st.integers(0, 9)}),
)  # fmt: skip


@given(at_s=st.floats(0, 1e10), drawn=st.lists(event, max_size=6), rank=st.none() | st.integers(0, 7))
@settings(max_examples=60)
def test_what_was_written_is_read(at_s: float, drawn: list[dict[str, Any]], rank: int | None) -> None:
    batch = decode(msgspec.msgpack.encode([at_s, drawn, rank]))
    assert (batch.at_s, batch.rank) == (at_s, rank or 0)
    assert batch.changes == tuple(
        Change(each["type"], tuple(each.get("block_hashes", ())), each.get("group_idx", 0), each.get("medium"))
        for each in drawn
        if each["type"] != "SomethingNew"
    )


@given(st.one_of(st.binary(max_size=60), st.recursive(st.none() | st.integers(0, 9) | st.text(max_size=3),
       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
       max_leaves=8).map(msgspec.msgpack.encode)))  # fmt: skip
@settings(max_examples=100)
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    events = KVEvents()
    try:
        events.feed(payload, 7)
    except KVEventError as error:
        assert events.problem == str(error) and events.lost == 1
        assert events.stored == events.removed == 0


@recorded
def test_a_real_batch_that_was_cut_is_refused() -> None:
    payload = max(batches(), key=len)
    for at in range(0, len(payload), 7):
        with pytest.raises(KVEventError, match="no batch of vLLM's KV events"):
            decode(payload[:at])


def test_the_older_form_by_position_is_refused_in_a_sentence() -> None:
    with pytest.raises(KVEventError, match="written by position"):
        decode(msgspec.msgpack.encode([1.0, [["BlockStored", [1, 2], None, [1] * 32, 16, None]]]))


def of(*changes: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode([0.0, list(changes), None])


def stored(*contents: int, **more: Any) -> dict[str, Any]:
    return {"type": "BlockStored", "block_hashes": contents, **more}


def removed(*contents: int, **more: Any) -> dict[str, Any]:
    return {"type": "BlockRemoved", "block_hashes": contents, **more}


def test_regret_needs_the_last_copy_to_go_and_an_eviction_to_be_one() -> None:
    events = KVEvents()
    events.feed(of(stored(1), stored(1), removed(1), stored(1)))  # a copy was left
    assert events.regret.count == 0
    events.feed(of(removed(1, 1), stored(1)))
    assert events.regret.count == 1
    events.feed(of({"type": "AllBlocksCleared"}, stored(1)))
    assert events.regret.count == 1
    events.feed(of(stored(5), removed(5), stored(5, medium="CPU"), stored(5, group_idx=1)))  # elsewhere
    assert events.regret.count == 1
    events.feed(of(removed(9), stored(9)))  # it was there before anybody listened
    assert events.regret.count == 2


def test_what_was_lost_on_the_way_is_said() -> None:
    events = KVEvents()
    events.feed(of(stored(1)), 0)
    events.feed(of(removed(1)), 3)
    assert events.lost == 2
    worth, why = events.worths()["evicted"]
    assert worth is Worth.PROXY and "2 batches were lost" in why
    events.feed(of(stored(1)), 0)  # the publisher has been restarted: an empty cache
    assert events.regret.count == 0 and events.lost == 2


def test_events_stand_beside_the_metrics() -> None:
    events, times = KVEvents(), iter([0.0, 2.0, 4.0])
    text = "# TYPE vllm:generation_tokens counter\nvllm:generation_tokens_total 1\n"
    events.feed(of(stored(1, 2, 3), removed(1)))
    seen = Watch("h:1", beside=events, get=lambda url, **given: text, clock=lambda: next(times))
    assert seen.ask() is None
    events.feed(of(removed(2, 3), stored(2)))
    row = seen.ask()
    assert row is not None and (row["evicted"], row["regretted"]) == (1.0, 0.5)
    assert seen.series.worth("evicted") == (Worth.EXACT, "")
    assert seen.ask() == {"end_s": 4.0, "seconds": 2.0, "delivered": 0.0, "evicted": 0.0, "regretted": 0.0}


def test_a_publisher_is_listened_to() -> None:
    import zmq

    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.setsockopt(zmq.LINGER, 0)
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        with subscribe(f"tcp://127.0.0.1:{port}", "kv") as events:
            number, end = 0, time.monotonic() + 10
            while not events.removed and time.monotonic() < end:
                publisher.send_multipart([b"other", number.to_bytes(8, "big"), of(removed(1, 2, 3))])
                publisher.send_multipart([b"kv", number.to_bytes(8, "big"), of(stored(1), removed(1))])
                number += 1
                time.sleep(0.02)
            before = events.removed
            assert before >= 1 and events.lost == 0  # what came before it listened is not lost
            publisher.send_multipart([b"kv", number.to_bytes(8, "big"), b"\xc1"])
            while not events.problem and time.monotonic() < end:
                time.sleep(0.01)
            assert "no batch" in events.problem and events.lost == 1


def test_a_loop_of_ones_own_gets_the_batches_as_they_are_published() -> None:
    zmq = pytest.importorskip("zmq")
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.setsockopt(zmq.LINGER, 0)
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        done = threading.Event()

        def publish() -> None:
            number = 0
            while not done.wait(0.02):
                publisher.send_multipart([b"", number.to_bytes(8, "big"), of(stored(number))])
                number += 1

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            with closing(published(f"tcp://127.0.0.1:{port}")) as payloads:
                got = [decode(payload).changes[0].hashes[0] for payload in islice(payloads, 3)]
        finally:
            done.set()
            thread.join()
    assert [content - got[0] for content in got] == [0, 1, 2]


@pytest.mark.parametrize("address", ["", "http://h:1", "tcp://", "nonsense"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(KVEventError, match="no address of KV events"), subscribe(address):
        pass


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "msgspec", None)
    with pytest.raises(KVEventError, match=r"pip install 'labkit\[events\]'"):
        decode(b"")
