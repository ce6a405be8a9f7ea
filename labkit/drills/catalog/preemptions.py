"""Requests are preempted: because nobody keeps room for their answers, and because that may happen now and then."""

from __future__ import annotations

from labkit.drills.drill import HEALTHY, Case, Drill, Goal, Incident
from labkit.drills.evidence import Trouble, at_least, at_most, both
from labkit.drills.looks import HOLDERS, STALLS, TWICE
from labkit.drills.options import FEWER_SEATS, RAISE_WATERMARK, REFUSE, REPAIR, RESTART
from labkit.drills.refutations import DAY
from labkit.drills.world import Stream, World
from labkit.scheduling.config import SchedulerConfig

CASE = Case(
    headline="Requests are being preempted, up to {most:.1f} a second.",
    figure="preempted",
    looks=(TWICE, HOLDERS.testing("leaked-pins"), STALLS),
    diagnoses=("small-pool", "eager-admission", HEALTHY, "first-chunk", "leaked-pins", "hangs"),
    fixes=(RAISE_WATERMARK, FEWER_SEATS, REPAIR, REFUSE, RESTART),
    tempting=("small-pool", "seats"),
    trouble=Trouble("preempted", "while it preempts", at_least=0.02, gap=4, margin=1),
)

STORM = Drill(
    name="room-for-the-answer",
    lesson="19",
    case=CASE,
    world=World(
        streams=(Stream(0.8, 1000, 500, spread=0.4),),
        blocks=2000,
        config=SchedulerConfig(seats=64, token_budget=2048),
        cache=None,
    ),
    cause="eager-admission",
    convicts=(
        at_least("recomputed", DAY, "Of all that is computed, 15% or more had been computed before.", of="computed"),
    ),
    rules_out={
        HEALTHY: (
            both(
                at_least("itl_p99", 0.25, "Users feel it: the slowest tokens take two steps and more, all the time."),
                at_least("preempted", 0.1, ""),
            ),
            at_least("waiting", 12, "A long queue waits, and who stands in it feels that."),
            at_least("waiting_for_memory", 12, "A long queue waits for memory, and who stands in it feels that."),
            at_least("ttft_p99", 15, "The slowest first tokens take a quarter of a minute, and more."),
        ),
        "hangs": (at_least("computed", 400, "It computes hundreds of tokens per second: nothing hangs."),),
        "leaked-pins": (
            both(
                at_least("running", 15, "As many run as ever, and it is they who hold the memory."),
                at_least("held", 0.9, ""),
            ),
        ),
    },
    remedy=("watermark",),
    target=Goal("recomputed_tokens", at_most=0.3),
    guards=(Goal("tokens_per_second", at_least=0.92), Goal("itl_p99", at_most=1.0)),
    incident=Incident(
        "vLLM 44594",
        "https://github.com/vllm-project/vllm/pull/44594",
        "With about 1.5 times as much wanted as the cache had, Qwen2.5-7B was preempted 1,065 times. A watermark of "
        "0.02 made it 400, of 0.05 187, of 0.10 168, while tokens/s moved by 5%. At 0.02 the slowest tokens came in "
        "19 ms instead of 41, and the median time to the first token rose from 6.6 to 11.8 s.",
        "The watermark became a setting of vLLM's scheduler.",
    ),
)

CALM = Drill(
    name="a-dozen-preemptions",
    lesson="19",
    case=CASE,
    world=World(
        streams=(Stream(0.45, 250, 350, spread=0.3), Stream(3.0, 300, 40, start_s=50, end_s=75, spread=0.3)),
        blocks=720,
        config=SchedulerConfig(seats=64, token_budget=2048),
        cache=None,
    ),
    cause=HEALTHY,
    convicts=(
        at_most(
            "recomputed",
            DAY,
            "While it preempts, less than 15% of its work is done twice: a storm is a quarter.",
            of="computed",
        ),
        both(
            at_least("arrived", 1.5, "It preempts while a crowd comes, and does less than 15% twice even then."),
            at_most("recomputed", DAY, "", of="computed"),
        ),
        at_most("itl_p99", 0.25, "While it preempts, the slowest tokens take two steps: nobody notices."),
    ),
    rules_out={
        "eager-admission": (
            at_most(
                "recomputed",
                DAY,
                "While it preempts, less than 15% of its work is done twice: a storm is a quarter.",
                of="computed",
            ),
            at_most("itl_p99", 0.25, "While it preempts, the slowest tokens take two steps: nobody notices."),
        ),
        "small-pool": (at_most("waiting", 2, "While it preempts, hardly anybody waits."),),
    },
    remedy=(),
    target=None,
    guards=(),
    incident=Incident(
        "inference-sim 963",
        "https://github.com/inference-sim/inference-sim/issues/963",
        "A simulator preempted the same requests over and over. Held beside it, a vLLM that was well preempted 7.4% of "
        "its requests, none of them more than 4 times.",
        "These figures can serve as a line: so many preemptions alone are no reason to act.",
    ),
)

DRILLS = (STORM, CALM)
