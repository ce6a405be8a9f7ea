"""Tokens come in fits and starts while memory is half empty: a very long prompt, and copies that all wait for."""

from __future__ import annotations

from labkit.drills.drill import Case, Drill, Goal, Incident
from labkit.drills.evidence import Trouble, at_least, at_most
from labkit.drills.faults import offloads_block_by_block
from labkit.drills.looks import PROFILE, STALLS, TWICE
from labkit.drills.options import (
    FEWER_SEATS,
    NO_OFFLOAD,
    RAISE_WATERMARK,
    REFUSE,
    RESTART,
    SHORT_PIECES,
)
from labkit.drills.world import Stream, World
from labkit.scheduling.config import SchedulerConfig

CONFIG = SchedulerConfig(seats=64, token_budget=2048)
CASE = Case(
    headline="Answers stutter. Time between tokens, 99th percentile: {early:.2f} s at first, {most:.2f} s at worst. "
    "(An ordinary step takes this server 0.1 s.)",
    figure="itl_p99",
    looks=(PROFILE, STALLS, TWICE.testing("eager-admission")),
    diagnoses=("small-pool", "offload", "overload", "eager-admission", "long-prompt", "hangs"),
    fixes=(RAISE_WATERMARK, NO_OFFLOAD, FEWER_SEATS, SHORT_PIECES, REFUSE, RESTART),
    tempting=("small-pool", "watermark"),
    trouble=Trouble("itl_p99", "while tokens are late", at_least=0.4),
)

ROOM = at_most("held", 0.7, "While tokens are late, those who run hold two thirds of the blocks, or fewer.")
UNHURRIED = at_most("waiting", 1, "While tokens are late hardly anybody waits.")

LONG = Drill(
    name="a-long-letter",
    lesson="13",
    case=CASE,
    world=World(
        streams=(Stream(1.0, 300, 150), Stream(0.05, 20_000, 60, start_s=40, spread=0.2)),
        blocks=6000,
        config=CONFIG,
        cache=None,
    ),
    cause="long-prompt",
    convicts=(
        at_least("computed", 1300, "While tokens are late it computes several times as much as before."),
        at_least("computed", 8, "For each token that comes out, eight or more are computed.", of="delivered"),
    ),
    rules_out={
        "small-pool": (ROOM,),
        "eager-admission": (
            at_most("preempted", 0.02, "Tokens are late, and nobody is preempted."),
            ROOM,
        ),
        "offload": (at_least("computed", 1300, "While tokens are late, it computes all it can."),),
        "hangs": (at_least("computed", 1300, "It computes all it can: nothing hangs."),),
    },
    remedy=("pieces",),
    target=Goal("itl_p99_s", at_most=0.6),
    guards=(Goal("tokens_per_second", at_least=0.98), Goal("refused", at_most=1.0)),
    incident=Incident(
        "local-inference-lab/vllm 541",
        "https://github.com/local-inference-lab/vllm/issues/541",
        "A prompt of 64,000 tokens came among chats, and instead of 272.6 tokens/s they got 6.62, with ample room in "
        "the KV cache. The gauge of usage acquits it: what ran short was time, not memory.",
        "vLLM can bound what one prompt takes of a step (--long-prefill-token-threshold): it takes longer then, "
        "and everybody else goes on.",
    ),
)

CONVOY = Drill(
    name="the-removal-van",
    lesson="19",
    case=CASE,
    world=World(
        streams=(Stream(0.6, 300, 150), Stream(0.5, 150, 100, head=8000, heads=2, start_s=35)),
        blocks=3000,
        config=CONFIG,
        fault=offloads_block_by_block,
    ),
    cause="offload",
    convicts=(
        at_most("computed", 700, "It computes little and takes long for it: what takes the time is no computing."),
        at_least("hit_rate", 0.5, "Most of what is asked is in the cache: there is hardly a prompt to compute."),
    ),
    rules_out={
        "small-pool": (ROOM,),
        "eager-admission": (
            at_most("preempted", 0.02, "Tokens are late, and nobody is preempted."),
            ROOM,
        ),
        "long-prompt": (at_most("computed", 700, "A long prompt would have to be computed."),),
        "overload": (UNHURRIED, ROOM),
    },
    remedy=("no-offload",),
    target=Goal("itl_p99", at_most=0.5),
    guards=(Goal("tokens_per_second", at_least=1.0), Goal("ttft_p50_s", at_most=1.0)),
    incident=Incident(
        "vLLM 44294",
        "https://github.com/vllm-project/vllm/issues/44294",
        "50 requests at a time, all with the same first 10,000 tokens: with the offload to the host switched on, 267 "
        "tokens/s became 158, and the first token came after 11.46 s instead of 5.95. More memory for the host is the "
        "tempting answer, and gives the convoy more to carry.",
        "Open when it was read in November 2026. Without the offload it is as fast as before; what helps in the long "
        "run is to copy each block once, many at a time, and beside the steps.",
    ),
)

DRILLS = (LONG, CONVOY)
