"""The hit rate falls: prompts begin with what changes, and documents that come once push out what comes often."""

from __future__ import annotations

from labkit.drills.drill import Case, Drill, Goal, Incident
from labkit.drills.evidence import Trouble, at_least, at_most
from labkit.drills.looks import HEADS, HOLDERS, STALLS
from labkit.drills.options import MEND_PROMPTS, RAISE_WATERMARK, RESTART, SALT, SLRU
from labkit.drills.world import Stream, World
from labkit.scheduling.config import SchedulerConfig

CONFIG = SchedulerConfig(seats=64, token_budget=2048)
CASE = Case(
    headline="Of the tokens in prompts, {early:.0%} were found in the cache at first, and {late:.0%} are now.",
    figure="hit_rate",
    looks=(HEADS, HOLDERS.testing("leaked-pins"), STALLS),
    diagnoses=("small-pool", "scan", "volatile-heads", "overload", "leaked-pins", "hangs"),
    fixes=(SLRU, RAISE_WATERMARK, MEND_PROMPTS, SALT, RESTART),
    tempting=("small-pool", "watermark"),
    trouble=Trouble("evicted", "while blocks are evicted", at_least=20),
)

STAMPED = Drill(
    name="good-morning",
    lesson="07",
    case=CASE,
    world=World(streams=(Stream(1.0, 200, 100, head=1600, heads=4, stamped_from_s=50),), blocks=1500, config=CONFIG),
    cause="volatile-heads",
    convicts=(
        at_most("hit_rate", 0.02, "Not one prompt finds its beginning: what is only pushed out is found now and then."),
        at_most(
            "regretted",
            0.05,
            "What is evicted is wanted by nobody: the prompts ask for other things.",
            of="evicted",
        ),
    ),
    rules_out={
        "scan": (at_most("regretted", 0.05, "Hardly a block that was evicted is wanted again.", of="evicted"),),
        **dict.fromkeys(
            ("bad-policy", "crowded-out"),
            (at_most("regretted", 0.05, "What is evicted is wanted by nobody: not for want of it.", of="evicted"),),
        ),
        "hangs": (at_least("computed", 800, "It computes more than it did: nothing hangs."),),
        "small-pool": (
            at_most("regretted", 0.05, "In a pool that is too small, what was evicted is wanted again.", of="evicted"),
        ),
    },
    remedy=("prompts",),
    target=Goal("computed", at_most=0.5),
    guards=(Goal("tokens_per_second", at_least=1.0), Goal("ttft_p99_s", at_most=1.0)),
    incident=Incident(
        "AnythingLLM 6398",
        "https://github.com/Mintplex-Labs/anything-llm/issues/6398",
        "The default instructions came to say what time it is, near their front. With each minute, all that stands "
        "behind it was new to every prefix cache: instructions, documents and the whole conversation.",
        "What was proposed (pull request 6399): the instructions stay as they are, and the time goes to the end of the "
        "last message.",
    ),
)

SCANNED = Drill(
    name="the-reading-room",
    lesson="09",
    case=CASE,
    world=World(
        streams=(
            Stream(1.6, 100, 40, head=800, heads=20),
            Stream(0.3, 5000, 4, start_s=55, spread=0.2),
        ),
        blocks=1900,
        config=CONFIG,
    ),
    cause="scan",
    convicts=(at_least("regretted", 0.06, "Blocks are evicted that somebody wants again soon after.", of="evicted"),),
    rules_out={
        "volatile-heads": (
            at_least("hit_rate", 0.1, "Prompts still find their beginnings while it evicts: they are the same."),
        ),
        "leaked-pins": (
            at_most("held", 0.6, "While it evicts, requests hold about half of the blocks, and no more and more."),
        ),
    },
    remedy=("slru",),
    target=Goal("hit_rate", at_least=1.1),
    guards=(Goal("tokens_per_second", at_least=0.99), Goal("ttft_p50_s", at_most=1.02)),
    incident=Incident(
        "LMCache 4994",
        "https://github.com/LMCache/LMCache/issues/4994",
        "A scan went through a cache in use. Under LRU and under ARC seven blocks were evicted, so the rate of "
        "evictions said nothing; of the 1,024 tokens in use, LRU found none afterwards and ARC all.",
        "Open when it was read in November 2026: a policy that tells what comes once from what comes often.",
    ),
)

DRILLS = (STAMPED, SCANNED)
