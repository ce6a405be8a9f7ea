"""Every right answer of the bank carries the cells that use it: those that import it from `labkit.mine`.

A check that accepts what a later cell then dies of would be no check. The cells of the masters run here without a
kernel, each over the names that the whole notebook defines.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import symtable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from labkit import engine, paths, specs
from labkit.authoring.master import MasterCell, read
from labkit.grading.mistakes import Right, bank

LONG = {
    "03": {"scene", "compare", "with-and-without", "reveal-p1"},
    "05": {"compare"},
    "06": {"saving-run"},
    "09": {"board-with-mine", "play-widget", "reveal-p1"},
}
"""Cells that work through whole days of requests, where a slow right answer takes minutes: lesson -> cells."""
DEEP = {"recursion"}
"""Right answers that call themselves once a token: the cell that times 2,048 of them is too long for these."""
RIGHTS = [(lesson, right) for lesson in specs.lessons() for right in bank(lesson.key).right]


@cache
def cells(lesson: str) -> tuple[MasterCell, ...]:
    """The code cells of a lesson that hold plain Python, as the solved notebook has them."""
    master = read(Path(paths.masters_dir()) / f"{lesson}.py")
    found = [cell for cell, _ in master.forms(solved=True) if cell.kind == "code" and not cell.exercise]
    return tuple(cell for cell in found if not cell.source.lstrip().startswith("%"))


@cache
def users(name: str) -> list[tuple[str, MasterCell]]:
    """The cells of all lessons that import a name from `labkit.mine`, each with its lesson."""
    imports = re.compile(rf"^ *from labkit\.mine import .*\b{name}\b", re.MULTILINE)
    found = [(lesson, cell) for lesson in specs.lessons() for cell in cells(lesson.key)]
    return [
        (lesson.key, cell)
        for lesson, cell in found
        if cell.id not in LONG.get(lesson.number, ()) and imports.search(cell.source)
    ]


@cache
def names(lesson: str) -> dict[str, Any]:
    """What the cells of a lesson define, over the references, as far as one of `users` reads it.

    The rest of the lesson, which may work through whole days of requests, is executed with its notebook.
    """
    above = cells(lesson)
    read = [(name, len(above)) for cell in later_cells(lesson) for name in bound_and_read(cell.solved_source)[1]]
    chosen: set[int] = set()
    while read:
        name, end = read.pop()
        last = next((i for i in reversed(range(end)) if name in bound_and_read(above[i].solved_source)[0]), None)
        if last is not None and last not in chosen:
            chosen.add(last)
            read += [(more, last) for more in bound_and_read(above[last].solved_source)[1]]
    found: dict[str, Any] = {"__name__": "__main__", "display": lambda *shown, **more: None}
    for i in sorted(chosen):
        run(above[i], found)
    return found


def copied(known: dict[str, Any]) -> dict[str, Any]:
    """The same names, for cells to write over. A lesson's functions look there for what they read, as in a kernel."""
    found = dict(known)
    for name, value in known.items():
        if isinstance(value, FunctionType) and value.__globals__ is known:
            found[name] = FunctionType(value.__code__, found, name, value.__defaults__, value.__closure__)
            found[name].__kwdefaults__ = value.__kwdefaults__
    return found


def later_cells(lesson: str) -> list[MasterCell]:
    """The cells of a lesson that use some right answer of any lesson."""
    targets = {owner.exercise(right.exercise).spec.target for owner, right in RIGHTS}
    return [cell for target in sorted(targets) for other, cell in users(target) if other == lesson]


@cache
def bound_and_read(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names that a cell binds for the cells below it, and those that it reads from cells above it."""
    bound: set[str] = set()
    read: set[str] = set()
    for statement in ast.parse(source).body:
        top = symtable.symtable(ast.unparse(statement), "<statement>", "exec")
        here = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
        asked, tables = {s.get_name() for s in top.get_symbols() if s.is_referenced()}, top.get_children()
        while tables:
            table = tables.pop()
            asked |= {s.get_name() for s in table.get_symbols() if s.is_global()}
            tables += table.get_children()
        if not isinstance(statement, ast.Assign | ast.AugAssign):  # the others bind a name before they read it
            asked -= here
        read |= asked - bound
        bound |= here
    return frozenset(bound), frozenset(read)


def run(cell: MasterCell, namespace: dict[str, Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(cell.solved_source, f"<cell {cell.id}>", "exec"), namespace)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # some cells write a file beside the notebook


def title(pair: tuple[specs.Lesson, Right]) -> str:
    return f"{pair[0].module}-{pair[1].exercise}-{pair[1].name}"


@pytest.mark.parametrize(("lesson", "right"), RIGHTS, ids=map(title, RIGHTS))
def test_the_cells_that_use_a_right_answer_run(
    lesson: specs.Lesson, right: Right, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = lesson.exercise(right.exercise).spec.target
    later = [(other, cell) for other, cell in users(target) if right.name not in DEEP or cell.id != "time"]
    known = {other: copied(names(other)) for other, _ in later}
    monkeypatch.setattr(engine, "_passed", lambda: {(lesson.key, right.exercise): right.source})
    if target in engine.exported():
        assert engine.Parts().is_yours(target)
    for other, cell in later:
        run(cell, known[other])
