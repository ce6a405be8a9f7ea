"""How long a learner waits for a verdict: solutions and known mistakes of each lesson, as a notebook checks them.

    python benchmarks/verdicts.py [LESSON...] [--out benchmarks/results/verdicts.json]

The target is a median under 3 s in lessons without torch, from 03 on, on two cores. Nothing here fails where it is
missed: read the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "results" / "verdicts.json"
MISTAKES = 5
"""Known mistakes timed for each exercise, beside its solution."""


def measure(name: str) -> dict[str, Any]:
    """Seconds of each verdict of one lesson, with a worker kept warm as in a notebook."""
    from labkit import specs
    from labkit.grading import runner
    from labkit.grading.mutants import bank
    from labkit.grading.solutions import solutions
    from labkit.sandbox import host

    lesson = specs.lesson(name)
    solved, mutants = solutions(lesson.key), bank(lesson.module)[0]
    seconds: dict[str, list[float]] = {"pass": [], "fail": []}
    runner.warm(torch=any(e.spec.needs_torch for e in lesson.exercises))
    for exercise in lesson.exercises:
        wrong = [m.source for m in mutants if m.exercise == exercise.id][:MISTAKES]
        for text in [solved[exercise.id], *wrong]:
            verdict = runner.check(lesson.key, exercise.id, text)
            seconds["pass" if verdict.passed else "fail"].append(round(verdict.seconds, 3))
    host.close()
    every = seconds["pass"] + seconds["fail"]
    return {
        "lesson": lesson.key,
        "verdicts": len(every),
        "median_s": round(statistics.median(every), 2),
        "median_pass_s": round(statistics.median(seconds["pass"]), 2),
        "median_fail_s": round(statistics.median(seconds["fail"]), 2) if seconds["fail"] else None,
        "longest_s": round(max(every), 2),
    }


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", default=[f"{number:02}" for number in range(1, 10)])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["LABKIT_HOME"] = home
        rows = [measure(name) for name in options.lessons]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    machine = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": machine, "lessons": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
