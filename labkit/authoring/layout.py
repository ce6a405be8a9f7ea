"""Where a lesson's files lie, found from any of the names a lesson goes by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import AuthorError

KEY = re.compile(r"(?P<number>\d\d)_(?P<name>[a-z][a-z0-9_]*)")


@dataclass(frozen=True)
class Files:
    """The files of one lesson, whether they exist yet or not."""

    key: str
    master: Path
    learner: Path
    solved: Path
    quiz: Path
    spec: Path
    mistakes: Path


def notebooks_dir() -> Path:
    """Folder of the learner's notebooks; `solved/` and `masters/` lie in it.

    Raises AuthorError where labkit runs from a wheel: what is built there would be lost with the next install.
    """
    from labkit import paths

    if paths.checkout() is None:
        raise AuthorError("Lessons are built in a source checkout, and this labkit is installed; work in a clone.")
    return paths.notebooks_dir()


def registry() -> Path:
    """The module that lists the lessons."""
    import labkit

    return Path(labkit.__file__).parent / "specs" / "__init__.py"


def is_lesson(key: str) -> bool:
    """Whether `key` names a lesson: masters without a number, such as `gallery`, are notebooks but not lessons."""
    return KEY.fullmatch(key) is not None


def name_of(key: str) -> str:
    """`block_pool` of `04_block_pool`."""
    match = KEY.fullmatch(key)
    return match["name"] if match else key


def files(key: str) -> Files:
    """The files of the lesson `key`."""
    import labkit
    from labkit import paths

    name, notebooks, package = name_of(key), notebooks_dir(), Path(labkit.__file__).parent
    return Files(
        key=key,
        master=paths.masters_dir() / f"{key}.py",
        learner=notebooks / f"{key}.ipynb",
        solved=notebooks / "solved" / f"{key}.ipynb",
        quiz=paths.quizzes_dir() / f"{key}.yaml",
        spec=package / "specs" / name / "__init__.py",
        mistakes=package / "specs" / name / "mistakes.diff",
    )


def masters(lessons: Sequence[str] | None = None) -> list[Path]:
    """Master files of the lessons named by number, key or name; all of them, in reading order, where none is named.

    Raises AuthorError for a name that no master goes by.
    """
    from labkit import paths

    notebooks_dir()  # refuses where there is no checkout
    every = sorted(paths.masters_dir().glob("*.py"))
    if not lessons:
        return every
    chosen: list[Path] = []
    for lesson in lessons:
        wanted = Path(lesson).stem
        found = [path for path in every if wanted in (path.stem, path.stem.split("_")[0], name_of(path.stem))]
        if not found:
            known = ", ".join(path.stem for path in every) or "none yet"
            raise AuthorError(f"No master goes by {lesson!r}; there are: {known}.")
        chosen += [path for path in found if path not in chosen]
    return chosen
