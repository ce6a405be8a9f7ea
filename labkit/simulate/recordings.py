"""What vLLM's own scheduler decided on small workloads, and the same workloads through ours.

The recordings are made by `benchmarks/record_vllm.py`, once, with the engine that they name; they are data.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from labkit import paths
from labkit.engine import kv_cache_manager
from labkit.errors import SimulationError
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler

Recording = dict[str, Any]
KNOBS = ("token_budget", "seats", "longest_chunk", "watermark", "full_sequence")


def names() -> list[str]:
    """The recordings there are."""
    return sorted(path.stem for path in paths.recordings_dir().glob("*.json"))


def recording(name: str) -> Recording:
    """One recording: its engine and version, settings, requests and steps.

    Raises:
        SimulationError: there is none of that name.
    """
    path = paths.recordings_dir() / f"{name}.json"
    if name not in names():
        raise SimulationError(f"There is no recording {name!r:.60}: choose one of {', '.join(names())}.")
    found: Recording = json.loads(path.read_text(encoding="utf-8"))
    return found


def replayed(
    recording: Recording,
    make: Callable[..., Scheduler] = Scheduler,
    see: Callable[[Scheduler, Any], None] = lambda scheduler, step: None,
    **knobs: Any,
) -> list[dict[str, Any]]:
    """The same workload through a scheduler of ours, in the form of a recording's steps.

    Args:
        make: makes the scheduler from a manager and a config, as `labkit.engine.scheduler` does.
        see: is shown each step before it is computed, as `Timeline.see` wants it.
        knobs: other settings than the recorded ones.
    """
    settings = recording["settings"]
    cache = "hash" if settings["caching"] else None
    manager = kv_cache_manager(settings["num_blocks"], settings["block_size"], yours=False, prefix_cache=cache)
    scheduler = make(manager, SchedulerConfig(**{name: settings[name] for name in KNOBS} | knobs))
    coming = [
        Request(index, wanted["prompt"], wanted["max_tokens"], arrival=wanted["arrival"])
        for index, wanted in enumerate(recording["requests"])
    ]
    steps: list[dict[str, Any]] = []
    while scheduler.unfinished or len(steps) < len(recording["steps"]):
        for request in coming:
            if request.arrival == len(steps):
                scheduler.submit(request)
        step = scheduler.schedule()
        see(scheduler, step)
        seen: dict[str, Any] = {
            "scheduled": [[request.id, n] for request, n in step.plan],
            "new": {str(r.id): r.cached for r in step.admitted if not r.preemptions},
            "resumed": {str(r.id): r.cached for r in step.admitted if r.preemptions},
            "preempted": [request.id for request in step.preempted],
            "free": manager.num_available,
        }
        tokens = [10_000 + 100 * coming.index(request) + len(request.output) for request in step.sampling]
        seen["finished"] = sorted(coming.index(request) for request in scheduler.update(step, tokens))
        steps.append(seen)
    return steps
