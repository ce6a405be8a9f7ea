"""A series of windows: what is known, what is not, and what it is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from labkit.errors import SeriesError
from labkit.observe.series import FIGURES, Series, Worth


def test_what_was_not_told_is_nan_and_absent_from_the_row() -> None:
    series = Series("a test", {"regretted": (Worth.ABSENT, "Nobody counts it.")})
    series.add(1.0, 1.0, delivered=10, evicted=3)
    series.add(2.5, 1.5, delivered=20)
    assert len(series) == 2
    np.testing.assert_array_equal(series.end_s, [1.0, 2.5])
    np.testing.assert_array_equal(series.seconds, [1.0, 1.5])
    np.testing.assert_array_equal(series["delivered"], [10, 20])
    np.testing.assert_array_equal(series["evicted"], [3, math.nan])
    assert list(series.rows()) == [
        {"end_s": 1.0, "seconds": 1.0, "delivered": 10, "evicted": 3},
        {"end_s": 2.5, "seconds": 1.5, "delivered": 20},
    ]
    assert series.worth("regretted") == (Worth.ABSENT, "Nobody counts it.")
    assert series.worth("delivered") == (Worth.EXACT, "")


@pytest.mark.parametrize(
    ("end_s", "seconds", "figures", "says"),
    [
        (2.0, 0.0, {}, "more than 0"),
        (math.nan, 1.0, {}, "finite"),
        (0.5, 1.0, {}, "in order"),
        (2.0, 1.0, {"tokens": 3}, "no figure 'tokens'"),
    ],
)
def test_a_bad_window_is_refused_and_nothing_is_added(end_s: float, seconds: float, figures: dict, says: str) -> None:
    series = Series()
    series.add(1.0, 1.0, delivered=10)
    with pytest.raises(SeriesError, match=says):
        series.add(end_s, seconds, **figures)
    assert list(series.rows()) == [{"end_s": 1.0, "seconds": 1.0, "delivered": 10}]


def test_a_worth_of_an_unknown_figure_is_refused() -> None:
    with pytest.raises(SeriesError, match="no figure 'speed'"):
        Series(worth={"speed": (Worth.EXACT, "")})
    with pytest.raises(SeriesError, match="no figure 'speed'"):
        Series()["speed"]


def test_every_figure_has_a_title_and_a_unit() -> None:
    assert all(figure.title and figure.unit for figure in FIGURES.values())
