"""`labkit tournament`: the learner's policy, or one in a file, against the built-in ones on a trace it has not seen."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.errors import LabkitError
from labkit.simulate.hit_ratio import MOONCAKE_BLOCK_TOKENS, requests_of
from labkit.simulate.prefix_workload import draw_conversations
from labkit.simulate.tournament import Entrant, Standings, tournament
from labkit.simulate.traces import read_trace

LESSON, EXERCISE = "09", "MyPolicy"
REQUESTS = 1500
CAPACITIES = (500, 2000, 6000)
"""Blocks. A drawn trace of REQUESTS asks for some 24,000 different ones: scarce, less scarce, and nearly enough."""


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
    """A tournament on a drawn trace, or on that of a file.

    Args:
        seed: of the drawn trace.
        trace: a file with hash_ids, in place of a drawn one.
        file: Python with a class MyPolicy; by default the one that has passed, if there is one.
        requests: how many to draw.
        capacities: blocks of the cache.
    """
    entrant = _entrant(file)
    if trace is not None:
        given, what = read_trace(trace), trace.name
    else:
        given, what = draw_conversations(requests, seed or 0), f"{requests:,} drawn requests, seed {seed or 0}"
    blocks = requests_of(given, full_blocks_only=True, block_tokens=given.block_tokens or MOONCAKE_BLOCK_TOKENS)
    return tournament(blocks, capacities, [entrant] if entrant else [], what, progress)


def _entrant(file: Path | None) -> Entrant | None:
    """The policy in a file, or the one that passed; None where there is neither."""
    from labkit import specs
    from labkit.grading.progress import Progress
    from labkit.grading.source import strip_magic

    progress = Progress()
    spec = specs.exercise(LESSON, EXERCISE).spec
    key = specs.resolve_key(LESSON)
    if file is not None:
        try:
            text = strip_magic(file.read_text(encoding="utf-8"))[1]
        except (OSError, UnicodeDecodeError) as error:
            raise LabkitError(f"{file} cannot be read ({type(error).__name__}): give a Python file with a class "
                              f"{spec.target}.") from None
    else:
        text = progress.passed(key, EXERCISE)
    if text is None:
        return None
    own = progress.passed(key, "LRU")
    return Entrant(spec.target, text, spec.target, spec.prelude, {} if own is None else {"LRU": own})


def text_of(standings: Standings) -> str:
    """The standings as tables, and what they come to for the learner's policy."""
    mine = EXERCISE if EXERCISE in standings.refused or standings.place_of(EXERCISE) else None
    lines = [f"{standings.trace}: {standings.looked_up:,} blocks asked for"]
    for capacity in standings.capacities:
        lines += ["", f"{capacity:,} blocks of cache", f"{'':6}{'':10}{'hits':>8}{'regret':>9}{'evictions':>11}"
                  f"{'behind Belady':>15}{'operations':>12}"]
        for row in standings.rows:
            if row.capacity == capacity:
                spent = "" if row.operations is None else f"{row.operations:.1f}"
                place = "" if not row.place else f"{row.place}."
                lines.append(f"{'>' if row.policy == mine else ' '}{place:>4} {row.policy:10}{row.hit_ratio:8.2%}"
                             f"{row.regret_ratio:9.2%}{row.evictions:11,}{row.behind:15.2%}{spent:>12}")
    lines.append("")
    if mine is None:
        lines.append("No policy of yours takes part: pass MyPolicy in lesson 09, or name a file with --file.")
    elif mine in standings.refused:
        lines.append(f"{mine} is refused. {standings.refused[mine]}")
    else:
        lines.append(f"{mine} is number {standings.place_of(mine)} of {len(standings.overall)} by its hits over all "
                     "capacities.")
    lines.append("Hits and regret are shares of the blocks asked for; operations are for each block that a policy is "
                 "told of or asked for.")
    return "\n".join(lines)
