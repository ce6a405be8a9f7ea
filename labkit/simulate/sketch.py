"""Percentiles of more numbers than anybody wants to keep, each right to within a stated share of itself.

A histogram whose buckets grow by a constant factor: bucket i holds what lies in (g**(i-1), g**i], and answers for it
with one number that is at most `error` of itself away from everything in it. How many buckets there are follows from
the range of the numbers and not from how many came, so memory stays flat. The idea is DDSketch's (Masson, Rim and Lee,
VLDB 2019); the package of that name counts one number per call, and here a call takes all tokens of a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import ceil, log

from labkit.errors import SimulationError

ERROR = 0.005
"""Relative error of a percentile."""


class Sketch:
    """Numbers of 0 or more, counted by their size.

    Args:
        error: how far a percentile may be away from the true one, as a share of it: above 0 and below 1.

    Attributes:
        count: numbers so far.

    Raises:
        SimulationError: an error outside (0, 1).
    """

    def __init__(self, error: float = ERROR) -> None:
        if not 0 < error < 1:
            raise SimulationError(f"The error is {error!r:.60}, but must be a share between 0 and 1: 0.005 is usual.")
        self.error = error
        self.count = 0
        self._factor = (1 + error) / (1 - error)
        self._scale = 1 / math.log(self._factor)
        self._buckets: dict[int, int] = {}
        self._zeros = 0

    def add(self, value: float, times: int = 1) -> None:
        """Count a number, so many times."""
        self.count += times
        if value > 0:
            bucket = ceil(log(value) * self._scale)
            self._buckets[bucket] = self._buckets.get(bucket, 0) + times
        else:
            self._zeros += times

    def add_rising(self, values: Sequence[float], times: int) -> None:
        """Count each of these numbers so many times. They rise: if the first and last share a bucket, so do all."""
        first = values[0]
        if first > 0:
            bucket = ceil(log(values[-1]) * self._scale)
            if log(first) * self._scale > bucket - 1:
                times *= len(values)
                self.count += times
                self._buckets[bucket] = self._buckets.get(bucket, 0) + times
                return
        for value in values:
            self.add(value, times)

    def merge(self, other: Sketch) -> None:
        """Count all that another sketch of the same error has counted."""
        if other.error != self.error:
            raise SimulationError(
                f"Sketches of errors {self.error:g} and {other.error:g} do not add up: make them equal."
            )
        self.count += other.count
        self._zeros += other._zeros
        for bucket, times in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + times

    def clear(self) -> None:
        """Forget all numbers."""
        self.count = self._zeros = 0
        self._buckets.clear()

    def percentile(self, share: float) -> float:
        """The number that `share` percent of all are at most: the smaller of two where it falls between them
        (`numpy.percentile(..., method="lower")`). NaN where nothing was counted.
        """
        if not self.count:
            return math.nan
        rank = math.floor(share / 100 * (self.count - 1))
        seen = self._zeros
        if rank < seen:
            return 0.0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if rank < seen:
                break
        return 2 * self._factor**bucket / (self._factor + 1)
