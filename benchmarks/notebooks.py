"""How long Run All takes for each lesson, untouched and solved, in a fresh home each.

    python benchmarks/notebooks.py [LESSON...] [--cores 2] [--out benchmarks/results/notebooks.json]

A learner's notebook is meant to finish within 60 s on two cores, before a single exercise is done and after all are.
Nothing here fails where it does not: read the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from labkit.authoring import build, layout, master

TARGET_SECONDS = 60.0
OUT = Path(__file__).parent / "results" / "notebooks.json"


def measure(path: Path, solved: bool) -> dict[str, Any]:
    """Run All of one form of one lesson: seconds in all, and the three slowest cells.

    The time is from the start of the kernel to the end of the last cell.
    """
    node = build.notebook(master.read(path), solved)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="labkit-bench-", ignore_cleanup_errors=True) as scratch:
        from nbclient import NotebookClient

        from labkit.authoring.environment import kernel_environment, prepare_home

        home, work = prepare_home(Path(scratch) / "home"), Path(scratch) / "work"
        work.mkdir()
        began: dict[str, float] = {}

        def start(cell: Any, cell_index: int) -> None:
            began[cell["id"]] = time.perf_counter()

        def end(cell: Any, cell_index: int, execute_reply: Any) -> None:
            seconds[cell["id"]] = time.perf_counter() - began[cell["id"]]

        client = NotebookClient(
            node,
            timeout=600,
            extra_arguments=["--log-level=ERROR"],
            kernel_name="python3",
            resources={"metadata": {"path": str(work)}},
            on_cell_start=start,
            on_cell_executed=end,
        )
        clock = time.perf_counter()
        env = kernel_environment(home, Path(scratch))
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            env.pop(name)  # as a learner runs it
        client.execute(env=env)
        total = time.perf_counter() - clock
    slowest = sorted(seconds.items(), key=lambda pair: -pair[1])[:3]
    return {
        "lesson": path.stem,
        "form": "solved" if solved else "untouched",
        "seconds": round(total, 2),
        "slowest": {id: round(s, 2) for id, s in slowest},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lessons", nargs="*")
    parser.add_argument("--cores", type=int, default=2, help="use no more than this many cores (Linux)")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))[: asked.cores]
        os.sched_setaffinity(0, allowed)
        cores = len(allowed)
    rows = []
    for path in layout.masters(asked.lessons):
        if not layout.is_lesson(path.stem):
            continue
        for solved in (False, True):
            row = measure(path, solved)
            rows.append(row)
            slow = ", ".join(f"{id} {s:.1f}" for id, s in row["slowest"].items())
            over = "  over the target" if row["seconds"] > TARGET_SECONDS else ""
            print(f"{row['lesson']:<26} {row['form']:<10} {row['seconds']:6.1f} s   slowest: {slow}{over}", flush=True)
    machine = {"cores": cores, "system": platform.platform(terse=True), "python": platform.python_version()}
    machine["processor"] = platform.processor() or platform.machine()
    report = {"command": "python benchmarks/notebooks.py", "target_seconds": TARGET_SECONDS, "machine": machine}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps({**report, "runs": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"written to {asked.out}")


if __name__ == "__main__":
    main()
