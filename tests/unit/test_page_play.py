"""PagePlay: each button is one operation on the parts in use, whosever they are, and what they do wrong is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from labkit import engine
from labkit.cache.block_pool import BlockPool
from labkit.cache.block_table import BlockTable, blocks_needed
from labkit.errors import LabkitError
from labkit.grading.mistakes import bank
from labkit.grading.progress import Progress
from labkit.grading.solutions import solutions
from labkit.widgets import PagePlay
from labkit.widgets.page_play import TOKENS

REFERENCE = engine.Parts(yours=False)


def play(**more: Any) -> PagePlay:
    return PagePlay(**{"parts": REFERENCE, **more})


def over(pool: Any) -> Any:
    """Parts of which the pool is this one."""
    names = {"BlockPool": pool, "BlockTable": BlockTable, "blocks_needed": blocks_needed}
    return SimpleNamespace(part=names.__getitem__, yours={})


def owners(shown: PagePlay) -> list[int]:
    return [len(holders) for holders in shown.state().holders]


@pytest.mark.parametrize("tables", [False, True])
def test_requests_are_let_in_until_it_is_full_and_the_race_is_told(tables: bool):
    shown = play(tables=tables)
    while not shown.said["text"]:
        shown.do("admit")
    fitted = len(shown.rows)
    assert (
        sum(blocks_needed(n, 4) for n in TOKENS[:fitted]) <= 12 < sum(blocks_needed(n, 4) for n in TOKENS[: fitted + 1])
    )
    assert (
        f"{fitted} requests are in" in shown.said["text"] and f"would hold {48 // max(TOKENS)}." in shown.said["text"]
    )
    assert sum(owners(shown)) == 12 and "refused 1" in shown.tally
    waited = shown.waits["name"]
    shown.do("end", "A")
    shown.do("admit")
    assert not shown.said["text"] and shown.rows[-1]["name"] == waited  # whoever was refused comes first


@pytest.mark.parametrize("tables", [False, True])
def test_growing_takes_a_token_with_a_table_and_a_block_without(tables: bool):
    shown = play(tables=tables)
    before = sum(owners(shown))
    shown.do("grow", "A")
    assert shown.rows[0]["holds"] == ("11 tokens" if tables else "4 blocks")
    assert sum(owners(shown)) - before == (0 if tables else 1)
    while "finds no block" not in shown.said["text"]:
        shown.do("grow", "A")
    assert sum(owners(shown)) == 12


@pytest.mark.parametrize("tables", [False, True])
def test_a_trusting_pool_takes_a_block_twice_and_gives_it_to_two(tables: bool):
    shown = play(tables=tables)
    shown.do("end_twice", "A")
    assert "num_free says 13, where 10 of 12 are free" in shown.said["text"] and shown.said["look"] == "bad"
    while not max(owners(shown)) > 1:
        shown.do("admit")
    assert "Two requests write into" in shown.said["text"]
    while "Full" not in shown.said["text"]:
        shown.do("admit")
    assert "this race counts for nothing" in shown.said["text"]


@pytest.mark.parametrize("tables", [False, True])
def test_a_checked_pool_refuses_the_second_time_in_a_sentence(tables: bool):
    shown = play(pool="CheckedPool", tables=tables)
    shown.do("end_twice", "A")
    assert shown.said["text"].startswith("Refused the second time. The course's CheckedPool raised DoubleFreeError: ")
    assert "num_free 10" in shown.tally and shown.labels[-1].startswith("free([0, 1, 2]) for A -> DoubleFreeError")


def test_a_pool_that_keeps_a_set_is_not_accused_of_two_owners():
    class Kept(BlockPool):
        def free(self, blocks: Any) -> None:
            super().free([block for block in blocks if block not in self._free])

    shown = PagePlay(parts=over(Kept))
    shown.do("end_twice", "A")
    assert "num_free is still right" in shown.said["text"] and not shown.said["look"]


def test_every_right_pool_and_table_of_the_bank_can_be_played(monkeypatch: pytest.MonkeyPatch):
    """Whatever they hand out, lists of NumPy numbers say, nothing is raised, and what is shown is the same."""
    for key, lesson, names in (("04_block_pool", "04", ("BlockPool",)), ("05_block_tables", "05", ("BlockTable",))):
        for right in (right for right in bank(key).right if right.exercise in names):
            monkeypatch.setattr(engine, "_passed", lambda k=key, r=right: {(k, r.exercise): r.source})
            shown = PagePlay(tables=lesson == "05")
            assert "yours" in shown.whose
            for operation, name in (("admit", ""), ("grow", "B"), ("end", "A"), ("admit", ""), ("admit", "")):
                shown.do(operation, name)
                assert not shown.said["text"] or shown.said["text"].startswith("Full"), right.name
            assert "np.int" not in " ".join([*shown.labels, shown.tally]), right.name
            taken = blocks_needed(TOKENS[1] + 1, 4) if lesson == "05" else blocks_needed(TOKENS[1], 4) + 1
            assert sum(owners(shown)) == taken + sum(blocks_needed(n, 4) for n in TOKENS[2 : 1 + len(shown.rows)]), (
                right.name
            )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (IndexError("pop from empty list"), "BlockPool raised IndexError: pop from empty list."),
        (KeyboardInterrupt(), "interrupted"),
        (7, "answered 7, which is no list of 4"),
        ([1], "answered [1], which is no list of 4"),
    ],
)
def test_what_a_part_does_wrong_is_one_sentence(answer: Any, told: str):
    class Wrong(BlockPool):
        def allocate(self, n: int) -> Any:
            if n != 4:
                return super().allocate(n)
            if isinstance(answer, BaseException):
                raise answer
            return answer

    shown = PagePlay(parts=over(Wrong))
    shown.do("admit")
    assert told in shown.said["text"] and shown.said["look"] == "bad" and "\n" not in shown.said["text"]
    assert len(shown.rows) == 2


def test_starting_over_begins_with_those_that_were_let_in():
    shown = play(admitted=1)
    begun = shown.records, shown.rows, shown.tally
    for operation in ("admit", "grow", "end", "end_twice"):
        shown.do(operation, shown.rows[0]["name"])
    shown.do("restart")
    assert (shown.records, shown.rows, shown.tally) == begun


@pytest.mark.parametrize(("operation", "name"), [("grow", "Z"), ("fly", "A"), ("end", "")])
def test_what_cannot_be_played_is_refused(operation: str, name: str):
    with pytest.raises(LabkitError, match="choose one of"):
        play().do(operation, name)


def test_it_runs_on_the_parts_that_the_learner_has_passed():
    """The pool and the table of the learner do the work, and an error names the one that raised it."""
    assert PagePlay(tables=True).whose == "BlockPool: reference · BlockTable: reference"
    texts = {name: text for lesson in ("04", "05") for name, text in solutions(lesson).items()}
    lessons = {"blocks_needed": "04", "BlockPool": "04", "CheckedPool": "04", "slot_of": "05", "slot_mapping": "05"}
    pool = texts["BlockPool"].replace("self._free.pop()", "self._free.pop(n % len(self._free))")
    assert pool != texts["BlockPool"]
    table = texts["BlockTable"].replace(
        "self.pool.free(self.blocks[::-1])", "raise OSError('no way back')  # as it passed, it did not"
    )
    keys = {"04": "04_block_pool", "05": "05_block_tables"}
    for name, lesson in {**lessons, "BlockTable": "05"}.items():
        Progress().save_pass(keys[lesson], name, {"BlockPool": pool, "BlockTable": table}.get(name, texts[name]))
    shown = PagePlay(tables=True, admitted=0)
    assert shown.whose == "BlockPool: yours · BlockTable: yours"
    shown.do("admit")
    assert [at for at, count in enumerate(owners(shown)) if count] == [3, 4, 5]  # no other pool hands out these
    shown.do("end", "A")
    assert shown.said["text"] == "Your BlockTable raised OSError: no way back." and shown.rows
    shown = PagePlay(pool="CheckedPool")
    shown.do("end_twice", "A")
    assert "Your CheckedPool raised DoubleFreeError" in shown.said["text"]
