"""Which tile, rows, warps and stages are fastest on this card: what `kernels/tuned.json` is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import inf, prod
from pathlib import Path

from kvkernels import tuned
from kvkernels.tuned import Configuration
from labkit.bench.kernel_bench import OF_16_BITS, error_of
from labkit.bench.kernel_inputs import Inputs
from labkit.bench.kernel_peers import peers
from labkit.bench.kernel_shapes import Workload
from labkit.bench.kernel_timing import Clock
from labkit.writing import write_atomically

WORTH_A_ROW = 0.98
"""Of the time by rule, at most: what is gained less is no reason for a row."""


def candidates(work: str) -> Iterator[Configuration]:
    """The first grid; `waves` come after it, since they do not depend on the rest."""
    rows = (None,) if work == "decode" else (32, 64, 128)
    for tile, row, warps, stages in product((32, 64, 128), rows, (2, 4, 8), (2, 3, 5, 7)):
        yield Configuration(tile=tile, rows=row, warps=warps, stages=stages)


def tune_rows(
    workloads: Sequence[Workload], clock: Clock, say: Callable[[str], None], most: int | None = None
) -> dict[str, Configuration]:
    """The fastest configuration of each key that the workloads have, where it is worth a row.

    Args:
        workloads: those with one key are tuned together, by the geometric mean of their times.
        most: try so many candidates of each grid; all by default.
    """
    found: dict[str, Configuration] = {}
    by_key: dict[str, list[Inputs]] = {}
    for workload in workloads:
        x = Inputs(workload, clock.device)
        work = "prefill" if workload.new > 1 else "decode"
        by_key.setdefault(tuned.key(work, x.q, x.k), []).append(x)
    for key, inputs in by_key.items():
        work = key.split()[0]
        rights = [x.right() for x in inputs]

        def cost(row: Configuration, key: str = key, inputs: list[Inputs] = inputs, rights: list = rights) -> float:  # type: ignore[type-arg]
            with tuned.instead(key, row):
                try:
                    calls = [peers(x)[0].make() for x in inputs]  # type: ignore[union-attr]
                    if any(error_of(x, c(), r) > OF_16_BITS for x, c, r in zip(inputs, calls, rights, strict=True)):
                        return inf
                    times = [clock.time(call)["us"] or inf for call in calls]
                except Exception:  # more shared memory or registers than there are
                    return inf
            return prod(times) ** (1 / len(times))

        by_rule = cost(Configuration())
        best, least = Configuration(), by_rule
        for row in list(candidates(work))[:most]:
            if (us := cost(row)) < least:
                best, least = row, us
        for waves in (2, 4) if work == "decode" else ():
            if (us := cost(best._replace(waves=waves))) < least:
                best, least = best._replace(waves=waves), us
        say(f"{key}: {by_rule:,.1f} us by rule, {least:,.1f} us with {best._asdict()}")
        if least < WORTH_A_ROW * by_rule:
            found[key] = best
    return found


def keep_rows(found: dict[str, Configuration], file: Path = tuned.FILE) -> Path:
    """Put rows in the place of those of the same key; others stay."""
    rows = json.loads(file.read_text()) | {key: row._asdict() for key, row in found.items()}
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(row)}" for key, row in sorted(rows.items()))
    write_atomically(file, f"{{\n{lines}\n}}\n" if lines else "{}\n")
    tuned.rows.cache_clear()
    return file
