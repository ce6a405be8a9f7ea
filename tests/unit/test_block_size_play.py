"""The widget whose block size can be dragged: its numbers, its words, its picture."""

from __future__ import annotations

import pytest

from labkit.errors import LabkitError
from labkit.widgets import BlockSizePlay
from labkit.widgets.block_size_play import SIZES


def test_says_for_every_size_what_the_ends_and_the_tables_cost():
    play = BlockSizePlay([17, 64, 100], block_size=16)
    assert set(play.answers) == {str(size) for size in SIZES}
    at16, at1 = play.answers["16"], play.answers["1"]
    assert (at16["blocks"], at16["entries"], at16["empty"], at16["mean"], at16["rule"]) == (
        [2, 4, 7],
        "13",
        "27",
        "9.0",
        "7.5",
    )
    assert (at1["entries"], at1["empty"], at1["share"]) == ("181", "0", "0.0%")
    assert play.scale == 1024  # the longest bar at any size
    assert [row["name"] for row in play.rows] == ["A", "B", "C"]


def test_counts_with_the_function_it_is_given():
    assert BlockSizePlay([5], needed=lambda tokens, size: 9).answers["16"]["blocks"] == [9]


def test_repr_follows_the_number():
    play = BlockSizePlay([17, 64, 100], block_size=16)
    text = repr(play)
    assert "27 slots empty" in text and "13 entries" in text
    play.block_size = 64
    assert repr(play) != text
    play.block_size = 16
    assert repr(play) == text


@pytest.mark.parametrize("lengths", [[], [0], [3] * 17])
def test_what_cannot_be_drawn_is_refused(lengths):
    with pytest.raises(LabkitError, match="lengths must be"):
        BlockSizePlay(lengths)


def test_a_size_that_is_not_offered_is_refused():
    with pytest.raises(LabkitError, match="choose one of"):
        BlockSizePlay([5], block_size=3)
