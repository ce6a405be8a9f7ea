"""Requests wait for memory: because blocks are never given back, and because more comes than can be served."""

from __future__ import annotations

from labkit.drills.drill import Case, Drill, Goal, Incident
from labkit.drills.evidence import Trouble, at_least, at_most, both, falls, flat, rises, rises_no_more
from labkit.drills.faults import leaked_pins
from labkit.drills.looks import HOLDERS, STALLS, TWICE
from labkit.drills.options import FEWER_SEATS, RAISE_WATERMARK, REFUSE, REPAIR, RESTART
from labkit.drills.world import Stream, World
from labkit.scheduling.config import SchedulerConfig

CASE = Case(
    headline="Requests wait, and memory is full. Waiting: {early:.1f} on average at first, {late:.1f} now.",
    figure="waiting",
    looks=(HOLDERS, STALLS, TWICE.testing("eager-admission")),
    diagnoses=("small-pool", "overload", "leaked-pins", "eager-admission", "scan", "hangs"),
    fixes=(RAISE_WATERMARK, REFUSE, REPAIR, FEWER_SEATS, RESTART),
    tempting=("small-pool", "watermark"),
    trouble=Trouble("waiting", "while requests wait", at_least=2),
)

PINNED = Drill(
    name="still-held",
    lesson="19",
    case=CASE,
    world=World(
        streams=(Stream(0.8, 400, 200),),
        blocks=1300,
        config=SchedulerConfig(seats=64, token_budget=2048),
        cache=None,
        fault=leaked_pins(2),
    ),
    cause="leaked-pins",
    convicts=(
        rises("held", 1.4, "Each request that runs seems to hold more and more: somebody else holds it.", of="running"),
        both(
            falls("running", 0.8, "Fewer and fewer run, and memory is as full as before: somebody else holds it."),
            at_least("held", 0.85, ""),
        ),
    ),
    rules_out={
        "overload": (
            rises_no_more("arrived", 1.5, "Hardly more requests come than before."),
            both(
                falls("running", 0.8, "More load would make more of them run, not fewer."), at_least("held", 0.85, "")
            ),
        ),
        "small-pool": (
            rises("held", 1.4, "As many as before would have room, if somebody else held nothing.", of="running"),
            both(falls("running", 0.8, "The same pool had room for more of them before."), at_least("held", 0.85, "")),
        ),
        "hangs": (at_least("delivered", 60, "Tokens are delivered all the time: nothing hangs."),),
    },
    remedy=("repair",),
    target=Goal("ttft_p99_s", at_most=0.5),
    guards=(Goal("tokens_per_second", at_least=1.0), Goal("refused", at_most=1.0)),
    incident=Incident(
        "a patch of vLLM for DeepSeek V4, pull request 54 there",
        "",
        "Pins outlived their requests: each request took 0.45 to 0.79 percentage points of the pool and never gave "
        "them back. The same request sent again hit 100%, so the hit rate said that all was well; usage convicted.",
        "Open when it was read in November 2026: the pin goes when its request does.",
    ),
)

OVERLOAD = Drill(
    name="a-good-day",
    lesson="19",
    case=CASE,
    world=World(
        streams=(Stream(0.7, 400, 200), Stream(1.0, 400, 200, start_s=45)),
        blocks=900,
        config=SchedulerConfig(seats=64, token_budget=2048, watermark=0.1),  # or it would compute much twice as well
        cache=None,
    ),
    cause="overload",
    convicts=(
        rises("arrived", 1.8, "Many more come than before."),
        both(
            at_least(
                "waiting",
                5,
                "The queue grows while it delivers what it can and does little twice: it is load.",
            ),
            at_least("delivered", 180, ""),
            at_most("recomputed", 0.1, "", of="computed"),
        ),
    ),
    rules_out={
        "leaked-pins": (
            both(
                flat("held", 0.25, "For each request that runs as much is held as before.", of="running"),
                at_least("held", 0.6, ""),
            ),
        ),
        "hangs": (at_least("delivered", 100, "Tokens are delivered all the time: nothing hangs."),),
    },
    remedy=("refuse",),
    target=Goal("ttft_p99_s", at_most=0.6),
    guards=(Goal("tokens_per_second", at_least=0.93), Goal("goodput", at_least=0.95)),
    incident=Incident(
        "TensorRT-LLM 16827",
        "https://github.com/NVIDIA/TensorRT-LLM/issues/16827",
        "More was asked for than the cache could hold. The setting that lets everybody in (MAX_UTILIZATION) delivered "
        "40.6% fewer tokens/s than the one that lets in who surely fits, and the slowest took 9.1 times as long for a "
        "token; only the median time to the first token was better.",
        "Open when it was found in November 2026. Where too much comes, some have to wait outside, or be told so at "
        "once: a limit at the door.",
    ),
)

DRILLS = (PINNED, OVERLOAD)
