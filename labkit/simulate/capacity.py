"""How many cards a workload needs under a target, and what happens with less memory: a few whole simulations.

Requests are dealt to the cards in turn, as a balancer without memory does it, and every card is simulated by itself. So
prompts that begin alike meet less often where there are more cards, and that is counted. What is searched need not be
monotone: the answer is the smallest number *of those tried* that meets the target, and all that were tried are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from labkit.cache.checks import whole_number
from labkit.errors import SimulationError
from labkit.simulate.capacity_search import capacity_search
from labkit.simulate.clock import Simulation
from labkit.simulate.configuration import Configuration
from labkit.simulate.metrics import without_nan
from labkit.simulate.replicas import routed
from labkit.simulate.sketch import Sketch
from labkit.simulate.trace import Trace

SHARES = (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)
"""Of a card's blocks, what is tried first."""
HALVINGS = 3
"""How often the gap between enough and too few blocks is halved: to an eighth of it."""


@dataclass(frozen=True, eq=False)
class Served:
    """One workload on so many cards of so many blocks.

    Attributes:
        cards, blocks: how many, and of how many blocks each.
        runs: what each card did that got requests.
        requests: that each card got, 0 among them.
        share: of the requests, those that met the target; what was refused met none.
    """

    cards: int
    blocks: int
    runs: tuple[Simulation, ...]
    requests: tuple[int, ...] = ()

    @property
    def share(self) -> float:
        return sum(run.metrics.good for run in self.runs) / sum(run.requests for run in self.runs)

    @property
    def again(self) -> float:
        """Share of the computed tokens that had been computed before, for requests that were preempted."""
        totals = [run.metrics.scheduler.totals for run in self.runs]
        return sum(t.recomputed for t in totals) / max(1, sum(t.computed for t in totals))

    @property
    def hit_rate(self) -> float:
        """Share of all prompts' tokens that were found in a cache, those of preempted requests left out."""
        counters = [run.metrics.scheduler.manager.counters for run in self.runs]
        return sum(c.hit_tokens for c in counters) / max(1, sum(c.queried_tokens for c in counters))

    @property
    def ttft(self) -> Sketch:
        """Seconds to the first token, of all cards together: their sketches merged, and not their percentiles."""
        together = Sketch()
        for run in self.runs:
            together.merge(run.metrics.run_ttft)
        return together

    @property
    def totals(self) -> dict[str, Any]:
        """The figures of `labkit simulate --json` over all cards: counts and rates as sums, times as the worst card's.

        `seconds_simulated` is the longest, `saturated` true where one is, `regret` None where one has no meter.
        """
        each = [without_nan(run.totals) for run in self.runs]
        out: dict[str, Any] = {}
        for name in each[0]:
            values = [totals[name] for totals in each]
            known = [value for value in values if value is not None]
            if name == "saturated":
                out[name] = any(values)
            elif name.endswith("_s") or name == "seconds_simulated":
                out[name] = max(known, default=None)
            else:
                out[name] = sum(known) if len(known) == len(values) else None
        return out


def serve(configuration: Configuration, trace: Trace, cards: int = 1, route: str = "round robin") -> Served:
    """Simulate it on so many cards, each set up by `configuration`, behind a router of `labkit.simulate.replicas`.

    Raises:
        SimulationError: more cards than requests, or none. KeyboardInterrupt where somebody stopped it.
    """
    whole_number(cards, "cards", at_least=1, error=SimulationError)
    if cards > len(trace):
        raise SimulationError(f"{len(trace):,} requests cannot be dealt to {cards:,} cards: take as many at most.")
    runs, parts = [], routed(trace, cards, route)
    for part in filter(len, parts):
        run = configuration.run(trace=part)
        if run.stopped == "interrupted":
            raise KeyboardInterrupt
        runs.append(run)
    return Served(cards, runs[0].metrics.scheduler.manager.num_blocks, tuple(runs), tuple(map(len, parts)))


def fewest_cards(
    configuration: Configuration,
    trace: Trace,
    share: float = 0.95,
    most: int = 64,
    tell: Callable[[Served], None] = lambda served: None,
) -> list[Served]:
    """All numbers of cards that were tried, ascending: doubled until the target is met, then halved into the gap.

    Args:
        share: of the requests, how many must meet `configuration.target`.
        most: cards at most.
        tell: called with each that was tried.

    Raises:
        SimulationError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise SimulationError(f"share is {share!r:.60}, but must be above 0 and at most 1: 0.95 is usual.")
    most = min(whole_number(most, "most", at_least=1, error=SimulationError), len(trace))

    tried: dict[int, Served] = {}

    def is_enough(cards: int) -> bool:
        tried[cards] = serve(configuration, trace, cards)
        tell(tried[cards])
        return tried[cards].share >= share

    capacity_search(is_enough, most)
    return [tried[cards] for cards in sorted(tried)]


def fewer_blocks(
    configuration: Configuration,
    trace: Trace,
    full: Served,
    share: float = 0.95,
    tell: Callable[[Served], None] = lambda served: None,
) -> list[Served]:
    """`full`, and the same cards with fewer blocks, descending; where the target is no longer met it looks closer."""

    def at(blocks: int) -> Served:
        return serve(replace(configuration, blocks=blocks), trace, full.cards)

    def tries() -> Iterator[Served]:
        yield full
        enough, below = full.blocks if full.share >= share else 0, 0
        for part in SHARES[1:]:
            blocks = max(1, round(part * full.blocks))
            served = at(blocks)
            yield served
            if enough and not below:
                enough, below = (blocks, 0) if served.share >= share else (enough, blocks)
        while enough > 1 and not below:  # a prompt longer than all blocks is refused: this ends
            served = at(enough // 2)
            yield served
            enough, below = (served.blocks, 0) if served.share >= share else (enough, served.blocks)
        for _ in range(HALVINGS if below else 0):
            middle = (enough + below) // 2
            if middle in (enough, below):
                return
            served = at(middle)
            yield served
            enough, below = (middle, below) if served.share >= share else (enough, middle)

    return sorted(_told(tries(), tell), key=lambda served: -served.blocks)


def enough(tried: list[Served], share: float) -> Served | None:
    """Of blocks tried, descending, the fewest before the first that misses the target; None if the first does."""
    found = None
    for served in tried:
        if served.share < share:
            break
        found = served
    return found


def shared_prefixes(trace: Trace) -> np.ndarray | None:
    """float64 [n]: of each prompt, the share whose blocks an earlier request had; None where the trace does not say.

    That is what a prefix cache without end would find. Equal ids mean equal prefixes, so a block that was seen before
    was seen with all that stands before it.
    """
    if trace.hash_ids is None or trace.block_tokens is None:
        return None
    seen: set[int] = set()
    shares = np.zeros(len(trace))
    for at, ids in enumerate(trace.hash_ids):
        known = ids.tolist()
        found = sum(id in seen for id in known) * trace.block_tokens
        seen.update(known)
        shares[at] = min(found, int(trace.input_tokens[at])) / max(1, int(trace.input_tokens[at]))
    return shares


def _told(tries: Iterator[Served], tell: Callable[[Served], None]) -> Iterator[Served]:
    for served in tries:
        tell(served)
        yield served
