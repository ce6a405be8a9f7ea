"""A trace: when requests came, and how long they were; and what is made of one: parts, other speeds, mixtures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from labkit.errors import LabkitError
from labkit.simulate.block_ids import BlockIds

MOONCAKE_BLOCK_TOKENS = 512
IDLE = 0.25
"""A part whose requests come at less than this share of the whole trace's rate says nothing of its load."""


@dataclass(frozen=True)
class Trace:
    """Requests in the order in which they came.

    Attributes:
        name: what it is called in figures.
        source: where it is from.
        arrival_s: float64, shape (n,): seconds since the first request, ascending.
        input_tokens, output_tokens: int64, shape (n,): prompt and generated tokens, 0 or more.
        hash_ids: for each request the ids of its prompt's blocks, an int64 array (equal ids mean equal prefixes; the
            last block may be part filled), or None where the trace does not say. What the ids do not cover is the
            request's own: the tail of a prompt (Weka's sessions name full blocks only), or, with no id, all of it.
        notes: what was done to the file's contents, one sentence each.
        block_tokens: tokens that one of hash_ids stands for (Mooncake: 512), or None where nothing says.
    """

    name: str
    source: str
    arrival_s: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    hash_ids: Sequence[np.ndarray] | None = None
    notes: tuple[str, ...] = ()
    block_tokens: int | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)

    def __repr__(self) -> str:
        return f"Trace({self.name}: {len(self):,} requests, {self.duration_s:,.0f} s)"

    @property
    def total_tokens(self) -> np.ndarray:
        """int64, shape (n,): what a request's cache holds when it ends."""
        return self.input_tokens + self.output_tokens

    @property
    def duration_s(self) -> float:
        """From the first to the last arrival."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if len(self) else 0.0

    @property
    def per_s(self) -> float:
        """Requests a second, the mean over the whole trace; NaN where all came at once."""
        return (len(self) - 1) / self.duration_s if self.duration_s else math.nan

    def head(self, num_requests: int) -> Trace:
        """The first `num_requests` requests. A note says so where they come much slower than the trace as a whole."""
        return self._part(*slice(num_requests).indices(len(self))[:2])

    def between(self, start_s: float, end_s: float = math.inf) -> Trace:
        """The requests from `start_s` seconds after the first on, up to but not including `end_s`.

        Times of the part begin anew at 0. A note says so where its requests come much slower than the trace as a whole,
        as BurstGPT's first days do, and names a part as large that does not.

        Raises:
            LabkitError: nobody came in that time, or it has no length.
        """
        if not start_s < end_s:
            raise LabkitError(f"A part from {start_s} s to {end_s} s has no length: end it after its start.")
        first, last = np.searchsorted(self.arrival_s, [start_s, end_s]).tolist()
        if first == last:
            raise LabkitError(
                f"No request of {self.name} came from {start_s:g} s to {end_s:g} s, which are the seconds after the "
                f"first: it has {len(self):,} in {self.duration_s:,.0f} s."
            )
        part = self._part(first, last)
        return replace(part, arrival_s=part.arrival_s - part.arrival_s[0])

    def faster(self, times: float) -> Trace:
        """The same requests, `times` as many a second (0.5: half as many).

        Raises:
            LabkitError: a factor that is no number above 0.
        """
        if not 0 < times < math.inf:
            raise LabkitError(f"times is {times!r}, but must be a number above 0: 2 doubles the rate.")
        note = f"Requests come {times:g} times as fast as they did."
        return replace(self, arrival_s=self.arrival_s / times, notes=(*self.notes, note))

    def capped(self, max_tokens: int) -> Trace:
        """As a server with this maximum serves it: prompts cut to leave room for one token, outputs to fit."""
        input_tokens = np.minimum(self.input_tokens, max_tokens - 1)
        output_tokens = np.minimum(self.output_tokens, max_tokens - input_tokens)
        return replace(self, input_tokens=input_tokens, output_tokens=output_tokens)

    def summary(self) -> dict[str, dict[str, float]]:
        """{"input_tokens" | "output_tokens": {"mean", "p50", "p99"}, "arrivals": {"per_s", "cv"}}.

        The CV is the standard deviation of the times between arrivals over their mean: 1 for a Poisson process, more
        where requests come in bursts.
        """
        gaps_s = np.diff(self.arrival_s)
        mean_s = float(gaps_s.mean()) if len(gaps_s) else 0.0

        def of(tokens: np.ndarray) -> dict[str, float]:
            p50, p99 = np.percentile(tokens, [50, 99])
            return {"mean": float(tokens.mean()), "p50": float(p50), "p99": float(p99)}

        return {
            "input_tokens": of(self.input_tokens),
            "output_tokens": of(self.output_tokens),
            "arrivals": {
                "per_s": 1 / mean_s if mean_s else math.nan,
                "cv": float(gaps_s.std(ddof=1)) / mean_s if mean_s and len(gaps_s) > 1 else math.nan,
            },
        }

    def _part(self, first: int, last: int) -> Trace:
        part = replace(
            self,
            arrival_s=self.arrival_s[first:last],
            input_tokens=self.input_tokens[first:last],
            output_tokens=self.output_tokens[first:last],
            hash_ids=None if self.hash_ids is None else self.hash_ids[first:last],
        )
        if part.per_s < IDLE * self.per_s:
            spans_s = self.arrival_s[len(part) - 1 :] - self.arrival_s[: len(self) - len(part) + 1]
            best_s = self.arrival_s[int(spans_s.argmin())]
            note = (
                f"These {len(part):,} requests came at {part.per_s:.2g} a second, the trace as a whole at "
                f"{self.per_s:.2g}: an idle part. As many came fastest from {best_s:,.0f} s on."
            )
            part = replace(part, notes=(*self.notes, note))
        return part


def mix(traces: Sequence[Trace], starts_s: Sequence[float] | None = None, *, same_ids: bool = False) -> Trace:
    """Several traces served together.

    Args:
        traces: one at least.
        starts_s: when each begins; None for all at once.
        same_ids: whether an id means the same block in all of them. Otherwise they share nothing with one another.

    Returns:
        Their requests in order of arrival. Those of a trace without hash_ids share nothing.

    Raises:
        LabkitError: no trace, not one start for each, or ids that stand for different numbers of tokens.
    """
    starts = [0.0] * len(traces) if starts_s is None else list(starts_s)
    if not traces or len(starts) != len(traces) or not all(map(math.isfinite, starts)):
        raise LabkitError(
            f"A mixture of {len(traces)} traces has {len(starts)} starts ({str(starts)[:60]}), but needs one trace at "
            "least and a number of seconds for each: give both."
        )
    sizes = list(dict.fromkeys(trace.block_tokens for trace in traces if trace.hash_ids is not None))
    if len(sizes) > 1:
        raise LabkitError(
            f"One block id stands for {' and '.join(map(str, sizes))} tokens, but must stand for as many in all: mix "
            "traces of one size."
        )
    arrival_s = np.concatenate([trace.arrival_s + start for trace, start in zip(traces, starts, strict=True)])
    order = np.argsort(arrival_s, kind="stable")
    counts, flats, used = [], [np.empty(0, np.int64)], 0
    for trace in traces:
        ids = BlockIds.of(trace.hash_ids if trace.hash_ids is not None else [()] * len(trace))
        flat = ids.flat
        if not same_ids:
            known, places = np.unique(flat, return_inverse=True)
            flat, used = used + places, used + len(known)
        counts.append(ids.counts)
        flats.append(flat)
    notes = dict.fromkeys(note for trace in traces for note in trace.notes)  # each once
    return Trace(
        name=" + ".join(dict.fromkeys(trace.name for trace in traces)),
        source=" + ".join(dict.fromkeys(trace.source for trace in traces)),
        arrival_s=arrival_s[order] - arrival_s[order[:1]],
        input_tokens=np.concatenate([trace.input_tokens for trace in traces])[order],
        output_tokens=np.concatenate([trace.output_tokens for trace in traces])[order],
        hash_ids=BlockIds(np.concatenate(flats), np.concatenate(counts)).take(order) if sizes else None,
        notes=tuple(notes),
        block_tokens=sizes[0] if sizes else None,
    )
