"""Witnesses as text: what is large is written short, and means the same in every run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from labkit.grading.functions import _slice
from labkit.grading.language import Argument, parse, write

DECLARED: Mapping[str, Argument] = {"one": Argument(False, False), "many": Argument(True, False)}


@pytest.mark.parametrize(("text", "one", "many"), [
    ("1 2 3", 1, [2, 3]),
    ("1 0..3", 1, [0, 1, 2, 3]),
    ("3..1 [2]", [3, 2, 1], [2]),
    ("1 3*[0,4]+[10,1]", 1, [[0, 4], [10, 5], [20, 6]]),
    ("1 0..1 5..6", 1, [[0, 1], [5, 6]]),
    ("x 7", "x", [7]),
])  # fmt: skip
def test_a_word_stands_for_a_list(text: str, one: Any, many: list[Any]) -> None:
    (op,) = parse(text, lambda name: DECLARED, function=True)
    assert op.args == {"one": one, "many": many}
    assert parse(write(op, lambda name: DECLARED, function=True), lambda name: DECLARED, function=True) == (op,)


def test_sizes_stand_for_numbers_that_are_the_same_in_every_run() -> None:
    (op,) = parse("x3 2x2x3", lambda name: DECLARED, function=True)
    assert [len(op.args["one"]), len(op.args["many"]), len(op.args["many"][1][0])] == [3, 2, 3]
    assert parse("x3 2x2x3", lambda name: DECLARED, function=True) == (op,)
    assert all(-2 <= number <= 2 for number in op.args["one"])


def test_a_slice_is_equal_and_cannot_be_viewed_as_one_row() -> None:
    torch = pytest.importorskip("torch")
    whole = torch.arange(12.0).reshape(3, 4)
    cut = _slice(whole)
    assert torch.equal(cut, whole) and torch.equal(_slice(whole[0]), whole[0]) and _slice(7) == 7
    with pytest.raises(RuntimeError):
        cut.view(-1)
