"""What the storm board sends to its page, and what it does when a knob is turned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import traitlets

from labkit.errors import BoardError, SimulationError
from labkit.observe.series import FIGURES, Series, Worth
from labkit.theme import LIGHT
from labkit.widgets import Storm, StormBoard
from labkit.widgets.storm import KNOBS
from labkit.widgets.storm_board import Knob, compared
from labkit.widgets.storm_panels import PANELS, Line, Panel, figures_of


def some(windows: int = 5, **figures: float) -> Series:
    series = Series("a test", {"regretted": (Worth.ABSENT, "Nobody counts it."), "evicted": (Worth.PROXY, "Too high.")})
    for at in range(windows):
        series.add(at + 1.0, 1.0, **{"delivered": 100.0 + at, "computed": 200.0, **figures})
    return series


def rows(board: StormBoard) -> np.ndarray:
    return np.frombuffer(board.rows, "<f4").reshape(-1, len(board.names))


def test_the_page_gets_all_windows_and_what_each_figure_is_worth() -> None:
    board = StormBoard(some())
    sent = rows(board)
    assert sent.shape == (5, len(board.names))
    np.testing.assert_array_equal(sent[:, board.names.index("delivered")], [100, 101, 102, 103, 104])
    assert np.isnan(sent[:, board.names.index("preempted")]).all()
    assert board.figures["regretted"]["worth"] == "absent" and board.figures["regretted"]["why"] == "Nobody counts it."
    assert board.figures["evicted"]["worth"] == "proxy" and board.figures["delivered"]["worth"] == "exact"
    assert repr(board) == "StormBoard(a test: 5 windows; 102 tokens/s delivered, 200 computed; no alert)"
    assert repr(StormBoard(Series("a server"))) == "StormBoard(a server: nothing has happened yet)"


def test_panels_are_data_and_name_figures_that_there_are() -> None:
    assert set(figures_of(PANELS)) <= set(FIGURES)
    colors = {line.color for panel in PANELS for line in panel.lines}
    assert colors <= {*LIGHT, *(f"s{i}" for i in range(8))}
    own = (Panel("Hits", (Line("hit_rate", "found", "s0"),), "{hit_rate}"),)
    board = StormBoard(some(hit_rate=0.5), panels=own)
    assert board.names == ["end_s", "seconds", "hit_rate"] and board.panels[0]["lines"][0]["label"] == "found"
    with pytest.raises(BoardError, match="nonsense"):
        figures_of((Panel("x", (), "{nonsense}"),))


def test_a_series_that_grows_is_sent_in_pieces_and_in_the_end_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("labkit.widgets.storm_board.time.monotonic", lambda: now[0])
    sent: list[Any] = []
    series = some(2)
    board = StormBoard(series)
    monkeypatch.setattr(board, "send", lambda content, buffers=None: sent.append((content, buffers)))
    board.update()
    assert not sent and not board.live  # nothing is new
    series.add(3, 1, delivered=7)
    now[0] += 0.2
    board.update()
    series.add(4, 1, delivered=8)
    board.update()  # too soon after the last one: it waits for the next
    ((content, buffers),) = sent
    assert board.live and content["type"] == "rows" and content["from"] == 2
    assert np.frombuffer(buffers[0], "<f4")[board.names.index("delivered")] == 7
    assert len(rows(board)) == 2
    now[0] += 2
    board.update()
    assert len(rows(board)) == 4 and len(sent) == 1
    series.add(5, 1, delivered=9)
    board.close_live()
    assert len(rows(board)) == 5 and not board.live


def test_a_turned_knob_runs_again_and_says_what_changed() -> None:
    asked: list[dict[str, Any]] = []

    def rerun(chosen: dict[str, Any]) -> Series:
        asked.append(chosen)
        return some(delivered=110.0, computed=400.0, preempted=2.0, recomputed=100.0)

    first = some(delivered=100.0, preempted=0.0, recomputed=0.0)
    knobs = [Knob("seats", "Seats", (64, 1280)), Knob("victim", "Victim", ("last", "most-blocks"))]
    board = StormBoard(first, knobs=knobs, settings={"seats": 64, "victim": "last"}, rerun=rerun)
    assert board.chosen() == {"seats": 64, "victim": "last"} and not asked
    assert [knob["words"] for knob in board.knobs] == [False, True] and board.knobs[0]["values"] == ["64", "1,280"]
    board.settings = {"seats": 1, "victim": 0}
    assert asked == [{"seats": 1280, "victim": "last"}]
    assert board.answer["problem"] == "" and board.answer["settings"] == {"seats": 1, "victim": 0}
    assert board.answer["sentence"] == (
        "Seats 64 → 1,280: 100 → 110 tokens/s delivered, 200 → 400 computed, 0 → 10 preemptions, 0% → 25% of the "
        "tokens computed again."
    )
    assert rows(board)[0, board.names.index("computed")] == 400
    assert board.before == (was := StormBoard(first).rows)
    board.settings = {"seats": 1, "victim": 1}  # the comparison is with the run that the board opened with
    assert board.answer["sentence"].startswith("Seats 64 → 1,280, Victim last → most-blocks: 100 → 110")
    board.settings = {"seats": 1, "victim": 0}
    for nonsense in (
        {"seats": 2, "victim": 0},
        {"seats": 0},
        {"seats": True, "victim": 0},
        {"seats": 0.0, "victim": 0},
    ):
        with pytest.raises(traitlets.TraitError):
            board.settings = nonsense
    assert board.settings == {"seats": 1, "victim": 0} and len(asked) == 3 and board.before == was
    board.settings = {"seats": 0, "victim": 0}
    assert board.answer["sentence"] == "" and board.before == b""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SimulationError("It cannot be."), "It cannot be."),
        (ZeroDivisionError("division by zero"), "The simulation stopped with ZeroDivisionError: division by zero."),
        (KeyboardInterrupt(), "The simulation was interrupted; the one before it is shown."),
    ],
)
def test_a_run_that_fails_is_told_and_the_one_before_stays(error: BaseException, words: str) -> None:
    def rerun(chosen: dict[str, Any]) -> Series:
        raise error

    board = StormBoard(some(), knobs=[Knob("seats", "Seats", (1, 2))], settings={"seats": 1}, rerun=rerun)
    was = board.rows
    board.settings = {"seats": 1}
    assert board.answer == {"for": {"seats": 1}, "settings": {"seats": 0}, "sentence": "", "problem": words}
    assert board.rows == was


def test_what_cannot_be_shown_is_refused_in_a_sentence() -> None:
    with pytest.raises(BoardError, match="no Series"):
        StormBoard([1, 2])  # type: ignore[arg-type]
    with pytest.raises(BoardError, match="rerun"):
        StormBoard(some(), knobs=KNOBS)
    with pytest.raises(BoardError, match="choose one of 16, 32"):
        Storm(seats=65, seconds=4.0)
    with pytest.raises(BoardError, match="no knob 'speed'"):
        Storm(["speed"])
    with pytest.raises(BoardError, match="no setting speed"):
        Storm(speed=3)
    with pytest.raises(SimulationError, match="policy"):
        Storm(policy="best")


def test_the_storm_of_the_course_turns_its_knobs() -> None:
    storm = Storm(["seats"], seconds=20.0, yours=False)
    assert set(storm.settings) == {"seats"} and storm.chosen() == {"seats": 64}
    was = storm.rows
    storm.settings = {"seats": 0}
    assert storm.answer["sentence"].startswith("Seats 64 → 16: ") and storm.rows != was
    assert storm.series["running"].max() == 16


def test_what_is_not_known_on_one_side_is_not_compared() -> None:
    assert compared(some(), some(preempted=1.0)) == "102 → 102 tokens/s delivered, 200 → 200 computed."
    assert compared(some(delivered=math.nan), some()) == "200 → 200 computed."
