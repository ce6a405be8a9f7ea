"""What lessons 08 and 09 promise in their text, held by the code that it speaks of."""

from __future__ import annotations

import hashlib
import re
import struct
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labkit import paths, specs
from labkit.authoring.master import MasterCell, read
from labkit.cache.eviction_policies import POLICIES
from labkit.engine import kv_cache_manager
from labkit.observe.kv_events import KVEvents
from labkit.simulate.cache_replay import cache_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.prefix_patterns import zipf
from labkit.specs.eviction_tournament.boards import LARGE, LARGE_SIZES, OPENING, SIZES, TRACES, every_policy
from labkit.specs.eviction_tournament.eviction_scenes import NINE_O_CLOCK, published_events
from labkit.specs.radix_prefix_cache.scenes import letters, lookup_times, six_requests

RECORDED = Path(__file__).resolve().parents[2] / "benchmarks" / "recordings" / "metrics" / "vllm_kv_events.bin"
BOTH = pytest.mark.parametrize("number", ["08", "09"])


@cache
def cells(number: str) -> dict[str, MasterCell]:
    return {cell.id: cell for cell in read(Path(paths.masters_dir()) / f"{specs.resolve_key(number)}.py").cells}


# ----- the tool of lesson 09 ----------------------------------------------------------------------------------------


def told(payloads: list[bytes], capsys: Any) -> list[tuple[str, int, int]]:
    """What the lesson's own cell prints of a stream: (minute, evicted, wanted again)."""
    names: dict[str, Any] = {}
    exec(cells("09")["regret-per-minute"].source, names)
    names["regret_per_minute"](payloads)
    lines = capsys.readouterr().out.replace(",", "").splitlines()
    found = [re.fullmatch(r"(\d\d:\d\d) UTC +(\d+) blocks evicted +(\d+) wanted again", line) for line in lines]
    return [(match[1], int(match[2]), int(match[3])) for match in found if match]


def stored(*contents: int) -> dict[str, Any]:
    return {"type": "BlockStored", "block_hashes": list(contents), "parent_block_hash": None, "token_ids": [1],
            "block_size": 16, "lora_id": None, "medium": "GPU"}  # fmt: skip


def removed(*contents: int) -> dict[str, Any]:
    return {"type": "BlockRemoved", "block_hashes": list(contents), "medium": "GPU"}


def stream(*batches: tuple[float, list[dict[str, Any]]]) -> list[bytes]:
    return [msgspec.msgpack.encode([NINE_O_CLOCK + at_s, events, 0]) for at_s, events in batches]


def test_the_tool_counts_a_stream_whose_answer_is_known(capsys: Any) -> None:
    known = stream(
        (0, [stored(1, 2, 3)]),
        (30, [removed(2), removed(9)]),  # 9 was there before the stream began
        (61, [stored(2, 9)]),  # two that were evicted
        (90, [stored(1)]),  # a twin: 1 is there twice
        (95, [removed(1), stored(1), removed(1)]),  # a copy stays all the time
        (119.9, [removed(1), removed(3)]),
        (120, [stored(1, 4)]),  # the last copy had gone
        (190, [{"type": "AllBlocksCleared"}, {"type": "SomethingNew", "value": 3}]),
        (200, [stored(2, 3)]),  # cleared on demand, 3 evicted before that: neither is regret
    )
    assert told(known, capsys) == [("09:00", 2, 0), ("09:01", 4, 2), ("09:02", 0, 1), ("09:03", 0, 0)]


def test_the_tool_agrees_with_the_meter_on_the_stream_of_the_lesson(capsys: Any) -> None:
    payloads = published_events()
    meter = KVEvents()
    for payload in payloads:
        meter.feed(payload)
    rows = told(payloads, capsys)
    assert [row[0] for row in rows] == [f"09:0{minute}" for minute in range(10)]
    assert (sum(row[1] for row in rows), sum(row[2] for row in rows)) == (meter.removed, meter.regret.count)
    once, back = rows[1:5], rows[5:]
    assert all(evicted == 320 and not again for _, evicted, again in once), "Monday: all that is asked for goes"
    assert all(evicted < 130 and again > 40 for _, evicted, again in back), "Tuesday: fewer, and wanted again"


