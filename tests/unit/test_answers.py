"""Two answers laid out beside each other: rows, columns that line up, and what differs."""

from __future__ import annotations

import pytest

from labkit.grading.answers import Piece, lines, side_by_side
from labkit.grading.display import show
from labkit.grading.report import trace_lines
from labkit.grading.verdict import Counterexample, Step, folded


def test_the_same_line_many_times_is_told_once() -> None:
    labels = ["new", *["share"] * 260, "count", *["free"] * 4]
    steps = [Step(n, "call", {}, label) for n, label in enumerate(labels, 1)]
    told = [(step.n, step.label) for step in folded(steps)]
    assert told == [
        (1, "new"),
        (2, "share"),
        (261, "... 259 times more"),
        (262, "count"),
        *((n, "free") for n in range(263, 267)),
    ]
    assert len(trace_lines(Counterexample("", steps, 266))) == len(told)


def marked(side: list[list[Piece]]) -> list[str]:
    return [piece.text.strip() for row in side for piece in row if piece.differs]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[0, 1, 2]", ["[0, 1, 2]"]),
        ("[[1.0, 0.0], [0.2, 0.8]]", ["[[1.0, 0.0],", " [0.2, 0.8]]"]),
        ("[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]", ["[[[0, 1],", "  [2, 3]],", " [[4, 5],", "  [6, 7]]]"]),
        ("([7, 1], 3)", ["([7, 1],", " 3)"]),
        ("[20, 21] (ndarray, int64, (2,))", ["[20, 21] (ndarray, int64, (2,))"]),
        ("[[0, 1], [2, 3]] (ndarray, int64, (2, 2))", ["[[0, 1],", " [2, 3]] (ndarray, int64, (2, 2))"]),
        ("[0.5, 2.0] (Tensor, torch.float64, (2,))", ["[0.5, 2.0] (Tensor, torch.float64, (2,))"]),
        ("[[1], [2]] (ndarray, int64, (2, 1))", ["[[1],", " [2]] (ndarray, int64, (2, 1))"]),
        ("[[1, 2], [3, ... [5, 6]]", ["[[1, 2],", " [3, ...", " [5, 6]]"]),
        ("[[1, 2], [3, ... 4], [5, 6]]", ["[[1, 2],", " [3, ... 4],", " [5, 6]]"]),
        ("aa:4 [bb:41]", ["aa:4 [bb:41]"]),
        ("raises BlockError", ["raises BlockError"]),
        ("['a [b', 'c']", ["['a [b', 'c']"]),
        ("", [""]),
    ],
)
def test_a_row_has_a_line_of_its_own(text: str, rows: list[str]) -> None:
    assert [" ".join(row) for row in lines(text)] == rows


def test_items_stay_whole() -> None:
    assert lines("{'used': 3, 'two words': <Request a>}") == [["{'used': 3,", "'two words': <Request a>}"]]


@pytest.mark.parametrize(
    ("expected", "seen", "due", "mine"),
    [
        ("[[1.0, 0.0], [0.2, 0.8]]", "[[1.0, 0.0], [0.5, 0.8]]", ["[0.2,"], ["[0.5,"]),
        ("[0, 1, 2, 7]", "[0, 1, 3, 7, 8]", ["2,"], ["3,", "8]"]),
        ("[3, 4, 5]", "[3, 5]", ["4,"], []),
        ("{'used': 6, 'free': 0}", "{'used': 3, 'free': 0}", ["{'used': 6,"], ["{'used': 3,"]),
        ("1", "0", [], []),  # where nothing agrees a mark says nothing
        ("raises BlockError", "[3, 4]", [], []),
        ("[20, 21]", "(20, 21)", [], []),
    ],
)
def test_what_differs_is_marked(expected: str, seen: str, due: list[str], mine: list[str]) -> None:
    both = side_by_side(expected, seen)
    assert (marked(both[0]), marked(both[1])) == (due, mine)


def test_answers_of_one_form_line_up() -> None:
    due, mine = side_by_side("[[1.0, 0.0], [0.19557, 0.80443]]", "[[1.0, 0.0], [0.5, 0.5]]")
    places = {len(row[0].text) for row in (*due, *mine)}
    assert places == {len(" [0.19557,")}


def test_a_list_is_cut_between_its_items() -> None:
    cut = show(list(range(1000)), 40)
    head, tail = cut.split(" ... ")
    assert head.endswith(",") and len(cut) <= 40
    assert [int(n) for n in head[1:-1].split(", ")] == list(range(len(head[1:-1].split(", "))))
    assert tail.rstrip("]").split(", ")[-1] == "999" and all(n.isdigit() for n in tail.rstrip("]").split(", "))


def test_a_tensor_is_shown_whole_as_long_as_it_has_few_numbers() -> None:
    torch = pytest.importorskip("torch")
    shown = show(torch.full((4, 5), 1 / 3))
    assert shown.count("0.333333") == 20 and len(lines(shown)) == 4


def test_the_text_of_a_report_puts_long_answers_below_each_other() -> None:
    long = "{'used': 6, 'reservation': 4, 'internal': 8, 'external': 0, 'free': 0}"
    step = Step(2, "call", {}, "waste_by_kind()", seen=long.replace("6", "31"), expected=long, broken=True)
    assert trace_lines(Counterexample("", [step], 2)) == [
        "> 2  waste_by_kind()",
        "     expected {'used': 6,  'reservation': 4, 'internal': 8, 'external': 0, 'free': 0}",
        "     yours    {'used': 31, 'reservation': 4, 'internal': 8, 'external': 0, 'free': 0}",
        "               ^^^^^^^^^^",
    ]
    short = Step(1, "call", {}, "f()", seen="2", expected="1", broken=True)
    assert trace_lines(Counterexample("", [short], 1, whose="the wrong one")) == [
        "> 1  f()  expected 1, the wrong one 2"
    ]


def test_the_words_of_an_exception_are_not_compared_with_those_of_an_answer() -> None:
    for text in ("ValueError: max() arg is an empty sequence", "StopIteration: an answer"):
        assert not any(marked(side) for side in side_by_side("an answer", text))
