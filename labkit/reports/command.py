"""What `labkit report` calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from labkit.grading.own_work import own_work as kept
from labkit.reports.report import write_report
from labkit.scheduling.config import SchedulerConfig
from labkit.simulate.configuration import Configuration
from labkit.simulate.metrics import Target
from labkit.simulate.simulate_command import column_map
from labkit.words import plural


def run(
    trace: str,
    out: Path,
    columns: list[str],
    scheduler: dict[str, Any],
    target: tuple[float, float],
    share: float,
    most_cards: int,
    own_work: bool,
    **more: Any,
) -> None:
    """Write the report and say what it found; `columns` and `more` as in `labkit simulate`."""
    if columns:
        more["columns"] = column_map(columns)
    configuration = Configuration(trace, scheduler=SchedulerConfig(**scheduler), target=Target(*target), **more)
    found = write_report(configuration, out, share=share, most_cards=most_cards, own_work=kept() if own_work else None)
    for note in found.trace.notes:
        print(f"labkit: {note}", file=sys.stderr)
    settled = found.settled
    said = "no number of cards tried meets the target" if settled is None else f"{plural(settled.cards, 'card')} needed"
    print(f"written    {out} ({plural(len(found.trace), 'request')}; {said})")
