"""The one solution of an exercise, read from the lesson's master, and the difference to it.

A master is the only file of a lesson's notebooks that people edit (`labkit.authoring.master` builds both from it), and
it travels in the wheel. So it is the one place where a solution stands: the checks compare with it, the known
mistakes are edits of it, and the notebook shows it.
"""

from __future__ import annotations

import ast
import difflib
import re
from functools import lru_cache
from pathlib import Path

from labkit import paths, specs
from labkit.errors import LessonError
from labkit.grading.source import strip_magic

_CELL = re.compile(r"^# %%(?![A-Za-z_]).*\n", re.MULTILINE)
_STUB = re.compile(r"^[ \t]*# BEGIN STUB[ \t]*\n.*?^[ \t]*# END STUB[ \t]*\n?", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"^[ \t]*# (?:BEGIN|END) SOLUTION[ \t]*\n?", re.MULTILINE)
_FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def solutions(lesson: str) -> dict[str, str]:
    """Exercise id -> text of the solved cell, without its `%%exercise` line, for one lesson.

    Raises:
        LessonError: the master is not there.
    """
    return {id: text for id, text, _ in _read(lesson)}


def solution(lesson: str, exercise: str) -> str | None:
    """The solved text of one exercise, or None where there is none."""
    try:
        return solutions(lesson).get(exercise)
    except LessonError:
        return None


def brief(text: str) -> str:
    """A solution as a report shows it: of each docstring, which the stub has as well, the first line alone."""
    lines = text.splitlines()
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    for node in sorted(nodes, key=lambda node: -node.lineno):
        first = node.body[0]
        if ast.get_docstring(node) is not None and first.end_lineno is not None and first.end_lineno > first.lineno:
            lines[first.lineno - 1 : first.end_lineno] = [lines[first.lineno - 1].rstrip() + '"""']
    return "\n".join(lines) + "\n"


def code_above(lesson: str, exercise: str) -> str:
    """The Python code that the Markdown cell above an exercise shows, "" where it shows none."""
    return next((code for id, _, code in _read(lesson) if id == exercise), "")


def _read(lesson: str) -> tuple[tuple[str, str, str], ...]:
    path = paths.masters_dir() / f"{specs.resolve_key(lesson)}.py"
    if not path.exists():
        raise LessonError(f"The master {path.name} is missing: install labkit again, it brings the masters along.")
    return _parse(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _parse(path: Path, _stamp: int) -> tuple[tuple[str, str, str], ...]:
    found, above = [], ""
    for cell in _CELL.split(path.read_text(encoding="utf-8"))[1:]:
        id, text = strip_magic(cell)
        if id:
            text = _MARKER.sub("", _STUB.sub("", text)).rstrip() + "\n"
            code = _FENCED.search(re.sub(r"^# ?", "", above, flags=re.MULTILINE))
            found.append((id, text, code[1] if code else ""))
        above = cell
    return tuple(found)


def difference(lesson: str, exercise: str, text: str) -> str:
    """A unified diff from the learner's text to the solution; "" where they are the same or there is none.

    Docstrings, annotations, comments and blank lines are left out: the stub brought them, and they would bury the few
    lines that two right solutions do differently.
    """
    theirs = solution(lesson, exercise)
    if theirs is None:
        return ""
    return "\n".join(difflib.unified_diff(_bare(text), _bare(theirs), "yours", "solution", lineterm="", n=2))


def _bare(text: str) -> list[str]:
    """The lines of a text with nothing left that does not compute."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return text.strip().splitlines()
    return ast.unparse(ast.fix_missing_locations(_Bare().visit(tree))).splitlines()


class _Bare(ast.NodeTransformer):
    """Takes docstrings and annotations out of a tree."""

    def _body(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = node.body  # type: ignore[attr-defined]
        if (
            len(body) > 1
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            node.body = body[1:]  # type: ignore[attr-defined]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._body(node)

    visit_ClassDef = _body

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node
