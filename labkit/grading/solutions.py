"""The solution of an exercise, as the solved notebook has it, and the difference to it."""

from __future__ import annotations

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
    """A unified diff from the learner's text to the reference; "" where they are the same or there is none."""
    reference = solution(lesson, exercise)
    if reference is None:
        return ""
    mine, theirs = text.strip().splitlines(), reference.strip().splitlines()
    return "\n".join(difflib.unified_diff(mine, theirs, "yours", "reference", lineterm="", n=2))
