"""`labkit tournament`: the learner's policy, or one in a file, against the built-in ones on a trace it has not seen."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

from labkit.errors import LabkitError

LESSON, EXERCISE = "09", "MyPolicy"
REQUESTS = 1500
CAPACITIES = (500, 2000, 6000)
"""Blocks. A drawn trace of REQUESTS asks for some 24,000 different ones: scarce, less scarce, and nearly enough."""


def run(file: Path | None, trace: Path | None, seed: int | None, as_json: bool) -> int:
    """Hold the tournament and print the standings. Exit status 0, or 1 where the policy was refused."""
    from labkit.simulate.hit_ratio import requests_of
    from labkit.simulate.prefix_workload import draw_conversations
    from labkit.simulate.tournament import tournament
    from labkit.simulate.traces import read_trace

    entrant = _entrant(file)
    if trace is not None:
        if seed is not None:
            raise LabkitError("A trace file has no seed: give --trace or --seed, not both.")
        given, what = read_trace(trace), trace.name
    else:
        seed = secrets.randbelow(1_000_000) if seed is None else seed
        given, what = draw_conversations(REQUESTS, seed), f"{REQUESTS:,} drawn requests, seed {seed}"
    requests = requests_of(given, full_blocks_only=True, block_tokens=given.block_tokens or 512)
    progress = (lambda text: print(text, file=sys.stderr)) if sys.stderr.isatty() else (lambda text: None)
    standings = tournament(requests, CAPACITIES, [entrant] if entrant else [], what, progress)
    if as_json:
        print(json.dumps({**standings.to_dict(), "seed": seed}, indent=2))
    else:
        print(text_of(standings, entrant.name if entrant else None))
    return 1 if standings.refused else 0


def _entrant(file: Path | None):
    """The policy in a file, or the one that passed; None where there is neither."""
    from labkit import specs
    from labkit.grading.progress import Progress
    from labkit.grading.source import strip_magic
    from labkit.simulate.tournament import Entrant

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


def text_of(standings, mine: str | None) -> str:
    """The standings as a table, with a sentence on top."""
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
