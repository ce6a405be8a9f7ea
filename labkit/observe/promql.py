"""The readings of `labkit.observe.servers` in PromQL, so that Prometheus records the figures that a board draws.

Each figure is recorded once for each kind of server as `kvcache:FIGURE{server="..."}`, by instance. Rates are over
`WINDOW`. Where a kind has several readings, the first that gives something is taken, as `Server.choose` does.
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.observe.exposition import Term
from labkit.observe.scrape import VLLM_SAMPLE
from labkit.observe.series import FIGURES
from labkit.observe.servers import How, Reading, Server

WINDOW = "1m"
BY = "instance, job"


def recorded(figure: str) -> str:
    """The name under which a figure is recorded."""
    return f"kvcache:{figure}"


def expressions(server: Server) -> dict[str, str]:
    """For each figure that a kind of server tells, the expression that gives it."""
    found: dict[str, list[str]] = {}
    for reading in server.readings:
        found.setdefault(reading.figure, []).append(expression(server, reading))
    # Side by side only what differs: two readings may be the same sum under two names.
    return {name: " or ".join(dict.fromkeys(found[name])) for name in FIGURES if name in found}


def expression(server: Server, reading: Reading) -> str:
    """One reading in PromQL."""
    terms, under = reading.terms, reading.under
    match reading.how:
        case How.RATE | How.SAMPLED:
            rate = _sum(server, terms, "rate")
            by = _gauge(server, under, "max") if under else f"{VLLM_SAMPLE:g}" if reading.how is How.SAMPLED else ""
            return f"{rate} / {by}" if by else rate
        case How.RATIO:
            # Nothing over nothing is NaN, and so is not there: > 0 leaves it out.
            over = f"{_sum(server, terms, 'rate')} / ({_sum(server, under, 'rate')} > 0)"
            return f"({over}) > 0" if reading.opt_in else over
        case How.GAUGE:
            return _gauge(server, terms) + (f" / {_gauge(server, under)}" if under else "")
        case How.MEAN:
            return _gauge(server, terms, "avg")
        case How.REST:
            return f"1 - {_gauge(server, terms, 'avg')}"
        case How.QUANTILE:
            rate = f"rate({_selector(terms[0]._replace(metric=terms[0].metric + '_bucket'))}[{WINDOW}])"
            return f"histogram_quantile({reading.at:g}, sum by ({BY}, le) ({_once(server, rate)}))"
        case How.BALANCE:
            counters = [term for term in terms if term.metric.endswith("_total")]
            gauges = [term for term in terms if not term.metric.endswith("_total")]
            return f"clamp_min({_sum(server, gauges, 'deriv')} + {_sum(server, counters, 'rate', first=False)}, 0)"


def _sum(server: Server, terms: Iterable[Term], function: str, first: bool = True) -> str:
    """What terms grow by, a second. A term that is not there yet, such as a label before its first event, adds 0."""
    parts: list[str] = []
    lead = ""
    for term in terms:
        part = f"sum by ({BY}) ({_once(server, f'{function}({_selector(term)}[{WINDOW}])')})"
        if lead:
            part = f"({part} or 0 * {lead})"
        elif first:
            lead = part
        parts.append(("- " if term.factor < 0 else "+ ") + part)
    text = " ".join(parts).removeprefix("+ ")
    if any(part.startswith("- ") for part in parts):
        return f"clamp_min({text}, 0)"
    return f"({text})" if len(parts) > 1 else text


def _gauge(server: Server, terms: Iterable[Term], function: str = "sum") -> str:
    return " + ".join(f"{function} by ({BY}) ({_once(server, _selector(term))})" for term in terms)


def _once(server: Server, inner: str) -> str:
    """Copies that tell the same count once."""
    return f"max without ({', '.join(server.ranks)}) ({inner})" if server.ranks else inner


def _selector(term: Term) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in term.where.items())
    return f"{term.metric}{{{labels}}}" if labels else term.metric
