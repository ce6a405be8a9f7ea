"""What a tournament of eviction policies comes to: results checked, policies ranked, the outcome put into a sentence.

Beside the hit rate stands regret: of all blocks asked for, the share that had been evicted and is wanted again. A full
prefix cache evicts all day and is healthy; regret is what hurts. What Belady's optimum regrets (L. A. Belady, IBM
Systems Journal 5(2), 1966), which evicts what is wanted furthest in the future, only more memory moves; what a policy
regrets above that, a better policy could win.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

from labkit.errors import BoardError

MOST_POLICIES = 9
"""Curves that can still be told apart by line, mark and label."""
MOST_CAPACITIES = 12
EPSILON = 1e-9
"""Hit rates closer than this are equal: they are the same number of hits, divided."""
SERIES = ("hit_rate", "evictions", "regret")


@dataclass(frozen=True)
class Score:
    """One policy at one capacity.

    Attributes:
        hit_rate: hits as a share of requests, 0 to 1.
        evictions: cached blocks dropped to make room.
        regret: evicted blocks that were wanted again, as a share of the blocks asked for, 0 to 1.
    """

    hit_rate: float
    evictions: int
    regret: float


def read_results(results: Any, capacities: Sequence[int], bound: str) -> tuple[dict[str, list[Score]], dict[str, str]]:
    """What `compute` gave, as scores in the order of `capacities`, and the policies that it refused.

    Args:
        results: policy name to {"hit_rate": [...], "evictions": [...], "regret": [...]}, one number a capacity, or to
            {"refused": reason}.
        capacities: the capacities that were asked for, in blocks.
        bound: name of the policy that is the bound.

    Returns:
        (scores by policy name, reason of the refusal by policy name).

    Raises:
        BoardError: a series is missing or too short, or holds a number that cannot be.
    """
    if not isinstance(results, Mapping) or not results:
        raise BoardError(
            f"compute gave {type(results).__name__}; it should give a dict with the curves of each policy by its name."
        )
    if len(results) > MOST_POLICIES:
        raise BoardError(f"compute gave {len(results)} policies; the board tells {MOST_POLICIES} apart, give fewer.")
    scores: dict[str, list[Score]] = {}
    refused: dict[str, str] = {}
    for name, series in results.items():
        if not isinstance(series, Mapping):
            raise BoardError(f"{name}: expected a dict with {', '.join(SERIES)}, but compute gave {series!r}.")
        if "refused" in series:
            refused[str(name)] = str(series["refused"])
        else:
            scores[str(name)] = _read_series(str(name), series, capacities)
    if bound not in scores:
        raise BoardError(f"compute gave no curve for the bound {bound!r}; it gave {', '.join(scores) or 'none'}.")
    return scores, refused


def _read_series(name: str, series: Mapping[str, Any], capacities: Sequence[int]) -> list[Score]:
    columns = []
    for key in SERIES:
        if key not in series:
            raise BoardError(f"{name}: {key!r} is missing; compute should give {', '.join(SERIES)} for each policy.")
        column = list(series[key])
        if len(column) != len(capacities):
            raise BoardError(
                f"{name}: {key!r} has {len(column)} numbers for {len(capacities)} capacities; give one for each."
            )
        columns.append(column)
    return [_score(name, capacity, *values) for capacity, *values in zip(capacities, *columns, strict=True)]


def _score(name: str, capacity: int, hit_rate: Any, evictions: Any, regret: Any) -> Score:
    where = f"{name} at {capacity:,} blocks"
    for word, share in (("the hit rate", hit_rate), ("regret", regret)):
        if not isinstance(share, Real) or not 0 <= float(share) <= 1:
            raise BoardError(f"{where}: {word} is {share!r}; it should be a share between 0 and 1.")
    if not isinstance(evictions, Integral) or evictions < 0:
        raise BoardError(f"{where}: evictions is {evictions!r}; it should be a count of blocks.")
    if float(hit_rate) + float(regret) > 1 + EPSILON or (regret and not evictions):
        raise BoardError(
            f"{where}: {percent(float(hit_rate))} hit and {percent(float(regret))} are regretted, with {evictions:,} "
            "evictions; regret is the share of the blocks asked for that were evicted before, and these do not hit."
        )
    return Score(float(hit_rate), int(evictions), float(regret))


def shown_capacities(offered: Sequence[int], low: int, high: int, points: int) -> list[int]:
    """The capacities drawn between `low` and `high`: those offered, and where these are few, more between them.

    The widest gap (by ratio) is halved at its geometric middle until there are `points`, so a narrower range keeps
    the offered capacities and looks closer between them.
    """
    shown = sorted({c for c in offered if low <= c <= high} | {low, high})
    while len(shown) < points:
        gaps = [(b / a, -a, round(math.sqrt(a * b))) for a, b in pairwise(shown) if b - a > 1]
        if not gaps:
            break
        _, left, middle = max(gaps)
        shown = sorted({*shown, max(-left + 1, middle)})
    return shown


def standings(scores: Mapping[str, Score], bound: str) -> list[dict[str, Any]]:
    """Rows of the table at one capacity, best hit rate first and the bound before all others.

    A row has name, rank (1 is best; equal hit rates share a rank; 0 for the bound), hit_rate, behind (what it misses to
    the bound, negative above it), evictions, regret, and the numbers as texts.
    """
    optimum = scores[bound].hit_rate
    others = [score.hit_rate for name, score in scores.items() if name != bound]
    rows = []
    for name, score in scores.items():
        behind = optimum - score.hit_rate
        behind = 0.0 if abs(behind) < EPSILON else behind
        rank = 0 if name == bound else 1 + sum(rate > score.hit_rate + EPSILON for rate in others)
        rows.append(
            {
                "name": name,
                "rank": rank,
                "hit_rate": score.hit_rate,
                "behind": behind,
                "evictions": score.evictions,
                "regret": score.regret,
                "hit_text": percent(score.hit_rate),
                "behind_text": "" if name == bound else points(behind),
                "evictions_text": f"{score.evictions:,}",
                "regret_text": percent(score.regret),
            }
        )
    # Python's sort is stable: policies with equal hit rates keep the order in which they were given.
    return sorted(rows, key=lambda row: (row["rank"] != 0, row["rank"]))


def percent(share: float) -> str:
    """A share as text with one decimal."""
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points; what is not zero is not written as zero."""
    if 0 < abs(difference) < 0.0005:
        return "< 0.1" if difference > 0 else "> \N{MINUS SIGN}0.1"
    return f"{100 * difference:.1f}".replace("-", "\N{MINUS SIGN}")


