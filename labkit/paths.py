"""Where things are: the learner's own folder, and the course's notebooks and quizzes.

In a source checkout the course's files are the folders `notebooks/`, `quizzes/` and `benchmarks/recordings/`. From a
wheel they are the same folders, packaged as `labkit_notebooks`, `labkit_quizzes` and `labkit_recordings` (the mapping
is in pyproject.toml). Nothing here creates a folder: whoever writes first does.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from labkit.errors import LabkitError


def home() -> Path:
    """The learner's folder: progress, passed code, models. `LABKIT_HOME` overrides the platform's place.

    Read from the environment at every call, so that a test or `author build` can point it elsewhere.
    """
    override = os.environ.get("LABKIT_HOME")
    if override:
        try:
            return Path(override).expanduser().absolute()
        except (RuntimeError, ValueError):  # ~nobody/x
            raise LabkitError(
                f"LABKIT_HOME is {override!r}, which is no folder that can be found: name one by its whole path."
            ) from None
    return Path(platformdirs.user_data_dir("labkit", appauthor=False))


def models_dir() -> Path:
    """Where fetched model weights are kept."""
    return home() / "models"


@cache
def checkout() -> Path | None:
    """The root of the source checkout that this labkit runs from, or None where it was installed from a wheel."""
    root = Path(__file__).resolve().parents[1]
    is_checkout = (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir()
    return root if is_checkout else None


def notebooks_dir() -> Path:
    """The learner notebooks as they are built, without outputs."""
    return _course_folder("notebooks", "labkit_notebooks")


def masters_dir() -> Path:
    """The master notebooks (jupytext percent .py) that the others are built from."""
    return notebooks_dir() / "masters"


def solved_dir() -> Path:
    """The solved notebooks, executed, with their outputs."""
    return notebooks_dir() / "solved"


def quizzes_dir() -> Path:
    """One YAML file per lesson, and the JSON schema they obey."""
    return _course_folder("quizzes", "labkit_quizzes")


def recordings_dir() -> Path:
    """What another engine's scheduler decided, one JSON file a workload (`benchmarks/record_vllm.py`)."""
    return _course_folder("benchmarks/recordings", "labkit_recordings")


@cache
def _course_folder(folder: str, package: str) -> Path:
    root = checkout()
    if root is not None:
        return root / folder
    # Without an __init__.py the folder is a namespace package: its places are in the spec, and nothing is imported.
    spec = find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if Path(place).is_dir():
            return Path(place)
    raise FileNotFoundError(
        f"The course's {folder} are not installed: {package} was expected beside labkit; install labkit again."
    )
