"""Alert rules: what of a series convicts a server, and since when.

A prefix cache that is full evicts at every request, and that is what it is for; a server that is busy preempts now and
then. So no rule looks at evictions or preemptions alone. What convicts is work that is done a second time: blocks that
were evicted and are wanted again (regret), tokens that are computed again, and preemptions that rise while what users
get does not.

A rule is a pure function of a series. It answers for each window whether it has reason to begin, and whether it has
reason to end; between the two it keeps its mind (hysteresis), and both must last (`for_s`, `clear_s`, as `for` and
`keep_firing_for` of Prometheus). A figure that is absent or NaN gives no reason to begin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from labkit.errors import SeriesError
from labkit.observe.series import FIGURES, Series, Worth
from labkit.words import plural


class Look(NamedTuple):
    """What a rule sees in a series of n windows.

    Attributes:
        begins: bool [n], reason to begin; ends: bool [n], reason to end.
        says: the sentence for a window, by its index.
    """

    begins: np.ndarray
    ends: np.ndarray
    says: Callable[[int], str]


@dataclass(frozen=True)
class Rule:
    """An alert rule.

    Attributes:
        name, title: for programs and for people.
        convicts: the figures that convict; where one of them is absent the rule is silent.
        for_s: how long there must be reason before it fires.
        clear_s: how long there must be reason to end before it is silent again.
        look: the rule itself.
    """

    name: str
    title: str
    convicts: tuple[str, ...]
    for_s: float
    clear_s: float
    look: Callable[[Series], Look]


class Firing(NamedTuple):
    """A rule fired in the windows `first` to `last`, both included.

    Attributes:
        rule, title, convicts: those of the rule.
        from_s, until_s: when it began, and the end of its last window.
        sentence: what it saw when it began.
    """

    rule: str
    title: str
    convicts: tuple[str, ...]
    first: int
    last: int
    from_s: float
    until_s: float
    sentence: str


def recent(series: Series, name: str, over_s: float) -> np.ndarray:
    """float64 [n]: the mean of a rate over the `over_s` seconds that end with each window.

    NaN where it is absent, unknown in one of the windows, or where they cover less than nine tenths of the time, as at
    the beginning and behind a gap.
    """
    if not len(series):
        return np.zeros(0)
    if series.worth(name)[0] is Worth.ABSENT:
        return np.full(len(series), np.nan)
    seconds, rate, sums = series.seconds, series[name], _sums(series, over_s)
    unknown = ~np.isfinite(rate)
    covered = sums(seconds)
    known = (sums(unknown.astype(float)) == 0) & (covered >= 0.9 * over_s)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = sums(np.where(unknown, 0.0, rate) * seconds) / covered
    return np.where(known & np.isfinite(mean), np.maximum(mean, 0.0), np.nan)


def _sums(series: Series, over_s: float) -> Callable[[np.ndarray], np.ndarray]:
    """What adds up float64 [n] over the windows that end in the last `over_s` seconds, for each window."""
    ends = series.end_s
    start = np.minimum(np.searchsorted(ends, ends - over_s * (1 - 1e-9), side="right"), np.arange(len(ends)))

    def sums(values: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0.0], np.cumsum(values)])
        return total[1:] - total[start]

    return sums


def before(series: Series, values: np.ndarray, ago_s: float) -> np.ndarray:
    """float64 [n]: what `values` were `ago_s` seconds earlier; NaN where there was no window then."""
    ends = series.end_s
    at = np.searchsorted(ends, ends - ago_s * (1 - 1e-9), side="right") - 1
    return np.where(at >= 0, values[at], np.nan) if len(ends) else np.zeros(0)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """float64 [n]: part of a whole; NaN where there is none of it, or one of the two is not known."""
    with np.errstate(over="ignore"):
        found = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return np.where(np.isfinite(found), found, np.nan)


def _recomputed(series: Series, over_s: float) -> np.ndarray:
    """The share of computed tokens that had been computed before; more than all of them is not believed."""
    again = share(recent(series, "recomputed", over_s), recent(series, "computed", over_s))
    return np.where(again <= 1 + 1e-6, again, np.nan)


# ----- the rules --------------------------------------------------------------------------------------------------


def recomputation(series: Series, *, over_s: float = 20.0, high: float = 0.15, low: float = 0.08) -> Look:
    """A large share of all tokens that are computed has been computed before."""
    again = _recomputed(series, over_s)
    return Look(
        again >= high,
        ~(again >= low),
        lambda at: f"{again[at]:.0%} of the tokens computed in the last {over_s:g} s had been computed before.",
    )


def regret(
    series: Series, *, over_s: float = 30.0, high: float = 0.25, low: float = 0.12, least_per_s: float = 1.0
) -> Look:
    """Much of what is evicted is wanted again, and it goes on.

    Regret is a share of the blocks asked for (`labkit.observe.regret`), and a series does not say how many those were.
    So the rule asks for two things: a share of the evictions, which alone would also be high where hardly anything is
    evicted, and a least number of regretted ones per second.
    """
    evicted, wanted = recent(series, "evicted", over_s), recent(series, "regretted", over_s)
    part = share(wanted, evicted)
    return Look(
        (part >= high) & (wanted >= least_per_s),
        ~((part >= low) & (wanted >= least_per_s / 2)),
        lambda at: (
            f"In the last {over_s:g} s, for every 100 cached blocks that were evicted, {100 * part[at]:.0f} were "
            "wanted again and computed anew."
        ),
    )


def thrashing(series: Series, *, over_s: float = 30.0, rise: float = 1.25, flat: float = 1.05) -> Look:
    """Preemptions rise and users get nothing for it.

    A preemption that costs little is no reason: a twentieth of what is computed must be computed again. Where a source
    does not tell (vLLM's counters do not), one preemption for four requests that finish stands in.
    """
    preempted, delivered = recent(series, "preempted", over_s), recent(series, "delivered", over_s)
    once, then = before(series, preempted, over_s), before(series, delivered, over_s)
    again = _recomputed(series, over_s)
    each = share(preempted, recent(series, "finished", over_s))
    cost = np.where(np.isnan(again), each / 5, again)  # a quarter of the requests is put level with a twentieth
    rises = (preempted >= rise * once) & (preempted - once >= 5 / over_s)
    return Look(
        rises & (delivered <= flat * then) & (then > 0) & (cost >= 0.05),
        ~(cost >= 0.025),
        lambda at: (
            f"Preemptions rose for {over_s:g} s ({_number(once[at])} to {_number(preempted[at])} a second) while "
            f"delivered tokens/s {'stayed flat' if delivered[at] >= 0.95 * then[at] else 'fell'} "
            f"({_number(then[at])} to {_number(delivered[at])}): thrashing."
        ),
    )


def done_twice(series: Series, over_s: float = 20.0, block_size: int = 16) -> np.ndarray:
    """float64 [n]: of the tokens computed in the windows that end in the last `over_s` seconds, the share that had been
    computed before; 0 where none was.

    Two kinds of work are done twice: what a preemption threw away (`recomputed`, tokens) and what was evicted and is
    wanted again (`regretted`, blocks). One measure for both says what a storm costs, whatever its cause. Together they
    may count a block twice that was evicted after a preemption, so the share may pass 1. Windows of which something is
    not known are left out, and the others still count.
    """
    sums, seconds = _sums(series, over_s), series.seconds
    tokens = series["recomputed"] + block_size * series["regretted"], series["computed"]
    known = np.isfinite(tokens[0] + tokens[1])
    twice, computed = (sums(np.where(known, some, 0.0) * seconds) for some in tokens)
    return np.divide(twice, computed, out=np.zeros(len(series)), where=computed > 0)


def thrash_alert(board: Series, *, least: float = 0.15) -> np.ndarray:
    """bool [n]: where so much or more of all that was computed in the last 20 seconds had been computed before."""
    return done_twice(board) >= least


def rule_of(alarm: Callable[[Series], Sequence[Any]], name: str, title: str) -> Rule:
    """A rule that fires in the windows in which an alarm such as `thrash_alert` says so, and in no other."""

    def look(series: Series) -> Look:
        try:
            fires = np.array([bool(answer) for answer in alarm(series)], dtype=bool)
        except Exception as error:  # whatever somebody's alarm does wrong
            raise SeriesError(f"{title} stopped with {type(error).__name__} on this board: mend it.") from error
        if len(fires) != len(series):
            raise SeriesError(
                f"{title} gave {plural(len(fires), 'answer')} for {plural(len(series), 'window')}: give one for each."
            )
        return Look(fires, ~fires, lambda at: f"{title} fires.")

    return Rule(name, title, ("computed", "recomputed", "regretted"), 0.0, 0.0, look)


RULES: tuple[Rule, ...] = (
    Rule("thrashing", "Thrashing", ("preempted", "delivered"), 0.0, 15.0, thrashing),
    Rule("recomputation", "Recomputation", ("recomputed", "computed"), 10.0, 15.0, recomputation),
    Rule("regret", "Regret", ("regretted", "evicted"), 30.0, 15.0, regret),
)
"""The rules of the board, worst first. Each looks back over seconds already; `for_s` comes on top."""


def firings(series: Series, rules: Sequence[Rule] = RULES) -> list[Firing]:
    """Everything that fired, in order of the rules and then of time."""
    return [firing for rule in rules for firing in _of(series, rule)]


def firing_at(found: Sequence[Firing], window: int) -> list[Firing]:
    """Those of `firings` that fired in a window."""
    return [firing for firing in found if firing.first <= window <= firing.last]


def _of(series: Series, rule: Rule) -> list[Firing]:
    worths = [(name, *series.worth(name)) for name in rule.convicts]
    if any(worth is Worth.ABSENT for _, worth, _ in worths):
        return []
    care = "".join(f" ({FIGURES[name].title}: a proxy. {bias})" for name, worth, bias in worths if worth is Worth.PROXY)
    look = rule.look(series)
    ends = series.end_s
    begins = ends - series.seconds
    found: list[Firing] = []
    first = since = None  # the window in which it fired; since when there is reason to change
    sentence = ""

    def close(last: int) -> None:
        assert first is not None
        told = (rule.name, rule.title, rule.convicts, first, last, float(begins[first]), float(ends[last]))
        found.append(Firing(*told, sentence))

    for at in range(len(series)):
        if not (look.begins if first is None else look.ends)[at]:
            since = None
            continue
        since = begins[at] if since is None else since
        if ends[at] - since < (rule.for_s if first is None else rule.clear_s):
            continue
        since = None
        if first is None:
            first, sentence = at, look.says(at) + care
        else:
            close(at - 1 if at > first else at)
            first = None
    if first is not None:
        close(len(series) - 1)
    return found


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}" if value >= 0.1 else f"{value:.1g}"
