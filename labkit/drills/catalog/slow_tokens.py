"""Tokens come slowly: a prompt that is begun again and again, and prompts that go before everybody else."""

from __future__ import annotations

from labkit.drills.drill import Case, Drill, Goal, Incident
from labkit.drills.evidence import Trouble, at_least, at_most, both, falls, rises
from labkit.drills.faults import prompts_first
from labkit.drills.looks import PROFILE, STALLS, STEPS
from labkit.drills.options import (
    FULL_SEQUENCE,
    RAISE_WATERMARK,
    REFUSE,
    REPAIR,
    RESTART,
    SMALLER_BUDGET,
)
from labkit.drills.world import Stream, World
from labkit.scheduling.config import SchedulerConfig

CASE = Case(
    headline="Answers crawl. Time between tokens, 99th percentile: {early:.2f} s at first, {late:.2f} s now. "
    "(A step of 2,048 tokens takes this server 0.5 s, and it has no larger ones.)",
    figure="itl_p99",
    looks=(STEPS, STALLS, PROFILE.testing("offload")),
    diagnoses=("first-chunk", "prompts-first", "overload", "small-pool", "offload", "hangs"),
    fixes=(RAISE_WATERMARK, FULL_SEQUENCE, REPAIR, SMALLER_BUDGET, REFUSE, RESTART),
    tempting=("overload", "budget"),
    trouble=Trouble("itl_p99", "while tokens are late", at_least=0.45),
)

BUSY = at_least("computed", 1000, "It computes thousands of tokens per second: nothing hangs.")

FIRST_CHUNK = Drill(
    name="the-fifth-prompt",
    lesson="16",
    case=CASE,
    world=World(
        streams=(Stream(0.5, 300, 150), Stream(0.2, 7000, 500, start_s=30, spread=0.3)),
        blocks=1900,
        config=SchedulerConfig(seats=64, token_budget=2048, full_sequence=False),
        cache=None,
    ),
    cause="first-chunk",
    convicts=(
        at_least("recomputed", 0.4, "Nearly half of what is computed, or more, was computed before.", of="computed"),
        both(
            at_least("preempted", 0.1, "Few preemptions, and each throws away a prompt of thousands of tokens."),
            at_least("recomputed", 0.4, "", of="computed"),
        ),
    ),
    rules_out={
        "prompts-first": (
            both(
                at_most("itl_p99", 0.8, "No gap is longer than one large step: whoever runs gets a token in each."),
                at_least("itl_p99", 0.3, ""),
            ),
        ),
        "overload": (falls("delivered", 0.85, "More load alone does not make a server deliver less than it did."),),
        "hangs": (BUSY,),
    },
    remedy=("full-sequence",),
    target=Goal("recomputed_tokens", at_most=0.25),
    guards=(Goal("tokens_per_second", at_least=1.05), Goal("itl_p99", at_most=0.75)),
    incident=Incident(
        "vLLM 25538",
        "https://github.com/vllm-project/vllm/issues/25538",
        "Four requests of 100,000 tokens filled 90% of the cache. A fifth was let in on its first chunk, found no room "
        "for the rest, was preempted, and came back: about 100 tokens/s became 1.5.",
        "A gate on the full sequence (pull request 37307): a prompt starts only where all of it has room.",
    ),
)

STARVED = Drill(
    name="after-you",
    lesson="19",
    case=CASE,
    world=World(
        streams=(Stream(1.0, 300, 150), Stream(0.7, 3600, 20, start_s=40, spread=0.3)),
        blocks=2700,
        config=SchedulerConfig(seats=64, token_budget=2048),
        cache=None,
        fault=prompts_first,
    ),
    cause="prompts-first",
    convicts=(
        both(
            at_least(
                "itl_p99", 1.0, "Gaps of several steps without a preemption: whoever waited was left out of them."
            ),
            at_most("preempted", 0.1, ""),
        ),
        both(
            rises("running", 1.8, "Ever more run, and hardly anybody computes twice: those who run get no tokens."),
            at_most("recomputed", 0.1, "", of="computed"),
        ),
    ),
    rules_out={
        "first-chunk": (
            both(
                at_most("recomputed", 0.1, "Hardly a token is computed twice.", of="computed"),
                at_least("itl_p99", 1.0, ""),
            ),
        ),
        "small-pool": (
            both(at_least("free", 0.1, "There is free memory while tokens are late."), at_least("itl_p99", 1.0, "")),
        ),
        "offload": (at_least("computed", 1300, "It computes all it can: no step waits for a copy."),),
        "hangs": (BUSY,),
    },
    remedy=("repair",),
    target=Goal("itl_p99", at_most=0.5),
    guards=(Goal("tokens_per_second", at_least=1.0), Goal("refused", at_most=1.0)),
    incident=Incident(
        "SGLang 40443",
        "https://github.com/sgl-project/sglang/pull/40443",
        "Each request got 1.38 tokens/s where it could have 32.05, with the same time to the first token and the same "
        "sum over all requests: decodes starved behind prompts. The cache is the tempting answer.",
        "Open when it was read in November 2026. The scheduler of this course serves those who generate first.",
    ),
)

DRILLS = (FIRST_CHUNK, STARVED)
