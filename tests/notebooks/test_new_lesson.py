"""`labkit author new` in a copy of the course: what it lays out builds, runs and is graded before a word is changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import paths

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy_of_the_course(tmp_path, fresh_home):
    """The library without any lesson's notebooks, and a function that runs `labkit` in it."""
    root = tmp_path / "course"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "labkit", root / "labkit", ignore=ignore)
    shutil.copytree(paths.quizzes_dir(), root / "quizzes")
    (root / "notebooks" / "masters").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", root)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(root), "LABKIT_HOME": str(fresh_home), "COLUMNS": "200"}
        command = [sys.executable, "-m", "labkit.cli", *words]
        return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=850)

    return root, run


def test_a_new_lesson_builds_and_says_what_is_missing(copy_of_the_course):
    root, labkit = copy_of_the_course
    done = labkit("author", "new", "60_new_thing", "--title", "A new thing")
    assert done.returncode == 0, done.stderr
    done = labkit("author", "build", "60", "--verify")
    assert done.returncode == 0, done.stderr

    solved = json.loads((root / "notebooks/solved/60_new_thing.ipynb").read_text())
    shown = {cell["id"]: json.dumps(cell.get("outputs")) for cell in solved["cells"]}
    assert "60 example_blocks: passed" in shown["ex-example"]
    assert "60 break_example: passed" in shown["ex-break"]
    learner = json.loads((root / "notebooks/60_new_thing.ipynb").read_text())
    stub = next("".join(cell["source"]) for cell in learner["cells"] if cell["id"] == "ex-example")
    assert 'raise NotImplementedError("example_blocks: your code goes here")' in stub

    done = labkit("author", "check", "new_thing")
    assert done.returncode == 1
    # The template itself is whole: what is left is its own text, and banks that only an author can fill.
    assert set(re.findall(r"\[([\w-]+)\]$", done.stdout, re.MULTILINE)) == {"template", "mistakes", "quiz"}

    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    done = labkit("author", "new", "60_new_thing")
    assert done.returncode == 1 and "exists already" in done.stderr
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_changed_notebook_and_an_unknown_lesson_are_said(copy_of_the_course):
    root, labkit = copy_of_the_course
    labkit("author", "new", "60_new_thing")
    assert labkit("author", "build", "60", "--learner-only").returncode == 0
    path = root / "notebooks/60_new_thing.ipynb"
    path.write_text(path.read_text().replace("print([-(-tokens // 16)", "print([tokens"))
    done = labkit("author", "check", "60")
    assert re.search(r"60_new_thing.ipynb, cell reveal-p1: differs from the master;.*\[drift\]", done.stdout)
    done = labkit("author", "build", "77")
    assert done.returncode == 2 and "No master goes by '77'" in done.stderr
    assert "Traceback" not in done.stderr
