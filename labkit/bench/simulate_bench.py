"""How fast the simulator is: requests per second on traces, and what a request costs as a run grows longer.

Wall time is what a person waits; processor time says what the simulator took of it, which on a machine that others use
is less. Each run of the curve has a process of its own, so that its peak of memory is its own as well.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.simulate.clock import requests_of, simulate
from labkit.simulate.configuration import Configuration
from labkit.simulate.metrics import ROWS, without_nan
from labkit.simulate.traces import Trace
from labkit.simulate.workload import draw

LIKE_TRACES = ("chats", "conversations")
"""What is drawn where there are no files: lengths, and prompts that begin alike, as in the public traces."""
SIZES = (1_000, 10_000, 100_000)
MANY = 1_000_000
PIECE = 5_000
SHORTER = 8
"""The curve's requests have an eighth of a chat's tokens and come eight times as fast: the same load in less time."""

KNOBS = SchedulerConfig(token_budget=8192, watermark=0.01)


def loads(trace: str, requests: int | None) -> list[Configuration]:
    """A trace with memory for everybody, and with so little, and no watermark, that some are preempted; neither of them
    saturated.

    Traces without block ids are served at their own pace on an H100. Those with ids are long prompts, which one card
    cannot compute at the pace at which they came: an H200, three tenths as fast.
    """
    roomy, tight = Configuration(trace, requests=requests, scheduler=KNOBS), 2_000
    if roomy.workload().hash_ids is not None:
        roomy, tight = replace(roomy, card="H200", speed=0.3), 800
    name = Path(trace).stem
    short = replace(roomy, name=f"{name}, tight", blocks=tight, scheduler=replace(KNOBS, watermark=0.0))
    return [replace(roomy, name=f"{name}, room for all"), short]


def bench_load(configuration: Configuration) -> dict[str, Any]:
    """One trace: the figures of `labkit simulate`, and how long it took."""
    workload = configuration.workload()
    wall, cpu = time.perf_counter(), time.process_time()
    result = configuration.run(trace=workload)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    manager = result.metrics.scheduler.manager
    return {
        "name": configuration.name,
        "card": configuration.card,
        "model": configuration.model,
        "speed": configuration.speed,
        "blocks": manager.num_blocks,
        "block_size": manager.block_size,
        "cache": type(manager.cache).__name__,
        "requests_per_wall_second": len(workload) / wall,
        "requests_per_cpu_second": len(workload) / cpu,
        "figures": without_nan(result.totals | {"wall_seconds": wall}),
    }


def bench_length(requests: int) -> dict[str, Any]:
    """One run of drawn requests that nobody keeps, in this process."""
    configuration = Configuration("chats", requests=requests, blocks=20_000, scheduler=KNOBS)
    gap_s = 1 / (5.53 * SHORTER)
    window_s = max(1.0, round(requests * gap_s / ROWS))
    scheduler, metrics = Configuration("chats", blocks=20_000, scheduler=KNOBS, window_s=window_s).prepared(_piece(0))
    wall, cpu = time.perf_counter(), time.process_time()
    result = simulate(stream(requests), scheduler, configuration.cost, keep=False, metrics=metrics, most_steps=10**12)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert result.totals["finished"] == requests
    return {
        "requests": requests,
        "wall_us_a_request": 1e6 * wall / requests,
        "cpu_us_a_request": 1e6 * cpu / requests,
        "peak_mib": _peak_mib(),
        "saturated": result.totals["saturated"],
    }


def bench_simulate(
    traces: Sequence[str], requests: int | None, sizes: Sequence[int], tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """All of it.

    Args:
        traces: files, or what can be drawn; without one, `LIKE_TRACES`.
        requests: the first so many of each; None for all.
        sizes: lengths of the curve.
        tell: hears what is done next.
    """
    speeds, curve = [], []
    for trace in traces or LIKE_TRACES:
        for configuration in loads(trace, requests):
            tell(configuration.name)
            speeds.append(bench_load(configuration))
    for size in sizes:
        tell(f"{size:,} requests")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            curve.append(pool.submit(bench_length, size).result())
    return {
        "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "load_average": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "speeds": speeds,
        "curve": curve,
    }


def stream(requests: int) -> Iterator[Request]:
    """Drawn chats, piece by piece: nothing of what has been served is kept."""
    began, number = 0.0, 0
    while number < requests:
        piece = _piece(number // PIECE)
        for request in requests_of(piece, 16):
            if number == requests:
                return
            yield Request(number, request.prompt, request.max_tokens, arrival=began + request.arrival)
            number += 1
        began += piece.duration_s + piece.duration_s / PIECE


def _piece(seed: int) -> Trace:
    whole = draw(PIECE, seed)
    return Trace(
        name="short chats (drawn)",
        source=whole.source,
        arrival_s=whole.arrival_s / SHORTER,
        input_tokens=whole.input_tokens // SHORTER + 1,
        output_tokens=whole.output_tokens // SHORTER + 1,
    )


def _peak_mib() -> float | None:
    """The most memory that this process has had, MiB; None where the system does not say."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
