"""EvictionStrip: what was evicted over time, and for each eviction the moment at which it was wanted again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import traitlets

from labkit.errors import BoardError
from labkit.observe.events import EventLog
from labkit.observe.evictions import Eviction, evictions_of
from labkit.widgets.base import LabWidget

RECORD = np.dtype([("step", "<i4"), ("block", "<i4"), ("wanted", "<i4"), ("label", "<i4")])
"""One eviction as the page reads it; `wanted` is -1 where the content never was, `label` indexes `labels`."""
LARGEST = 2**31 - 1


class EvictionStrip(LabWidget):
    """Time from left to right: a tick for each eviction, an arc from each regretted one to where it was wanted again.

    Below stands regret as it was known at each moment: regretted evictions as a share of the blocks asked for, or their
    number where `asked` is not given. Where ticks have no room beside each other they are counted in bins, all of them,
    and the strip says so; a closer look shows each by itself.

    Args:
        evictions: `Eviction`s in the order of their steps, or an `EventLog` (see `labkit.observe.evictions`).
        steps: length of the log; by default that of `asked`, or up to the last thing that is known to have happened.
        asked: blocks asked for in each step, found or not.
        only_regretted: leave out, at first, the evictions that were never wanted again.
        title, subtitle: what stands above the picture.

    Raises:
        BoardError: steps that go backwards or lie outside the log, a content wanted again before it was evicted, or
            `asked` that is no count per step or less than what is wanted again.
    """

    _name: ClassVar[str] = "eviction_strip"

    records = traitlets.Bytes(b"").tag(sync=True)
    labels = traitlets.List([]).tag(sync=True)
    steps = traitlets.Int(0).tag(sync=True)
    asked = traitlets.Bytes(b"").tag(sync=True)
    only_regretted = traitlets.Bool(False).tag(sync=True)
    overview = traitlets.Unicode("").tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    subtitle = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        evictions: Iterable[Eviction] | EventLog,
        steps: int | None = None,
        asked: Iterable[int] | None = None,
        only_regretted: bool = False,
        title: str = "Evictions, and what became of them",
        subtitle: str = "",
    ) -> None:
        if isinstance(evictions, EventLog):
            steps = evictions.num_steps if steps is None else steps
            evictions = evictions_of(evictions)
        self.evictions = list(evictions)
        counts = None if asked is None else list(asked)
        steps = _checked(self.evictions, steps if counts is None or steps is not None else len(counts))
        self._asked = None if counts is None else _blocks_asked(counts, self.evictions, steps)
        names: dict[str, int] = {}
        rows = [
            (e.step, e.block, -1 if e.wanted_again is None else e.wanted_again, names.setdefault(e.label, len(names)))
            for e in self.evictions
        ]
        super().__init__(
            records=np.array(rows, dtype=RECORD).tobytes(),
            labels=list(names),
            steps=steps,
            asked=np.array(counts or [], dtype="<i4").tobytes(),
            only_regretted=only_regretted,
            overview=overview(self.evictions, steps, self._asked),
            title=title,
            subtitle=subtitle,
        )

    @property
    def regret(self) -> float | None:
        """Evictions wanted again as a share of the blocks asked for, 0 to 1; None where these are not known."""
        return sum(e.regretted for e in self.evictions) / self._asked if self._asked else None

    def summary(self) -> str:
        return f"EvictionStrip({self.overview.rstrip('.')})"


def _checked(evictions: list[Eviction], steps: int | None) -> int:
    """The length of the log in steps, once every eviction lies within it."""
    before = last = 0
    for number, e in enumerate(evictions):
        what: Any = None
        if not isinstance(e, Eviction):
            what = f"is {e!r}, but an Eviction is expected"
        elif not 0 <= e.step <= LARGEST:
            what = f"is at step {e.step}; steps are counted from 0 to {LARGEST:,}"
        elif e.step < before:
            what = f"is at step {e.step}, after one at step {before}; give them in the order of their steps"
        elif e.wanted_again is not None and not e.step < e.wanted_again <= LARGEST:
            what = f"is at step {e.step} and wanted again at step {e.wanted_again}; that should be a later one"
        elif steps is not None and max(e.step, e.wanted_again or 0) >= steps:
            what = f"reaches beyond the {steps} steps of the log; give `steps` all of them"
        if what:
            raise BoardError(f"Eviction {number} {what}.")
        before = e.step
        last = max(last, e.step, e.wanted_again or 0)
    return max(0, steps if steps is not None else last + 1 if evictions else 0)


def _blocks_asked(counts: Sequence[Any], evictions: Sequence[Eviction], steps: int) -> int:
    """How many blocks were asked for in all, once the counts make sense."""
    wrong = [count for count in counts if not isinstance(count, Integral) or not 0 <= int(count) <= LARGEST]
    if len(counts) != steps or wrong:
        what = f"{wrong[0]!r} is among them" if wrong else f"there are {len(counts):,} for {_count(steps, 'step')}"
        raise BoardError(f"asked should be the number of blocks asked for in each step, but {what}.")
    total, wanted = int(sum(counts)), sum(e.regretted for e in evictions)
    if wanted > total:
        raise BoardError(f"{wanted:,} evictions were wanted again, but asked says {total:,} blocks: give all of them.")
    return total


def overview(evictions: Sequence[Eviction], steps: int, asked: int | None = None) -> str:
    """One sentence about all of them."""
    count = len(evictions)
    if not count:
        return f"Nothing was evicted in {_count(steps, 'step')}."
    gaps = sorted(e.wanted_again - e.step for e in evictions if e.wanted_again is not None)
    if not gaps:
        return f"{_count(count, 'eviction')} in {_count(steps, 'step')}, and nothing that was evicted was wanted again."
    head = f"Of {_count(count, 'eviction')} {len(gaps):,} {'was' if len(gaps) == 1 else 'were'} regretted"
    if asked:
        head += f", {100 * len(gaps) / asked:.1f}% of the {asked:,} blocks asked for"
    if len(gaps) == 1:
        return head + f": the content was wanted again {_count(gaps[0], 'step')} later."
    half = gaps[(len(gaps) - 1) // 2]
    return head + f": their content was wanted again, for half of them within {_count(half, 'step')}."


def _count(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number:,} {word}s"
