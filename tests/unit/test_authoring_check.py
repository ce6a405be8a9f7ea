"""What `labkit author check` finds in a master and in the rooms beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from labkit import specs
from labkit.authoring import check, layout, names, new, rooms, shape, templates
from labkit.authoring.master import parse
from labkit.errors import AuthorError
from labkit.grading.language import Rule
from labkit.grading.mistakes import Bank, Mistake, Right
from labkit.grading.specification import Specification

WHOLE = '''\
# %% [markdown] id="symptom"
# # Title
#
# A symptom.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("60")

# %% id="play"
print("a widget")

# %% id="predict-p1"
predict("60", "p1")

# %% id="reveal-p1"
print(2)

# %% id="ex-first"
# %%exercise first
def first(n: int) -> int:
    """Twice `n`."""
    # BEGIN SOLUTION
    return 2 * n
    # END SOLUTION


# %% id="save"
save_point("60")

# %% id="ex-second"
# %%exercise second
def second(n: int) -> int:
    """Four times `n`."""
    # BEGIN SOLUTION
    return math.prod([2, 2, n])
    # END SOLUTION


# %% id="use"
from labkit.mine import first

print(first(3))

# %% [markdown] id="break-it"
# ## Break it

# %% id="ex-break"
# %%exercise bug
# BEGIN SOLUTION
ops = [1]
# END SOLUTION
# BEGIN STUB
# ops = []
# END STUB

# %% id="quiz"
quiz("60")

# %% id="finish"
finish("60")

# %% [markdown] id="stretch" tags=["fold"]
# ## Further

# %% id="ex-more"
# %%exercise more
def more(n: int) -> int:
    """Eight times `n`."""
    # BEGIN SOLUTION
    return 8 * n
    # END SOLUTION


# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# Elsewhere.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# A claim.
'''


class Spec(Specification):
    rules = (Rule("holds", "It holds.", witnesses=("1",)),)
    hints = ("A question?", "An invariant.", "code ____")
    prelude = "import math"

    def __init__(self, exercise: str) -> None:
        self.exercise = exercise


def exercise(id: str, **changes) -> specs.Exercise:
    return replace(specs.Exercise(id, "Title", 10, 2, 3, Spec(id), "labkit.cache:x"), **changes)


LESSON = specs.Lesson(
    key="60_whole",
    title="Whole",
    part="I",
    minutes=60,
    builds="A thing.",
    symptom="A symptom.",
    exercises=(exercise("first"), exercise("second"), exercise("bug", kind="break"), exercise("more", stretch=True)),
)


def findings(text: str, lesson: specs.Lesson | None = LESSON) -> list[tuple[str, str]]:
    return [(f.rule, f.cell) for f in shape.check(parse(text, "60_whole.py"), lesson)]


def without(cell: str) -> str:
    """The whole lesson without one cell."""
    parts = WHOLE.split("# %% ")
    return "# %% ".join(part for part in parts if f'id="{cell}"' not in part)


def test_a_whole_lesson_has_nothing_to_mend():
    assert findings(WHOLE) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (without("symptom"), ("symptom-first", "start")),
        (WHOLE.replace("#\n# A symptom.\n", ""), ("symptom-first", "symptom")),
        (without("start").replace('id="play"\n', 'id="play"\nfrom labkit.lesson import *\n'), ("start", "play")),
        (WHOLE.replace('start("60")', 'start("04")'), ("other-lesson", "start")),
        (without("quiz"), ("quiz-at-the-end", "")),
        (without("predict-p1"), ("prediction", "")),
        (without("save"), ("save-point", "")),
        (WHOLE.replace('id="save"', 'id="save2"\nsave_point("60")\n\n# %% id="save"'), ("save-point", "save2")),
        (without("break-it"), ("break-it", "")),
        (without("in-production"), ("section", "")),
        (WHOLE.replace('id="verify-it" tags=["fold"]', 'id="verify-it"'), ("fold", "verify-it")),
        (WHOLE.replace('id="stretch" tags=["fold"]', 'id="stretch"'), ("fold", "ex-more")),
        (WHOLE.replace('id="break-it"', 'id="break-it" tags=["fold"]'), ("fold", "ex-break")),
        (WHOLE.replace("from labkit.mine import first\n\n", ""), ("learner-name", "use")),
        (WHOLE.replace("math.prod([2, 2, n])", "numpy.prod([2, 2, n])"), ("not-self-contained", "ex-second")),
        (WHOLE.replace('    """Four times `n`."""\n', ""), ("docstring", "ex-second")),
        (WHOLE.replace("# A symptom.", "# A symptom. TODO"), ("unfinished", "symptom")),
        (WHOLE.replace("# A symptom.", "# «A symptom.»"), ("template", "symptom")),
        (WHOLE.replace("print(2)", "print(2);"), ("semicolon", "reveal-p1")),
        (WHOLE.replace("print(2)", "update_display(2)"), ("update-display", "reveal-p1")),
        (
            WHOLE.replace("# %% id=\"finish\"", "# %% id=\"late\"\nprint(3)\n\n# %% id=\"finish\""),
            ("quiz-at-the-end", "late"),
        ),
    ],
)  # fmt: skip
def test_each_departure_is_found(text, found):
    assert found in findings(text)


def test_nothing_to_play_with_is_found():
    text = WHOLE
    for cell in ("play", "predict-p1", "reveal-p1"):
        parts = text.split("# %% ")
        text = "# %% ".join(part for part in parts if f'id="{cell}"' not in part)
    assert ("play-first", "ex-first") in findings(text)


def test_no_exercise_of_kind_break_is_found():
    lesson = replace(LESSON, exercises=tuple(replace(e, kind="function") for e in LESSON.exercises))
    assert ("break-it", "break-it") in findings(WHOLE, lesson)


def room_findings(monkeypatch, lesson=LESSON, wrong=None, right=None) -> list[tuple[str, str]]:
    bank = (
        [Mistake(id, f"m{i}", "holds", "It is wrong.", "") for id in ("first", "second", "more") for i in range(10)],
        [Right(id, f"r{i}", "") for id in ("first", "second", "more") for i in range(2)],
    )
    monkeypatch.setattr(
        "labkit.grading.mistakes.bank", lambda lesson: Bank(bank[0] if wrong is None else wrong, right or bank[1])
    )
    files = layout.files("60_whole")
    here = Path(__file__)
    monkeypatch.setattr(layout, "files", lambda key: replace(files, mistakes=here, spec=files.spec, quiz=files.quiz))
    return [(f.rule, f.message) for f in rooms.check(parse(WHOLE, "60_whole.py"), lesson)]


def test_whole_rooms_lack_only_the_quiz(monkeypatch):
    found = [(rule, text) for rule, text in room_findings(monkeypatch) if rule != "template"]
    assert [rule for rule, _ in found] == ["quiz"]


@pytest.mark.parametrize(
    ("changes", "rule", "said"),
    [
        ({"minutes": 20}, "minutes", "5 to 15"),
        ({"minutes": 15}, None, ""),
        ({"difficulty": 6}, "spec", "difficulty is 6"),
        ({"id": "other"}, "spec", "which no cell of the master holds"),
    ],
)
def test_exercise_entries_are_inspected(monkeypatch, changes, rule, said):
    lesson = replace(LESSON, exercises=(replace(LESSON.exercises[0], **changes), *LESSON.exercises[1:]))
    found = room_findings(monkeypatch, lesson)
    if rule is None:
        assert not [text for r, text in found if r == "minutes"]
    else:
        assert any(r == rule and said in text for r, text in found)


def test_core_minutes_have_a_limit(monkeypatch):
    lesson = replace(LESSON, exercises=tuple(replace(e, minutes=15) for e in LESSON.exercises))
    assert not any(rule == "minutes" for rule, _ in room_findings(monkeypatch, lesson))  # 30: the stretch is not core
    lesson = replace(LESSON, exercises=tuple(replace(e, minutes=15, stretch=False) for e in LESSON.exercises))
    assert any("core exercises take 45 minutes" in text for _, text in room_findings(monkeypatch, lesson))


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("hints", ("one", "two", ""), "hints"),
        ("hints", ("one", "two", "two"), "hints"),
        ("rules", (Rule("holds", "It holds."),), "witness"),
        ("rules", (), "spec"),
        ("exercise", "else", "spec"),
    ],
)
def test_specifications_are_inspected(monkeypatch, field, value, rule):
    spec = Spec("first")
    setattr(spec, field, value)
    lesson = replace(LESSON, exercises=(replace(LESSON.exercises[0], spec=spec), *LESSON.exercises[1:]))
    assert any(r == rule and "first" in text for r, text in room_findings(monkeypatch, lesson))


def test_small_or_wrong_banks_are_found(monkeypatch):
    nine = [Mistake("first", f"m{i}", "holds", "Wrong.", "") for i in range(9)]
    texts = [text for _, text in room_findings(monkeypatch, wrong=[*nine, Mistake("gone", "x", "holds", "No.", "")])]
    assert any("first has 9 known mistakes" in text for text in texts)
    assert any("second has 0 known mistakes" in text for text in texts)
    assert any("is for 'gone', which is no exercise" in text for text in texts)
    other = [Mistake("first", "y", "holds", "", "")]
    texts = [text for _, text in room_findings(monkeypatch, wrong=other, right=[Right("first", "r", "")])]
    assert any("does not say why" in text for text in texts)
    assert any("first has 1 right answers" in text for text in texts)


def test_unregistered_lesson_is_found():
    found, problems = rooms.lesson(parse(WHOLE, "60_whole.py"))
    assert found is None and [p.rule for p in problems] == ["not-registered"]


def test_a_master_that_cannot_be_read_is_one_finding(tmp_path):
    path = tmp_path / "60_whole.py"
    path.write_text("# %%\nx = 1\n")
    (finding,) = check.check([path])
    assert finding.rule == "format" and "has no id" in str(finding)


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("def f(a, *b, c=1, **d):\n    return a, b, c, d, e", {"e"}),
        ("x = [y for y in range(3)]", set()),
        ("import a.b as c\nfrom d import e\nc, e", set()),
        ("class A(B):\n    def m(self):\n        return A, K", {"B", "K"}),
        ("try:\n    pass\nexcept E as e:\n    print(e)", {"E"}),
        ("lambda q: q + r", {"r"}),
        ("match v:\n    case [a, *b]:\n        a, b", {"v"}),
        ("with open('x') as f:\n    f", set()),
        ("%%exercise f\nx", {"x"}),
        ("%matplotlib inline\n!ls\ny", {"y"}),
    ],
)
def test_names_needed(code, needed):
    assert set(names.needed(names.parse(code))) == needed


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("a = 1\nprint(a)", {"print"}),
        ("print(a)\na = 1", {"print", "a"}),
        ("from m import a\na()", set()),
        ("for i in a:\n    i", {"a"}),
        ("[j for j in a]", {"a"}),
        ("def f():\n    return a", {"a"}),
    ],
)
def test_names_used_before_they_are_bound(code, used):
    assert set(names.used(names.parse(code))) - {"i"} == used


def lay_out_in(tmp_path, monkeypatch):
    """A copy of the registry, and the files of every lesson below `tmp_path`."""
    registry = tmp_path / "registry.py"
    registry.write_text(layout.registry().read_text())

    def files(key: str) -> layout.Files:
        name = layout.name_of(key)
        return layout.Files(
            key=key,
            master=tmp_path / "masters" / f"{key}.py",
            learner=tmp_path / f"{key}.ipynb",
            solved=tmp_path / "solved" / f"{key}.ipynb",
            quiz=tmp_path / f"{key}.yaml",
            spec=tmp_path / name / "__init__.py",
            mistakes=tmp_path / name / "mistakes.diff",
        )

    monkeypatch.setattr(layout, "files", files)
    monkeypatch.setattr(layout, "registry", lambda: registry)
    return registry


def test_new_lays_out_files_that_can_be_read(tmp_path, monkeypatch):
    registry = lay_out_in(tmp_path, monkeypatch)
    written = new.lay_out("61_new_thing", "A new thing")
    files = layout.files("61_new_thing")
    assert written == [files.master, files.spec, files.mistakes, files.quiz, registry]
    master = check.masters.read(files.master)
    assert master.cells[0].source.startswith("# 61. A new thing")
    for path in (files.spec, registry):
        compile(path.read_text(), str(path), "exec")
        assert all(len(line) <= 120 for line in path.read_text().splitlines()), path
    from labkit.grading import quiz

    assert quiz.load(files.quiz).ids == ["p1", "rounding"]
    namespace: dict = {}
    exec(registry.read_text().split("@dataclass")[0].split("if TYPE_CHECKING")[0], namespace)
    exec("KEYS = " + registry.read_text().split("KEYS = ")[1].split("\n)")[0] + ")", namespace)
    assert namespace["KEYS"] == (*specs.KEYS, "61_new_thing")
    # Nothing but the template's own text and what only an author can supply is to be mended.
    lesson = _load(files.spec)
    assert {f.rule for f in shape.check(master, lesson)} == {"template"}


def _load(path: Path) -> specs.Lesson:
    namespace: dict = {"__name__": "new_lesson"}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return namespace["LESSON"]


def test_new_overwrites_nothing(tmp_path, monkeypatch):
    lay_out_in(tmp_path, monkeypatch)
    new.lay_out("61_new_thing")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for key in ("61_new_thing", "61_other"):
        with pytest.raises(AuthorError, match="exists already; nothing was written"):
            new.lay_out(key)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("key", ["5_x", "05", "05_Block", "05-block", "five_x", ""])
def test_new_refuses_other_keys(tmp_path, monkeypatch, key):
    lay_out_in(tmp_path, monkeypatch)
    with pytest.raises(AuthorError, match="is no lesson key"):
        new.lay_out(key)


def test_templates_say_nothing_unfinished():
    for text in (templates.MASTER, templates.SPEC, templates.MISTAKES, templates.QUIZ):
        assert "TODO" not in text and "«" in text


def test_masters_are_found_by_every_name(tmp_path, monkeypatch):
    from labkit import paths

    for key in ("04_block_pool", "05_block_tables", "gallery"):
        (tmp_path / f"{key}.py").write_text("")
    monkeypatch.setattr(paths, "masters_dir", lambda: tmp_path)
    for name in ("04", "block_pool", "04_block_pool", "notebooks/masters/04_block_pool.py"):
        assert [p.stem for p in layout.masters([name])] == ["04_block_pool"]
    assert [p.stem for p in layout.masters()] == ["04_block_pool", "05_block_tables", "gallery"]
    with pytest.raises(AuthorError, match="No master goes by '07'"):
        layout.masters(["07"])


def test_an_installed_labkit_is_no_place_to_build_in(monkeypatch):
    from labkit import paths

    monkeypatch.setattr(paths, "checkout", lambda: None)
    for refused in (layout.masters, lambda: new.lay_out("61_new_thing")):
        with pytest.raises(AuthorError, match="source checkout"):
            refused()
