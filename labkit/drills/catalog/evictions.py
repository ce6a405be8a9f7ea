"""Evictions rise: because documents come once, which harms nobody, and because they come round and round."""

from __future__ import annotations

from labkit.drills.drill import HEALTHY, Case, Drill, Goal, Incident
from labkit.drills.evidence import Trouble, at_least, at_most
from labkit.drills.looks import DOCUMENTS, HEADS, HOLDERS
from labkit.drills.options import FEWER_SEATS, RAISE_WATERMARK, RANDOM, REFUSE, RESTART, SLRU
from labkit.drills.world import Stream, World
from labkit.scheduling.config import SchedulerConfig

CONFIG = SchedulerConfig(seats=64, token_budget=2048)
CASE = Case(
    headline="Cached blocks evicted: {early:.0f} a second at first, {late:.0f} now. Should we have more memory?",
    figure="evicted",
    looks=(DOCUMENTS, HOLDERS.testing("leaked-pins"), HEADS.testing("volatile-heads")),
    diagnoses=("small-pool", HEALTHY, "bad-policy", "volatile-heads", "leaked-pins", "overload"),
    fixes=(RAISE_WATERMARK, SLRU, FEWER_SEATS, RANDOM, REFUSE, RESTART),
    tempting=("small-pool", "seats"),
    trouble=Trouble("evicted", "while blocks are evicted", at_least=10),
)

HARMLESS = Drill(
    name="a-full-shelf",
    lesson="19",
    case=CASE,
    world=World(
        streams=(Stream(0.8, 200, 100, head=1024, heads=4), Stream(0.16, 3000, 10, start_s=30, spread=0.3)),
        blocks=1800,
        config=CONFIG,
    ),
    cause=HEALTHY,
    convicts=(
        at_most("regretted", 0.05, "Hardly a block that is evicted is wanted again.", of="evicted"),
        at_least("hit_rate", 0.4, "While it evicts, prompts find what they found before."),
    ),
    rules_out={
        "bad-policy": (at_most("regretted", 0.05, "Hardly a block that is evicted is wanted again.", of="evicted"),),
        "small-pool": (
            at_most("held", 0.5, "Those who run hold less than half of the blocks: all the rest is cache."),
            at_most("regretted", 0.05, "In a pool that is too small, what was evicted is wanted again.", of="evicted"),
        ),
        "overload": (at_most("waiting", 1, "Hardly anybody waits."),),
    },
    remedy=(),
    target=None,
    guards=(),
    incident=Incident(
        "LMCache 4994",
        "https://github.com/LMCache/LMCache/issues/4994",
        "Two caches evicted equally much, seven blocks each. One of them lost all that was in use by it, the other "
        "nothing: the number of evictions cannot tell a cache that is full from one that is harmed.",
        "Here nothing needs to be done. A full cache evicts with every request, and that is what it is for.",
    ),
)

ROUND = Drill(
    name="round-and-round",
    lesson="19",
    case=CASE,
    world=World(
        streams=(
            Stream(0.6, 200, 100, head=1024, heads=4),
            Stream(0.7, 1600, 20, start_s=30, round=24),
        ),
        blocks=2000,
        config=CONFIG,
    ),
    cause="bad-policy",
    convicts=(at_least("regretted", 0.5, "Half of what is evicted, or more, is wanted again.", of="evicted"),),
    rules_out={
        HEALTHY: (at_most("hit_rate", 0.4, "While it evicts, prompts find little."),),
        "leaked-pins": (
            at_most("held", 0.5, "Those who run hold less than half of the blocks, and not more and more."),
        ),
        "overload": (at_most("waiting", 1, "Hardly anybody waits."),),
    },
    remedy=("random",),
    target=Goal("computed", at_most=0.88),
    guards=(Goal("hit_rate", at_least=1.15), Goal("ttft_p50_s", at_most=1.02)),
    incident=Incident(
        "vLLM 42656",
        "https://github.com/vllm-project/vllm/pull/42656",
        "Good blocks left the cache before they were wanted, and hits stayed at 0 for ever. There, blocks that were "
        "part filled pushed them out of the queue; a bigger pool was the tempting answer.",
        "Blocks without a hash go to the front of the free queue: the order was mended, and not the size.",
    ),
)

DRILLS = (HARMLESS, ROUND)
