"""`labkit kernels list` and `labkit kernels inspect`."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from typing import Annotated, Any

import typer

app = typer.Typer(help="The Triton kernels, and what a GPU's compiler makes of them.", no_args_is_help=True)

JSON = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.callback()
def kernels() -> None:
    """The Triton kernels, and what a GPU's compiler makes of them, without a GPU."""


@app.command("list")
def list_kernels(json: JSON = False) -> None:
    """The ladder of kernels, and for which pages and GPUs each is claimed to compile.

    `labkit bench kernels` times them on a GPU (docs/kernels.md). No figures of a GPU are recorded yet.
    """
    from labkit.kernels.catalog import ARCHITECTURES, ENTRIES

    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "step": entry.step or None,
            "idea": entry.idea,
            "dtypes": list(entry.dtypes),
            "architectures": {dtype: [a for a in ARCHITECTURES if entry.supports(dtype, a)] for dtype in entry.dtypes},
        }
        for name, entry in ENTRIES.items()
    ]
    if json:
        typer.echo(json_module.dumps(rows, indent=2))
        return
    for row in rows:
        step = "beside" if row["step"] is None else f"step {row['step']}"
        typer.echo(f"{step:8}{row['name']:20}{row['idea']:30}{', '.join(row['dtypes'])}")
    typer.echo(f"architectures: {', '.join(ARCHITECTURES)}; fp8 (e4m3) not on sm_80 and gfx942")


@app.command()
def inspect(
    name: Annotated[str, typer.Argument(help="A kernel of `labkit kernels list`.")],
    arch: Annotated[str, typer.Option(help="sm_80, sm_90, sm_100, sm_120 or gfx942.")] = "sm_90",
    dtype: Annotated[str | None, typer.Option(help="Of the pages; by default bf16 where the kernel takes it.")] = None,
    json: JSON = False,
) -> None:
    """Compile a kernel for a GPU that need not be here: registers, spills, shared memory and its widest load."""
    from labkit.kernels.catalog import entry
    from labkit.kernels.offline import inspect as compile_rows

    dtypes = entry(name).dtypes
    row = (name, dtype or ("bf16" if "bf16" in dtypes else dtypes[0]), arch)
    results = compile_rows([row])
    if json:
        typer.echo(json_module.dumps([asdict(result) for result in results], indent=2))
        return
    for r in results:
        spills = "nothing spills" if not r.spill_bytes else f"{r.spill_bytes} bytes spill"
        typer.echo(
            f"{r.kernel}, {r.dtype} pages, {r.arch} ({r.warps} warps): {r.registers} registers, {spills}, "
            f"{r.shared_bytes:,} bytes shared, widest load {r.widest_load_bits} bits  "
            f"[Triton {r.triton}, {r.seconds:.1f} s]"
        )


@app.command()
def matrix(
    write: Annotated[
        bool, typer.Option("--write", help="Keep the figures as those that tests hold kernels to.")
    ] = False,
    json: JSON = False,
) -> None:
    """Compile the whole support matrix (minutes), one line per kernel as it comes."""
    from labkit.kernels.offline import Compiled, inspect, whole_matrix
    from labkit.kernels.recorded import record

    def show(r: Compiled) -> None:
        if not json:
            typer.echo(f"{r.kernel:26}{r.dtype:6}{r.arch:8}{r.registers:4} registers{r.spill_bytes:6} bytes spilled")

    results = inspect(whole_matrix(), show, timeout_s=3600)
    if json:
        typer.echo(json_module.dumps([asdict(result) for result in results], indent=2))
    if write:
        typer.echo(f"Kept in {record(results)}.", err=True)
