"""Masters: cell ids, exercise cells, solution and stub regions, and what is said when one of them is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.authoring import build
from labkit.authoring.master import Master, parse, read
from labkit.errors import AuthorError

TINY = Path(__file__).parents[1] / "notebooks" / "fixtures" / "tiny.py"


def sources(master: Master, solved: bool) -> dict[str, str]:
    return {cell.id: text for cell, text in master.forms(solved)}


def one(body: str, head: str = '# %% id="a"') -> Master:
    return parse(f"{head}\n{body}\n")


def test_ids_become_cell_ids_and_are_the_same_at_every_read():
    first, second = (build.notebook(read(TINY), solved=False) for _ in range(2))
    assert [c.id for c in first.cells] == [c.id for c in second.cells]
    assert first.cells[0].id == "symptom"
    assert all("id" not in c.metadata and "lines_to_next_cell" not in c.metadata for c in first.cells)
    assert build.dumps(first) == build.dumps(second)


def test_tags_choose_the_cells_of_each_form():
    master = read(TINY)
    learner, solved = sources(master, False), sources(master, True)
    assert "only-learner" in learner and "only-solved" not in learner
    assert "only-solved" in solved and "only-learner" not in solved
    cells = {c.id: c for c in build.notebook(master, solved=False).cells}
    assert cells["fold-me"].metadata == {"jp-MarkdownHeadingCollapsed": True}
    assert cells["timing"].metadata == {"tags": ["nbval-ignore-output"]}
    assert cells["only-learner"].metadata == {}


def test_exercise_line_is_uncommented_and_comments_above_it_stay():
    learner = sources(read(TINY), False)["ex-double"]
    assert learner.splitlines()[:3] == [
        "# Comments above the magic line are fine, even ones that",
        "# more or less look like a shell command.",
        "%%exercise double",
    ]


@pytest.mark.parametrize("line", ["# %%exercise f", "%%exercise f"])
def test_exercise_line_in_every_spelling(line):
    master = one(f"{line}\ndef f():\n    # %time is a comment here\n    return 1")
    assert list(master.exercises) == ["f"]
    assert sources(master, True)["a"] == "%%exercise f\ndef f():\n    # %time is a comment here\n    return 1"


def test_other_magics_are_uncommented_outside_exercises():
    text = sources(one("# %matplotlib inline\n# % of the time\nx = 1"), True)["a"]
    assert text == "%matplotlib inline\n# % of the time\nx = 1"


def test_solution_becomes_a_refusal_named_after_the_innermost_function():
    learner = sources(read(TINY), False)
    assert learner["ex-double"].endswith('    raise NotImplementedError("double: your code goes here")')
    assert '        raise NotImplementedError("Counter.__init__: your code goes here")' in learner["ex-counter"]
    top = one("# %%exercise thing\n# BEGIN SOLUTION\nthing = 1\n# END SOLUTION")
    assert sources(top, False)["a"].endswith('raise NotImplementedError("thing: your code goes here")')


def test_stub_block_replaces_its_solution_and_keeps_comments_and_indentation():
    assert sources(read(TINY), False)["ex-counter"].endswith(
        '"""Add `k`."""\n        # one line is missing here\n        return self.n'
    )
    above = one(
        "def f(x):\n    # BEGIN STUB\n    # if x:\n    #     pass\n    #\n    # return ...\n    # END STUB\n"
        "    # BEGIN SOLUTION\n    return x\n    # END SOLUTION"
    )
    assert sources(above, False)["a"] == "def f(x):\n    if x:\n        pass\n\n    return ..."
    assert sources(above, True)["a"] == "def f(x):\n    return x"


def test_solved_form_holds_no_marker():
    for text in sources(read(TINY), True).values():
        assert "BEGIN" not in text and "STUB" not in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# %%\nx = 1\n", 'begins "x = 1", has no id'),
        ('# %% id="A b"\nx = 1\n', "'A b' is not usable"),
        ('# %% id="a"\nx = 1\n\n# %% id="a"\ny = 1\n', "used twice (lines 1 and 4)"),
        ('# %% id="a"\n# BEGIN SOLUTION\nx = 1\n', "never closed"),
        ('# %% id="a"\nx = 1\n# END SOLUTION\n', "without a BEGIN SOLUTION"),
        ('# %% id="a"\n# BEGIN SOLUTION\n# BEGIN STUB\n# END STUB\n# END SOLUTION\n', "inside a SOLUTION region"),
        ('# %% id="a"\n# BEGIN SOLUTION of it\nx = 1\n# END SOLUTION\n', "carries more than the marker"),
        ('# %% id="a"\n# BEGIN STUB\n# x = 1\n# END STUB\n', "stands apart"),
        ('# %% id="a"\n# BEGIN SOLUTION\nx = 1\n# END SOLUTION\n# BEGIN STUB\nx = 0\n# END STUB\n', "not a comment"),
        ('# %% id="a"\ndef f(:\n    pass\n', "solved form is not Python"),
        (
            '# %% id="a"\n# BEGIN SOLUTION\nx = 1\n# END SOLUTION\n# BEGIN STUB\n# x = = 1\n# END STUB\n',
            "learner form is not Python",
        ),
        ('# %% id="a"\nx = 1\n# %%exercise f\n', "must come first"),
        ('# %% id="a"\n# %%exercise\nx = 1\n', "names no exercise"),
        ('# %% id="a"\n# %%exercise f\nx = 1\n\n# %% id="b"\n# %%exercise f\nx = 1\n', "already in"),
        ('# %% id="a" tags=["solved-only", "learner-only"]\nx = 1\n', "both solved-only and learner-only"),
        ('# %% id="a" tags=["fold"]\nx = 1\n', "tagged fold"),
        ('# %% [markdown] id="a" tags=["fold"]\n# no heading\n', "tagged fold"),
    ],
)
def test_what_is_wrong_is_said(text, said):
    with pytest.raises(AuthorError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert "master.py" in str(caught.value)


def test_missing_file_is_said(tmp_path):
    with pytest.raises(AuthorError, match="no master at"):
        read(tmp_path / "99_nothing.py")
