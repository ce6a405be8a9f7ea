"""What lesson 21 says of its servers is so, knobs can be turned while a scheduler runs, and a run by jumps is one by
steps though they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from labkit.errors import DrillError, SchedulerError
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.tuning import tune_storm
from labkit.simulate import clock
from labkit.specs.your_engine import scenes, storms


def test_the_servers_are_what_their_names_say():
    for kind in (*storms.STORMS, "passing", "beginnings"):
        assert storms.untouched(kind, 3).twice > 0.2
    assert max(storms.untouched(kind, 3).twice for kind in ("overload", "scan", "quiet", "few-seats")) < 0.02
    assert storms.untouched("overload", 3).waiting > 50 and not storms.untouched("beginnings", 1).waiting
    with pytest.raises(DrillError, match="no server 'rain'"):
        storms.serve("rain", 1)


def test_seats_cure_what_preemptions_throw_away_and_not_what_is_regretted():
    for kind, seed in (("documents", 3), ("answers", 2), ("both", 6)):
        before, after = scenes.turned(kind, seed), scenes.turned(kind, seed, tune_storm)
        assert after[0] < before[0] / 2 and after[1] > 0.8 * before[1]

    def for_regret(config: SchedulerConfig, board: Any) -> SchedulerConfig:
        storm = 16 * board["regretted"][-1] > 0.15 * board["computed"][-1]
        seats = max(1, int(0.7 * min(board["running"][-1], config.seats)))
        return replace(config, seats=seats) if storm else tune_storm(config, board)

    before, after = scenes.turned("beginnings", 1), scenes.turned("beginnings", 1, for_regret)
    assert 1 / 5 < before[0] < 1 / 4  # "over a fifth"
    assert after[0] > 0.8 * before[0] and after[1] < before[1] / 2 and after[2] > 100


@pytest.mark.parametrize("kind", ["documents", "beginnings"])
def test_knobs_that_are_turned_in_a_run_by_jumps_do_what_they_do_step_by_step(
    kind: str, monkeypatch: pytest.MonkeyPatch
):
    def turned() -> storms.Outcome:
        return storms.serve(kind, 3, lambda n, config, board: replace(config, seats=(64, 9, 30)[n % 3], watermark=0.1))

    by_jumps = turned()
    monkeypatch.setattr(clock, "has_horizon", lambda scheduler: False)
    step_by_step = turned()
    assert by_jumps.seats == step_by_step.seats and len(set(by_jumps.seats)) == 3
    assert repr(list(by_jumps.board.rows())) == repr(list(step_by_step.board.rows()))


def test_fewer_seats_are_reached_as_requests_end_and_what_a_scheduler_is_made_of_stays():
    s = scenes.in_mid_run()
    assert len(s.running) == 3 and len(s.waiting) == 1
    s.retune(replace(s.config, seats=1, token_budget=3))
    step = s.schedule()
    assert len(s.running) == 3 and not step.admitted and step.num_tokens == 3
    s.update(step, [7] * len(step.sampling))
    with pytest.raises(SchedulerError, match="queue would be 'shortest', but stays"):
        s.retune(replace(s.config, queue="shortest", seats=9))
    assert s.seats == s.config.seats == 1


def test_the_five_things_to_find_in_the_first_picture_are_there():
    found = " ".join(scenes.one_life().labels)
    for one in ("8 tokens are cached: blocks 0, 1", "free(B)", "evicted to make room", "preempt(D)",
                "allocate(D, 9 tokens) -> 8 tokens are cached"):  # fmt: skip
        assert one in found
