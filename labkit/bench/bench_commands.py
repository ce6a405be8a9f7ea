"""`labkit bench cache`, `simulate`, `serve` and `kernels`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="How fast the course's own code is on this machine.", no_args_is_help=True)

COLUMNS = (
    ("append_us", "append, one call"),
    ("append_bulk_us", "append, bulk call"),
    ("allocate_us", "allocate a prompt"),
    ("free_us", "free"),
    ("lookup_hit_us", "look up 1,000 tokens"),
    ("hit_rate", "hit rate"),
    ("evictions", "evictions"),
    ("bytes_per_block", "bytes per block, filled"),
    ("bytes_per_block_evicting", "... after evictions"),
)


@app.callback()
def bench() -> None:
    """How fast the course's own code is on this machine."""


@app.command()
def cache(
    trace: Annotated[Path | None, typer.Option(help="An Azure or Mooncake trace whose lengths to use.")] = None,
    requests: Annotated[int, typer.Option(min=100, help="How many requests.")] = 2_000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    sizes: Annotated[bool, typer.Option("--sizes", help="Pools of up to a million blocks as well (minutes).")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Microseconds an operation of the KV-cache manager, beside a textbook manager in the same run.

    The first figures are those of the radix cache: prompts are compared byte by byte, nothing is hashed but the first
    block of an edge. The hash cache uses SHA-256 and trusts it. A lookup takes no references; the
    allocation takes them.
    """
    from labkit.bench.cache_bench import bench_cache, bench_sizes
    from labkit.simulate.traces import read_trace

    result = bench_cache(None if trace is None else read_trace(trace, requests), seed, requests)
    if sizes:
        result["sizes"] = bench_sizes()
        result["hash"]["sizes"] = bench_sizes(prefix_cache="hash")
    if json:
        typer.echo(json_module.dumps(result, indent=2))
        return
    typer.echo(f"{'':22}{'radix':>10}{'hash':>10}{'textbook':>10}")
    for key, title in COLUMNS:
        row = [result.get(key), result["hash"].get(key), result["textbook"].get(key)]
        form = "10,d" if isinstance(row[0], int) else "10,.2f"
        typer.echo(f"{title:22}" + "".join(f"{'' if value is None else format(value, form):>10}" for value in row))
    typer.echo(f"times in microseconds; {result['workload']['requests']:,} requests, {result['workload']['source']}")
    for rows, name in ((result.get("sizes"), "radix"), (result["hash"].get("sizes"), "hash")):
        for row in rows or ():
            timed = [f"{key.removesuffix('_us')} {value:.2f}" for key, value in row.items() if key.endswith("_us")]
            typer.echo(f"{name}, {row['num_blocks']:>9,} blocks: {', '.join(timed)}")


@app.command()
def simulate(
    trace: Annotated[list[Path] | None, typer.Option(help="A trace file, once or more; drawn ones without.")] = None,
    requests: Annotated[int | None, typer.Option(min=100, help="Of each trace the first so many.")] = None,
    million: Annotated[bool, typer.Option("--million", help="The curve up to a million requests (minutes).")] = False,
    curve: Annotated[bool, typer.Option(help="What a request costs as a run grows longer.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Requests a second of the simulator, with preemption and metrics on, and what a request costs in a long run."""
    from labkit.bench.simulate_bench import MANY, SIZES, bench_simulate

    sizes = (*SIZES, MANY) if million else SIZES
    done = bench_simulate(
        [str(path) for path in trace or ()],
        requests,
        sizes if curve else (),
        lambda what: typer.echo(f"{what} ...", err=True),
    )
    if json:
        typer.echo(json_module.dumps(done, indent=2))
        return
    typer.echo(f"{'requests per second':44}{'wall':>9}{'cpu':>9}{'preempted':>11}")
    for row in done["speeds"]:
        wall, cpu = row["requests_per_wall_second"], row["requests_per_cpu_second"]
        typer.echo(f"{row['name']:44}{wall:9,.0f}{cpu:9,.0f}{row['figures']['preemptions']:11,}")
    if done["curve"]:
        typer.echo(f"{'microseconds per request':44}{'wall':>9}{'cpu':>9}{'peak, MiB':>11}")
    for row in done["curve"]:
        peak = "" if row["peak_mib"] is None else f"{row['peak_mib']:,.0f}"
        typer.echo(
            f"{row['requests']:>10,} {'requests':33}{row['wall_us_a_request']:9,.0f}{row['cpu_us_a_request']:9,.0f}"
            f"{peak:>11}"
        )


@app.command()
def serve(
    requests: Annotated[int, typer.Option(min=8, help="Of the workload.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Of each speed, of which the best is taken.")] = 2,
    steps: Annotated[int, typer.Option(min=2, help="Decode steps that are timed.")] = 30,
    model: Annotated[str | None, typer.Option(help="A checkpoint folder, or tiny; the course's model without.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """The engine that serves a model: requests at once in the same memory, requests a second, and what a step costs.

    Beside it in the same run: memory that is reserved to the longest, and transformers with the same weights in batches
    padded to the longest, in turns. Minutes on two cores. Where there is a GPU, also the decode step beside the time
    that reading its bytes takes.
    """
    from labkit.bench.serve_bench import bench_serve, in_transformers, lines
    from labkit.serving.loaded import load

    def say(what: str) -> None:
        typer.echo(f"{what} ...", err=True)

    import torch

    loaded = load(model, dtype=torch.bfloat16, quiet=True)
    theirs, why = in_transformers(loaded, model)
    if why:
        say(why)
    done = bench_serve(loaded, theirs, say, requests=requests, rounds=rounds, steps=steps)
    typer.echo(json_module.dumps(done, indent=2) if json else "\n".join(lines(done)))


@app.command()
def kernels(
    shape: Annotated[
        list[str] | None,
        typer.Option(help="A group, a name or B,Hq,Hkv,D,L[,page[,dtype]]; once or more. All without."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Of which the median is taken.")] = 30,
    tune: Annotated[bool, typer.Option("--tune", help="Measure kernels/tuned.json first (minutes).")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Keep the result in benchmarks/results/kernels-<card>.json.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tiny shapes once, without a clock and without a GPU.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Microseconds of the paged-attention kernels on this GPU, beside the bytes that a step cannot do without.

    In the same run: gather + SDPA, compiled FlexAttention over pages, varlen_attn where this torch's takes a block
    table, and our kernel in the sizes of vLLM's. The L2 cache is cold; the read ceiling of the card is measured. Exit 1
    where a kernel of ours failed or was wrong. More in docs/kernels.md. No figures of a GPU are recorded yet.
    """
    from labkit.bench.kernel_shapes import TINY, chosen

    workloads = list(TINY) if dry_run else chosen(shape or [])

    from labkit.bench.kernel_bench import bench_kernels, keep, lines
    from labkit.bench.kernel_timing import Clock, gpu
    from labkit.bench.kernel_tuning import keep_rows, tune_rows

    def say(what: str) -> None:
        typer.echo(f"{what} ...", err=True)

    clock = Clock.dry() if dry_run else Clock(gpu(), runs)
    if tune:
        found = tune_rows(workloads, clock, say, most=1 if dry_run else None)
        if not dry_run:
            say(f"{len(found)} rows kept in {keep_rows(found)}")
    done = bench_kernels(workloads, clock, say)
    if write and not dry_run:
        say(f"kept in {keep(done)}")
    typer.echo(json_module.dumps(done, indent=2) if json else "\n".join(lines(done)))
    if any("absent" in shape["rows"][0] for shape in done["shapes"]):
        raise typer.Exit(1)
