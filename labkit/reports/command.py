"""What `labkit report` calls."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from labkit.errors import ReportError
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
    print(f"written    {out} ({plural(len(found.trace), 'request')})\n{found.answer}")


OPTIONS = ("card", "model", "cache", "speed", "requests", "seats", "watermark")
"""Settings that are left out of the command line where they are what they are without."""


def command_line(configuration: Configuration, out: Path, share: float) -> str:
    """The `labkit report` that says the same of the same file as `write_report` with these arguments.

    Raises:
        ReportError: a setting that the command has no option for.
    """
    scheduler, target, usual = configuration.scheduler, configuration.target, Configuration(configuration.trace)
    words = ["labkit", "report", configuration.trace]
    for meaning, name in (configuration.columns or {}).items():
        words += ["--column", f"{meaning}={name}"]
    always: dict[str, Any] = {
        "unit": configuration.unit,
        "blocks": configuration.blocks,
        "token-budget": scheduler.token_budget,
    }
    always |= {"ttft": target.ttft_s, "tpot": target.tpot_s, "share": share}
    now, without = (vars(c) | vars(c.scheduler) for c in (configuration, usual))
    options = always | {name: now[name] for name in OPTIONS if now[name] != without[name]}
    said = {"trace", "columns", "unit", "blocks", "scheduler", "target", "token_budget", "name", "window_s", *OPTIONS}
    other = next((name for name in now if name not in said and now[name] != without[name]), None)
    if other is not None:
        raise ReportError(f"labkit report has no option for {other}: leave it as it is, or call write_report.")
    for name, value in options.items():
        words += [] if value is None else [f"--{name}", f"{value}"]
    return shlex.join([*words, "--out", str(out)])
