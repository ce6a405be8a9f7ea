"""What a report shows of two values that differ: never twice the same text."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.grading.display import LINE, Words, show, show_both


class Loud:
    """Reads like a list, and raises where somebody asks for more."""

    def __repr__(self) -> str:
        return "[1]"

    def tolist(self) -> list:
        raise RuntimeError


@pytest.mark.parametrize(("seen", "expected", "texts"), [
    (1, 2, ("1", "2")),
    (1.0, 1, ("1.0", "1")),
    (True, 1, ("True", "1")),
    ([1, 2], (1, 2), ("[1, 2]", "(1, 2)")),
    (np.array([1, 2]), [1, 2], ("[1, 2] (ndarray, int64, (2,))", "[1, 2] (list)")),
    (np.float32([1, 2]), np.float64([1, 2]), ("[1.0, 2.0] (float32)", "[1.0, 2.0] (float64)")),
    (np.zeros((5, 6)), np.eye(5, 6), ("ndarray of shape (5, 6), where [0][0] is 0.0",
                                      "ndarray of shape (5, 6), where [0][0] is 1.0")),
    (0.1234563, 0.1234561, ("0.123456, where it is 0.1234563", "0.123456, where it is 0.1234561")),
    ({"a": [1e-9, 2.0000001]}, {"a": [0.0, 2.0000001]}, ("{'a': [1e-09, 2.0000001]}", "{'a': [0.0, 2.0000001]}")),
])  # fmt: skip
def test_two_values_that_differ_are_told_apart(seen: object, expected: object, texts: tuple[str, str]) -> None:
    assert show_both(seen, expected) == texts


@pytest.mark.parametrize(("seen", "expected", "place"), [
    ([*range(150), 7, *range(151, 300)], [*range(300)], "where [150] is"),
    ([0] * 3000, [0] * 3001, "where the length is"),
    ("a" * 500 + "b" + "a" * 500, "a" * 1001, "where [500:] is"),
])  # fmt: skip
def test_what_is_cut_out_of_a_long_value_is_told_by_its_place(seen: object, expected: object, place: str) -> None:
    one, other = show_both(seen, expected)
    assert one != other
    assert place in one and place in other


def test_words_and_objects_that_raise_are_left_as_they_read() -> None:
    assert show_both([1], Words("[1]")) == ("[1]", "[1]")
    assert show_both(Loud(), [1])[1] == "[1] (list)"


def test_what_the_course_has_written_already_is_not_cut_again() -> None:
    told = f"[{', '.join(['0.123456'] * 24)}]"
    assert len(told) > LINE and show(Words(told)) == told


def test_a_list_of_tensors_reads_like_one_of_lists() -> None:
    torch = pytest.importorskip("torch")
    rows = [torch.tensor([0.25, 1.0], dtype=torch.float64), torch.tensor([1 / 3, 2.0], dtype=torch.float64)]
    assert show(rows) == "[tensor([0.25, 1.0]), tensor([0.333333, 2.0])]"
