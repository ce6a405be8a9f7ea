"""How long `import labkit` takes, against starting Python with nothing imported.

    python benchmarks/import_time.py

Prints JSON: medians of `runs` fresh processes each, in seconds, taken in turns so that a busy machine slows both.
The claim: the import adds under 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time

LIMIT_SECONDS = 0.3


def seconds(statement: str) -> float:
    """Wall-clock time of a fresh Python that runs `statement`, in seconds."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    statements = {"nothing": "pass", "labkit": "import labkit", "cli": "import labkit.cli"}
    taken: dict[str, list[float]] = {name: [] for name in statements}
    for statement in statements.values():
        seconds(statement)  # the first start reads from disk
    for _ in range(runs):
        for name, statement in statements.items():
            taken[name].append(seconds(statement))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    added = {name: medians[name] - medians["nothing"] for name in ("labkit", "cli")}
    result = {
        "runs": runs,
        "median_s": {name: round(value, 4) for name, value in medians.items()},
        "added_s": {name: round(value, 4) for name, value in added.items()},
        "limit_s": LIMIT_SECONDS,
        "holds": added["labkit"] < LIMIT_SECONDS,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    print(json.dumps(result, indent=1))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
