"""What a block size costs."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.errors import BlockError, LabkitError
from labkit.specs.block_tables.block_size import block_size_picture, bytes_picture, cost_of_block_sizes


def test_counts_empty_places_and_entries():
    (one, four) = cost_of_block_sizes([1, 4, 5, 8], [1, 4])
    assert (one.empty, one.entries, one.empty_share) == (0.0, 4.5, 0.0)
    assert (four.empty, four.entries) == (1.5, 1.5)  # (3 + 0 + 3 + 0) / 4 and (1 + 1 + 2 + 2) / 4
    assert four.empty_share == 6 / 24
    assert four.expected_empty == 1.5
    assert (one.most_empty, four.most_empty) == (0, 3)


@pytest.mark.parametrize("size", [2, 16, 100])
def test_evenly_spread_lengths_leave_half_a_block(size):
    (cost,) = cost_of_block_sizes(np.arange(1, 10 * size + 1), [size])
    assert cost.empty == cost.expected_empty


def test_counts_with_the_function_it_is_given():
    (cost,) = cost_of_block_sizes([5], [4], needed=lambda tokens, size: 3)
    assert (cost.entries, cost.empty) == (3, 7)


def test_a_sequence_of_no_token_holds_nothing():
    (cost,) = cost_of_block_sizes([0], [16])
    assert (cost.empty, cost.entries, cost.empty_share) == (0, 0, 0)


@pytest.mark.parametrize("lengths", [[], [3, -1], [[1, 2]]])
def test_bad_lengths_are_refused(lengths):
    with pytest.raises(LabkitError, match="lengths must be"):
        cost_of_block_sizes(lengths, [16])


def test_bad_block_sizes_are_refused():
    with pytest.raises(BlockError):
        cost_of_block_sizes([4], [0])


def test_picture_says_what_is_on_it_and_is_the_same_every_time():
    costs = cost_of_block_sizes([17, 30, 100], [1, 2, 4, 8, 16])
    picture = block_size_picture(costs)
    assert "1 to 16 tokens" in repr(picture) and f"{costs[-1].empty:.1f}" in repr(picture)
    assert picture._repr_png_() == block_size_picture(costs)._repr_png_()


def test_what_lesson_05_claims_of_a_table_holds_for_every_length_and_block_size():
    """A sequence never leaves as many slots empty as one block has; where a block has several, most are reached."""
    for cost in cost_of_block_sizes(np.arange(1, 3_000), [1, 2, 7, 16, 1024]):
        assert cost.most_empty == cost.block_size - 1


def test_the_picture_in_bytes_weighs_slots_against_entries():
    costs = cost_of_block_sizes([17, 30, 100], [1, 16, 64])
    picture = bytes_picture(costs, bytes_per_token=2048, bytes_per_entry=4)
    slots, entries = costs[1].empty * 2, costs[1].entries * 4 / 1024
    assert f"blocks of 16: {slots:,.0f} KiB empty, {entries:,.2f} KiB of entries" in repr(picture)
    assert picture._repr_png_().startswith(b"\x89PNG")