def sentence(capacity: int, rows: Sequence[Mapping[str, Any]], mine: str | None, bound: str) -> str:
    """What is seen at one capacity, from the rows of `standings`."""
    at = "At 1 block" if capacity == 1 else f"At {capacity:,} blocks"
    optimum, policies = rows[0], rows[1:]
    if not policies:
        return f"{at} {bound} hits {optimum['hit_text']}; there is no policy to compare with it."
    count = len(policies)
    best = [row for row in policies if row["rank"] == 1]
    if not any(row["evictions"] for row in rows) and len(best) == count:
        return (
            f"{at} nothing is evicted: all that is asked for fits, every policy hits {best[0]['hit_text']}, "
            "and there is nothing to regret."
        )
    parts = []
    # Of several that are level the learner's own is the one to speak of.
    lead = next((row for row in best if row["name"] == mine), best[0])
    side = "below" if lead["behind"] > 0 else "above"
    to_bound = (
        f"{_points_words(abs(lead['behind']))} {side} {bound} ({optimum['hit_text']})"
        if lead["behind"]
        else f"as much as {bound}"
    )
    if count == 1:
        parts.append(f"{at} {lead['name']} hits {lead['hit_text']}, {to_bound}.")
    elif len(best) == count:
        parts.append(f"{at} all {count} policies hit the same {lead['hit_text']}, {to_bound}.")
    else:
        verb = "hits" if len(best) == 1 else "hit"
        parts.append(
            f"{at} {_listed([row['name'] for row in best])} {verb} {lead['hit_text']}, the most of {count} policies "
            f"and {to_bound}."
        )
    parts.append(_regret_words(lead, optimum, bound))
    own = next((row for row in policies if row["name"] == mine), None)
    if own is not None and own["rank"] > 1:
        back = _points_words(lead["hit_rate"] - own["hit_rate"])
        regrets = f" and a regret of {own['regret_text']}"
        level = [row["name"] for row in policies if row["rank"] == own["rank"] and row is not own]
        shared = f", level with {_listed(level)}," if level else ""
        parts.append(f"{mine} is {ordinal(own['rank'])}{shared} with {own['hit_text']}, {back} behind,{regrets}.")
    above = [row["name"] for row in policies if row["behind"] < 0]
    if above:
        parts.append(
            f"{bound} bounds policies that do not know the future, on the same requests, where every block costs the "
            f"same and none is pinned: for {_listed(above)} one of these does not hold."
        )
    return " ".join(parts)


def _regret_words(row: Mapping[str, Any], optimum: Mapping[str, Any], bound: str) -> str:
    if not row["evictions"]:
        return f"{row['name']} evicts nothing."
    blocks = "1 block" if row["evictions"] == 1 else f"{row['evictions']:,} blocks"
    if not row["regret"]:
        return f"{row['name']} evicts {blocks} and none of them is wanted again."
    text = f"{row['name']} evicts {blocks}, and {row['regret_text']} of the blocks asked for had been evicted before"
    if abs(row["regret"] - optimum["regret"]) < EPSILON:
        return f"{text}: as with {bound}, so only more memory helps."
    if optimum["regret"] > row["regret"]:
        return f"{text} ({bound}: {optimum['regret_text']})."
    if not optimum["regret"]:
        return f"{text}: all of that is for a better policy to win."
    return f"{text}: {optimum['regret_text']} with {bound}, for more memory to win, and the rest for a better policy."


def _points_words(difference: float) -> str:
    text = points(difference)
    if text == "< 0.1":
        return "less than 0.1 points"
    return "1.0 point" if text == "1.0" else f"{text} points"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th ..."""
    if 10 <= number % 100 <= 20:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
