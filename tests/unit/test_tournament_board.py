"""The tournament board: curves of real replays, what is computed when, what is said, what is drawn."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import traitlets

from labkit.errors import BoardError, LabkitError
from labkit.widgets import TournamentBoard
from labkit.widgets.tournament_results import (
    Score,
    ordinal,
    points,
    read_results,
    sentence,
    shown_capacities,
    standings,
)

draw = random.Random(7)
TRACES = {
    "chat": [min(399, int(draw.paretovariate(0.6))) for _ in range(1200)],
    "cyclic scan": [i % 100 for i in range(1200)],
}
ABOUT = {"chat": "a few blocks are asked for far more often than the rest", "cyclic scan": "100 blocks, in a ring"}
SIZES = [8, 16, 32, 64, 128]


def replay(trace: Sequence[int], capacity: int, victim: Callable[[dict], int]) -> tuple[float, int, int]:
    """Demand replay, one block a request, every block of one cost, none pinned: (hit rate, evictions, regretted).

    `victim` is given, by block, (when it was cached, when it was last used, when it is used next).
    """
    future, following = [0] * len(trace), {}
    for i in range(len(trace) - 1, -1, -1):
        future[i] = following.get(trace[i], len(trace))
        following[trace[i]] = i
    cached: dict[int, tuple[int, int, int]] = {}
    gone: set[int] = set()
    hits = evictions = regretted = 0
    for now, key in enumerate(trace):
        born = now
        if key in cached:
            hits += 1
            born = cached[key][0]
        else:
            regretted += key in gone
            gone.discard(key)
            if len(cached) == capacity:
                out = victim(cached)
                del cached[out]
                gone.add(out)
                evictions += 1
        cached[key] = (born, now, future[now])
    return hits / len(trace), evictions, regretted


def victims() -> dict[str, Callable[[dict], int]]:
    chance = random.Random(3)
    return {
        "FIFO": lambda cached: min(cached, key=lambda k: cached[k][0]),
        "LRU": lambda cached: min(cached, key=lambda k: cached[k][1]),
        "random": lambda cached: chance.choice(sorted(cached)),
        "MyPolicy": lambda cached: max(cached, key=lambda k: cached[k][1]),
        "Belady": lambda cached: max(cached, key=lambda k: (cached[k][2], k)),
    }


class Compute:
    """What a lesson hands to the board, with a note of every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.fail: BaseException | None = None

    def __call__(self, name: str, capacities: list[int]) -> dict[str, Any]:
        self.calls.append((name, list(capacities)))
        if self.fail is not None:
            raise self.fail
        out = {}
        for policy in victims():
            rows = [replay(TRACES[name], c, victims()[policy]) for c in capacities]
            out[policy] = {
                "hit_rate": [r[0] for r in rows],
                "evictions": [r[1] for r in rows],
                "regret": [r[2] / len(TRACES[name]) for r in rows],
            }
        return out

    def asked(self, name: str) -> list[int]:
        return [c for trace, capacities in self.calls if trace == name for c in capacities]


def test_the_board_shows_what_the_replays_give() -> None:
    board = TournamentBoard(Compute(), ABOUT, SIZES, mine="MyPolicy", points=5)
    assert board.answer["capacities"] == SIZES and not board.answer["problem"]
    for policy in board.answer["policies"]:
        for i, capacity in enumerate(SIZES):
            hit_rate, evictions, regretted = replay(TRACES["chat"], capacity, victims()[policy["name"]])
            assert policy["hit_rate"][i] == hit_rate
            assert policy["regret"][i] == regretted / len(TRACES["chat"]), "of the blocks asked for"
            row = next(row for row in board.answer["tables"][i] if row["name"] == policy["name"])
            assert (row["hit_rate"], row["evictions"], row["regret"]) == (hit_rate, evictions, policy["regret"][i])
            assert row["behind"] >= 0, "demand replay of one cost: nobody passes Belady"
    assert [p["role"] for p in board.answer["policies"]] == ["", "", "", "mine", "bound"]
    assert sorted(p["look"] for p in board.answer["policies"] if not p["role"]) == [0, 1, 2]