@pytest.mark.skipif(not RECORDED.is_file(), reason="an installed wheel has no recordings of metrics")
def test_the_tool_reads_what_vllm_published(capsys: Any) -> None:
    data, payloads, meter = RECORDED.read_bytes(), [], KVEvents()
    while data:
        (length,) = struct.unpack_from("<I", data)
        payloads.append(data[4 : 4 + length])
        data = data[4 + length :]
    for payload in payloads:
        meter.feed(payload)
    rows = told(payloads, capsys)
    assert (sum(row[1] for row in rows), sum(row[2] for row in rows)) == (60, meter.regret.count)


# ----- what lesson 09 says of policies and memory -------------------------------------------------------------------


def found(name: str, blocks: int, policy: str) -> float:
    return cache_replay(TRACES[name], blocks, POLICIES.get(policy)).hit_ratio


def test_lru_loses_to_scans_and_hardly_where_people_talk() -> None:
    for blocks in SIZES:
        best = max(found("chats", blocks, policy) for policy in POLICIES)
        assert best - found("chats", blocks, "LRU") < 0.01
    for name, blocks in (("scan", 50), ("scan", 200), ("ring", 100), ("long scan", 1200)):
        assert max(found(name, blocks, policy) for policy in POLICIES) - found(name, blocks, "LRU") > 0.04


def test_tuesday_is_cured_by_memory_and_by_no_policy() -> None:
    back = requests_of(zipf(200, 20, 0.0, 4, seed=2))  # as in the lesson
    regret = {
        (blocks, name): cache_replay(back, blocks, POLICIES.get(name)).regret_ratio
        for blocks in (64, 72, 96) for name in (*POLICIES, "Belady")
    }  # fmt: skip
    assert min(regret[64, name] for name in POLICIES) > 0.18 > 2 * regret[64, "Belady"] > 0
    assert regret[72, "LRU"] < regret[64, "LRU"] / 2 and regret[72, "Belady"] > 0
    assert not any(regret[96, name] for name in (*POLICIES, "Belady"))


def test_found_and_regretted_are_the_same_blocks_for_all() -> None:
    """So Belady, which finds the most, regrets the least: the floor of the right picture."""
    for name in OPENING:
        for blocks in SIZES:
            outcomes = {policy: cache_replay(TRACES[name], blocks, POLICIES.get(policy)) for policy in (*POLICIES, "B")}
            assert len({outcome.hits + outcome.regret for outcome in outcomes.values()}) == 1
            assert outcomes["B"].regret == min(outcome.regret for outcome in outcomes.values())


def test_the_boards_show_sizes_that_tell() -> None:
    compute = every_policy()
    for name in LARGE:
        curves = compute(name, LARGE_SIZES)
        for at in range(len(LARGE_SIZES)):
            assert len({curves[policy]["hit_rate"][at] for policy in POLICIES}) > 1, (name, LARGE_SIZES[at])


def test_the_board_above_does_not_give_the_prediction_away() -> None:
    """The prediction is about LRU on a ring."""
    assert "ring" not in OPENING and set(OPENING) | set(LARGE) < set(TRACES)
    order = list(cells("09"))
    assert order.index("play-widget") < order.index("predict-p1") < order.index("where-lru-loses")
    before = "".join(cells("09")[cell].source for cell in order[: order.index("about-predict")])
    assert "ring" not in re.findall(r"\w+", before)


# ----- how both begin, and what they ask to verify ------------------------------------------------------------------


def test_the_scene_at_the_top_of_lesson_08() -> None:
    log = six_requests()
    assert log.num_steps == 11 and log.notes[1].startswith("16 of 24 letters were cached")
    assert letters(log.keys[-1]) == letters(log.keys[-1]).strip("\0") and not any(log.faults)
    assert any(node.gone for step in range(1, 12) for node in log.state(step)), "something has to make room"


def test_a_lookup_hashes_each_block_under_hashes_and_none_in_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the lesson times, counted; the times are those of the reader's own machine."""
    hashed: list[bytes] = []
    sha256 = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda data: hashed.append(data) or sha256(data))
    found = {}
    for kind in ("hash", "radix"):
        manager = kv_cache_manager(200, 16, prefix_cache=kind, yours=False)
        manager.allocate("before", [*range(1600), 9000])
        hashed.clear()
        assert manager.lookup([*range(1600), 9001]) == 1600
        found[kind] = len(hashed)
    assert found == {"hash": 100, "radix": 0}
    assert {*lookup_times(160)} == {"hash", "radix", "hashing"}


@BOTH
def test_the_first_hint_is_about_the_rule_that_broke(number: str) -> None:
    for exercise in specs.lesson(number).exercises:
        if exercise.kind != "break":
            assert all(rule.hint for rule in exercise.spec.rules), exercise.id
