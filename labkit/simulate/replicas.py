"""Several servers behind a router: which of them a request goes to.

Each replica has its own cache, so what a prompt finds depends on where the ones before it went. The router knows what a
request came with and where it sent the others, not what became of them: it thinks that a replica works through its
prompts at a steady speed, and never forgets. `labkit.simulate.capacity.serve` then simulates each replica alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from labkit.cache.checks import one_of, whole_number
from labkit.errors import SimulationError
from labkit.simulate.block_ids import BlockIds
from labkit.simulate.trace import Trace

ROUTES = ("round robin", "most found", "done first")
"""One after the other; to whoever has most of the prompt, whatever waits there; to whoever has computed it first."""


def routed(trace: Trace, replicas: int, route: str, tokens_per_s: float = 10_000.0) -> list[Trace]:
    """The requests that each replica gets.

    Args:
        replicas: 1 or more.
        route: one of `ROUTES`. The last two read the ids of the trace's blocks; without ids nothing is ever found.
        tokens_per_s: of prompts that a replica is thought to compute.

    Returns:
        A trace a replica, on the clock of the whole one; empty for one that gets nothing.

    Raises:
        SimulationError: no replica, or another route.
    """
    whole_number(replicas, "replicas", at_least=1, error=SimulationError)
    one_of(route, "route", ROUTES, SimulationError)
    if trace.hash_ids is not None and not isinstance(trace.hash_ids, BlockIds):
        trace = replace(trace, hash_ids=BlockIds.of(trace.hash_ids))
    if route == "round robin":
        place = np.arange(len(trace)) % replicas
    else:
        place = _by_prefix(trace, replicas, patient=route == "most found", tokens_per_s=tokens_per_s)
    return [_part(trace, np.flatnonzero(place == number)) for number in range(replicas)]


def _by_prefix(trace: Trace, replicas: int, patient: bool, tokens_per_s: float) -> np.ndarray:
    seen: list[set[int]] = [set() for _ in range(replicas)]
    waiting, now = np.zeros(replicas), 0.0  # tokens that a replica has still to compute
    place = np.empty(len(trace), np.int64)
    for index in range(len(trace)):
        arrival, prompt = float(trace.arrival_s[index]), int(trace.input_tokens[index])
        waiting = np.maximum(0.0, waiting - (arrival - now) * tokens_per_s)
        now = arrival
        ids = [] if trace.hash_ids is None else np.asarray(trace.hash_ids[index]).tolist()
        found = np.array([_leading(ids, known) for known in seen]) * (trace.block_tokens or 0)
        missing = prompt - np.minimum(found, prompt)
        # Where equal the one with the least to do, and of those the first.
        keys = (waiting, missing) if patient else (waiting + missing,)
        chosen = int(np.lexsort(keys)[0])
        waiting[chosen] += missing[chosen]
        seen[chosen].update(ids)
        place[index] = chosen
    return place


def _leading(ids: Sequence[int], known: set[int]) -> int:
    return next((count for count, id in enumerate(ids) if id not in known), len(ids))


def _part(trace: Trace, index: np.ndarray) -> Trace:
    return replace(
        trace,
        arrival_s=trace.arrival_s[index],
        input_tokens=trace.input_tokens[index],
        output_tokens=trace.output_tokens[index],
        hash_ids=trace.hash_ids.take(index) if isinstance(trace.hash_ids, BlockIds) else None,
    )
