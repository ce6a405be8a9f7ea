"""What a simulation tells of itself: a row of figures for each window of its time, and totals at its end.

Nothing here grows with the number of requests. Percentiles come from sketches (`labkit.simulate.sketch`, whose error is
stated), and the rows from differences of counters. A step belongs whole to the window in which it begins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labkit.errors import SimulationError
from labkit.observe.series import Series, Worth
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.sketch import Sketch

SATURATED = 0.05
"""A run is saturated where somebody has waited longer than this share of the time in which requests came."""
ROWS = 300
"""Windows of a run whose length is known, about."""

WORTH = {
    "flops_per_token": (Worth.ABSENT, "A simulation counts the tokens that are computed again, and no operations."),
}
NO_METER = {"regretted": (Worth.ABSENT, "No meter of regret watches this cache.")}


@dataclass(frozen=True)
class Target:
    """What a user expects of a request: it is served well if both hold.

    Attributes:
        ttft_s: seconds from its arrival to its first token at most.
        tpot_s: seconds per token after that at most, on average.
    """

    ttft_s: float = 2.0
    tpot_s: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise SimulationError(f"{name} is {value!r:.60}, but must be seconds, more than 0: give a number.")

    def met(self, request: Request, first_s: float, end_s: float) -> bool:
        """Whether a request that ended then was served well."""
        more = len(request.output) - 1
        return first_s - request.arrival <= self.ttft_s and end_s - first_s <= more * self.tpot_s


class Metrics:
    """The figures of one simulation.

    Args:
        scheduler: what is simulated; its counters are read.
        window_s: seconds of simulated time to a row.
        target: what counts as goodput.
        source: what the rows are of.
        tell: called after each row, for a board or a progress bar.

    Attributes:
        series: the rows so far (`labkit.observe.series`).
        until: the end of the window that is open, seconds.
        came, finished, refused, good: requests so far.
        run_ttft: sketch of the seconds to the first token, of all windows that are over.
        saturated: whether the run could not keep up; see `last_came`.

    Raises:
        SimulationError: a window that has no length.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        window_s: float = 10.0,
        target: Target | None = None,
        source: str = "simulation",
        tell: Callable[[Metrics], None] | None = None,
    ) -> None:
        if not 0 < window_s < math.inf:
            raise SimulationError(f"A window of {window_s!r:.60} s is none: give seconds, more than 0.")
        self.scheduler, self.window_s, self.target = scheduler, window_s, target or Target()
        self.series = Series(source, WORTH | (NO_METER if self._regret() is None else {}))
        self._tell = tell
        self.until = window_s
        self.came = self.finished = self.refused = self.good = 0
        self.saturated = False
        self._began = 0.0
        self._windows = 0
        self.run_ttft, self._itl, self._e2e = Sketch(), Sketch(), Sketch()  # of the whole run, closed windows alone
        self.ttft, self.itl, self.e2e = Sketch(), Sketch(), Sketch()
        """Of the open window, seconds: to the first token, between two tokens, to the last one."""
        self._before = self._counted()

    # ----- what the clock tells ----------------------------------------------------------------------------------

    def submitted(self, served: bool) -> None:
        """A request came to the door, and was let in or refused."""
        self.came += 1
        self.refused += not served

    def ended(self, request: Request, first_s: float, end_s: float) -> None:
        """A request has its last token."""
        self.finished += 1
        self.good += self.target.met(request, first_s, end_s)
        self.e2e.add(end_s - request.arrival)

    def last_came(self, now: float) -> None:
        """All requests have come, or the run was stopped: could it keep up?

        It could not if one of those who wait for their first turn has waited longer than a twentieth of the time until
        now. A server that gets a share x more work than it can do is behind by that share of the time when the last
        request comes, and whoever is next has waited for that long.
        """
        waiting = [request.arrival for request in self.scheduler.waiting if request.state is State.WAITING]
        self.saturated = bool(waiting) and now - min(waiting) > SATURATED * now

    def close(self, now: float) -> None:
        """Time is `now`: end the windows that are over. The last one to end gets all that happened since."""
        while self.until <= now:
            self._row(self.until)
            self._windows += 1
            self._began, self.until = self.until, (self._windows + 1) * self.window_s

    def finish(self, now: float) -> None:
        """The run is over."""
        self.close(now)
        if now > self._began:
            self._row(now)
            self._began = now
        else:
            self._merge()

    # ----- totals ------------------------------------------------------------------------------------------------

    def totals(self, requests: int, seconds: float) -> dict[str, Any]:
        """The figures of the whole run, by the names of `labkit simulate --json`; NaN where there is none.

        Args:
            requests: all there are, those that did not come in time included.
            seconds: of simulated time.
        """
        counters, tokens = self.scheduler.manager.counters, self.scheduler.totals
        each = 1 / seconds if seconds else math.nan
        return {
            "requests": requests,
            "finished": self.finished,
            "refused": self.refused,
            "unfinished": requests - self.finished - self.refused,
            "seconds_simulated": seconds,
            "requests_per_second": self.finished * each,
            "tokens_per_second": tokens.delivered * each,
            "computed_tokens_per_second": tokens.computed * each,
            "ttft_p50_s": self.run_ttft.percentile(50),
            "ttft_p99_s": self.run_ttft.percentile(99),
            "itl_p99_s": self._itl.percentile(99),
            "goodput": self.good * each,
            "blocks_recycled": counters.blocks_recycled,
            "cached_blocks_evicted": counters.cached_blocks_evicted,
            "regret": self._regret(),
            "preemptions": counters.preemptions,
            "recomputed_tokens": tokens.recomputed,
            "saturated": self.saturated,
        }

    # ----- inside ------------------------------------------------------------------------------------------------

    def _regret(self) -> int | None:
        """Evictions that were regretted; none where nothing is ever cached, and None where nobody counts."""
        manager = self.scheduler.manager
        if manager.regret is not None:
            return int(manager.regret.count)
        return None if hasattr(manager.cache, "page_bytes") else 0

    def _counted(self) -> dict[str, float]:
        """All that is counted since the beginning."""
        counters, tokens = self.scheduler.manager.counters, self.scheduler.totals
        return {
            "delivered": tokens.delivered,
            "computed": tokens.computed,
            "recomputed": tokens.recomputed,
            "recycled": counters.blocks_recycled,
            "evicted": counters.cached_blocks_evicted,
            "regretted": math.nan if self._regret() is None else float(self._regret() or 0),
            "preempted": counters.preemptions,
            "arrived": self.came,
            "finished": self.finished,
            "refused": self.refused,
            "goodput": self.good,
            "hits": counters.hit_tokens,
            "queries": counters.queried_tokens,
        }

    def _row(self, end: float) -> None:
        """The open window ends."""
        seconds, counted, before = end - self._began, self._counted(), self._before
        rates = {name: (counted[name] - before[name]) / seconds for name in counted}
        hits, queries = rates.pop("hits"), rates.pop("queries")
        scheduler, manager = self.scheduler, self.scheduler.manager
        blocks, cached, free = manager.num_blocks, manager.num_cached, manager.num_free
        waiting = len(scheduler.waiting)
        self.series.add(
            end,
            seconds,
            **rates,
            running=len(scheduler.running),
            waiting=waiting,
            waiting_for_memory=waiting if scheduler.short_of_memory else 0,
            held=(blocks - cached - free) / blocks,
            cached=cached / blocks,
            free=free / blocks,
            hit_rate=hits / queries if queries else math.nan,
            ttft_p50=self.ttft.percentile(50),
            ttft_p99=self.ttft.percentile(99),
            itl_p50=self.itl.percentile(50),
            itl_p99=self.itl.percentile(99),
            e2e_p99=self.e2e.percentile(99),
        )
        self._before = counted
        self._merge()
        if self._tell is not None:
            self._tell(self)

    def _merge(self) -> None:
        """What the open window has timed counts for the whole run."""
        for whole, window in ((self.run_ttft, self.ttft), (self._itl, self.itl), (self._e2e, self.e2e)):
            whole.merge(window)
            window.clear()


def without_nan(figures: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: null stands for a figure that there is not."""
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in figures.items()}
