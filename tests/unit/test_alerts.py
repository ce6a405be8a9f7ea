"""Alerts convict regret and recomputation, and leave a healthy server alone."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.engine import kv_cache_manager
from labkit.observe.alerts import RULES, firing_at, firings, recent
from labkit.observe.series import Series, Worth

HEALTHY = {
    "delivered": 1000.0, "computed": 2000.0, "recomputed": 0.0, "recycled": 600.0, "evicted": 500.0, "regretted": 10.0,
    "preempted": 0.02, "finished": 5.0,
}  # fmt: skip


def series_of(seconds: int, each: float = 1.0, worth: Any = None, **figures: Any) -> Series:
    """Windows of one length; a figure is a number, or a function of the time at which the window ends."""
    series = Series("a test", worth)
    for at in range(1, round(seconds / each) + 1):
        now = at * each
        row = {name: value(now) if callable(value) else value for name, value in {**HEALTHY, **figures}.items()}
        series.add(now, each, **row)
    return series


def names(series: Series) -> list[str]:
    return [firing.rule for firing in firings(series)]


def test_a_healthy_full_prefix_cache_is_silent() -> None:
    assert names(series_of(300)) == []
    assert names(series_of(300, evicted=50_000.0, regretted=1000.0)) == []


def test_an_empty_series_and_a_single_window_are_silent() -> None:
    assert names(Series()) == []
    assert names(series_of(1, recomputed=2000.0, regretted=500.0, preempted=9.0)) == []


def test_a_one_time_scan_is_silent() -> None:
    """A real cache, the free queue of lesson 07: ten prompts come again and again, and once a scan runs over it."""
    manager, series = kv_cache_manager(120, 4, regret=True, yours=False), Series()
    last = manager.counters
    for second in range(150):
        prompts = [[1000 * (i % 10) + j for j in range(32)] for i in range(second, second + 4)]
        if 60 <= second < 75:
            prompts += [[10**6 + 32 * (8 * second + i) + j for j in range(32)] for i in range(8)]
        for number, prompt in enumerate(prompts):
            manager.allocate((second, number), prompt)
            manager.free((second, number))
        now = manager.counters
        evicted = now.cached_blocks_evicted - last.cached_blocks_evicted
        regretted = (now.regretted_evictions or 0) - (last.regretted_evictions or 0)
        series.add(second + 1, 1, **HEALTHY | {"evicted": evicted, "regretted": regretted})
        last = now
    assert series["evicted"].sum() > 500 and series["regretted"].sum() > 50
    assert names(series) == []


def test_a_cache_that_is_too_small_for_what_comes_again_is_regret() -> None:
    """The same cache with fifteen prompts in turn over room for less: each finds that it has just been evicted."""
    manager, series = kv_cache_manager(100, 4, regret=True, yours=False), Series()
    last = manager.counters
    for second in range(120):
        for i in range(second, second + 4):
            manager.allocate((second, i), [1000 * (i % 15) + j for j in range(32)])
            manager.free((second, i))
        now = manager.counters
        evicted = now.cached_blocks_evicted - last.cached_blocks_evicted
        regretted = (now.regretted_evictions or 0) - (last.regretted_evictions or 0)
        series.add(second + 1, 1, **HEALTHY | {"evicted": evicted, "regretted": regretted})
        last = now
    (firing,) = firings(series)
    assert firing.rule == "regret" and firing.convicts == ("regretted", "evicted")
    assert "for every 100 cached blocks that were evicted, 73 were wanted again" in firing.sentence
    assert firing.from_s == 55 and firing.last == 119  # thirty seconds to see, and thirty in which it lasts


def test_a_storm_of_recomputation_fires_and_says_what_it_saw() -> None:
    def rises(now: float) -> float:
        return max(0.0, min(4.0, (now - 60) / 10))

    series = series_of(200, recomputed=lambda now: 250 * rises(now), preempted=rises)
    found = {firing.rule: firing for firing in firings(series)}
    assert set(found) == {"thrashing", "recomputation"}
    said = found["thrashing"].sentence
    assert said.startswith("Preemptions rose for 30 s (") and "stayed flat (1,000 to 1,000): thrashing." in said
    assert found["thrashing"].convicts == ("preempted", "delivered")
    assert 60 < found["thrashing"].from_s < 95 and found["thrashing"].last == 199
    assert "% of the tokens computed in the last 20 s had been computed before." in found["recomputation"].sentence
    assert firing_at(firings(series), 30) == []
    assert [firing.rule for firing in firing_at(firings(series), 199)] == ["thrashing", "recomputation"]


def test_preemptions_that_rise_with_what_users_get_are_silent() -> None:
    series = series_of(
        120, delivered=lambda now: 10 * now, computed=lambda now: 20 * now, recomputed=lambda now: 2 * now,
        preempted=lambda now: now / 60,
    )  # fmt: skip
    assert names(series) == []


def test_preemptions_that_cost_little_are_silent() -> None:
    assert names(series_of(200, preempted=lambda now: now / 40, recomputed=20.0)) == []


def test_where_recomputation_is_not_told_preemptions_for_each_request_stand_in() -> None:
    absent = {"recomputed": (Worth.ABSENT, "vLLM does not count it."), "preempted": (Worth.PROXY, "Counted late.")}
    storm = {"preempted": lambda now: max(0.0, (now - 60) / 20), "recomputed": math.nan}
    (firing,) = firings(series_of(150, worth=absent, **storm))
    assert firing.rule == "thrashing" and "(preemptions: a proxy. Counted late.)" in firing.sentence
    assert names(series_of(150, worth=absent, **storm, finished=math.nan)) == []


def test_a_blip_is_silent_and_a_share_around_the_limit_fires_once() -> None:
    # three seconds of all that is computed would be the limit itself, 15% of 20 seconds
    assert names(series_of(200, recomputed=lambda now: 1900.0 if 100 < now <= 103 else 0.0)) == []
    assert names(series_of(200, recomputed=lambda now: 2000.0 if 100 < now <= 104 else 0.0)) == ["recomputation"]
    wavers = series_of(400, recomputed=lambda now: (340 if now % 60 < 30 else 200) if 60 < now < 340 else 0)
    (firing,) = firings(wavers)
    assert firing.rule == "recomputation" and firing.from_s < 100 and 340 < firing.until_s < 380


@pytest.mark.parametrize("each", [1.0, 2.5, 5.0])
def test_what_is_recent_ends_with_the_window_and_is_no_longer_than_asked(each: float) -> None:
    """A window that ends where the twenty seconds begin is none of them."""
    series = series_of(60, each, computed=lambda now: 800.0 if now == 20 else 0.0)
    seen = recent(series, "computed", 20.0)
    assert np.isnan(seen[series.end_s < 18]).all()
    inside = (series.end_s >= 20) & (series.end_s < 40)
    assert np.allclose(seen[inside], 40 * each) and (seen[series.end_s >= 40] == 0).all()


def test_a_gap_is_not_time_in_which_something_lasted() -> None:
    series = Series()
    for end in (5, 10, 3600, 3605):
        series.add(end, 5, **HEALTHY | {"recomputed": 1500.0})
    assert names(series) == []
    assert np.isnan(recent(series, "computed", 20.0)).all()


@pytest.mark.parametrize("each", [1.0, 5.0, 15.0, 60.0])
def test_the_length_of_the_windows_changes_little(each: float) -> None:
    series = series_of(900, each, recomputed=lambda now: 600.0 if now > 300 else 0.0, regretted=200.0)
    assert sorted(names(series)) == ["recomputation", "regret"]


figure = st.one_of(st.floats(0, 1e6), st.just(math.nan), st.just(math.inf), st.just(0.0), st.floats(allow_nan=True))
windows = st.lists(
    st.tuples(st.floats(0.1, 90), st.floats(0, 200), st.dictionaries(st.sampled_from(sorted(HEALTHY)), figure)),
    max_size=40,
)


def anything(rows: list[tuple[float, float, dict[str, float]]], worth: Any = None) -> Series:
    series, now = Series("drawn", worth), 0.0
    for seconds, gap, figures in rows:
        now += seconds + (gap if gap > 100 else 0)
        series.add(now, seconds, **HEALTHY | {"recomputed": 900.0, "regretted": 200.0, "preempted": now / 50} | figures)
    return series


@settings(max_examples=60, deadline=None)
@given(windows)
def test_whatever_comes_nothing_breaks_and_no_window_is_judged_by_a_later_one(rows: Any) -> None:
    series = anything(rows)
    found = firings(series)
    for firing in found:
        assert 0 <= firing.first <= firing.last < len(series) and firing.from_s < firing.until_s
        assert all(math.isfinite(series[name][firing.first]) for name in firing.convicts)
        assert "nan" not in firing.sentence and "inf" not in firing.sentence
    for name in {firing.rule for firing in found}:
        own = [firing for firing in found if firing.rule == name]
        assert all(a.last < b.first for a, b in pairwise(own))
    half = len(rows) // 2
    then = firings(anything(rows[:half]))
    for window in range(half):
        now, before = ([(f.rule, f.first, f.sentence) for f in firing_at(fired, window)] for fired in (found, then))
        assert now == before


@settings(max_examples=30, deadline=None)
@given(windows, st.sampled_from(RULES))
def test_an_absent_figure_convicts_nobody(rows: Any, rule: Any) -> None:
    for name in rule.convicts:
        assert rule.name not in names(anything(rows, {name: (Worth.ABSENT, "Not told.")}))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e4), st.floats(0, 1e5)), max_size=80))
def test_evictions_alone_never_fire(rows: Any) -> None:
    series = Series()
    for at, (evicted, preempted, delivered) in enumerate(rows):
        told = {"evicted": evicted, "preempted": preempted, "delivered": delivered, "regretted": 0.0, "recomputed": 0.0}
        series.add(5.0 * at + 5, 5.0, **HEALTHY | told)
    assert names(series) == []
