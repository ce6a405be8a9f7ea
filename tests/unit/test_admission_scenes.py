"""The workloads of lesson 17, and what it says of them."""

from __future__ import annotations

import pytest

from labkit import engine
from labkit.cache.geometry import MODELS
from labkit.grading.progress import Progress
from labkit.grading.solutions import solutions
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.doors import QueueSpeed
from labkit.scheduling.request import Request
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.simulate.recordings import recording
from labkit.specs.admission_control import scenes

COST = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"])


def served(requests: int = 60, blocks: int = 350, **knobs: object) -> scenes.Served:
    return scenes.served(scenes.make(blocks, **knobs), scenes.busy_minute(requests), COST)


def test_a_gate_moves_waiting_and_does_not_remove_it():
    optimistic, kept, reserved = (
        served(**scenes.GATES[name]) for name in ("optimistic", "watermark 0.1", "reserve to max")
    )
    assert optimistic.preemptions > 3 * kept.preemptions and reserved.preemptions == 0 == reserved.again_s
    assert optimistic.outside_s < kept.outside_s < reserved.outside_s
    assert optimistic.again_s > kept.again_s
    assert kept.delivered_per_s == pytest.approx(optimistic.delivered_per_s, rel=0.05)
    assert reserved.delivered_per_s < 0.9 * optimistic.delivered_per_s
    whole = [it.outside_s + it.again_s + it.inside_s for it in (optimistic, kept)]
    assert whole[1] == pytest.approx(whole[0], rel=0.1)


def test_the_three_places_of_waiting_are_all_of_the_time_there_is():
    it = served(30)
    whole = sum(life.end_s - life.request.arrival for life in it.run.finished) / 30
    ttft = sum(life.ttft_s for life in it.run.finished) / 30
    assert it.outside_s + it.again_s + it.inside_s == pytest.approx(whole)
    assert 0 <= it.outside_s < ttft < whole  # who has begun still has a prompt to compute


def test_the_queue_of_the_picture_grows_with_every_gate():
    runs = {name: served(**scenes.GATES[name]) for name in ("optimistic", "reserve to max")}
    said = repr(scenes.queue_picture(runs))
    most = [max(moment.waiting for moment in it.run.moments) for it in runs.values()]
    assert most[0] < most[1]
    assert all(f"{name}: {n} at most" in said for name, n in zip(runs, most, strict=True))


def test_a_target_is_kept_by_refusing():
    free, told = (served(60, 500, latency_target_s=target_s) for target_s in (None, 4.0))
    assert not free.run.refused and told.run.refused
    assert told.run.percentile("ttft_s", 99) <= 4.0 < free.run.percentile("ttft_s", 99)


def test_the_speed_of_the_queue_is_that_of_the_time_in_which_anybody_waited():
    speed = QueueSpeed(half_life_s=1.0)
    assert speed.tokens_per_s == 0
    speed.see(300, 3.0)
    assert speed.tokens_per_s == pytest.approx(100)
    for _ in range(40):
        speed.see(5, 0.5)
    assert speed.tokens_per_s == pytest.approx(10, rel=0.01)


def test_the_small_runs_of_the_first_widget_differ_as_the_text_says():
    runs = [timeline.rows() for timeline in scenes.three_gates().values()]
    gave = [sum(row["steps"].count("x") for row in rows) for rows in runs]
    assert gave == [4, 1, 0]
    first = [next(i for i, said in enumerate(rows[-1]["steps"]) if "[" in said) for rows in runs]
    assert first == [11, 18, 23]
    assert [len(rows[0]["steps"]) - 1 for rows in runs] == [25, 27, 32]


def test_what_is_found_among_the_free_blocks_costs_free_blocks():
    """The recording that the lesson reads: request 3 waits though more blocks are free than it misses."""
    steps = recording("full_sequence")["steps"]
    assert steps[15]["preempted"] == [3] and steps[27]["resumed"] == {"3": 32}
    assert all(13 - 32 // 4 <= step["free"] < 13 for step in steps[15:27])


@pytest.mark.parametrize("gate", ["can_ever_fit", "watermark_gate", "full_sequence_gate"])
def test_a_gate_that_breaks_in_mid_run_ends_it_with_one_sentence(gate: str):
    text = solutions("17")[gate]
    Progress().save_pass("17_admission_control", gate, text.replace("return ", "return nowhere or "))
    scheduler = engine.scheduler(engine.kv_cache_manager(8, 2, yours=False), SchedulerConfig(watermark=0.1))
    with pytest.raises(engine.PartError, match=f"^Your {gate} of lesson 17 ended this run: .*NameError"):
        for name in "AB":
            scheduler.submit(Request(name, [1, 2, 3], 3))
        scheduler.update(scheduler.schedule(), [7])
