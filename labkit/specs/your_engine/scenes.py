"""Lesson 21: an engine without a model to look at, and workloads for the one with a model."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from labkit import engine as parts
from labkit.observe.events import EventLog
from labkit.observe.live import Watch
from labkit.observe.recorder import record
from labkit.observe.series import Series
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.metrics import Metrics
from labkit.specs.your_engine.storms import serve

T = TypeVar("T")
Tune = Callable[[SchedulerConfig, Any], SchedulerConfig]
SHORTEST_S = 0.1  # between two looks at a server


ASSISTANT = (
    "You are the assistant of a public library. Answer in one or two short sentences, in plain words. Say so where you "
    "do not know something, and send people to the desk on the ground floor for anything about their account, about "
    "fines, or about books that are missing. Never give out what another reader has borrowed. The library is open from "
    "nine in the morning to eight in the evening, on Saturdays until two, and closed on Sundays and holidays."
)
"""What all chats begin with."""
PEOPLE = {
    "Ada": ("When do you open?", "And on Sundays?"),
    "Ben": ("Where do I pay a fine?", "Can I pay by card?"),
    "Cleo": ("Do you have maps of Mars?", "And of the Moon?"),
    "Dan": ("May I bring my dog?", "A small one?"),
    "Eva": ("How many books can I borrow?", "For how long?"),
    "Finn": ("What did my neighbour read last?", "Please?"),
}
"""Who asks what, in two turns."""


# ----- without a model ------------------------------------------------------------------------------------------------


def small(num_blocks: int, log: EventLog | None = None, **knobs: Any) -> Scheduler:
    """A scheduler of your parts over blocks of 4 tokens."""
    manager = parts.kv_cache_manager(num_blocks, 4)
    return parts.scheduler(manager if log is None else record(manager, log), SchedulerConfig(**knobs))


def one_life() -> EventLog:
    """Five requests on twelve blocks: two begin alike, one gives way and comes back, and of one the user leaves."""
    log = EventLog()
    scheduler = small(12, log, token_budget=16)
    instructions = list(range(1, 9))
    coming = {
        0: Request("A", [*instructions, 20, 21], 9),
        2: Request("B", [*instructions, 30], 7),
        3: Request("C", range(50, 62), 6),
        4: Request("D", range(70, 75), 9),
        9: Request("E", [*instructions, 20, 21, 22], 3),
    }
    for at in range(40):
        if at in coming:
            scheduler.submit(coming[at])
        if at == 7:
            scheduler.cancel("B")
        if scheduler.unfinished:
            step = scheduler.schedule()
            scheduler.update(step, [90 + at] * len(step.sampling))
    return log


def in_mid_run() -> Scheduler:
    """A scheduler that has run for a while: A and B generate, C is in the middle of its prompt, D has just come."""
    scheduler = small(30, token_budget=10, longest_chunk=6)
    for name, prompt in (("A", 3), ("B", 5)):
        scheduler.submit(Request(name, range(100 * ord(name), 100 * ord(name) + prompt), 9))
    for name, prompt in (("", 0), ("C", 13), ("D", 2)):
        if name:
            scheduler.submit(Request(name, range(100 * ord(name), 100 * ord(name) + prompt), 9))
        if name != "D":
            step = scheduler.schedule()
            scheduler.update(step, [7] * len(step.sampling))
    return scheduler


def turned(kind: str, seed: int, tune: Tune | None = None) -> tuple[float, float, int, int]:
    """A simulated server: share computed twice, tokens per second, who waits at the end, and its last seats."""
    found = serve(kind, seed, tune and (lambda window, config, board: tune(config, board)))
    return found.twice, found.delivered, found.waiting, found.seats[-1]


# ----- with one -------------------------------------------------------------------------------------------------------


def mixed(n: int, prompt: tuple[int, int], answer: tuple[int, int], seed: int = 1) -> list[Any]:
    """Requests of mixed lengths, drawn evenly from these, the same for every model. Their words mean nothing, and no
    text ends early.
    """
    from labkit.serving import Request as Asked

    draw = random.Random(seed)
    return [
        Asked(f"{i}", [draw.randrange(20, 250) for _ in range(draw.randint(*prompt))], draw.randint(*answer))
        for i in range(n)
    ]


def peak(engine: Any, requests: Sequence[Any]) -> tuple[int, float]:
    """Serve requests that all come at once; how many ran at the same time at most, and tokens per second."""
    for request in requests:
        engine.submit(request)
    most, began = 0, time.perf_counter()
    while engine.has_work:
        engine.step()
        most = max(most, len(engine.scheduler.running))
    return most, engine.scheduler.totals.delivered / (time.perf_counter() - began)


def planned_peak(requests: Sequence[Any], num_blocks: int, **knobs: Any) -> int:
    """As many as would run at the same time; who runs depends on memory, so no model is asked."""
    scheduler, most = parts.scheduler(parts.kv_cache_manager(num_blocks, 16), SchedulerConfig(**knobs)), 0
    for request in requests:
        scheduler.submit(Request(request.name, request.prompt_ids, request.max_new_tokens))
    while scheduler.unfinished:
        step = scheduler.schedule()
        most = max(most, len(scheduler.running))
        scheduler.update(step, [7] * len(step.sampling))
    return most


def in_windows(
    engine: Any,
    requests: Sequence[Any],
    steps: int = 8,
    tune: Tune | None = None,
) -> Series:
    """Serve requests that all come at once, and keep a window of figures for every so many steps.

    Args:
        tune: called after each window with the knobs and the board; answers with the next knobs.
    """
    scheduler = engine.scheduler
    metrics = Metrics(scheduler, window_s=float("1e9"), source="your engine")
    for request in requests:
        metrics.submitted(bool(engine.submit(request)))
    began, number = time.perf_counter(), 0
    while engine.has_work:
        for token in engine.step():
            answer = token.generation
            if answer.step_s:
                metrics.itl.add(answer.step_s[-1])
            else:
                metrics.ttft.add(answer.prefill_s)
        number += 1
        if number % steps == 0 or not engine.has_work:
            metrics.until = time.perf_counter() - began
            metrics.close(metrics.until)
            if tune is not None and engine.has_work:
                scheduler.retune(tune(scheduler.config, metrics.series))
    return metrics.series


def beside(board: Any, watched: Watch, work: Callable[[], T]) -> T:
    """Do something that takes long while a `StormBoard` shows what a server tells."""
    thread = watched.start()
    try:
        with ThreadPoolExecutor(1) as pool:
            doing = pool.submit(work)
            while not doing.done():
                time.sleep(SHORTEST_S)
                board.update()
        return doing.result()
    finally:
        watched.stop()
        thread.join(5)
        watched.ask()
        board.close_live()


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Where two texts differ first, counted from 0; None where they are the same."""
    if list(one) == list(other):
        return None
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def gap(model: Any, tokens: Sequence[int]) -> float:
    """How far the likeliest next token is before the second, in logits."""
    import torch

    first, second = model.model(torch.tensor(tokens))[-1].float().topk(2).values.tolist()
    return float(first - second)
