"""The eviction strip: removals paired with requests, exact counts in every layout, what is said and drawn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from labkit.cache.eviction import LRU
from labkit.cache.eviction_policies import POLICIES, SLRU
from labkit.errors import BoardError
from labkit.observe.events import EventLog, Kind
from labkit.observe.evictions import Eviction, evictions_of, pair_evictions
from labkit.simulate.cache_replay import cache_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.prefix_patterns import one_time_scan, zipf
from labkit.specs.eviction_tournament.eviction_scenes import evictions_of_replay
from labkit.widgets import EvictionStrip
from labkit.widgets.eviction_strip import RECORD, overview


def lru(trace: list[int], capacity: int) -> tuple[list[tuple[int, int, int]], int]:
    """An LRU replay: (its removals as (step, content, block), misses on a content that it had evicted)."""
    cached: dict[int, int] = {}
    free, removals, gone, regretted = list(range(capacity)), [], set(), 0
    for now, key in enumerate(trace):
        if key in cached:
            cached[key] = cached.pop(key)
            continue
        regretted += key in gone
        gone.discard(key)
        if not free:
            out = next(iter(cached))
            free.append(cached.pop(out))
            gone.add(out)
            removals.append((now, out, free[-1]))
        cached[key] = free.pop()
    return removals, regretted


def popular(count: int, seed: int = 1) -> list[int]:
    draw = random.Random(seed)
    return [min(400, int(draw.paretovariate(0.6))) for _ in range(count)]


@pytest.mark.parametrize(("seed", "capacity"), [(1, 4), (2, 16), (3, 40)])
def test_as_many_are_regretted_as_the_replay_missed_again(seed: int, capacity: int) -> None:
    trace = popular(900, seed)
    removals, regretted = lru(trace, capacity)
    found = pair_evictions(removals, enumerate(trace))
    assert len(found) == len(removals) and sum(e.regretted for e in found) == regretted > 0
    for (step, content, block), e in zip(removals, found, strict=True):
        later = next((t for t in range(step + 1, len(trace)) if trace[t] == content), None)
        assert (e.step, e.block, e.label, e.wanted_again) == (step, block, str(content), later)


@pytest.mark.parametrize("make", [LRU, SLRU, None], ids=["LRU", "SLRU", "Belady"])
@pytest.mark.parametrize("blocks", [40, 130])
def test_pairing_finds_the_regret_that_the_librarys_replay_counts(make: Any, blocks: int) -> None:
    requests = requests_of(one_time_scan(12, 60, 100, 4, seed=1))
    removals, asked = [], []

    def note(step: int, ids: Sequence[int], hits: int, gone: list[int]) -> None:
        asked.extend((step, key) for key in ids)
        removals.extend((step, key, -1) for key in gone)

    policy = None if make is None else (lambda n: SLRU(n)) if make is SLRU else (lambda n: make())
    outcome = cache_replay(requests, blocks, policy, on_request=note)
    found = pair_evictions(removals, asked)
    assert len(found) == outcome.evictions > 0
    assert sum(e.regretted for e in found) == outcome.regret


def test_requests_may_come_in_any_order_of_steps() -> None:
    trace = popular(300)
    removals, _ = lru(trace, 8)
    asked = list(enumerate(trace))
    random.Random(2).shuffle(asked)
    assert pair_evictions(removals, asked) == pair_evictions(removals, enumerate(trace))


def test_a_request_of_the_same_step_came_before_the_eviction() -> None:
    assert pair_evictions([(5, "x", 0)], [(5, "x")]) == [Eviction(5, 0, "x", None)]
    assert pair_evictions([(5, "x", 0)], [(5, "x"), (6, "x")]) == [Eviction(5, 0, "x", 6)]


def test_of_two_blocks_with_one_content_the_last_to_go_is_missed() -> None:
    found = pair_evictions([(1, "x", 0), (3, "x", 1), (9, "x", 2)], [(6, "x"), (12, "x")])
    assert [e.wanted_again for e in found] == [None, 6, 12]
    assert [e.wanted_again for e in pair_evictions([(1, "x", 0), (3, "x", 1)], [])] == [None, None]


def test_labels_are_words_for_the_content() -> None:
    assert pair_evictions([(0, b"\x0f\xa0", 3)], [])[0].label == "0fa0"
    assert pair_evictions([(0, ("a", 1), 3)], [], lambda content: f"prompt {content[0]}")[0].label == "prompt a"


def test_removals_that_go_backwards_are_refused() -> None:
    with pytest.raises(BoardError, match="Removal 1 is at step 3, after one at step 4"):
        pair_evictions([(4, "x", 0), (3, "y", 1)], [])


def cache_log() -> EventLog:
    """Contents 7 and 8 are stored; 7 makes room for 9, is computed again, and is hit."""
    log = EventLog(num_blocks=2)
    for block, content in ((0, 7), (1, 8)):
        log.begin(f"prompt {content}")
        log.emit(Kind.ALLOCATE, "A", block, 0)
        log.emit(Kind.STORED, None, block, content)
        log.emit(Kind.FREE, "A", block, 0)
    log.begin("prompt 9")
    log.emit(Kind.REMOVED, None, 0)
    log.emit(Kind.STORED, None, 0, 9)
    log.begin("prompt 7")
    log.emit(Kind.REMOVED, None, 1)
    log.emit(Kind.STORED, None, 1, 7)
    log.begin("prompt 7 again")
    log.emit(Kind.REUSE, "B", 1, 0)
    return log


def test_an_event_log_says_what_was_evicted() -> None:
    log = cache_log()
    assert evictions_of(log) == [Eviction(2, 0, "7", 3), Eviction(3, 1, "8", None)]
    strip = EvictionStrip(log)
    assert strip.steps == 5 and strip.regret is None, "a log does not say what was asked for"
    assert evictions_of(log, lambda content: f"content {content}")[0].label == "content 7"


def test_a_log_without_contents_is_refused_not_guessed() -> None:
    log = EventLog(num_blocks=2)
    log.begin("evict")
    log.emit(Kind.STORED, None, 1)
    log.emit(Kind.REMOVED, None, 1)
    with pytest.raises(BoardError, match="Step 0 removes block 1"):
        evictions_of(log)
    log = cache_log()
    log.begin("clear")
    log.emit(Kind.CLEARED)
    log.emit(Kind.REMOVED, None, 1)
    with pytest.raises(BoardError, match="Step 5 removes block 1"):
        evictions_of(log)


def test_what_reaches_the_page() -> None:
    found = [Eviction(1, 3, "x", 4), Eviction(2, 5, "y"), Eviction(6, 3, "x", 9)]
    strip = EvictionStrip(found)
    rows = np.frombuffer(strip.records, dtype=RECORD)
    assert rows.tolist() == [(1, 3, 4, 0), (2, 5, -1, 1), (6, 3, 9, 0)] and strip.labels == ["x", "y"]
    assert strip.steps == 10 and EvictionStrip(found, steps=50).steps == 50
    assert repr(strip) == (
        "EvictionStrip(Of 3 evictions 2 were regretted: their content was wanted again, for half of them "
        "within 3 steps)"
    )


def test_regret_is_a_share_of_the_blocks_asked_for() -> None:
    """As everywhere else, in the strip: `Outcome.regret_ratio` of a replay is the same number."""
    requests = requests_of(zipf(200, 20, 0.0, 4, seed=2))
    outcome = cache_replay(requests, 64, POLICIES["LRU"])
    strip = EvictionStrip(evictions_of_replay(requests, 64, POLICIES["LRU"]), asked=map(len, requests))
    assert strip.steps == 200 and strip.regret == outcome.regret_ratio == 156 / 800
    assert np.frombuffer(strip.asked, "<i4").tolist() == [4] * 200
    assert "156 were regretted, 19.5% of the 800 blocks asked for" in repr(strip)
    assert EvictionStrip([], asked=[0, 3]).regret == 0 and EvictionStrip([], asked=[0]).regret is None


def test_the_sentence_about_all() -> None:
    assert overview([], 1) == "Nothing was evicted in 1 step."
    assert overview([Eviction(0, 0, "x")], 9) == (
        "1 eviction in 9 steps, and nothing that was evicted was wanted again."
    )
    assert overview([Eviction(0, 0, "x", 1)], 9) == (
        "Of 1 eviction 1 was regretted: the content was wanted again 1 step later."
    )
    assert overview([Eviction(0, 0, "x", 1)], 9, 8).startswith("Of 1 eviction 1 was regretted, 12.5% of the 8 blocks")


@pytest.mark.parametrize(
    ("asked", "words"),
    [([1, 1], "there are 2 for 3 steps"), ([1, -1, 4], "-1 is among them"), ([1, 0.5, 4], "0.5 is among them"),
     ([0, 0, 0], "1 evictions were wanted again, but asked says 0 blocks")],
)  # fmt: skip
def test_what_was_asked_for_has_to_fit(asked: list, words: str) -> None:
    with pytest.raises(BoardError, match=words):
        EvictionStrip([Eviction(0, 0, "x", 1)], steps=3, asked=asked)


@pytest.mark.parametrize(
    ("found", "steps", "words"),
    [
        ([Eviction(4, 0, "x"), Eviction(3, 0, "y")], None, "Eviction 1 is at step 3, after one at step 4"),
        ([Eviction(4, 0, "x", 4)], None, "wanted again at step 4; that should be a later one"),
        ([Eviction(-1, 0, "x")], None, "at step -1"),
        ([Eviction(4, 0, "x", 9)], 9, "reaches beyond the 9 steps"),
        ([(4, 0, "x")], None, "an Eviction is expected"),
    ],
)
def test_evictions_that_cannot_be_are_refused(found: list, steps: int | None, words: str) -> None:
    with pytest.raises(BoardError, match=words):
        EvictionStrip(found, steps)
