"""`labkit author files` names every file of a lesson, and every file of the lessons' rooms belongs to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from labkit import specs
from labkit.authoring.commands import app
from labkit.authoring.lesson_files import files_of

ROOT = Path(__file__).resolve().parents[2]
FILES = {key: files_of(key) for key in specs.KEYS}


@pytest.mark.parametrize("key", specs.KEYS)
def test_what_is_named_exists(key: str) -> None:
    for paths in FILES[key].values():
        assert [path for path in paths if not path.is_file()] == []
    assert all(FILES[key][kind] for kind in ("edited", "built", "library"))


def test_every_file_of_the_lessons_rooms_belongs_to_one_lesson() -> None:
    named = [path for files in FILES.values() for path in files["edited"] + files["built"]]
    assert len(named) == len(set(named))
    rooms = [
        *(path for path in (ROOT / "labkit" / "specs").glob("[a-z]*/*") if path.is_file()),
        *(ROOT / "tests" / "browser").glob("test_lesson_[0-9]*.py"),
    ]
    rooms += (ROOT / "notebooks" / "masters").glob("[0-9]*.py")
    rooms += (ROOT / "quizzes").glob("[0-9]*.yaml")
    tests = [path for files in FILES.values() for path in files["tests"]]
    assert set(rooms) <= {*named, *tests}


def test_parts_and_scenes_are_found() -> None:
    named = {path.relative_to(ROOT).as_posix() for paths in FILES["06_sharing"].values() for path in paths}
    assert {
        "labkit/specs/sharing/__init__.py",
        "quizzes/06_sharing.yaml",
        "tests/unit/test_simulate_sampling_memory.py",
    } <= named
    assert "labkit/cache/copy_on_write.py" in named


def test_the_command_lists_them() -> None:
    done = CliRunner().invoke(app, ["files", "06"])
    assert done.exit_code == 0
    for kind, paths in FILES["06_sharing"].items():
        assert f"{kind}:" in done.output
        assert all(path.name in done.output for path in paths)
    assert CliRunner().invoke(app, ["files", "77"]).exit_code == 2
