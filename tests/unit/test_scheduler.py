"""The scheduler, step by step, on small examples."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.engine import kv_cache_manager
from labkit.errors import SchedulerError
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request, State
from labkit.scheduling.scheduler import Scheduler


def scheduler(num_blocks: int, block_size: int = 4, *, cache: str | None = "hash", **knobs: Any) -> Scheduler:
    manager = kv_cache_manager(num_blocks, block_size, yours=False, prefix_cache=cache)
    return Scheduler(manager, SchedulerConfig(**knobs))


def request(name: str, prompt: int, max_tokens: int, arrival: float = 0.0, **more: Any) -> Request:
    first = ord(name[0]) * 1000
    return Request(name, range(first, first + prompt), max_tokens, arrival=arrival, **more)


def run(s: Scheduler, most: int = 500) -> list[tuple[list[tuple[Any, int]], list[Any], list[Any]]]:
    """Steps until nobody is left: (plan, admitted, preempted) each, by name."""
    steps = []
    while s.unfinished:
        assert len(steps) < most, f"not done after {most} steps: {s.running} {list(s.waiting)}"
        step = s.schedule()
        assert step.plan, "a step that computes nothing"
        assert step.num_tokens <= s.budget and len(s.running) <= s.seats
        steps.append(([(r.id, n) for r, n in step.plan], [r.id for r in step.admitted], [r.id for r in step.preempted]))
        s.update(step, [7] * len(step.sampling))
    return steps


def test_a_request_alone_computes_its_prompt_and_then_a_token_a_step():
    s = scheduler(8)
    one = request("A", 6, 3)
    assert s.submit(one) and run(s) == [([("A", 6)], ["A"], []), ([("A", 1)], [], []), ([("A", 1)], [], [])]
    assert one.state is State.FINISHED and list(one.output) == [7, 7, 7] and one.computed == 8
    assert s.totals == (3, 8, 0) and s.manager.num_held == 0


def test_a_long_prompt_comes_in_chunks_and_decodes_go_first():
    s = scheduler(16, token_budget=5)
    for r in (request("A", 3, 4), request("B", 12, 1)):
        s.submit(r)
    plans = [plan for plan, _, _ in run(s)]
    assert plans == [[("A", 3), ("B", 2)], [("A", 1), ("B", 4)], [("A", 1), ("B", 4)], [("A", 1), ("B", 2)]]


def test_without_chunks_a_prompt_waits_for_a_step_of_its_own():
    s = scheduler(16, token_budget=12, chunked_prefill=False)
    for r in (request("A", 3, 4), request("B", 12, 1)):
        s.submit(r)
    plans = [plan for plan, _, _ in run(s)]
    assert plans == [[("A", 3)], [("A", 1)], [("A", 1)], [("A", 1)], [("B", 12)]]


def test_the_last_one_in_gives_its_memory_up_and_nobody_is_let_in_in_that_step():
    s = scheduler(4, block_size=2, cache=None, full_sequence=False)
    for r in (request("A", 3, 4, 0), request("B", 3, 3, 1), request("C", 1, 1, 2)):
        s.submit(r)
    steps = run(s)
    assert steps[0] == ([("A", 3), ("B", 3)], ["A", "B"], [])
    assert steps[1] == ([("A", 1), ("B", 1)], [], [])
    assert steps[2] == ([("A", 1)], [], ["B"])  # A needs a third block
    assert s.totals.recomputed == 4 and sum(len(p) for _, _, p in steps) == s.manager.counters.preemptions == 1


def test_what_was_cached_is_not_computed_again():
    s = scheduler(16)
    for r in (Request("A", range(10), 1), Request("B", range(10), 1), Request("C", range(8), 1)):
        s.submit(r)
    assert run(s) == [([("A", 10), ("B", 2), ("C", 4)], ["A", "B", "C"], [])]


def test_whoever_can_never_fit_is_refused_at_once_and_nobody_waits_behind():
    s = scheduler(4, block_size=4)
    fits, never = request("A", 10, 7), request("B", 10, 8)
    assert s.submit(fits) and not s.submit(never)
    assert never.state is State.REFUSED and "17 slots" in never.why and s.refusals == {"never-fits": 1}
    run(s)
    assert fits.state is State.FINISHED


def test_the_front_door_counts_whom_it_sends_away_by_reason():
    s = scheduler(64, most_queued=2, most_queued_tokens=20)
    answers = [s.submit(request(name, n, 2)) for name, n in (("A", 8), ("B", 13), ("C", 12), ("D", 1))]
    assert answers == [True, False, True, False]
    assert s.refusals == {"queued-tokens": 1, "queue-full": 1}
    slow = scheduler(64, latency_target_s=0.5)
    assert slow.submit(request("A", 60, 2))  # nobody knows yet how fast it is
    slow.queue_speed.see(100, 1.0)
    assert not slow.submit(request("B", 60, 2)) and slow.refusals == {"too-slow": 1}


@pytest.mark.parametrize("gate", [{"watermark": 0.3}, {"reserve_to_max": True}, {"full_sequence": True}])
def test_an_empty_engine_admits_whatever_fits(gate):
    s = scheduler(4, block_size=4, **gate)
    assert s.submit(request("A", 14, 3))
    assert run(s)[0] == ([("A", 14)], ["A"], [])


def test_the_watermark_keeps_blocks_for_those_who_run():
    s = scheduler(10, block_size=4, watermark=0.3)
    for r in (request("A", 8, 9), request("B", 20, 1), request("C", 24, 1)):
        s.submit(r)
    step = s.schedule()
    assert [r.id for r in step.admitted] == ["A", "B"] and s.manager.num_free == 3  # C would leave none


def test_reserving_to_the_longest_never_preempts():
    s = scheduler(8, block_size=2, cache=None, reserve_to_max=True)
    for r in (request("A", 3, 6), request("B", 3, 6), request("C", 2, 4)):
        s.submit(r)
    assert not any(preempted for _, _, preempted in run(s))
    assert s.manager.counters.preemptions == 0


def test_the_queue_has_an_order():
    def order(**knobs: Any) -> list[str]:
        s = scheduler(64, seats=1, **knobs)
        for r in (request("A", 9, 1, 0, priority=2), request("B", 3, 1, 1, priority=1), request("C", 5, 1, 2)):
            s.submit(r)
        return [name for _, admitted, _ in run(s) for name in admitted]

    assert order() == ["A", "B", "C"]
    assert order(queue="priority") == ["C", "B", "A"]
    assert order(queue="shortest") == ["B", "C", "A"]
    assert order(queue="shortest", patience=1) == ["B", "A", "C"]  # A was passed over once


def test_the_longest_cached_prefix_goes_first():
    s = scheduler(64, seats=1, queue="longest-prefix")
    for name, tokens in (("A", range(12)), ("B", range(50, 62)), ("C", range(13))):
        s.submit(Request(name, tokens, 1))
    assert [name for _, admitted, _ in run(s) for name in admitted] == ["A", "C", "B"]


def test_cancelling_frees_at_once_whoever_runs_waits_or_was_preempted():
    s = scheduler(4, block_size=2, cache=None, full_sequence=False)
    for r in (request("A", 3, 4, 0), request("B", 3, 3, 1), request("C", 1, 1, 2)):
        s.submit(r)
    for _ in range(3):
        step = s.schedule()
        s.update(step, [7] * len(step.sampling))
    assert step.preempted and s.cancel("B") and s.cancel("A") and s.cancel("C") and not s.cancel("A")
    assert s.unfinished == 0 == len(s.waiting) and s.manager.num_free == 4 and not s.running


def fork(s: Scheduler, one: Request, *names: str, ended: bool = False) -> list[Request]:
    """The step in which the prompt of one is computed, and these others begin."""
    s.submit(one)
    step = s.schedule()
    others = [Request(name, one.prompt, one.max_tokens) for name in names]
    for other in others:
        s.fork(one, other, 7, ended)
    s.update(step, [7])
    return others


@pytest.mark.parametrize("cache", ["hash", "radix", None])
def test_several_answers_share_the_blocks_of_a_prompt_until_they_write(cache):
    s = scheduler(16, cache=cache)
    others = fork(s, request("A", 6, 4), "A2", "A3")
    assert s.manager.num_held == 2 and [r.id for r in s.running] == ["A", "A2", "A3"]
    assert s.totals == (3, 6, 0) and all(other.computed == 6 for other in others)
    step = s.schedule()
    assert len(step.copies) == 2 and s.manager.num_held == 4  # the last to write has the block for itself
    s.update(step, [7] * 3)
    run(s)
    assert s.totals == (12, 15, 0) and s.manager.num_held == 0


def test_an_answer_without_a_seat_gives_its_share_up_and_waits():
    s = scheduler(16, seats=2)
    second, third = fork(s, request("A", 8, 3), "A2", "A3")
    assert (second.state, third.state) == (State.RUNNING, State.PREEMPTED) and s.manager.num_held == 2
    assert s.cancel("A2") and [admitted for _, admitted, _ in run(s)] == [["A3"], []]
    assert list(third.output) == [7, 7, 7] and s.manager.num_held == 0


def test_an_answer_that_ends_at_once_takes_nothing():
    for max_tokens, ended in ((1, False), (5, True)):
        s = scheduler(16)
        (other,) = fork(s, request("A", 6, max_tokens), "A2", ended=ended)
        assert other.state is State.FINISHED and s.totals.delivered == 2 and "A2" not in s.manager
        run(s)


def test_only_whoever_stands_where_its_prompt_ends_is_forked():
    s = scheduler(16, token_budget=4)
    one = request("A", 6, 3)
    s.submit(one)
    s.update(s.schedule(), [])
    with pytest.raises(SchedulerError, match="cannot be forked"):  # in the middle of the prompt
        s.fork(one, Request("A2", one.prompt, 3), 7)
    step = s.schedule()
    for wrong, message in ((request("B", 6, 3), "cannot be forked"), (Request("A", one.prompt, 3), "already")):
        with pytest.raises(SchedulerError, match=message):
            s.fork(one, wrong, 7)
    s.update(step, [7])
    with pytest.raises(SchedulerError, match="cannot be forked"):  # it has generated
        s.fork(one, Request("A2", one.prompt, 3), 7)
    run(s)
    assert s.totals == (3, 8, 0) and s.manager.num_held == 0


def test_nonsense_is_refused_in_a_sentence():
    for knobs in ({"watermark": 1}, {"queue": "lifo"}, {"victim": "oldest"}, {"token_budget": 0}, {"seats": 1.5}):
        with pytest.raises(SchedulerError, match="must be"):
            SchedulerConfig(**knobs)
    with pytest.raises(SchedulerError, match="empty"):
        Request("A", [], 1)
    with pytest.raises(SchedulerError, match="max_tokens"):
        Request("A", [1], 0)
    s = scheduler(4)
    s.submit(request("A", 3, 1))
    with pytest.raises(SchedulerError, match="already"):
        s.submit(request("A", 4, 1))
