"""All drills by their names. A case a file, two drills a case."""

from __future__ import annotations

from labkit.drills.catalog import evictions, hit_rate, more_hits, preemptions, slow_tokens, standstill, stutter, waiting
from labkit.drills.drill import Drill
from labkit.errors import DrillError

CASES = (slow_tokens, preemptions, hit_rate, waiting, evictions, stutter, standstill, more_hits)
DRILLS: dict[str, Drill] = {drill.name: drill for case in CASES for drill in case.DRILLS}
"""In order of the cases, twin beside twin."""


def drill(name: str) -> Drill:
    """A drill by its name.

    Raises:
        DrillError: there is none.
    """
    if name not in DRILLS:
        raise DrillError(f"There is no drill {name!r:.60}: choose one of {', '.join(DRILLS)}.")
    return DRILLS[name]


def twin(drill: Drill) -> Drill:
    """The other drill with the same headline."""
    return next(other for other in DRILLS.values() if other.case is drill.case and other is not drill)
