"""The smallest size that is enough, where each measurement costs a simulation.

It is the oldest search for a bound that nobody knows: double until it is enough, then halve what is left.
"""

from __future__ import annotations

from collections.abc import Callable


def capacity_search(enough: Callable[[int], bool], most: int) -> int | None:
    """The smallest size that is enough, by few measurements.

    Args:
        enough: measures a size, and takes long; what is enough stays enough with more.
        most: the largest size to think of, 1 or more.

    Returns:
        A size that was measured to be enough, where one less was measured not to be; None if `most` is not enough.
    """
    low, high = 0, 1
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
