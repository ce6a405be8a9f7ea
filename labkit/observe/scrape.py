"""Successive answers of a `/metrics` endpoint as rows of a series.

Counters become rates over the time between two answers. A counter that has gone back was reset, by a restart: what it
shows counts from 0. A label that was not there before began at 0 too. Histograms become percentiles of what came into
them in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from labkit.errors import WatchError
from labkit.observe.exposition import Exposition, Term
from labkit.observe.series import FIGURES, Worth
from labkit.observe.servers import SERVERS, How, Reading, Server, recognise
from labkit.words import listed

VLLM_SAMPLE = 0.01
"""The share of blocks that vLLM watches under --kv-cache-metrics unless --kv-cache-metrics-sample says otherwise."""


def server_of(scrape: Exposition) -> Server:
    """The kind of server that answered; WatchError where none is known."""
    server = recognise(scrape)
    if server is None:
        raise WatchError(
            f"The answer has no metric of {listed(server.name for server in SERVERS)}: give the address of the server "
            "itself, and see that it exports metrics (SGLang needs --enable-metrics)."
        )
    return server


def worths(server: Server, scrape: Exposition) -> dict[str, tuple[Worth, str]]:
    """What each figure that is not exact is worth, as a `Series` takes it."""
    chosen = server.choose(scrape)
    told = {name: (reading.worth, reading.bias) for name, reading in chosen.items() if reading.bias}
    return told | {name: (Worth.ABSENT, server.why_absent(name)) for name in FIGURES if name not in chosen}


def row(
    server: Server, before: Exposition, after: Exposition, seconds: float, sample: float = VLLM_SAMPLE
) -> dict[str, float]:
    """The figures of the window between two answers.

    Args:
        seconds: the length of the window.
        sample: the share of blocks that vLLM watches.

    Returns:
        Figures by name. What is not known, such as a percentile of nothing, is left out.
    """
    window = _Window(server, before, after, seconds, sample)
    figures = {name: window.read(reading) for name, reading in server.choose(after).items()}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


class _Window:
    """Two answers, and what lies between them."""

    def __init__(self, server: Server, before: Exposition, after: Exposition, seconds: float, sample: float) -> None:
        self.ranks, self.before, self.after = server.ranks, before, after
        self.seconds, self.sample = seconds, sample

    def read(self, reading: Reading) -> float:
        """A figure; NaN where nothing can be said."""
        terms, under = reading.terms, reading.under
        match reading.how:
            case How.RATE:
                each = self.now(under) / max(1, self.engines(under)) if under else 1.0
                return _over(max(0.0, self.grown(terms)), self.seconds * each)
            case How.SAMPLED:
                return self.grown(terms) / (self.seconds * self.sample)
            case How.RATIO:
                return _over(self.grown(terms), self.grown(under))
            case How.GAUGE:
                return _over(self.now(terms), self.now(under)) if under else self.now(terms)
            case How.MEAN:
                return _over(self.now(terms), self.engines(terms))
            case How.REST:
                return 1.0 - _over(self.now(terms), self.engines(terms))
            case How.QUANTILE:
                return self.quantile(terms[0], reading.at)
            case How.BALANCE:
                gauges, counters = _split(terms, lambda term: not term.metric.endswith("_total"))
                more = self.now(gauges) - self._sum(self.before, gauges)
                return max(0.0, more + self.grown(counters)) / self.seconds

    def now(self, terms: Iterable[Term]) -> float:
        """The sum of gauges."""
        return self._sum(self.after, terms)

    def engines(self, terms: Iterable[Term]) -> int:
        """How many samples the first of some gauges has."""
        return next((len(self.after.samples(term.metric, term.where, self.ranks)) for term in terms), 0)

    def grown(self, terms: Iterable[Term]) -> float:
        """What counters grew by."""
        return sum(term.factor * sum(self._grown(term).values()) for term in terms)

    def quantile(self, term: Term, at: float) -> float:
        """A share of what came into a histogram, as Prometheus's `histogram_quantile` has it."""
        edges: dict[float, float] = {}
        for labels, value in self._grown(term._replace(metric=f"{term.metric}_bucket")).items():
            edge = float(dict(labels).get("le", "nan"))
            edges[edge] = edges.get(edge, 0.0) + value
        total = edges.get(math.inf, 0.0)
        if not total:
            return math.nan
        below, low = 0.0, 0.0
        for edge, count in sorted(edges.items()):
            if count >= at * total:
                inside = count - below
                return low if math.isinf(edge) else low + (edge - low) * _over(at * total - below, inside)
            below, low = count, edge
        return math.nan

    def _grown(self, term: Term) -> dict[frozenset[tuple[str, str]], float]:
        before = self.before.samples(term.metric, term.where, self.ranks)
        after = self.after.samples(term.metric, term.where, self.ranks)
        return {
            labels: value - before[labels] if value >= before.get(labels, math.inf) else value
            for labels, value in after.items()
        }

    def _sum(self, scrape: Exposition, terms: Iterable[Term]) -> float:
        return sum(term.factor * sum(scrape.samples(term.metric, term.where, self.ranks).values()) for term in terms)


def _over(value: float, by: float) -> float:
    return value / by if by else math.nan


def _split(terms: Iterable[Term], test: Callable[[Term], bool]) -> tuple[list[Term], list[Term]]:
    terms = list(terms)
    return [term for term in terms if test(term)], [term for term in terms if not test(term)]