def test_on_a_cyclic_scan_random_beats_lru_and_the_sentence_says_so() -> None:
    board = TournamentBoard(Compute(), ABOUT, [64], trace="cyclic scan", mine="LRU")
    (rows,), (words,) = board.answer["tables"], board.answer["sentences"]
    rank = {row["name"]: row["rank"] for row in rows}
    assert rank["random"] < rank["LRU"] == rank["FIFO"] and rank["MyPolicy"] == 1
    assert words.startswith("At 64 blocks MyPolicy hits ") and "as much as Belady" in words
    assert "LRU is 3rd, level with FIFO, with 0.0%" in words


def test_only_what_is_not_known_is_computed() -> None:
    compute = Compute()
    board = TournamentBoard(compute, ABOUT, SIZES)
    first = board.answer["capacities"]
    assert compute.asked("chat") == first and len(first) == 9
    board.choice = {"trace": "cyclic scan", "low": 8, "high": 128}
    assert compute.asked("cyclic scan") == first
    board.choice = {"trace": "chat", "low": 16, "high": 64}
    closer = board.answer["capacities"]
    assert board.answer["for"] == board.choice and closer[0] == 16 and closer[-1] == 64 and len(closer) == 9
    assert sorted(compute.asked("chat")) == sorted(set(first) | set(closer))
    count = len(compute.calls)
    board.choice = {"trace": "chat", "low": 8, "high": 128}
    assert len(compute.calls) == count and board.answer["capacities"] == first


def test_curves_grow_where_a_replay_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    quick, slow = Compute(), Compute()

    def late(name: str, capacities: list[int]) -> dict[str, Any]:
        now[0] += 5.0 * len(capacities)
        return slow(name, capacities)

    board = TournamentBoard(quick, ABOUT, SIZES)
    assert [len(c) for _, c in quick.calls] == [1, 2, 4, 2], "as fast as can be: a few calls"
    board = TournamentBoard(late, ABOUT, SIZES)
    seen: list[tuple[int, int, int]] = []
    board.observe(lambda c: seen.append((c["new"]["done"], c["new"]["total"], len(c["new"]["capacities"]))), "answer")
    board.choice = {"trace": "cyclic scan", "low": 8, "high": 128}
    assert seen == [*((i, 9, i) for i in range(9)), (0, 0, 9)]
    assert all(len(c) == 1 for _, c in slow.calls)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (IndexError("victim 17 is not cached"), "The replay of chat stopped with IndexError: victim 17 is not cached."),
        (ValueError(), "The replay of chat stopped with ValueError."),
        (LabkitError("The trace is empty."), "The trace is empty."),
        (KeyboardInterrupt(), "The replay of chat was interrupted; what was computed before is shown."),
    ],
)
def test_an_error_is_a_sentence_and_can_be_tried_again(error: BaseException, words: str) -> None:
    compute = Compute()
    compute.fail = error
    board = TournamentBoard(compute, ABOUT, SIZES)
    assert board.answer["problem"] == words and board.answer["capacities"] == [] and board.at() is None
    assert repr(board) == f"TournamentBoard(chat: {words})"
    compute.fail = None
    board.handle({"type": "again"}, [])
    board.wait(20)
    assert not board.answer["problem"] and len(board.answer["capacities"]) == 9


def test_what_was_computed_before_an_error_stays() -> None:
    compute = Compute()
    board = TournamentBoard(compute, ABOUT, SIZES, points=5)
    compute.fail = IndexError("no victim")
    board.choice = {"trace": "chat", "low": 16, "high": 64}
    assert "IndexError" in board.answer["problem"] and board.answer["capacities"] == [16, 32, 64]
    assert "; hit rate at 32 blocks: Belady" in repr(board) and repr(board).endswith("no victim.)")
    board.choice = {"trace": "chat", "low": 8, "high": 128}
    assert not board.answer["problem"] and board.answer["capacities"] == SIZES


