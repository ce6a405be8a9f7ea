"""`labkit simulate`: one simulation, its figures as text, JSON or a picture."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from labkit.cache.eviction_policies import POLICIES
from labkit.errors import SimulationError
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.waiting import ORDERS
from labkit.simulate.clock import Simulation
from labkit.simulate.configuration import Configuration
from labkit.simulate.metrics import Metrics, Target, without_nan
from labkit.words import plural


def run(
    trace: str,
    policies: list[str],
    columns: list[str],
    scheduler: dict[str, Any],
    target: Target,
    as_json: bool,
    plot: Path | None,
    **more: Any,
) -> int:
    """Simulate and print. Exit status 0, or 130 where somebody interrupted it.

    Args:
        policies: names of a queue's order, or of a policy of eviction.
        columns: what a file's columns are called, each as "arrival=NAME".
        scheduler: knobs of `SchedulerConfig`, the queue's order aside.
        more: other attributes of `Configuration`.
    """
    for name in policies:
        eviction = next((known for known in POLICIES if known.lower() == name.lower()), None)
        if name in ORDERS and "queue" not in scheduler:
            scheduler["queue"] = name
        elif eviction and "eviction" not in more:
            more["eviction"] = eviction
        elif name in ORDERS or eviction:
            raise SimulationError(f"--policy {name} is one too many of its kind: give one of {_NAMES}.")
        else:
            raise SimulationError(f"--policy is {name!r:.60}, but must be one of {_NAMES}: choose one.")
    if plot is not None and not plot.parent.is_dir():
        raise SimulationError(f"{plot} lies in a folder that there is not: make {plot.parent} first.")
    if columns:
        more["columns"] = column_map(columns)
    configuration = Configuration(trace, scheduler=SchedulerConfig(**scheduler), target=target, **more)
    workload = configuration.workload()
    for note in workload.notes:
        print(f"labkit: {note}", file=sys.stderr)
    with _progress(len(workload)) as bar:

        def tell(metrics: Metrics) -> None:
            bar.update(metrics.finished + metrics.refused - bar.n)

        result = configuration.run(tell, workload)
    figures = result.totals | {"wall_seconds": result.wall_seconds}
    if plot is not None:
        from labkit.simulate.series_picture import draw_series

        draw_series(result.metrics.series, plot)
    print(json.dumps(without_nan(figures), indent=2) if as_json else text_of(result, figures, configuration))
    if result.stopped:
        print(f"labkit: stopped after {result.seconds:,.1f} s of simulated time ({result.stopped}).", file=sys.stderr)
    return 130 if result.stopped else 0


_NAMES = f"{', '.join(ORDERS)} (whose turn it is) or {', '.join(POLICIES)} (which cached block goes first)"


def column_map(columns: list[str]) -> dict[str, str]:
    """What columns are called, by what they are for: ["arrival=t0"] gives {"arrival": "t0"}."""
    pairs = [column.partition("=") for column in columns]
    wrong = next((column for column, (what, _, name) in zip(columns, pairs, strict=True) if not (what and name)), None)
    if wrong is not None or len({what for what, _, _ in pairs}) < len(pairs):
        raise SimulationError(
            f"--column {wrong or columns[-1]} is not what a column is for and its name, each once: give "
            "--column arrival=NAME --column input=NAME, and so on."
        )
    return {what: name for what, _, name in pairs}


def text_of(result: Simulation, figures: dict[str, Any], configuration: Configuration) -> str:
    """The figures of a run for a person."""
    manager = result.metrics.scheduler.manager
    memory = f"{plural(manager.num_blocks, 'block')} of {plural(manager.block_size, 'token')}"
    counters = manager.counters

    def share(part: int, of: int) -> str:
        return f"{part / of:.1%}" if of else "none"

    def seconds(name: str) -> str:
        return "none" if math.isnan(figures[name]) else f"{figures[name]:,.3f} s"

    regret = figures["regret"]
    lines = [
        f"{configuration.model} on {configuration.card}, {memory}, {plural(figures['requests'], 'request')}",
        f"served      {figures['finished']:,} finished, {figures['refused']:,} refused, {figures['unfinished']:,} "
        f"unfinished in {figures['seconds_simulated']:,.1f} s: {figures['requests_per_second']:,.2f} requests/s, "
        f"{figures['goodput']:,.2f} within the target",
        f"tokens      {figures['tokens_per_second']:,.0f}/s delivered, {figures['computed_tokens_per_second']:,.0f}/s "
        f"computed, {figures['recomputed_tokens']:,} computed again",
        f"latency     first token {seconds('ttft_p50_s')} (median), {seconds('ttft_p99_s')} (99%); "
        f"between tokens {seconds('itl_p99_s')} (99%)",
        f"memory      {plural(figures['preemptions'], 'preemption')}; {figures['blocks_recycled']:,} blocks recycled, "
        f"of them {figures['cached_blocks_evicted']:,} cached"
        + ("" if regret is None else f" and {regret:,} wanted again"),
        f"prefix      {share(counters.hit_tokens, counters.queried_tokens)} of the prompts' tokens found in the cache",
        f"speed       {figures['wall_seconds']:,.2f} s, "
        f"{(figures['finished'] + figures['refused']) / figures['wall_seconds']:,.0f} requests/s",
    ]
    refusals = result.metrics.scheduler.refusals
    if refusals:
        lines.insert(2, "refused     " + ", ".join(f"{count:,} {reason}" for reason, count in refusals.most_common()))
    if manager.regret is not None and manager.regret.forgotten:
        lines.append(
            f"            what was wanted again after {manager.regret.most:,} further evictions is not counted"
        )
    if figures["saturated"]:
        lines.append("SATURATED   requests come faster than they can be served: the times above grow with the trace.")
    return "\n".join(lines)


def _progress(requests: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=requests, unit=" requests", leave=False, disable=not sys.stderr.isatty())
