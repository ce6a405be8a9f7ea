"""The simulated server with knobs: its windows add up, and the knobs do what lesson 00 says of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from labkit.errors import LabkitError, SchedulerError, SimulationError
from labkit.observe.alerts import firings
from labkit.observe.series import FIGURES, Series, Worth
from labkit.simulate.storm import StormSettings, run_storm, storm_requests


@cache
def run(**settings: Any) -> Series:
    return run_storm(StormSettings(**settings), yours=False)


def amount(series: Series, name: str) -> float:
    return float(np.nansum(series[name] * series.seconds))


def test_windows_add_up() -> None:
    series = run(seats=128)
    np.testing.assert_allclose(series["held"] + series["cached"] + series["free"], 1)
    assert (series["delivered"] <= series["computed"]).all() and (series["recomputed"] <= series["computed"]).all()
    assert (series["evicted"] <= series["recycled"] + 1e-9).all()
    assert (series["waiting_for_memory"] <= series["waiting"]).all() and (series["running"] <= 128).all()
    np.testing.assert_allclose(series.end_s, 4.0 * np.arange(1, 31))
    whole = [amount(series, name) for name in ("delivered", "preempted", "regretted", "evicted", "finished", "arrived")]
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-6)
    came = sum(1 for _ in storm_requests(StormSettings(seats=128)))
    assert 0 <= came - amount(series, "arrived") <= 2  # who comes during the last step is seen after it
    assert {name for name in FIGURES if series.worth(name)[0] is not Worth.EXACT} == {"flops_per_token"}
    assert np.isfinite(series["ttft_p99"]).any() and np.nanmin(series["itl_p50"]) > 0


def test_the_same_settings_give_the_same_windows() -> None:
    assert list(run(seats=32, seconds=30.0).rows()) == list(run_storm(StormSettings(seats=32, seconds=30.0)).rows())


def test_more_seats_bring_hardly_more_and_a_storm() -> None:
    few, many = run(seats=64), run(seats=128)
    assert 1 <= amount(many, "delivered") / amount(few, "delivered") < 1.1
    assert amount(many, "computed") > 1.2 * amount(few, "computed")
    assert amount(many, "preempted") > 5 * amount(few, "preempted")
    assert {firing.rule for firing in firings(many)} == {"thrashing", "recomputation", "regret"}
    assert amount(few, "evicted") > 2000 and firings(few) == []  # a full cache, and nothing wrong with it


def test_reserving_to_the_longest_never_preempts_and_a_watermark_hardly() -> None:
    storm, watermark = run(seats=128), run(seats=128, watermark=0.05)
    assert amount(run(seats=128, admission="reserve-to-max"), "preempted") == 0
    assert amount(watermark, "preempted") < 0.3 * amount(storm, "preempted")
    assert amount(watermark, "delivered") > 0.97 * amount(storm, "delivered")


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"admission": "hope"}, SimulationError, "full-sequence"),
        ({"policy": "lru"}, SimulationError, "LRU"),
        ({"arrivals_per_s": 0}, SimulationError, "above 0"),
        ({"arrivals_per_s": float("nan")}, SimulationError, "above 0"),
        ({"seconds": float("inf")}, SimulationError, "at most 3600"),
        ({"watermark": 1.0}, SchedulerError, "watermark"),
        ({"seats": 0}, SchedulerError, "seats"),
        ({"blocks": 0}, LabkitError, "blocks"),
        ({"blocks": "many"}, LabkitError, "blocks"),
        ({"seed": -1}, SimulationError, "seed"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_sentence(settings: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words) as refused:
        StormSettings(**settings)
    assert "\n" not in str(refused.value)