def test_a_later_choice_of_the_page_takes_the_place_of_an_earlier_one() -> None:
    compute, gate = Compute(), threading.Event()

    def gated(name: str, capacities: list[int]) -> dict[str, Any]:
        if name == "cyclic scan":
            gate.wait(20)
        return compute(name, capacities)

    board = TournamentBoard(gated, ABOUT, SIZES)
    board.set_state({"choice": {"trace": "cyclic scan", "low": 8, "high": 128}})
    assert board.answer["for"]["trace"] in ABOUT, "the page is not kept waiting"
    board.set_state({"choice": {"trace": "chat", "low": 16, "high": 32}})
    gate.set()
    board.wait(20)
    assert board.answer["for"] == {"trace": "chat", "low": 16, "high": 32} == board.choice
    assert board.answer["capacities"][0] == 16 and board.answer["done"] == board.answer["total"] == 0
    assert len(compute.asked("cyclic scan")) <= 1, "one call may have been under way; the others were not made"


def test_the_page_can_stop_a_replay_that_does_not_end() -> None:
    began: list[str] = []

    def endless(name: str, capacities: list[int]) -> dict[str, Any]:
        began.append(name)
        while name == "cyclic scan":
            pass
        return Compute()(name, capacities)

    def choose(trace: str, high: int) -> None:
        began.clear()
        board.set_state({"choice": {"trace": trace, "low": 8, "high": high}})

    def wait_for_it() -> None:
        deadline = time.monotonic() + 20
        while "cyclic scan" not in began and time.monotonic() < deadline:
            time.sleep(0.01)

    board = TournamentBoard(endless, ABOUT, SIZES)
    board.handle({"type": "stop"}, [])
    assert not board.answer["problem"], "there was nothing to stop"
    choose("cyclic scan", 128)
    wait_for_it()
    board.handle({"type": "stop"}, [])
    board.wait(20)
    words = "The replay of cyclic scan was interrupted; what was computed before is shown."
    assert board.answer["problem"] == words and board.answer["done"] == board.answer["total"] == 0
    # A replay that stands in the way of a later choice: it stops, and the later one is computed.
    choose("cyclic scan", 64)
    wait_for_it()
    choose("chat", 32)
    board.handle({"type": "stop"}, [])
    board.wait(20)
    assert board.answer["for"] == {"trace": "chat", "low": 8, "high": 32} and not board.answer["problem"]
    assert len(board.answer["capacities"]) == 9


def test_a_refused_policy_has_a_reason_and_no_curve() -> None:
    def compute(name: str, capacities: list[int]) -> dict[str, Any]:
        found = Compute()(name, capacities)
        found["MyPolicy"] = {"refused": "it asked for the next use of a block, which no server knows"}
        return found

    board = TournamentBoard(compute, ABOUT, SIZES, mine="MyPolicy")
    assert board.answer["refused"] == [
        {"name": "MyPolicy", "reason": "it asked for the next use of a block, which no server knows"}
    ]
    assert "MyPolicy" not in [p["name"] for p in board.answer["policies"]]


def test_the_same_policies_take_part_at_every_capacity() -> None:
    def compute(name: str, capacities: list[int]) -> dict[str, Any]:
        found = Compute()(name, capacities)
        if capacities[0] > 8:
            del found["FIFO"]
        return found

    board = TournamentBoard(compute, ABOUT, SIZES)
    assert "the same policies should take part" in board.answer["problem"] and board.answer["capacities"] == [8]


