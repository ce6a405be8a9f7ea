"""The learner's own work: kept whole or not at all, shown again, travelling with the progress."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import AnswerError
from labkit.grading.own_work import FIELDS, LONGEST, fields, keep, own_work
from labkit.grading.progress import Progress
from labkit.widgets import OwnWork

WRITTEN = {name: f"my {name}\nin two lines" for name in FIELDS}


def test_what_is_kept_comes_back_and_can_be_changed_and_exported(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "one")
    assert fields(progress) == dict.fromkeys(FIELDS, "") and own_work(progress) == {}
    keep(WRITTEN, progress)
    assert fields(progress) == WRITTEN
    keep({"claim": "  another  "}, progress)
    assert own_work(progress) == {FIELDS["claim"]: "another"}
    other = Progress(tmp_path / "two")
    other.import_(progress.export(tmp_path / "all.json"))
    assert fields(other)["claim"] == "another"


@pytest.mark.parametrize("wrong", [{"name": "x"}, {"claim": 3}, {"claim": "x" * (LONGEST + 1)}])
def test_what_cannot_be_kept_changes_nothing(tmp_path: Path, wrong: dict[str, object]) -> None:
    progress = Progress(tmp_path)
    keep(WRITTEN, progress)
    with pytest.raises(AnswerError):
        keep({"project": "new", **wrong}, progress)
    assert fields(progress) == WRITTEN
    form = OwnWork(progress)
    form.handle({"type": "keep", "fields": {"project": "new", **wrong}}, [])
    assert not form.said["ok"] and form.said["text"].startswith("Not kept: ") and fields(progress) == WRITTEN


def test_the_form_keeps_says_so_each_time_and_opens_as_it_was(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    form = OwnWork(progress)
    heard = []
    form.observe(lambda change: heard.append(change.new["text"]), "said")
    form.handle({"type": "keep", "fields": {"project": "a bot"}}, [])
    form.handle({"type": "keep", "fields": {"project": "a bot"}}, [])
    assert heard == ["Kept on this machine. 3 of 4 fields are empty."] * 2
    again = OwnWork(progress)
    assert [f["text"] for f in again.fields] == ["a bot", "", "", ""]
    assert "Your project: a bot" in repr(again)
    form.handle({"type": "keep", "fields": "nonsense"}, [])
    assert fields(progress)["project"] == "a bot"
