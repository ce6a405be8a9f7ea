"""`labkit stress cache`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(help="Random operations against a model, until one disagrees.", no_args_is_help=True)


@app.callback()
def stress() -> None:
    """Random operations against a model, until one disagrees."""


@app.command()
def cache(
    operations: Annotated[int, typer.Option(min=1, help="How many operations, at least.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the first round; each round is one more.")] = 0,
) -> None:
    """KV-cache managers of every make beside a plain model. A failure prints the seed that repeats it."""
    from tqdm import tqdm

    from labkit.bench.stress import stress_cache

    with tqdm(total=operations, unit="op", disable=not sys.stderr.isatty()) as bar:
        failure = stress_cache(operations, seed, lambda done: bar.update(done - bar.n))
    if failure is None:
        typer.echo(f"{operations:,} operations or more, from seed {seed} on: the manager and its model agree.")
        return
    typer.echo(f"Seed {failure.seed} ({failure.manager}): {failure.what}")
    typer.echo(f"To repeat it: labkit stress cache --seed {failure.seed} --operations 1")
    raise typer.Exit(1)