def test_a_choice_that_is_not_offered_changes_nothing() -> None:
    board = TournamentBoard(Compute(), ABOUT, SIZES)
    before, answer = board.choice, board.answer
    for wrong in ({"trace": "other"}, {"low": 9}, {"low": 64, "high": 16}):
        with pytest.raises(traitlets.TraitError):
            board.choice = {**before, **wrong}
        assert board.choice == before and board.answer == answer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"traces": {}}, "no trace"),
        ({"trace": "other"}, "choose one of chat, cyclic scan"),
        ({"capacities": []}, "there are 0"),
        ({"capacities": range(1, 14)}, "there are 13"),
        ({"capacities": [4, 0]}, "0 is among them"),
        ({"capacities": [4, 2.5]}, "2.5 is among them"),
    ],
)
def test_a_board_that_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BoardError, match=words):
        TournamentBoard(Compute(), **{"traces": ABOUT, "capacities": SIZES, **change})


GOOD = {"hit_rate": [0.1, 0.2], "evictions": [5, 3], "regret": [0.4, 0]}


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (None, "NoneType"),
        ({}, "dict"),
        ({f"p{i}": GOOD for i in range(10)}, "10 policies"),
        ({"LRU": GOOD}, "no curve for the bound 'Belady'; it gave LRU"),
        ({"Belady": {"refused": "why"}}, "no curve for the bound"),
        ({"Belady": [0.1, 0.2]}, "Belady: expected a dict"),
        ({"Belady": {"hit_rate": [0.1, 0.2], "evictions": [1, 1]}}, "'regret' is missing"),
        ({"Belady": {**GOOD, "evictions": [1]}}, "'evictions' has 1 numbers for 2 capacities"),
        ({"Belady": {**GOOD, "hit_rate": [0.1, 1.2]}}, "Belady at 1,000 blocks: the hit rate is 1.2"),
        ({"Belady": {**GOOD, "hit_rate": [0.1, float("nan")]}}, "the hit rate is nan"),
        ({"Belady": {**GOOD, "regret": [4, 0]}}, "Belady at 10 blocks: regret is 4; it should be a share"),
        ({"Belady": {**GOOD, "evictions": [-1, 3]}}, "evictions is -1"),
        ({"Belady": {**GOOD, "evictions": [1.5, 3]}}, "evictions is 1.5; it should be a count"),
        ({"Belady": {**GOOD, "regret": [0.4, 0.9]}}, "20.0% hit and 90.0% are regretted, with 3 evictions"),
        ({"Belady": {**GOOD, "evictions": [0, 3]}}, "with 0 evictions"),
    ],
)
def test_results_that_cannot_be_are_refused(results: Any, words: str) -> None:
    with pytest.raises(BoardError) as told:
        read_results(results, [10, 1000], "Belady")
    assert words in str(told.value)


def test_numpy_numbers_are_numbers() -> None:
    series = {"hit_rate": np.array([0.5], dtype=np.float32), "evictions": np.array([4]), "regret": np.array([0.25])}
    scores, refused = read_results({"Belady": series}, [8], "Belady")
    assert scores == {"Belady": [Score(0.5, 4, 0.25)]} and not refused


def test_capacities_between_the_offered_are_nested_and_apart() -> None:
    offered = [8, 16, 64, 1000]
    for count in range(2, 13):
        shown = shown_capacities(offered, 8, 1000, count)
        assert set(offered) <= set(shown) and len(shown) == max(count, 4)
        assert set(shown) <= set(shown_capacities(offered, 8, 1000, count + 1))
        assert all(a < b for a, b in pairwise(shown))
    assert shown_capacities(offered, 16, 64, 3) == [16, 32, 64]
    assert shown_capacities([1, 2, 4], 1, 4, 12) == [1, 2, 3, 4], "there are no half blocks"
    assert shown_capacities([5], 5, 5, 9) == [5]


