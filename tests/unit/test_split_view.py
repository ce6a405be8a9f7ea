"""The picture of lesson 13: its counts, its words; and what the lesson's first table says of paging."""

from __future__ import annotations

import pytest

from labkit.attention.split import choose_splits, pages_in_a_row, split_ranges, state_bytes
from labkit.errors import LabkitError
from labkit.simulate.cost_model import CARDS
from labkit.specs.one_long_request.scenes import served
from labkit.widgets import SplitView


def test_one_long_request_leaves_most_of_the_chip_idle_and_ranges_fill_it():
    view = SplitView()
    assert view.answer["without"] == 124 and view.answer["row"] == "8,192" and view.answer["idle"] == "94%"
    assert view.answer["states"] == "none" and view.answer["compare"].endswith("By the rule of this lesson: 16 ranges.")
    view.choice = {**view.choice, "splits": 16}
    assert (view.answer["programs"], view.answer["waves"], view.answer["row"]) == (128, 1, "512")
    assert view.answer["states"].startswith(f"{state_bytes(1, 32, 128, 16) / 2**10:,.0f} KiB, 0.1%")
    view.choice = {**view.choice, "splits": 17}
    assert (view.answer["waves"], view.answer["row"]) == (2, "964")
    assert repr(view) == (
        "SplitView(1 sequence of 131,072 tokens, 8 KV heads, H100, 17 ranges: 136 programs in 2 waves, 964 pages in a "
        "row, 0 of 132 multiprocessors without a program)"
    )


def test_ranges_without_a_page_are_no_waves():
    view = SplitView(seqs=64, kv_heads=16, tokens=128, splits=128, card="L4").answer
    assert (view["row"], view["scale"], view["idle"]) == ("142", 144, "1%")
    assert view["count"] == "8,192 programs (and 122,880 with nothing to read)"


@pytest.mark.parametrize("wrong", [{"splits": 0}, {"card": "A0"}, {"tokens": 1000}])
def test_it_refuses_what_is_not_offered(wrong: dict):
    with pytest.raises(LabkitError, match="choose one of"):
        SplitView(**wrong)


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize(("programs", "pages"), [(8, 8192), (8, 64), (8, 3), (50, 2048), (512, 256)])
def test_the_rule_gains_or_leaves_it(card: str, programs: int, pages: int):
    chip = CARDS[card].multiprocessors
    splits = choose_splits(programs, pages, chip)
    assert splits == 1 or (
        pages_in_a_row(programs, pages, chip, splits) < pages_in_a_row(programs, pages, chip, 1)
        and min(stop - start for start, stop in split_ranges(pages, 1, splits)[:1]) >= 4
    )


def test_more_blocks_do_nothing_for_the_one_request_and_much_for_the_crowd():
    few, many = 8_200, 12_300
    assert served(few, "long") == served(many, "long") and served(few, "long").at_once == 1
    assert served(many, "crowd").at_once > 1.4 * served(few, "crowd").at_once
    assert served(many, "crowd").tokens_per_s > 1.05 * served(few, "crowd").tokens_per_s
