"""Kernels timed beside what else there is, each figure beside the floor of its workload; and configurations tuned."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor

from labkit.bench.kernel_inputs import Inputs
from labkit.bench.kernel_peers import Absent, Peer, peers
from labkit.bench.kernel_shapes import Workload
from labkit.bench.kernel_timing import Clock, machine, read_ceiling
from labkit.errors import KernelError
from labkit.simulate.cost_model import CARDS
from labkit.writing import write_atomically

TOLERANCE = {"fp32": 1e-4}
OF_16_BITS = 0.02
"""Of the norm of the right answer; the same for all who are timed."""


def error_of(x: Inputs, out: Tensor, right: Tensor) -> float:
    """How far an answer is from the right one, as a share of its norm.

    Raises:
        KernelError: it is no answer to these queries: who is timed attends one row for each row of q, and no more.
    """
    if out.shape != x.q.shape or out.dtype != x.q.dtype:
        raise KernelError(f"answers {out.dtype} {list(out.shape)} to queries of {x.q.dtype} {list(x.q.shape)}")
    return float((out.float() - right).norm() / right.norm().clamp_min(1e-30))


def timed(clock: Clock, x: Inputs, peer: Peer) -> dict[str, Any]:
    """One peer on one workload: looked at, timed, and called again on the same memory with other contents."""
    allowed = TOLERANCE.get(x.workload.dtype, OF_16_BITS)
    try:
        x.shorten(0)
        call = peer.make()
        row: dict[str, Any] = {"name": peer.name, "error": error_of(x, call(), x.right())}
        row |= clock.time(call)
        x.fill()
        x.shorten(6)
        again = peer.make() if peer.remade else call
        row["replay_error"] = error_of(x, again(), x.right())
    except Exception as error:  # a peer that cannot is a line of the result, whatever it raises; ours too
        why = (str(error).strip() or "no message").splitlines()[0][:200]
        return {"name": peer.name, "absent": f"{type(error).__name__}: {why}"}
    for off in ("error", "replay_error"):
        if not row[off] <= allowed:
            return {"name": peer.name, "absent": f"its {off.replace('_', ' ')} is {row[off]:.1%} of the answer"}
    return row


def bench_workload(clock: Clock, workload: Workload, ceiling: float | None) -> dict[str, Any]:
    """All peers on one workload."""
    x = Inputs(workload, clock.device)
    rows: list[dict[str, Any]] = [
        {"name": peer.name, "absent": peer.why} if isinstance(peer, Absent) else timed(clock, x, peer)
        for peer in peers(x)
    ]
    for row in rows:
        if row.get("us"):
            row["bytes_per_s"] = workload.floor_bytes / row["us"] * 1e6
            row["tflops"] = workload.flops / row["us"] / 1e6
            row["of_ceiling"] = row["bytes_per_s"] / ceiling if ceiling else None
    if workload.new == 1:
        rows[0]["kernel"], rows[0]["splits"] = how_ours(x)
    floor_us = workload.floor_bytes / ceiling * 1e6 if ceiling else None
    sizes = asdict(workload) | {"floor_bytes": workload.floor_bytes, "flops": workload.flops, "floor_us": floor_us}
    return sizes | {"rows": rows}


def how_ours(x: Inputs) -> tuple[str, int]:
    """Which launcher `kvkernels.decode` takes, and into how many ranges it cuts contexts."""
    from kvkernels.choose import chosen
    from kvkernels.inputs import Shape

    w = x.workload
    shape = Shape(len(x.lengths), w.q_heads, w.kv_heads, w.head_dim, len(x.k), w.page, x.tables.shape[1])
    return chosen(x.q, x.k, shape, x.longest)[:2]


def bench_kernels(workloads: Sequence[Workload], clock: Clock, say: Callable[[str], None]) -> dict[str, Any]:
    """All workloads, with the machine and the ceiling of its memory."""
    dry = clock.device.type != "cuda"
    ceiling = read_ceiling(clock, 5000 if dry else 2**30)
    shapes = []
    for workload in workloads:
        say(workload.name)
        shapes.append(bench_workload(clock, workload, ceiling["bytes_per_s"]))
    method = {"runs": clock.runs, "statistic": "median of CUDA events", "l2": "cold", "flush_bytes": clock.flush.nbytes}
    done = {"machine": machine(clock.device), "method": method, "ceiling": ceiling, "shapes": shapes}
    return done | {"summary": summary(done)}


RATIOS = {
    "fp8_gain": ("B32 4K", "B32 4K fp8"),
    "int8_gain": ("B32 4K", "B32 4K int8"),
    "page_1_over_256": ("B32 4K page 1", "B32 4K page 256"),
    "page_16_over_256": ("B32 4K", "B32 4K page 256"),
    "page_128_over_256": ("B32 4K page 128", "B32 4K page 256"),
    "chunks_of_whole": ("prefill 8K", "prefill 8K in 4 chunks"),
}


def summary(done: dict[str, Any]) -> dict[str, Any]:
    """What the targets are about, of ours; None where a figure is missing."""
    ours = {s["name"]: s["rows"][0] for s in done["shapes"] if s["rows"][0].get("us")}
    card = next((c for name, c in CARDS.items() if name in (done["machine"]["card"] or "").split()), None)
    five = [ours[s["name"]]["bytes_per_s"] / card.bytes_per_s
            for s in done["shapes"] if card and s["group"] == "kernelbench" and s["name"] in ours]  # fmt: skip
    found: dict[str, Any] = {
        "kernelbench_geomean_of_spec": prod(five) ** (1 / 5) if len(five) == 5 else None,
        **{name: ours[a]["us"] / ours[b]["us"] if {a, b} <= set(ours) else None for name, (a, b) in RATIOS.items()},
    }
    if card and card.name == "H200":
        found["targets"] = {}
        for shape in done["shapes"]:
            if shape["target"] and shape["name"] in ours:
                what, bound = shape["target"]
                value = ours[shape["name"]][what]
                found["targets"][shape["name"]] = value <= bound if what == "us" else value >= bound
    return found


def lines(done: dict[str, Any]) -> Iterable[str]:
    """The result as text: microseconds of every shape, with its floor."""
    top = done["ceiling"]["bytes_per_s"]
    card = f"{done['machine']['card']}: reads {top / 1e9:,.0f} GB/s at best" if top else "no GPU: nothing is timed"
    yield card
    for shape in done["shapes"]:
        floor = f", {shape['floor_us']:,.1f} us at the read ceiling" if top else ""
        yield f"{shape['name']}: floor {shape['floor_bytes'] / 1e6:,.2f} MB{floor}"
        for row in shape["rows"]:
            said = row.get("absent") or f"off by {row['error']:.1e}"
            if row.get("us"):
                said = (
                    f"{row['us']:10,.1f} us {row['bytes_per_s'] / 1e9:8,.0f} GB/s {row['of_ceiling']:7.1%} of the "
                    f"ceiling {row['tflops']:7,.1f} TFLOP/s {row['launch_us']:7,.1f} us to launch  {said}"
                )
            yield f"  {row['name']:32}{said}"
    for name, value in done["summary"].items():
        if isinstance(value, float):
            yield f"{name.replace('_', ' ')}: {value:.3f}"
    for name, met in done["summary"].get("targets", {}).items():
        yield f"target of {name}: {'reached' if met else 'missed'}"


def keep(done: dict[str, Any], results: Path = Path(__file__).parents[2] / "benchmarks" / "results") -> Path:
    """Write the result to kernels-<card>.json in a checkout's folder of results.

    Raises:
        KernelError: this is no checkout.
    """
    if not results.is_dir():
        raise KernelError("Results are kept in a checkout of the course, and this is an installed copy: use --json.")
    card = re.sub(r"[^a-z0-9]+", "-", done["machine"]["card"].lower()).strip("-")
    file = results / f"kernels-{card}.json"
    write_atomically(file, json.dumps(done, indent=1) + "\n")
    return file
