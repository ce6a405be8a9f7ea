"""The random search ends when its time is up, whatever Hypothesis makes of the last example."""

from __future__ import annotations

import pytest

from labkit.grading import search


def test_an_example_cut_short_by_the_clock_is_not_an_error():
    def run() -> None:
        try:
            raise search.TimeIsUp
        finally:
            raise RuntimeError("this example drew less than the last time")

    assert search._outcome(run, []) is None


def test_an_error_with_time_left_is_passed_on():
    def run() -> None:
        raise RuntimeError("not the clock")

    with pytest.raises(RuntimeError, match="not the clock"):
        search._outcome(run, [])
