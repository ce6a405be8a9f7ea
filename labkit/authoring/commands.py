"""`labkit author build | check | files | new | outside`: what the author of a lesson types."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from labkit.errors import LabkitError

app = typer.Typer(no_args_is_help=True, help="Build, check and lay out lessons from their masters.")

R = TypeVar("R")

Lessons = Annotated[
    list[str] | None, typer.Argument(help="Lessons by number, key or name (04, block_pool); all where none is named.")
]


@app.command()
def build(
    lessons: Lessons = None,
    learner_only: Annotated[
        bool, typer.Option("--learner-only", help="Write only the learner's notebooks: nothing is executed.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Execute twice and refuse outputs that differ between the two.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Record the outputs of cells tagged nbval-ignore-output anew.")
    ] = False,
) -> None:
    """Write the learner's notebook and the executed, solved one of each lesson from its master.

    The solved one holds a photograph of every widget, which takes a Chromium.
    """
    from labkit.authoring import build as builder
    from labkit.authoring import layout, master, photographs

    masters = _or_exit(layout.masters, lessons)
    if not learner_only:
        _or_exit(photographs.browser, code=1)  # before minutes of executing lessons that could not be written
    failed = 0
    for path in masters:
        began = time.perf_counter()
        try:
            built = builder.build(
                master.read(path),
                layout.notebooks_dir(),
                learner_only=learner_only,
                verify=verify,
                refresh=refresh,
            )
        except LabkitError as error:
            failed += 1
            typer.echo(f"{error}", err=True)
            continue
        for result in built:
            state = "written" if result.changed else "unchanged"
            typer.echo(f"{state:9}  {_short(result.path)}")
        if not learner_only:
            typer.echo(f"{'':9}  executed in {time.perf_counter() - began:.1f} s")
    raise typer.Exit(1 if failed else 0)


@app.command()
def check(lessons: Lessons = None) -> None:
    """Say what a lesson still lacks, and where its notebooks have drifted from its master; exit 1 if anything."""
    from labkit.authoring import check as checker
    from labkit.authoring import layout

    masters = _or_exit(layout.masters, lessons)
    findings = checker.check(masters)
    for finding in findings:
        place = f"{_short(finding.path)}, cell {finding.cell}" if finding.cell else _short(finding.path)
        typer.echo(f"{place}: {finding.message} [{finding.rule}]")
    counted = f"{len(masters)} lesson{'s' if len(masters) != 1 else ''}"
    if findings:
        typer.echo(f"{counted}, {len(findings)} to mend.")
    else:
        typer.echo(f"{counted}, nothing to mend.")
    raise typer.Exit(1 if findings else 0)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Key of the new lesson: number, underscore, name (05_block_tables).")],
    title: Annotated[str, typer.Option(help="Title shown at the top; made from the name if left out.")] = "",
) -> None:
    """Lay out a new lesson: master, specification, wrong solutions and quiz, each saying what goes where."""
    from labkit.authoring import new as layer

    try:
        written = layer.lay_out(name, title or None)
    except LabkitError as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(1) from None
    for path in written:
        typer.echo(f"written    {_short(path)}")
    typer.echo("Next: edit these files, then `labkit author build` and `labkit author check` (CONTRIBUTING.md).")


@app.command()
def files(
    lesson: Annotated[str, typer.Argument(help="A lesson by number, key or name (04, block_pool).")],
) -> None:
    """Every file of a lesson: edited, built from it, the library it shows, its tests."""
    from labkit.authoring import layout
    from labkit.authoring.lesson_files import files_of

    (master,) = _or_exit(layout.masters, [lesson])
    for kind, paths in files_of(master.stem).items():
        typer.echo(f"{kind}:")
        for path in paths:
            typer.echo(f"  {_short(path)}")


@app.command()
def outside(
    releases: Annotated[
        list[Path] | None, typer.Argument(help="Wheels, or folders with unpacked ones; nothing is installed.")
    ] = None,
) -> None:
    """List what is quoted of other projects, and where; or say what releases lack of it; exit 1 if anything."""
    from labkit.authoring import outside as names

    if not releases:
        for project in names.projects():
            typer.echo(f"{project.name} {project.version}".strip())
            for name in project.names:
                typer.echo(f"  {name.name} ({name.kind}): {_places(names.quoted_in(name))}")
        return
    lost = 0
    for place in releases:
        for release in _or_exit(lambda place: list(names.releases(place)), place):
            typer.echo(f"{release.distribution} {release.version}:")
            for name, sentence in names.gone(release):
                lost += 1
                typer.echo(f"  {name.name} ({name.kind}) {sentence}. Quoted in {_places(names.quoted_in(name))}")
    typer.echo(f"{lost} to mend." if lost else "All that is quoted is there.")
    raise typer.Exit(1 if lost else 0)


def _places(paths: list[Path]) -> str:
    return ", ".join(_short(path) for path in paths)


def _or_exit(function: Callable[..., R], *arguments: Any, code: int = 2) -> R:
    try:
        return function(*arguments)
    except LabkitError as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(code) from None


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
