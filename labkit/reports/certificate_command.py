"""`labkit progress certificate`: it stands among the commands of progress, and is made above them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.errors import LabkitError
from labkit.grading.progress_commands import app

__all__ = ["app"]


@app.command()
def certificate(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write.")] = Path("certificate.html"),
    name: Annotated[str, typer.Option(help="Your name, as it is to be read.")] = "",
) -> None:
    """Write what you built, passed and answered as one HTML page."""
    from labkit.reports.certificate import write_certificate

    try:
        told = write_certificate(out, name)
    except LabkitError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo("\n".join([f"written    {out}", *told["says"]]))
