"""The solution of an exercise, as the solved notebook has it, and the difference to it."""

from __future__ import annotations

import ast
import difflib
import json
from functools import lru_cache
from pathlib import Path

from labkit import paths, specs
from labkit.errors import LessonError
from labkit.grading.source import strip_magic


def solutions(lesson: str) -> dict[str, str]:
    """Exercise id -> text of the solved cell, without its `%%exercise` line, for one lesson.

    Raises:
        LessonError: the solved notebook is not there.
    """
    path = paths.solved_dir() / f"{specs.resolve_key(lesson)}.ipynb"
    if not path.exists():
        raise LessonError(f"The solved notebook {path.name} is missing; build it with `labkit author build`.")
    return dict(_read(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=8)
def _read(path: Path, stamp: int) -> tuple[tuple[str, str], ...]:
    found = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            id, text = strip_magic("".join(cell["source"]))
            if id:
                found.append((id, text))
    return tuple(found)


def solution(lesson: str, exercise: str) -> str | None:
    """The solved text of one exercise, or None where there is none."""
    try:
        return solutions(lesson).get(exercise)
    except LessonError:
        return None


def difference(lesson: str, exercise: str, text: str) -> str:
    """A unified diff from the learner's text to the reference; "" where they are the same or there is none.

    Docstrings, annotations, comments and blank lines are left out: the stub brought them, and they would bury the few
    lines that two right solutions do differently.
    """
    reference = solution(lesson, exercise)
    if reference is None:
        return ""
    mine, theirs = _bare(text), _bare(reference)
    return "\n".join(difflib.unified_diff(mine, theirs, "yours", "reference", lineterm="", n=2))


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
        if len(body) > 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) \
                and isinstance(body[0].value.value, str):
            node.body = body[1:]  # type: ignore[attr-defined]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._body(node)

    visit_ClassDef = _body

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node
