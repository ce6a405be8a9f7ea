"""The tournament: a policy against the built-in ones, on traces that it has not seen.

The traces are drawn afresh (`labkit.simulate.prefix_workload`), some of one kind, since the order of policies that are
nearly as good changes from one to the next; or there is one, a file that somebody gives. Every policy serves them by
the real hash cache (`labkit.simulate.cache_replay`). Ranked is the share of blocks that hit, on the average over the
traces. Two policies share a place where the mean of their difference is not larger than its standard deviation over the
traces: one trace more could have put them the other way round. Beside the hits stand regret, the share of the blocks
asked for that had been evicted before, and how far Belady's optimum is ahead, which knows the future of the trace.

A policy that is not one of ours runs in a process of its own, which is told what happens as it happens: there is no
future in it to peek at (`labkit.simulate.policy_worker`). It is refused, with the reason, if it reaches out of that
process, takes too long, keeps more and more, names a block that may not go, or raises.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from labkit.cache.base import EvictionPolicy
from labkit.cache.checks import whole_number
from labkit.cache.eviction_policies import POLICIES
from labkit.errors import LabkitError, PolicyError
from labkit.sandbox import isolation
from labkit.sandbox.host import CLOSE_SECONDS
from labkit.simulate.cache_replay import Outcome, cache_replay
from labkit.simulate.hit_ratio import Requests

BOUND = "Belady"
SECONDS, SECONDS_PER_BLOCK = 10.0, 200e-6
"""Processor time that a policy may take for a replay, and more for each block that is asked for."""
WALL_FACTOR = 4
"""A replay that has not ended after this many times its processor time by the clock on the wall is given up."""
_OUT_OF_TIME = {-getattr(signal, name) for name in ("SIGXCPU", "SIGKILL") if hasattr(signal, name)}


class Entrant:
    """Somebody's policy as text, to be run where it can see nothing but what it is told.

    Args:
        name: how it is called in the standings.
        text: Python that defines the class `target`; see `labkit.simulate.policy_bounds` for what it may import.
        target: the class. Its constructor takes the number of blocks, or nothing.
        prelude: import lines that stand before the text.
        parts: what `from labkit.mine import NAME` gives, as text.
    """

    def __init__(
        self, name: str, text: str, target: str = "MyPolicy", prelude: str = "", parts: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.target = target
        self.job = {"text": text, "target": target, "prelude": prelude, "parts": dict(parts or {})}

    def replay(self, requests: Requests, num_blocks: int, check_memory: bool = True) -> Outcome:
        """The trace under this policy.

        Args:
            requests: block ids of each request's prompt.
            num_blocks: blocks of the cache.
            check_memory: whether to look first, on a trace of its own, that it does not keep more and more.

        Raises:
            PolicyError: it was refused; the message is the reason.
        """
        seconds = SECONDS + SECONDS_PER_BLOCK * sum(map(len, requests))
        job = {**self.job, "num_blocks": num_blocks, "seconds": seconds, "check_memory": check_memory}
        remote: list[_Remote] = []

        def make(_blocks: int) -> EvictionPolicy:
            remote.append(type(self.target, (_Remote,), {})(job))  # errors of the cache name it
            return remote[0]

        try:
            return cache_replay(requests, num_blocks, make)
        finally:
            if remote:
                remote[0].close()


class _Remote:
    """The `EvictionPolicy` that a cache sees: it passes everything on to the policy's process."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.target = job["target"]
        self.seconds = job["seconds"]
        supervisor = ["-P", "-m", "labkit.sandbox.supervisor"] if hasattr(os, "fork") else []
        self.process = subprocess.Popen(
            [sys.executable, *supervisor, "-P", "-m", "labkit.simulate.policy_worker"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8", start_new_session=True,
            env=isolation.environment(),
        )  # fmt: skip
        self.watchdog = threading.Timer(WALL_FACTOR * self.seconds, self._end)
        self.watchdog.daemon = True
        self.watchdog.start()
        self.events: list[Any] = []
        try:
            self._ask(job)
        except BaseException:
            self.close()
            raise

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        self.events.append(("stored", list(blocks), depth))

    def hit(self, blocks: Sequence[int]) -> None:
        self.events.append(("hit", list(blocks)))

    def released(self, blocks: Sequence[int]) -> None:
        self.events.append(("released", list(blocks)))

    def add(self, block: int) -> None:
        self.events.append(("add", block))

    def remove(self, block: int) -> None:
        self.events.append(("remove", block))

    def evict(self) -> int:
        events, self.events = self.events, []
        return self._ask(events).get("victim", -1)

    def close(self) -> None:
        self.watchdog.cancel()
        self._end()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _end(self) -> None:
        """Closing its input tells the supervisor to end whatever the policy started, and then itself."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(CLOSE_SECONDS)
        self.process.kill()
        self.process.wait()

    def _ask(self, line: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()
            said = json.loads(self.process.stdout.readline().strip() or self.process.stdout.readline())
        except (OSError, ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or not {"victim", "ready"} & said.keys():
            raise PolicyError(self._refused(said if isinstance(said, dict) else {}))
        return said

    def _refused(self, said: dict[str, Any]) -> str:
        """Why there is no answer: what the policy's process says, or its supervisor."""
        if "refused" in said:
            return str(said["refused"])
        ended = said.get("ended")
        code = ended.get("code") if isinstance(ended, dict) else None  # none: the watchdog has ended the supervisor
        if not hasattr(os, "fork"):
            code = self.process.wait()
        if code is None or code in _OUT_OF_TIME:
            return (
                f"{self.target} had not come to an end after {self.seconds:.0f} s of processor time: look for a loop "
                "that does not end, or one over all blocks."
            )
        return f"{self.target} brought its process down: look for a recursion without end."


@dataclass(frozen=True)
class Row:
    """One policy at one capacity, or over all of them; means over the traces. Shares are of the blocks asked for.

    Attributes:
        capacity: blocks of the cache; None for all capacities together.
        place: 1 for the most hits, shared by those whom the traces do not tell apart; Belady, which knows the future,
            has 0.
        behind: how much more of the blocks Belady finds.
        spread: standard deviation of `behind` over the traces; 0 where there is one trace.
    """

    policy: str
    capacity: int | None
    place: int
    hit_ratio: float
    regret_ratio: float
    evictions: float
    behind: float
    spread: float


@dataclass(frozen=True)
class Standings:
    """The outcome of a tournament.

    Attributes:
        trace: what was replayed, in words.
        traces: how many traces.
        looked_up: blocks that were asked for, in all of them.
        rows: by capacity, then place.
        overall: the same over all capacities.
        refused: name to reason.
    """

    trace: str
    traces: int
    looked_up: int
    capacities: tuple[int, ...]
    rows: tuple[Row, ...]
    overall: tuple[Row, ...]
    refused: dict[str, str]

    def place_of(self, name: str) -> int | None:
        """Overall place, from 1, shared by those whom the traces do not tell apart; None for one that was refused."""
        return next((row.place for row in self.overall if row.policy == name), None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def tournament(
    traces: Sequence[Requests],
    capacities: Sequence[int],
    entrants: Sequence[Entrant] = (),
    trace: str = "",
    progress: Callable[[str], None] = lambda text: None,
) -> Standings:
    """Replay traces of one kind under every policy and rank them; see the top of this file.

    Args:
        traces: of each, the block ids of each request's prompt.
        capacities: blocks of the cache, one tournament each.
        entrants: the policies that stand against the built-in ones.
        trace: what they are, in words.
        progress: told, now and then, what is being replayed.

    Raises:
        LabkitError: no request, no capacity, or two policies of one name.
    """
    capacities = [whole_number(c, "capacity", at_least=1, error=LabkitError) for c in capacities]
    if not traces or not all(traces) or not capacities:
        raise LabkitError("A tournament needs a request and a capacity at least: give a trace that is not empty.")
    names = [BOUND, *POLICIES, *(entrant.name for entrant in entrants)]
    if len(set(names)) < len(names):
        raise LabkitError(f"Two policies have the same name among {', '.join(names)}: give each its own.")
    outcomes: dict[str, list[list[Outcome]]] = {name: [] for name in names}  # one list a capacity, of one a trace
    refused: dict[str, str] = {}
    for capacity in capacities:
        for name in names:
            outcomes[name].append([])
        for number, requests in enumerate(traces, 1):
            progress(f"{capacity:,} blocks, trace {number} of {len(traces)}")
            outcomes[BOUND][-1].append(cache_replay(requests, capacity))
            for name, make in POLICIES.items():
                outcomes[name][-1].append(cache_replay(requests, capacity, make))
            for entrant in entrants:
                if entrant.name not in refused:
                    first = not outcomes[entrant.name][0]
                    try:
                        outcomes[entrant.name][-1].append(entrant.replay(requests, capacity, check_memory=first))
                    except PolicyError as error:
                        refused[entrant.name] = str(error)
    for name in refused:
        del outcomes[name]
    rows = [
        row
        for i, capacity in enumerate(capacities)
        for row in _ranked({name: [[each] for each in by[i]] for name, by in outcomes.items()}, capacity)
    ]
    overall = _ranked({name: list(zip(*by, strict=True)) for name, by in outcomes.items()}, None)[1:]
    looked_up = sum(len(ids) for requests in traces for ids in requests)
    return Standings(trace, len(traces), looked_up, tuple(capacities), tuple(rows), tuple(overall), refused)


def _ranked(outcomes: Mapping[str, Sequence[Sequence[Outcome]]], capacity: int | None) -> list[Row]:
    """Belady and then the policies by their hits, each a trace's outcomes at one or more capacities."""
    hits = {name: [fmean(o.hit_ratio for o in each) for each in by] for name, by in outcomes.items()}
    order = [BOUND, *sorted((n for n in hits if n != BOUND), key=lambda name: -fmean(hits[name]))]
    rows: list[Row] = []
    place, leader = 0, BOUND
    for number, name in enumerate(order):
        mean, spread = _difference(hits[leader], hits[name])
        if number == 1 or (number and mean > spread + 1e-12):
            place, leader = number, name
        behind, spread = _difference(hits[BOUND], hits[name])
        flat = [o for each in outcomes[name] for o in each]
        regret, evictions = fmean(o.regret_ratio for o in flat), fmean(o.evictions for o in flat)
        rows.append(Row(name, capacity, place, fmean(hits[name]), regret, evictions, behind, spread))
    return rows


def _difference(more: Sequence[float], less: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of the differences, trace by trace."""
    differences = [a - b for a, b in zip(more, less, strict=True)]
    return fmean(differences), stdev(differences) if len(differences) > 1 else 0.0


def curves(
    traces: Mapping[str, Requests], policies: Mapping[str, Callable[[int], EvictionPolicy] | None]
) -> Callable[[str, list[int]], dict[str, dict[str, Any]]]:
    """What a tournament board asks: a function of (name of a trace, capacities) that replays every policy.

    Args:
        traces: requests by name.
        policies: makers by name; None stands for Belady's optimum.

    Returns:
        By policy: "hit_rate", "evictions", and "regret" (wanted again, of the blocks asked for), one number per
        capacity; or {"refused": reason} for a policy that named a block that may not go.
    """

    def compute(trace: str, capacities: list[int]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name, make in policies.items():
            try:
                outcomes = [cache_replay(traces[trace], blocks, make) for blocks in capacities]
            except PolicyError as error:
                found[name] = {"refused": str(error)}
                continue
            found[name] = {
                "hit_rate": [outcome.hit_ratio for outcome in outcomes],
                "evictions": [outcome.evictions for outcome in outcomes],
                "regret": [outcome.regret_ratio for outcome in outcomes],
            }
        return found

    return compute
