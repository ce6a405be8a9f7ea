"""Goodput of lives that were kept is what the simulator counts as they end."""

from __future__ import annotations

import pytest

from labkit.simulate.capacity import serve
from labkit.simulate.clock import simulate
from labkit.simulate.generators import workload
from labkit.simulate.goodput import Outcome, goodput, outcomes
from labkit.simulate.metrics import Target
from labkit.specs.capacity_and_slos import Goodput, scenes


@pytest.mark.parametrize("target", [Target(1.0, 0.05), Target(0.1, 0.02), Target(30.0, 0.018)])
@pytest.mark.parametrize("most_seconds", [9.0, float("inf")])
def test_it_is_what_the_simulator_counts(target: Target, most_seconds: float):
    configuration = scenes.server(blocks=1000, target=target)
    trace = workload("poisson", 50, 3, per_s=8)
    scheduler, metrics = configuration.prepared(trace)
    run = simulate(trace, scheduler, configuration.cost, metrics=metrics, most_seconds=most_seconds)
    lives = outcomes(run.lives)
    assert len(lives) == 50 and (most_seconds < 10) == any(life.end_s is None for life in lives)
    ours = goodput(lives, run.seconds, target.ttft_s, target.tpot_s)
    assert ours == pytest.approx(run.totals["goodput"])


def test_nobody_is_served_well_who_has_no_answer():
    assert goodput([], 4.0, 1.0, 1.0) == 0.0
    refused, unfinished, one = Outcome(0, None, None, 0), Outcome(0, 0.5, None, 3), Outcome(9, 9.5, 9.5, 1)
    assert goodput([refused, unfinished, one], 4.0, 1.0, 1.0) == 0.25


def test_the_lesson_says_what_is_so():
    """More load: more tokens, and fewer served well. More memory than the card can use: fewer still."""
    day, rush = (scenes.server(blocks=3000).run(trace=scenes.asked(per_s)) for per_s in (8, 24))
    assert rush.totals["tokens_per_second"] > 1.1 * day.totals["tokens_per_second"]
    assert rush.metrics.good < day.metrics.good / 5
    tight, ample = (scenes.server(blocks=blocks).run(trace=scenes.rush(40)) for blocks in (6400, 12_800))
    assert ample.metrics.good < tight.metrics.good / 2


def test_a_report_speaks_of_the_request_that_was_miscounted():
    """Second 0 is a time; and of two without an end it is the one that was counted."""
    spec = Goodput()
    rows = [[5, 9, 9.5, 3], [0, 0, 0.25, 3], [0, 0.5, 0.75, 3]]
    rule = spec.blame(spec.rule_for(rows, 4, 1, 0.25), 0.25, 0.5, rows, 4, 1, 0.25)
    assert rule == "zero-is-a-time"
    assert "at second 0: that is a time, and None is not" in spec.cause(rule, 0.25, 0.5, rows, 4, 1, 0.25)
    rows, rule = [[7, None, None, 0], [8, None, None, 0], [3, 3.5, None, 2]], "who-has-no-answer-is-not-served-well"
    assert "came at 3 s has no last token" in spec.cause(rule, 0.25, 0, rows, 4, 1, 0.25)
    assert "came at 7 s has no first token" in spec.cause(rule, 0.5, 0, rows, 4, 1, 0.25)


def test_how_long_a_load_lasts_decides_what_is_enough():
    """Four cards are enough for five seconds of 48 a second, and for twenty they are not."""
    short, long = (serve(scenes.server(blocks=3000), trace, 4) for trace in (scenes.asked(48), scenes.rush(48)))
    assert short.share >= 0.99 and long.share < 0.6
    assert long.runs[0].requests == 240 and scenes.begun(scenes.chats(2)) == 152
