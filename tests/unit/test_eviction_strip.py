"""The eviction strip: removals paired with requests, exact counts in every layout, what is said and drawn."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib import image as mpl_image

from labkit.cache.eviction import LRU
from labkit.cache.eviction_policies import SLRU
from labkit.errors import BoardError
from labkit.observe.events import EventLog, Kind
from labkit.observe.evictions import Eviction, evictions_of, pair_evictions
from labkit.simulate.cache_replay import cache_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.prefix_patterns import one_time_scan
from labkit.widgets import EvictionStrip
from labkit.widgets.eviction_strip import RECORD
from labkit.widgets.strip_layout import ARC_BINS, ROWS, TICK_PITCH, bins, overview, places, regret_so_far, tick_rows


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


def picture(widget: EvictionStrip) -> np.ndarray:
    return mpl_image.imread(io.BytesIO(widget.static_png()))


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
    assert strip.steps == 5 and strip.regret == 0.5
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


def test_evictions_of_one_step_share_its_width() -> None:
    assert places([0, 2, 2, 2, 2, 5]).tolist() == [0.5, 2.125, 2.375, 2.625, 2.875, 5.5]
    assert places([]).shape == (0,)


def test_ticks_never_touch_or_there_are_none() -> None:
    draw = random.Random(4)
    drawn = 0
    for _ in range(300):
        x = sorted(draw.uniform(0, 800) for _ in range(draw.randint(0, 400)))
        rows = tick_rows(x)
        if rows is None:
            # Some ROWS + 1 ticks lie within one pitch of each other: there is no way to draw them apart.
            assert any(x[i + ROWS] - x[i] < TICK_PITCH for i in range(len(x) - ROWS))
            continue
        drawn += 1
        for row in range(ROWS):
            mine = [place for place, r in zip(x, rows, strict=True) if r == row]
            assert all(b - a >= TICK_PITCH for a, b in pairwise(mine))
    assert 0 < drawn < 300, "both layouts were met"


@pytest.mark.parametrize(("start", "stop", "width"), [(0, 900, 822.0), (200, 260, 500.0), (899, 900, 300.0)])
def test_bins_count_every_eviction_once(start: float, stop: float, width: float) -> None:
    trace = popular(900)
    found = pair_evictions(lru(trace, 12)[0], enumerate(trace))
    at = places([e.step for e in found])
    wanted = np.array([-1 if e.wanted_again is None else e.wanted_again for e in found])
    counted = bins(at, wanted, start, stop, width)
    count = len(counted.total)
    groups = -(-count // ARC_BINS)
    total, regretted, arcs = [0] * count, [0] * count, {}
    for place, again in zip(at.tolist(), wanted.tolist(), strict=True):
        if not start <= place < stop:
            continue
        b = int((place - start) / (stop - start) * count)
        total[b] += 1
        if again >= 0:
            regretted[b] += 1
            goal = groups if again >= stop else int((again - start) / (stop - start) * count) // ARC_BINS
            arcs[b // ARC_BINS, goal] = arcs.get((b // ARC_BINS, goal), 0) + 1
    assert counted.total.tolist() == total and counted.regretted.tolist() == regretted
    assert {(a, b): many for a, b, many in counted.arcs} == arcs
    assert sum(many for _, _, many in counted.arcs) == sum(regretted)


def test_the_share_so_far_is_what_was_known_then() -> None:
    trace = popular(400)
    found = pair_evictions(lru(trace, 12)[0], enumerate(trace))
    steps = np.array([e.step for e in found])
    wanted = np.array([-1 if e.wanted_again is None else e.wanted_again for e in found])
    shares = regret_so_far(steps, wanted, range(400))
    for step in range(400):
        made = [e for e in found if e.step <= step]
        again = [e for e in found if e.wanted_again is not None and e.wanted_again <= step]
        assert np.isnan(shares[step]) if not made else shares[step] == len(again) / len(made)
    assert shares[-1] == EvictionStrip(found).regret


def test_what_reaches_the_page() -> None:
    found = [Eviction(1, 3, "x", 4), Eviction(2, 5, "y"), Eviction(6, 3, "x", 9)]
    strip = EvictionStrip(found)
    rows = np.frombuffer(strip.records, dtype=RECORD)
    assert rows.tolist() == [(1, 3, 4, 0), (2, 5, -1, 1), (6, 3, 9, 0)] and strip.labels == ["x", "y"]
    assert strip.steps == 10 and EvictionStrip(found, steps=50).steps == 50
    assert repr(strip) == (
        "EvictionStrip(Of 3 evictions 2 (66.7%) were regretted: their content was wanted again, for half of them "
        "within 3 steps)"
    )


def test_the_sentence_about_all() -> None:
    assert overview([], 1) == "Nothing was evicted in 1 step."
    assert overview([Eviction(0, 0, "x")], 9) == (
        "1 eviction in 9 steps, and nothing that was evicted was wanted again."
    )
    assert overview([Eviction(0, 0, "x", 1)], 9) == (
        "Of 1 eviction 1 (100.0%) was regretted: the content was wanted again 1 step later."
    )


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


def many(count: int) -> list[Eviction]:
    draw = random.Random(9)
    return [Eviction(i, i % 64, f"content {i}", i + draw.randint(1, 500) if draw.random() < 0.4 else None)
            for i in range(count)]  # fmt: skip


@pytest.mark.parametrize("only", [False, True])
@pytest.mark.parametrize("count", [0, 1, 40, 20_000])
def test_the_picture_is_drawn_for_any_number(count: int, only: bool) -> None:
    strip = EvictionStrip(many(count), only_regretted=only, subtitle="A subtitle.")
    pixels = picture(strip)
    assert pixels.shape[1] == 900 and pixels[..., :3].std() > 0.02
    assert np.array_equal(pixels, picture(strip))


def test_the_filter_changes_the_picture() -> None:
    pictures = [picture(EvictionStrip(many(60), only_regretted=only)) for only in (False, True)]
    assert not np.array_equal(*pictures)
