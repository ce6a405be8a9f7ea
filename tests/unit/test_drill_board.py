"""The drill board: moves message by message, what the page may know when, best runs, and which drill comes next."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.drills import course, pairs
from labkit.drills.bots import oracle, proved
from labkit.drills.catalog import DRILLS
from labkit.drills.drill import CAUSES
from labkit.drills.play import Play, Stage
from labkit.drills.record import Record
from labkit.errors import DrillError
from labkit.grading.progress import DRILLS as KEY
from labkit.grading.progress import Progress
from labkit.grading.progress_commands import as_text
from labkit.widgets import DrillBoard
from labkit.widgets.drill_panels import DRILL_PANELS

HEALTHY = "a-dozen-preemptions"
Message = dict[str, Any]


def messages(board: DrillBoard, fixes: tuple[str, ...] | None = None) -> list[Message]:
    """The moves of somebody who knows everything, as the page sends them; with other changes than none."""
    play = oracle(Play(board.play.drill, board.play.seed), np.random.default_rng(0))
    assert play.convicting is not None and play.ruling_out is not None
    return [
        {"type": "move", "move": "convict", **play.convicting._asdict()},
        {"type": "move", "move": "rule_out", "rival": play.rival, **play.ruling_out._asdict()},
        {"type": "move", "move": "look", "look": play.look, "meanings": list(play.meanings)},
        {"type": "move", "move": "diagnose", "cause": play.diagnosis},
        {"type": "move", "move": "fix", "fixes": list(play.fixes if fixes is None else fixes), "cost": play.cost},
    ]


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Message]]:
    """Sends messages to a board as its page does, and returns what the board has sent back."""

    def sending(board: DrillBoard, *sent: Message) -> list[Message]:
        back: list[Message] = []
        monkeypatch.setattr(board, "send", lambda content, buffers=None: back.append(content))
        for content in sent:
            board._on_page_message(board, content, [])
        return back

    return sending


def texts(state: Any) -> str:
    return repr(state)


# ----- a play -----------------------------------------------------------------------------------------------------


def test_a_play_from_its_first_pin_to_its_score(send: Callable[..., list[Message]]) -> None:
    board = DrillBoard(HEALTHY, seed=4711)
    moves = messages(board)
    secrets = [fix.title for fix in board.play.drill.case.fixes] + [look.what for look in board.play.drill.case.looks]
    for stage, move in enumerate(moves):
        assert board.state["stage"] == stage
        shown = texts(board.state)
        assert (stage >= Stage.LOOK) == all(secret in shown for secret in secrets)
        assert (stage >= Stage.LOOK) == any(secret in shown for secret in secrets)
        assert (board.state["moves"]["outcome"] != "") == (stage > Stage.LOOK)
        assert "SGLang" not in shown and "vLLM" not in shown and not board.state["debrief"]
        assert send(board, move) == []
    told = board.state["debrief"]
    assert board.state["stage"] == Stage.DONE and told["points"] == 100
    assert [(part["points"], part["of"]) for part in told["parts"]] == [
        (15, 15),
        (15, 15),
        (15, 15),
        (20, 20),
        (35, 35),
    ]
    assert all(part["says"].endswith(".") for part in told["parts"])
    assert told["incident"]["link"].startswith("https://") and told["incident"]["done"]
    assert told["par"]["rival"] == CAUSES[board.play.rival] and board.state["drills"] == [10, 16]
    assert told["par"]["fixes"] == [] and told["pairs"] == [] and board.fixed == b""
    assert [tuple(pin) for pin in told["par"]["pins"]] == [tuple(pin) for pin in board.state["pins"]]


def test_a_change_is_tried_on_hidden_pairs_and_its_windows_stand_beside_the_board(
    send: Callable[..., list[Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "HIDDEN_SEEDS", (90_001, 90_002))
    board = DrillBoard(HEALTHY, seed=4711)
    opened = board.rows
    said = send(board, *messages(board, fixes=("watermark",)))
    assert said == [{"type": "tried", "pairs": 0}, {"type": "tried", "pairs": 1}]
    told = board.state["debrief"]
    assert told["parts"][4]["points"] == 0  # nothing was wrong
    preempted, *others = told["pairs"]
    assert preempted["role"] == "seen" and sum(preempted["after"]) < sum(preempted["before"])
    assert len(others) == 2 and all(len(pair["before"]) == len(pair["after"]) == 2 for pair in others)
    assert len(board.fixed) == len(board.rows) and board.fixed != board.rows == opened


def test_targets_and_guards_are_compared_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "HIDDEN_SEEDS", (90_001, 90_002))
    storm = DRILLS["room-for-the-answer"]
    play = Play(storm, 0, Stage.DONE, fixes=("watermark",))
    target, *guards = pairs.compared(play)
    assert (target.role, target.goal, target.at_most, target.at_least) == ("target", "at most 0.3x", 0.3, None)
    assert target.met == 2 and all(after <= 0.3 * before for before, after in zip(*target[5:7], strict=True))
    assert [guard.role for guard in guards] == ["guard"] * len(storm.guards)
    assert pairs.compared(Play(storm, 0, Stage.DONE)) == []
    goals = [goal for drill in DRILLS.values() for goal in (drill.target, *drill.guards) if goal]
    assert not [goal.figure for goal in goals if "_" in pairs.figure_title(goal.figure)]


def test_moves_that_are_none_change_nothing_and_are_told_in_one_sentence(send: Callable[..., list[Message]]) -> None:
    board = DrillBoard(HEALTHY, seed=4711)
    convict, rule_out, look, diagnose, _ = messages(board)
    pin = {"type": "move", "move": "convict", "figure": "running", "first": 12, "last": 20}
    refused = [
        ({**pin, "first": "12"}, "two whole numbers"),
        ({**pin, "last": True}, "two whole numbers"),
        ({**pin, "figure": "luck"}, "no figure 'luck'"),
        ({**pin, "last": 23, "first": 0}, "cannot be pinned"),
        ({**pin, "first": -4}, "cannot be pinned"),
        (diagnose, "not next"),
        ({"type": "move", "move": "guess"}, "no move"),
        ({"type": "rewind"}, "Nothing has been done"),
        ({"type": "again"}, "not over"),
        ({"type": "next"}, "one drill"),
        (convict, ""),
        ({**rule_out, **{k: convict[k] for k in ("figure", "first", "last")}}, "pinned already"),
        ({**rule_out, "rival": "bad luck"}, "not a rival"),
        (rule_out, ""),
        ({**look, "meanings": "none"}, "say so of each"),
        ({**look, "meanings": [None]}, "outcomes"),
        ({**look, "meanings": ["luck", None]}, "not a diagnosis"),
        (look, ""),
        ({**diagnose, "cause": "scan"}, "not a diagnosis"),
        (diagnose, ""),
        ({"type": "move", "move": "fix", "fixes": "all", "cost": "wait"}, "list of their names"),
        ({"type": "move", "move": "fix", "fixes": ["memory"], "cost": "wait"}, "not a change"),
        ({"type": "move", "move": "fix", "fixes": [], "cost": "tears"}, "not a cost"),
    ]
    for content, words in refused:
        before = board.play
        said = send(board, content)
        if words:
            assert len(said) == 1 and said[0]["type"] == "refused" and words in said[0]["text"], content
            assert said[0]["text"].count("\n") == 0 and board.play is before
        else:
            assert said == [] and board.play is not before


def test_a_move_is_taken_back_and_hindsight_is_said_and_not_kept(send: Callable[..., list[Message]]) -> None:
    board = DrillBoard(HEALTHY, seed=4711)
    moves, back = messages(board), {"type": "rewind"}
    send(board, moves[0], back)
    assert board.state["stage"] == 0 and not board.state["rewind"] and not board.state["hindsight"]
    send(board, *moves[:4], back)  # a diagnosis is taken back: nothing was told in the meantime
    assert board.state["stage"] == Stage.DIAGNOSE and not board.state["hindsight"]
    send(board, back)  # and the look, whose outcome was
    assert board.state["stage"] == Stage.LOOK and board.state["hindsight"] and not board.state["moves"]["outcome"]
    send(board, *moves[2:])
    assert board.state["debrief"]["points"] == 100 and Record().played() == {}
    assert "nothing is taken back" in send(board, back)[0]["text"]

    options = DrillBoard(HEALTHY, seed=4711)
    send(options, *moves[:2], back)
    assert options.state["hindsight"] and options.state["options"] is None


def test_the_budget_drains_from_the_first_touch_to_the_change(
    send: Callable[..., list[Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("labkit.widgets.drill_board.time.monotonic", lambda: now[0])
    board = DrillBoard(HEALTHY, seed=4711)
    now[0] += 500
    assert board.state["looked_s"] == 0 and not board.state["looking"]
    send(board, {"type": "begin"})
    now[0] += 60
    send(board, {"type": "begin"})
    assert board.state["looked_s"] == 60 and board.state["looking"]
    send(board, *messages(board))
    now[0] += 60
    send(board, {"type": "rewind"})
    assert board.state["looked_s"] == 60 and not board.state["looking"]
    assert board.state["debrief"]["at_risk"] == round(60 * float(np.nanmean(board.play.board["arrived"])))
    assert board.state["debrief"]["points"] == 100


def test_an_interrupted_trial_leaves_the_play_where_it_was(
    send: Callable[..., list[Message]], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = DrillBoard(HEALTHY, seed=4711)
    *moves, fix = messages(board)
    send(board, *moves)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("labkit.widgets.drill_board.compared", interrupted)
        assert send(board, fix) == [
            {"type": "refused", "text": "The trial was interrupted: make the change again."},
        ]
    assert board.state["stage"] == Stage.FIX and Record().played() == {}
    send(board, fix)
    assert board.state["stage"] == Stage.DONE


# ----- best runs and what comes next ------------------------------------------------------------------------------


def test_the_best_run_is_kept_and_stands_beside_the_next(send: Callable[..., list[Message]]) -> None:
    board = DrillBoard(HEALTHY, seed=4711)
    assert board.state["ghost"] is None
    *moves, fix = messages(board)
    send(board, *moves, {**fix, "cost": "wait"})  # the cost is named wrong
    assert board.state["debrief"]["before"] is None
    first = board.state["debrief"]["points"]
    assert first == 95

    send(board, {"type": "again"})
    assert board.state["stage"] == 0 and board.play.seed != 4711 and board.state["ghost"]["points"] == 95
    assert board.state["share"] == f"DrillBoard({HEALTHY!r}, seed=4712)" and not board.state["looking"]
    send(board, *messages(board))
    assert board.state["debrief"]["before"]["points"] == 95 and board.state["debrief"]["points"] == 100
    send(board, {"type": "again"})
    *moves, fix = messages(board)
    send(board, *moves, {**fix, "cost": "wait"})
    kept = Record().played()[HEALTHY]
    assert kept.plays == 3 and kept.best["points"] == 100 and kept.best["changes"] == 0
    assert DrillBoard(HEALTHY, seed=4711).state["ghost"]["points"] == 100
    assert as_text(Progress().summary()) == "drills: 1 played, 1 solved"


def test_what_was_kept_by_something_else_is_no_best_run() -> None:
    progress = Progress()
    progress.save_answer(KEY, HEALTHY, {"plays": 2, "best": {"points": "many"}}, True, 1.0)
    progress.save_answer(KEY, "after-you", "fine", True, 1.0)
    progress.save_answer(KEY, "still-held", None, True, 1.0)
    assert Record(progress).played() == {}


def test_a_progress_that_cannot_be_used_is_said_and_the_play_goes_on(tmp_path: Any) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    board = DrillBoard(HEALTHY, seed=4711, progress=Progress(tmp_path / "home"))
    assert "could not be kept" in board.state["trouble"] and board.state["stage"] == 0


def test_an_unlabelled_drill_is_nowhere_named_before_its_score(send: Callable[..., list[Message]]) -> None:
    board = DrillBoard(endless=True)
    assert board.play.drill.name == course.order(Progress().seed())[0]
    for move in messages(board)[:4]:
        state = board.get_state()
        assert not any(name in texts({**state, "rows": b""}) for name in DRILLS)
        assert not any(name in repr(board) for name in DRILLS)
        send(board, move)
    seed = int(board.state["share"].removeprefix("DrillBoard(seed=").removesuffix(")"))
    same = DrillBoard(seed=seed)
    assert same.play.drill is board.play.drill and same.play.seed == board.play.seed


def test_an_endless_board_goes_through_the_learners_order(send: Callable[..., list[Message]]) -> None:
    progress = Progress()
    order = course.order(progress.seed())
    healthy = [name for name in order if not DRILLS[name].remedy]
    for name in order[: order.index(healthy[0])]:
        progress.save_answer(KEY, name, _kept(), True, 1.0)
    board = DrillBoard(endless=True)
    assert board.play.drill.name == healthy[0] and healthy[0] not in [row["name"] for row in board.state["played"]]
    send(board, *messages(board))
    assert board.state["name"] == healthy[0]
    assert {"name": healthy[0], "plays": 1, "points": 100.0} in board.state["played"]
    assert send(board, {"type": "next"}) == []
    left = order[order.index(healthy[0]) + 1 :]
    assert board.state["stage"] == 0 and board.state["name"] == ""
    assert not left or board.play.drill.name == left[0]


def _kept() -> dict[str, Any]:
    best = {"points": 50, "parts": [0] * 5, "seed": 1, "pins": [["running", 3, 9]] * 2, "changes": 1, "at_risk": 9}
    return {"plays": 1, "best": best}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "nobody"},
        {"seed": -1},
        {"seed": 1.5},
        {"name": HEALTHY, "endless": True},
        {"seed": 3, "endless": True},
    ],
)
def test_a_board_that_cannot_be_is_refused_in_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(DrillError) as caught:
        DrillBoard(**wrong)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


# ----- which drill ------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**31))
@settings(deadline=None)
def test_an_order_has_every_unlabelled_drill_once_and_twins_never_side_by_side(seed: int) -> None:
    order = course.order(seed)
    assert sorted(order) == sorted(name for name, drill in DRILLS.items() if drill.lesson == "19")
    assert all(DRILLS[one].case is not DRILLS[other].case for one, other in pairwise(order))
    assert course.order(seed) == order


def test_different_learners_get_different_orders_and_numbers() -> None:
    assert len({course.order(seed) for seed in range(50)}) > 45
    assert len({course.drawn(seed).name for seed in range(200)}) == len(DRILLS)
    one, other = (DrillBoard(HEALTHY, seed=seed) for seed in (1, 3000))
    assert one.rows != other.rows and one.figures == other.figures
    assert DrillBoard(HEALTHY).play.seed == course.playable(DRILLS[HEALTHY], Progress().seed() % course.SEEDS)


def test_after_the_order_comes_any_but_the_last_and_its_twin() -> None:
    last = DRILLS[HEALTHY]
    found = {course.following(seed, list(DRILLS), last).name for seed in range(60)}
    assert len(found) > 8 and not found & {name for name, drill in DRILLS.items() if drill.case is last.case}


def test_what_was_never_played_comes_before_what_was() -> None:
    names = list(DRILLS)
    last = DRILLS["after-you"]
    for unseen in ("good-morning", "welcome-back", "a-long-letter"):
        played = [name for name in names if name != unseen]
        assert {course.following(seed, played, last).name for seed in range(20)} == {unseen}
    held_back = [name for name in names if name != "the-fifth-prompt"]  # the twin of the last: it comes later
    assert course.following(1, held_back, last).case is not last.case


def test_a_seed_that_draws_a_drill_draws_it() -> None:
    found = DRILLS[HEALTHY]
    seed = course.seed_that_draws(found, 77)
    assert seed >= 77 and course.drawn(seed) is found and proved(found, seed)


def test_whatever_is_evidence_stands_on_a_panel() -> None:
    shown = {line.figure for panel in DRILL_PANELS for line in panel.lines}
    for drill in DRILLS.values():
        known = [*drill.convicts, *(one for many in drill.rules_out.values() for one in many)]
        assert {evidence.figure for evidence in known} <= shown, drill.name
