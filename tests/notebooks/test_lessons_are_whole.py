"""Every lesson is what CONTRIBUTING.md asks for, and the notebooks in the tree are what the masters give."""

from __future__ import annotations

import json

import pytest

from labkit import specs
from labkit.authoring import build, check, layout, master


def test_author_check_finds_nothing(any_master):
    found = check.check_one(any_master)
    assert not found, "\n".join(str(finding) for finding in found)


def test_learner_notebook_is_built_from_its_master(lesson_master, tmp_path):
    (built,) = build.build(master.read(lesson_master), tmp_path, learner_only=True)
    assert built.path.read_bytes() == layout.files(lesson_master.stem).learner.read_bytes()


def test_every_lesson_has_a_master():
    assert [path.stem for path in layout.masters() if layout.is_lesson(path.stem)] == list(specs.KEYS)


def test_no_notebook_without_a_master():
    masters = {path.stem for path in layout.masters()}
    for folder in (layout.notebooks_dir(), layout.notebooks_dir() / "solved"):
        assert {path.stem for path in folder.glob("*.ipynb")} <= masters


@pytest.mark.parametrize("key", ["04_block_pool"])
def test_a_lesson_executed_again_gives_the_same_bytes(key, tmp_path, chromium):
    lesson = master.read(layout.files(key).master)
    stored = build.load(layout.files(key).solved)
    texts = [build.dumps(build.keep_ignored_outputs(build.execute(lesson), stored)) for _ in range(2)]
    assert texts[0] == texts[1]


def test_stored_widget_pictures_are_there(any_master):
    """Every cell that shows a widget keeps a picture of it, and at least one lesson cell does show one."""
    cells = json.loads(layout.files(any_master.stem).solved.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    widgets = [output for output in outputs if output.get("metadata", {}).get(build.WIDGET_MARK)]
    assert widgets
    assert all(len("".join(output["data"]["image/png"])) > 400 for output in widgets)