def test_ranks_and_distances() -> None:
    scores = {"a": Score(0.3, 9, 0.333), "b": Score(0.4, 9, 0.3), "Belady": Score(0.5, 5, 0.1), "c": Score(0.4, 8, 0.3)}
    rows = standings(scores, "Belady")
    assert [(row["name"], row["rank"]) for row in rows] == [("Belady", 0), ("b", 1), ("c", 1), ("a", 3)]
    assert [row["behind_text"] for row in rows] == ["", "10.0", "10.0", "20.0"]
    assert rows[3]["regret_text"] == "33.3%"
    assert [points(x) for x in (0.0, 0.0001, -0.0001, 0.123, -0.02)] == ["0.0", "< 0.1", "> −0.1", "12.3", "−2.0"]
    assert [ordinal(i) for i in (1, 2, 3, 4, 11, 12, 21)] == ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st"]


def said(scores: dict[str, Score], mine: str | None = None, capacity: int = 64) -> str:
    return sentence(capacity, standings(scores, "Belady"), mine, "Belady")


def test_sentences() -> None:
    best = Score(0.5, 10, 0.2)
    assert said({"Belady": best}) == "At 64 blocks Belady hits 50.0%; there is no policy to compare with it."
    idle = {"LRU": Score(0.5, 0, 0), "FIFO": Score(0.5, 0, 0), "Belady": Score(0.5, 0, 0)}
    assert said(idle).startswith("At 64 blocks nothing is evicted: all that is asked for fits, every policy hits 50.0%")
    assert said({"LRU": Score(0.49, 20, 0.21), "Belady": best}, capacity=1) == (
        "At 1 block LRU hits 49.0%, 1.0 point below Belady (50.0%). LRU evicts 20 blocks, and 21.0% of the blocks "
        "asked for had been evicted before: 20.0% with Belady, for more memory to win, and the rest for a better "
        "policy."
    )
    level = {"a": Score(0.4, 9, 0.3), "b": Score(0.4, 9, 0.3), "Belady": best}
    assert "all 2 policies hit the same 40.0%" in said(level)
    three = {"a": Score(0.4, 9, 0), "b": Score(0.3999, 9, 0.333), "Belady": best}
    assert said(three, mine="b") == (
        "At 64 blocks a hits 40.0%, the most of 2 policies and 10.0 points below Belady (50.0%). "
        "a evicts 9 blocks and none of them is wanted again. "
        "b is 2nd with 40.0%, less than 0.1 points behind, and a regret of 33.3%."
    )
    above = said({"cheat": Score(0.6, 9, 0.1), "LRU": Score(0.4, 9, 0.3), "Belady": best})
    assert above.startswith("At 64 blocks cheat hits 60.0%, the most of 2 policies and 10.0 points above Belady")
    assert above.endswith("and none is pinned: for cheat one of these does not hold.")


def test_what_is_said_of_regret_is_what_memory_and_what_a_policy_can_win() -> None:
    def regrets(lru: float, bound: float) -> str:
        return said({"LRU": Score(0.4, 9, lru), "Belady": Score(0.45, 9, bound)})

    assert "30.0% of the blocks asked for had been evicted before: as with Belady, so only" in regrets(0.3, 0.3)
    assert "had been evicted before: all of that is for a better policy to win." in regrets(0.3, 0.0)
    assert "25.0% with Belady, for more memory to win, and the rest for a better policy." in regrets(0.3, 0.25)
    assert "had been evicted before (Belady: 35.0%)." in regrets(0.3, 0.35)


def test_the_repr_is_stable_and_follows_the_cursor() -> None:
    first, second = (TournamentBoard(Compute(), ABOUT, SIZES, mine="MyPolicy", cursor=16) for _ in range(2))
    assert repr(first) == repr(second)
    assert repr(first).startswith("TournamentBoard(chat, 9 capacities; hit rate at 16 blocks: Belady ")
    first.cursor = 70
    assert "at 64 blocks" in repr(first), "the nearest capacity that is drawn"
