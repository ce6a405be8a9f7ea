"""`labkit tournament`: the learner's policy, or one in a file, against the built-in ones on a trace it has not seen."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.errors import LabkitError, UnreadableError
from labkit.reading import read_python
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.prefix_workload import draw_conversations
from labkit.simulate.tournament import Entrant, Standings, tournament
from labkit.simulate.traces import MOONCAKE_BLOCK_TOKENS, read_trace

LESSON, EXERCISE = "09", "MyPolicy"
TRACES = 10
"""Traces that are drawn, each with a seed of its own: one alone ranks by chance."""
REQUESTS = 400
CAPACITIES = (200, 700, 2000)
"""Blocks. A drawn trace of REQUESTS asks for some 6,000 different ones: scarce, less scarce, and nearly enough."""


def run(file: Path | None, trace: Path | None, seed: int | None, as_json: bool) -> int:
    """Hold the tournament and print the standings. Exit status 0, or 1 where the policy was refused."""
    if trace is not None and seed is not None:
        raise LabkitError("A trace file has no seed: give --trace or --seed, not both.")
    if trace is None and seed is None:
        seed = secrets.randbelow(1_000_000)
    progress = (lambda text: print(text, file=sys.stderr)) if sys.stderr.isatty() else (lambda text: None)
    standings = hold(seed, trace, file, progress=progress)
    print(json.dumps({**standings.to_dict(), "seed": seed}, indent=2) if as_json else text_of(standings))
    return 1 if standings.refused else 0


def hold(
    seed: int | None = None,
    trace: Path | None = None,
    file: Path | None = None,
    requests: int = REQUESTS,
    capacities: Sequence[int] = CAPACITIES,
    progress: Callable[[str], None] = lambda text: None,
) -> Standings:
    """A tournament on TRACES drawn traces, or on that of a file.

    Args:
        seed: of the first drawn trace; the others have the seeds after it.
        trace: a file with hash_ids, in place of the drawn ones.
        file: Python with a class MyPolicy; by default the one that has passed, if there is one.
        requests: how many to draw, for each trace.
        capacities: blocks of the cache.
    """
    entrant = _entrant(file)
    if trace is not None:
        given, what = [read_trace(trace)], trace.name
    else:
        first = seed or 0
        given = [draw_conversations(requests, first + number) for number in range(TRACES)]
        what = f"{TRACES} traces of {requests:,} drawn requests, seeds {first} to {first + TRACES - 1}"
    blocks = [
        requests_of(each, full_blocks_only=True, block_tokens=each.block_tokens or MOONCAKE_BLOCK_TOKENS)
        for each in given
    ]
    return tournament(blocks, capacities, [entrant] if entrant else [], what, progress)


def _entrant(file: Path | None) -> Entrant | None:
    """The policy in a file, or the one that passed; None where there is neither."""
    from labkit import specs
    from labkit.grading.progress import Progress
    from labkit.grading.source import strip_magic

    progress = Progress()
    spec = specs.exercise(LESSON, EXERCISE).spec
    key = specs.resolve_key(LESSON)
    text: str | None
    if file is not None:
        try:
            text = strip_magic(read_python(file, most=1 << 20))[1]
        except UnreadableError as error:
            raise LabkitError(
                f"{file} cannot be read ({error.reason}): give a Python file with a class {spec.target}."
            ) from None
    else:
        text = progress.passed(key, EXERCISE)
    if text is None:
        return None
    own = progress.passed(key, "LRU")
    return Entrant(spec.target, text, spec.target, spec.prelude, {} if own is None else {"LRU": own})


def text_of(standings: Standings) -> str:
    """The standings as tables, and what they come to for the learner's policy."""
    lines = [f"{standings.trace}: {standings.looked_up:,} blocks asked for"]
    tables = {c: [row for row in standings.rows if row.capacity == c] for c in standings.capacities}
    for capacity, rows in tables.items():
        head = f"{'':16}{'hits':>8}{'regret':>9}{'evictions':>11}{'behind Belady':>20}"
        lines += ["", f"{capacity:,} blocks of cache", head]
        for row in rows:
            place = f"{row.place}." if row.place else ""
            spread = f" +- {row.spread:5.2%}" if standings.traces > 1 else ""
            behind = f"{row.behind:.2%}{spread}" if row.place else ""
            lines.append(
                f"{'>' if row.policy == EXERCISE else ' '}{place:>4} {row.policy:10}{row.hit_ratio:8.2%}"
                f"{row.regret_ratio:9.2%}{row.evictions:11,.0f}{behind:>20}"
            )
    return "\n".join([*lines, "", *_verdict(standings)])


def _verdict(standings: Standings) -> list[str]:
    """What the tables come to, in sentences."""
    many = standings.traces > 1
    lines = []
    place = standings.place_of(EXERCISE)
    if EXERCISE in standings.refused:
        lines.append(f"{EXERCISE} is refused. {standings.refused[EXERCISE]}")
    elif place is None:
        lines.append("No policy of yours takes part: pass MyPolicy in lesson 09, or name a file with --file.")
    else:
        level = [row.policy for row in standings.overall if row.place == place and row.policy != EXERCISE]
        shared = f", and the traces do not tell it apart from {', '.join(level)}" if level and many else ""
        shared = shared or (f", level with {', '.join(level)}" if level else "")
        lines.append(f"{EXERCISE} has place {place} of {len(standings.overall)} over all capacities{shared}.")
    best, last = standings.overall[0], standings.overall[-1]
    between = best.hit_ratio - last.hit_ratio
    far = best.behind > between
    lines.append(
        f"From the first policy to the last it is {between:.2%} of the blocks, from the first up to Belady "
        f"{best.behind:.2%}"
        + (": on such a trace the policies lie together, and far from the optimum." if far else ".")
    )
    lines.append("Hits and regret are shares of the blocks asked for; what Belady regrets only more memory can save.")
    if many:
        lines.append(
            f"All numbers are means over {standings.traces} traces; +- is the standard deviation from trace to trace. "
            "Policies whose difference lies within its own standard deviation share a place."
        )
    else:
        lines.append("This is one trace: on another of its kind, policies that are nearly level may change places.")
    return lines
