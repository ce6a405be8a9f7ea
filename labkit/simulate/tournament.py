"""The tournament: a policy against the built-in ones, on a trace that it has not seen.

The trace is drawn afresh (`labkit.simulate.prefix_workload`), or is a file that somebody gives. Every policy serves it
through the real hash cache (`labkit.simulate.cache_replay`). Ranked is the share of blocks that hit; where that is
equal, regret. Beside it stands how far Belady's optimum is ahead, which knows the future of the trace.

A policy that is not one of ours runs in a process of its own, which is told what happens as it happens: there is no
future in it to peek at. It is refused, with the reason, if it reaches out of that process, spends more than
`OPERATIONS` operations for each block that it is told of or asked for, keeps more than the cache is large, names a
block that may not go, or raises. Operations are counted and not timed (`labkit.simulate.policy_meter`), so the verdict
is the same on every machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from labkit.cache.checks import whole_number
from labkit.cache.eviction import EvictionPolicy
from labkit.cache.eviction_policies import POLICIES
from labkit.errors import LabkitError, PolicyError
from labkit.simulate.cache_replay import Outcome, cache_replay
from labkit.simulate.hit_ratio import Requests

BOUND = "Belady"
SECONDS = 120.0
"""A replay that has not ended by then is given up; multiplied by LABKIT_PATIENCE where that is set. The counter refuses
whatever loops long before, so this is for what no counter sees."""


class Entrant:
    """Somebody's policy as text, to be run where it can see nothing but what it is told.

    Args:
        name: how it is called in the standings.
        text: Python that defines the class `target`; see `labkit.simulate.policy_meter` for what it may say.
        target: the class. Its constructor takes the number of blocks, or nothing.
        prelude: import lines that stand before the text.
        parts: what `from labkit.mine import NAME` gives, as text.
    """

    def __init__(self, name: str, text: str, target: str = "MyPolicy", prelude: str = "",
                 parts: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.job = {"text": text, "target": target, "prelude": prelude, "parts": dict(parts or {})}

    def replay(self, requests: Requests, num_blocks: int) -> tuple[Outcome, dict[str, int]]:
        """The trace under this policy, and what it spent.

        Raises:
            PolicyError: it was refused; the message is the reason.
        """
        remote: list[_Remote] = []

        def make(blocks: int) -> EvictionPolicy:
            remote.append(type(self.job["target"], (_Remote,), {})(self.job, blocks))  # errors of the cache name it
            return remote[0]

        try:
            outcome = cache_replay(requests, num_blocks, make)
            return outcome, remote[0].account()
        finally:
            if remote:
                remote[0].close()


class _Remote:
    """The `EvictionPolicy` that a cache sees: it passes everything on to the policy's process."""

    def __init__(self, job: dict[str, Any], num_blocks: int) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith("LABKIT")}
        env |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        self.target = job["target"]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "labkit.simulate.policy_worker"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, text=True, encoding="utf-8",
        )  # fmt: skip
        self.late = False
        seconds = SECONDS * float(os.environ.get("LABKIT_PATIENCE", "1"))
        self.watchdog = threading.Timer(seconds, self._give_up)
        self.watchdog.daemon = True
        self.watchdog.start()
        self.events: list[Any] = []
        try:
            self._ask({**job, "num_blocks": num_blocks})
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
        return self._ask([*events, "victim"])["victim"]

    def account(self) -> dict[str, int]:
        """What the policy has spent: operations, blocks told, victims, things kept."""
        events, self.events = self.events, []
        return self._ask([*events, "account"])

    def close(self) -> None:
        self.watchdog.cancel()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                try:
                    pipe.close()
                except OSError:
                    pass

    def _give_up(self) -> None:
        self.late = True
        self.process.kill()

    def _ask(self, line: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except (OSError, ValueError):
            answer = ""
        if not answer:
            raise PolicyError(
                f"{self.target} had not come to an end after {SECONDS:g} s: look for a loop that does not end."
                if self.late else f"{self.target} brought its process down: look for a recursion without end."
            )
        said = json.loads(answer)
        if "refused" in said:
            raise PolicyError(said["refused"])
        return said


@dataclass(frozen=True)
class Row:
    """One policy at one capacity. Shares are of the blocks that were asked for.

    Attributes:
        place: 1 for the most hits; Belady, which knows the future, has 0. None for one that was refused.
        behind: how much more of the blocks Belady finds.
        operations: for each block told of or asked for; None for the course's own, which are not counted.
        refused: the reason, or "".
    """

    policy: str
    capacity: int
    place: int | None
    hit_ratio: float
    regret_ratio: float
    evictions: int
    behind: float
    operations: float | None = None
    refused: str = ""


@dataclass(frozen=True)
class Standings:
    """The outcome of a tournament.

    Attributes:
        trace: what was replayed, in words.
        rows: by capacity, then place.
        overall: policy names with their hit ratio over all capacities, best first; Belady and the refused left out.
        refused: name to reason.
    """

    trace: str
    requests: int
    looked_up: int
    capacities: tuple[int, ...]
    rows: tuple[Row, ...]
    overall: tuple[tuple[str, float], ...]
    refused: dict[str, str]

    def place_of(self, name: str) -> int | None:
        """Overall place, from 1, shared by equals; None for one that was refused."""
        hits = dict(self.overall)
        return 1 + sum(other > hits[name] + 1e-12 for other in hits.values()) if name in hits else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def tournament(
    requests: Requests,
    capacities: Sequence[int],
    entrants: Sequence[Entrant] = (),
    trace: str = "",
    progress: Callable[[str], None] = lambda text: None,
) -> Standings:
    """Replay a trace under every policy and rank them; see the top of this file.

    Args:
        requests: block ids of each request's prompt.
        capacities: blocks of the cache, one tournament each.
        entrants: the policies that stand against the built-in ones.
        trace: what it is, in words.
        progress: told, now and then, what is being replayed.

    Raises:
        LabkitError: no request, no capacity, or two policies of one name.
    """
    capacities = [whole_number(c, "capacity", at_least=1, error=LabkitError) for c in capacities]
    if not requests or not capacities:
        raise LabkitError("A tournament needs a request and a capacity at least: give a trace that is not empty.")
    names = [*POLICIES, BOUND, *(entrant.name for entrant in entrants)]
    if len(set(names)) < len(names):
        raise LabkitError(f"Two policies have the same name among {', '.join(names)}: give each its own.")
    rows: list[Row] = []
    hits: dict[str, float] = {}
    refused: dict[str, str] = {}
    looked_up = 0
    for capacity in capacities:
        progress(f"{capacity:,} blocks: {BOUND}")
        best = cache_replay(requests, capacity)
        looked_up = best.looked_up
        outcomes: dict[str, tuple[Outcome, float | None]] = {}
        for name, make in POLICIES.items():
            progress(f"{capacity:,} blocks: {name}")
            outcomes[name] = cache_replay(requests, capacity, make), None
        for entrant in entrants:
            if entrant.name in refused:
                continue
            progress(f"{capacity:,} blocks: {entrant.name}")
            try:
                outcome, account = entrant.replay(requests, capacity)
                outcomes[entrant.name] = outcome, account["operations"] / max(1, account["told"])
            except PolicyError as error:
                refused[entrant.name] = str(error)
        rows.append(Row(BOUND, capacity, 0, best.hit_ratio, best.regret_ratio, best.evictions, 0.0))
        ranked = sorted(outcomes.items(), key=lambda item: (-item[1][0].hits, item[1][0].regret))
        for name, (outcome, operations) in ranked:
            place = 1 + sum(other.hits > outcome.hits for other, _ in outcomes.values())
            rows.append(Row(name, capacity, place, outcome.hit_ratio, outcome.regret_ratio, outcome.evictions,
                            outcome.behind(best), operations))
            hits[name] = hits.get(name, 0) + outcome.hit_ratio / len(capacities)
    rows = [row for row in rows if row.policy not in refused]
    overall = sorted(((n, h) for n, h in hits.items() if n not in refused), key=lambda item: -item[1])
    return Standings(trace, len(requests), looked_up, tuple(capacities), tuple(rows), tuple(overall), refused)


def curves(
    traces: Mapping[str, Requests], policies: Mapping[str, Callable[[int], EvictionPolicy] | None]
) -> Callable[[str, list[int]], dict[str, dict[str, Any]]]:
    """What a tournament board asks: a function of (name of a trace, capacities) that replays every policy.

    Args:
        traces: requests by name.
        policies: makers by name; None stands for Belady's optimum.

    Returns:
        By policy: "hit_rate", "evictions", and "regret" (evictions whose content was asked for again), one number a
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
                "regret": [outcome.regret for outcome in outcomes],
            }
        return found

    return compute
