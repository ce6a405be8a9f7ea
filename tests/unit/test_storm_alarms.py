"""Lesson 19: what its boards are, whether truth and judge are fair, and that the parts count alike."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import specs
from labkit.drills.catalog import DRILLS
from labkit.drills.course import order
from labkit.drills.evidence import LEAST_WINDOWS, Pin
from labkit.drills.refutations import DAY, STORM
from labkit.errors import DrillError, SeriesError
from labkit.grading.judge import Judge
from labkit.grading.mistakes import bank
from labkit.grading.solutions import solutions
from labkit.grading.source import Source
from labkit.grading.verdict import Counterexample, Verdict
from labkit.observe.alerts import RULES, done_twice, firings, recomputation, rule_of, thrash_alert
from labkit.observe.regret import regret_rate
from labkit.observe.series import Series
from labkit.observe.servers import SGLANG, VLLM
from labkit.paths import masters_dir
from labkit.specs.eviction_storms import KINDS_RULE, boards
from labkit.specs.eviction_storms.boards import (
    CALM,
    HEALTHY,
    KINDS,
    STORMS,
    board,
    firing,
    over_saturation,
    run,
    score,
    server,
    truth,
)
from labkit.specs.eviction_storms.scenes import SICK, SYMPTOMS, late_figures, paired, symptom_table, tape, told

SEEDS = (31, 32)


def judged() -> list[str]:
    spec = specs.exercise("19", "thrash_alert").spec
    return [ops[0].args["board"] for _, ops in spec.witnesses]


def failing(exercise: str, mistake: str) -> tuple[Verdict, Counterexample]:
    """What the report says of a mistake of the bank, at the first witness that it breaks."""
    (text,) = (
        one.source for one in bank("19_eviction_storms").mistakes if (one.exercise, one.name) == (exercise, mistake)
    )
    spec = specs.exercise("19", exercise).spec
    verdict = Judge(spec, Source(spec, text, "<exercise>").namespace).verdict()
    assert verdict.counterexample is not None
    return verdict, verdict.counterexample


def test_a_report_shows_every_event_of_a_short_stream() -> None:
    words = [f"{at}{'+-'[at % 2]}A" for at in range(10, 24)]
    label = specs.exercise("19", "regret_rate").spec.label({"events": words, "window_s": 5, "windows": 5})
    assert "..." not in label and label.count("'A'") == 14


def test_what_was_evicted_before_a_reset_is_forgotten_and_the_stub_says_so() -> None:
    _, trace = failing("regret_rate", "keeps-the-losses")
    assert "'removed'" in trace.steps[-1].label and "'cleared'" in trace.steps[-1].label
    stub = " ".join(solutions("eviction_storms")["regret_rate"].split())
    assert "what was evicted before that is forgotten too" in stub


def test_a_report_on_an_alarm_says_in_words_what_was_due_and_what_a_name_means() -> None:
    verdict, trace = failing("thrash_alert", "sums-the-unknown")
    assert trace.steps[0].expected == "it is silent in windows 0 to 10, and fires in windows 16 to 22"
    assert trace.setup == "answers-5?17 is the board answers-5, on which nothing is known of window 17"
    assert "Nothing is known of window 17; the others around it still count." in verdict.message
    _, trace = failing("thrash_alert", "looks-ahead")
    assert trace.setup == "chunk-2:11 is the board chunk-2 after 11 windows"
    verdict, trace = failing("thrash_alert", "at-once")
    assert trace.steps[0].expected == "it is silent in windows 0 to 23" and trace.setup == ""
    assert "blocks of 16 tokens per second" in verdict.message


def test_every_kind_has_its_rule_and_its_witnesses() -> None:
    assert set(KINDS_RULE) == set(KINDS) == {name.partition("-")[0] for name in judged()}


@pytest.mark.parametrize("name", [name for name in judged() if ":" not in name])
def test_a_witness_is_a_storm_or_healthy_and_nothing_between(name: str) -> None:
    due = truth(board(name.partition("?")[0]))
    if name.partition("-")[0] in STORMS:
        assert due.fires.any() and due.silent[:5].all()
    else:
        assert due.silent.all()
    assert not (due.fires & due.silent).any()


def test_a_storm_that_passes_is_over_at_the_end_of_its_board() -> None:
    for name in ("passing-5", "passing-7"):
        assert truth(board(name)).silent[-1]


def test_four_times_the_memory_helps_in_a_storm_and_nowhere_else() -> None:
    """The measure by which boards are judged agrees with one that does not use it."""

    def work(world, seed) -> float:
        totals = run(world, seed).totals
        return totals["computed_tokens_per_second"] / totals["tokens_per_second"]

    for kind, world in KINDS.items():
        plenty = replace(world, blocks=4 * world.blocks)
        saved = np.mean([1 - work(plenty, seed) / work(world, seed) for seed in SEEDS])
        assert saved > 0.07 if kind in STORMS else saved < 0.05, (kind, saved)


def test_the_reference_beats_every_other_alarm_on_boards_that_nobody_tuned_it_to() -> None:
    names = [f"{kind}-{seed}" for kind in KINDS for seed in SEEDS]
    ours = score(thrash_alert, names)
    assert ours.told == ours.storms >= 8 and not ours.false and ours.healthy >= 9
    baseline = score(over_saturation, names)
    assert baseline.told < ours.told and baseline.false >= 2
    rules = score(firing(RULES), names)
    assert rules.told < ours.told and not rules.false
    assert score(lambda seen: [False] * len(seen), names)[:2] == (0, ours.storms)


def test_the_solution_and_the_reference_say_the_same_of_known_boards() -> None:
    namespace: dict = {}
    exec(solutions("eviction_storms")["thrash_alert"], namespace)
    for kind in KINDS:
        seen = board(f"{kind}-2")
        assert namespace["thrash_alert"](seen) == thrash_alert(seen).tolist(), kind


@given(st.integers(1, 24), st.sampled_from(["answers", "crowding", "quiet"]))
def test_the_reference_looks_back_only_and_takes_holes(windows: int, kind: str) -> None:
    whole = thrash_alert(board(f"{kind}-4"))
    assert thrash_alert(board(f"{kind}-4:{windows}")).tolist() == whole[:windows].tolist()
    assert len(thrash_alert(board(f"{kind}-4?{windows - 1}"))) == len(whole)


def test_an_alarm_as_a_rule_fires_where_it_says_so() -> None:
    seen = board("crowding-4")
    rule = rule_of(thrash_alert, "yours", "Your alert")
    (found,) = firings(seen, [rule])
    assert [found.first, found.last] == np.flatnonzero(thrash_alert(seen))[[0, -1]].tolist()
    with pytest.raises(SeriesError, match="1 answer for 24 windows"):
        firings(seen, [rule_of(lambda board: [True], "short", "Short")])
    with pytest.raises(SeriesError, match="stopped with ZeroDivisionError"):
        firings(seen, [rule_of(lambda board: 1 / 0, "broken", "Broken")])
    assert not firings(Series(), [rule])


def test_a_board_that_there_is_not_is_refused() -> None:
    for name in ("storm-3", "scan", "scan-x", "scan-1.5"):
        with pytest.raises(DrillError, match="There is no board"):
            board(name)


def test_a_hole_lacks_every_figure_and_a_cut_board_its_end() -> None:
    holed, cut = board("scan-3?6"), board("scan-3:14")
    assert np.isnan(holed["computed"][6]) and np.isfinite(holed["computed"][5]) and len(holed) == 24
    assert len(cut) == 14 and cut["computed"].tolist() == board("scan-3")["computed"][:14].tolist()
    assert np.isfinite(done_twice(holed)).all()


@pytest.mark.parametrize("name", ["crowding-3?15", "answers-5", "passing-4?20", "quiet-3"])
@pytest.mark.parametrize("windows", [1, 4])
def test_what_is_done_twice_is_a_share_of_what_is_known(name: str, windows: int) -> None:
    """The same, window by window, as a person would add it up."""
    seen = board(name)
    again = seen["recomputed"] + 16 * seen["regretted"]
    for at, share in enumerate(done_twice(seen, 5.0 * windows)):
        late = [n for n in range(max(0, at - windows + 1), at + 1) if np.isfinite(again[n] + seen["computed"][n])]
        computed = sum(seen["computed"][n] for n in late)
        assert share == pytest.approx(sum(again[n] for n in late) / computed if computed else 0.0, abs=1e-9)


@pytest.mark.parametrize("name", ["scan-3", "crowding-3", "trickle-3"])
def test_the_rate_of_regret_from_events_is_that_of_the_meter(name: str) -> None:
    series = server(name).series
    assert np.allclose(regret_rate(tape(name), 5.0, 24), series["regretted"][:24])


EVENTS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["stored", "removed", "cleared"]), st.sampled_from("AB"))
)


@given(EVENTS, st.sampled_from([0.5, 1.0, 4.0]))
def test_the_solution_counts_regret_as_the_library_does(events, window_s: float) -> None:
    namespace: dict = {}
    exec(solutions("eviction_storms")["regret_rate"], namespace)
    events = sorted(events, key=lambda event: event[0])
    windows = int(40 / window_s) + 1
    assert namespace["regret_rate"](events, window_s, windows) == regret_rate(events, window_s, windows)


def test_a_watermark_moves_preemptions_several_fold_and_throughput_by_a_percent() -> None:
    """The shape of vLLM pull request 44594."""
    none, some = (paired(SICK, range(1, 9), watermark=mark) for mark in (0.0, 0.05))
    assert none.preemptions > 3 * some.preemptions
    assert abs(some.delivered / none.delivered - 1) < 0.05
    assert some.ttft_s > 1.3 * none.ttft_s


def test_blocks_and_beginnings_help_for_nothing_and_seats_cost_half_of_what_is_delivered() -> None:
    opened, blocks, beginnings, watermark, seats = (
        late_figures(**knobs) for knobs in ({}, {"blocks": 2500}, {"beginnings": 20}, {"watermark": 0.2}, {"seats": 12})
    )
    for share, delivered, waiting in (blocks, beginnings):
        assert share < 0.8 * opened[0] and delivered > 0.95 * opened[1] and waiting < 0.1
    assert 0.8 * opened[0] < watermark[0] < opened[0] and watermark[1] < 0.9 * opened[1] and watermark[2] > 10
    assert seats[0] < min(one[0] for one in (blocks, beginnings, watermark)) and seats[1] < 0.6 * opened[1]


def test_the_table_says_what_the_tables_of_servers_say() -> None:
    assert told(VLLM, "recomputed")[0] == told(VLLM, "regretted")[0] == "absent"
    assert told(SGLANG, "recomputed")[0] == "proxy" and told(SGLANG, "evicted")[:2] == (
        "exact",
        "sglang:evicted_tokens_total",
    )
    for symptom in SYMPTOMS:
        for kind in (VLLM, SGLANG):
            worth, metric, why = told(kind, symptom.figure)
            assert (worth == "exact") == (not why) and (worth == "absent") == (not metric)
    flags, metrics = (table.splitlines() for table in symptom_table().split("\n\n"))
    assert len(flags) == len(metrics) == 2 + len(SYMPTOMS)
    assert {line.count("|") for line in flags} == {5} and {line.count("|") for line in metrics} == {4}
    assert "| evicted and wanted again | prefixes that are in use do not fit | `--gpu-memory-utilization`" in flags[3]
    assert all(lines[7].startswith("| requests waiting for memory |") for lines in (flags, metrics))  # read alone
    assert metrics[3].count("**absent**") == 2 and "KV events do" in metrics[3]
    assert all(kind in KINDS for kind in (*STORMS, *CALM))


def test_what_the_text_says_of_drills_and_pins_is_so() -> None:
    text = (masters_dir() / "19_eviction_storms.py").read_text(encoding="utf-8")
    assert f"the other six of the course, and then any of the {len(DRILLS)}." in text
    assert "Ten drills" in text and len(order(1)) == 10 == len(DRILLS) - 6
    assert f"A pin takes {LEAST_WINDOWS} windows at least, and half the board at most." in text
    assert inspect.signature(recomputation).parameters["high"].default == DAY == 0.15
    assert (HEALTHY, STORM, boards.STORM) == (0.1, 0.25, 0.25) and "the line of the board's own rule, 15%," in text
    Pin("running", 0, 11).checked(board("quiet-2"))
    with pytest.raises(DrillError, match="take 3 to 12 in a row"):
        Pin("running", 0, 12).checked(board("quiet-2"))
