"""The certificate: what a made-up progress says and nothing else, honest of what is missing, one page of its own."""

from __future__ import annotations

from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up import POOL, made_up
from quiz_keys import right
from typer.testing import CliRunner

from labkit import engine, specs
from labkit.drills.catalog import DRILLS
from labkit.errors import ReportError
from labkit.grading.progress import Progress
from labkit.grading.quiz import load
from labkit.grading.solutions import solutions
from labkit.reports.certificate import certificate, facts, page, write_certificate
from labkit.reports.certificate_command import app

DAY = date(2026, 3, 1)


class Page(HTMLParser):
    """What a page would load, the words in it, and how it is built."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "style")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words += data if self.tags[-1:] != ["style"] else ""


def test_it_says_what_was_done_and_what_was_not(tmp_path: Path) -> None:
    made_up(tmp_path)
    told = facts("Ada Lovelace", DAY)
    (pool,) = [lesson for lesson in told["lessons"] if lesson["number"] == "04"]
    done, failed, untried = pool["exercises"][:3]
    # The run after the pass is no try, and the hours between 09:10 and 13:00 of two days are no work.
    assert (done["state"], done["tries"], done["hints"], done["worked"]) == ("passed", 4, 2, 10)
    assert done["days"][-1] == "2026-02-02"
    assert (failed["state"], failed["tries"], failed["worked"]) == ("not passed", 1, None)
    assert (untried["state"], untried["tries"], untried["days"]) == ("not tried", 0, [])
    assert told["days"][0] == "2026-02-01" and told["days"][-1] == "2026-02-03"
    assert [drill["points"] for drill in told["drills"]] == [83] and told["drills"][0]["plays"] == 3
    assert not told["whole"]
    core = sum(not e.stretch for lesson in specs.lessons() for e in lesson.exercises)
    parts = sum(engine.owner(slot.name) != "later" for slot in engine.SLOTS)
    assert told["says"] == [
        f"None of the {parts} parts of the engine is built by the learner yet: the course's reference stands in.",
        f"1 of {core} exercises passed, stretches aside.",
        f"There is no final score: 0 of the {len(load('final').graded)} questions of the final check are answered.",
        f"Drills: 1 of {len(DRILLS)} solved, {len(DRILLS) - 1} not played.",
    ]
    words = " ".join(Page(page(told)).words.split())
    for said in (*told["says"], "Certificate so far", "Ada Lovelace", "2026-03-01", "the reference", "nobody watched"):
        assert said in words, said


def test_a_part_is_the_learners_when_its_exercises_are_passed_and_says_of_what_it_is_made() -> None:
    for exercise in specs.lesson(POOL).exercises:
        if not exercise.stretch and exercise.id != "BlockPool":
            Progress().save_pass(POOL, exercise.id, solutions(POOL)[exercise.id])
    (before,) = [part for part in facts()["parts"] if part["name"] == "block_pool"]
    assert before["whose"] == "reference" and "BlockPool" in before["others"]
    Progress().save_pass(POOL, "BlockPool", solutions(POOL)["BlockPool"])
    told = facts()
    (part,) = [part for part in told["parts"] if part["name"] == "block_pool"]
    assert part["whose"] == "yours" and "BlockPool" in part["mine"]
    assert told["says"][0].startswith("1 of the ") and " is built by the learner" in told["says"][0]


def test_the_final_score_is_one_only_when_all_is_answered() -> None:
    progress, questions = Progress(), load("final").graded
    for question in questions[:-1]:
        progress.save_answer("final", question.id, right(question.instance(1)), True, 1.0)
    assert facts()["says"][2].startswith(f"There is no final score: {len(questions) - 1} of the {len(questions)}")
    progress.save_answer("final", questions[-1].id, "wrong", False, 0.0)
    progress.save_answer("final", questions[-2].id, "right at last", True, 1.0)
    progress.save_answer("final", "a-question-that-is-gone", "", True, 1.0)
    n = len(questions)
    assert facts()["says"][2] == f"Final check: {n - 1} of {n} questions right, {n - 2} of them at the first try."


def test_the_same_progress_and_date_give_the_same_page(tmp_path: Path) -> None:
    made_up(tmp_path)
    written = [tmp_path / name for name in ("one.html", "two.html")]
    for path in written:
        write_certificate(path, "Ada", DAY)
    assert written[0].read_bytes() == written[1].read_bytes()


HOSTILE = (
    '</p><script src="https://example.com/x.js"></script>{{ 7 * 7 }}{% for x in y %}\n" onload=alert(1) \u202e \ud800'
)


def test_a_hostile_name_stays_text(tmp_path: Path) -> None:
    out = tmp_path / "c.html"
    write_certificate(out, HOSTILE, DAY)
    shown = Page(out.read_text(encoding="utf-8"))
    assert "script" not in shown.tags and shown.loads == []
    assert '</p><script src="https://example.com/x.js"></script>{{ 7 * 7 }}{% for x in y %} " onload' in shown.words
    view = certificate(HOSTILE, str(tmp_path / 'a"b<i>.html'))
    assert view is not None
    bundle = view._repr_mimebundle_()
    shown = Page(bundle["text/html"])
    assert shown.tags == ["p", "a", "iframe"] and bundle["text/plain"].startswith("None of the ")


def test_the_page_loads_nothing_and_is_built_for_everybody(tmp_path: Path) -> None:
    made_up(tmp_path)
    text = page(facts("Ada", DAY))
    shown = Page(text)
    assert shown.loads == [] and not {"script", "img", "link", "iframe", "base"} & set(shown.tags)
    assert "url(" not in text and "@import" not in text and "http" not in text
    assert shown.tags.count("h1") == 1 and shown.tags.count("table") == shown.tags.count("caption") == 3
    assert 'lang="en"' in text and "prefers-color-scheme: dark" in text and "size: A4" in text
    assert text.count('scope="row"') >= len(engine.SLOTS)


@pytest.mark.parametrize(
    ("out", "name", "words"),
    [
        ("c.pdf", "Ada", "is no name for a page: end it in .html."),
        ("c.html", "x" * 201, "there is room for 200: shorten it."),
        ("file/c.html", "Ada", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_sentence(tmp_path: Path, out: str, name: str, words: str) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with pytest.raises(ReportError, match=words):
        write_certificate(tmp_path / out, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_notebook_is_told_in_a_sentence_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certificate("x" * 201, str(tmp_path / "c.html")) is None
    assert "shorten it" in capsys.readouterr().out


def test_the_command(tmp_path: Path) -> None:
    out = tmp_path / "mine.html"
    done = CliRunner().invoke(app, ["certificate", "--out", str(out), "--name", "Ada"])
    assert done.exit_code == 0 and "There is no final score" in done.output and out.is_file()
    assert CliRunner().invoke(app, ["certificate", "--out", str(tmp_path / "c.txt")]).exit_code == 1
    assert "certificate" in CliRunner().invoke(app, ["--help"]).output
