"""Percentiles of a sketch, beside NumPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import SimulationError
from labkit.simulate.sketch import ERROR, Sketch

numbers = st.lists(st.floats(1e-9, 1e9) | st.just(0.0), min_size=1, max_size=60)


@given(numbers, st.floats(0, 100), st.sampled_from([0.001, ERROR, 0.1]), st.integers(0, 60))
def test_a_percentile_is_within_its_error_however_the_numbers_were_counted(values, share, error, cut):
    """In one sketch or in two that are merged, one by one or several at a time."""
    whole, other = Sketch(error), Sketch(error)
    for value in values[:cut]:
        whole.add(value)
    for value in values[cut:]:
        other.add(value)
    whole.merge(other)
    # As `percentile` numbers them: NumPy's own sum may round a rank that is nearly whole to the other side.
    exact = sorted(values)[math.floor(share / 100 * (len(values) - 1))]
    assert whole.percentile(share) == pytest.approx(exact, rel=error * (1 + 1e-9))
    assert whole.count == len(values)
    if share in (0, 25, 50, 75, 100):
        assert whole.percentile(share) == pytest.approx(np.percentile(values, share, method="lower"), rel=error * 1.001)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=40), st.integers(1, 300), st.booleans())
def test_rising_numbers_counted_together_are_those_counted_one_by_one(values, times, close):
    values = sorted(values[0] * (1 + 1e-5 * value) for value in values) if close else sorted(values)
    together, alone = Sketch(), Sketch()
    together.add_rising(values, times)
    for value in values:
        alone.add(value, times)
    assert together._buckets == alone._buckets and together.count == alone.count == times * len(values)


def test_memory_follows_the_range_and_not_the_count():
    sketch = Sketch()
    for value in np.random.default_rng(1).lognormal(0, 2, 20_000):
        sketch.add(value)
    assert len(sketch._buckets) < 2_000
    values = np.random.default_rng(1).lognormal(0, 2, 20_000)
    for share in (1, 50, 90, 99, 99.9):
        assert sketch.percentile(share) == pytest.approx(np.percentile(values, share), rel=0.03)


def test_nothing_counted_is_no_number_and_nonsense_is_refused():
    assert math.isnan(Sketch().percentile(50))
    with pytest.raises(SimulationError, match="between 0 and 1"):
        Sketch(1)
    with pytest.raises(SimulationError, match="do not add up"):
        Sketch(0.1).merge(Sketch(0.2))
