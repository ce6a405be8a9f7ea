"""The hit rate rises: by what preempted requests find again of their own, and by prompts that begin alike."""

from __future__ import annotations

from labkit.drills.drill import HEALTHY, Case, Drill, Goal, Incident
from labkit.drills.evidence import Trouble, at_least, at_most, both
from labkit.drills.faults import counts_who_comes_back
from labkit.drills.looks import HOLDERS, NEWCOMERS, POLICY
from labkit.drills.options import LONGEST_PREFIX, ONLY_NEW, RESTART, SALT, SLRU
from labkit.drills.world import Stream, World
from labkit.scheduling.config import SchedulerConfig

CONFIG = SchedulerConfig(seats=64, token_budget=2048)
CASE = Case(
    headline="Of the tokens in prompts, {early:.0%} were found in the cache at first, and {late:.0%} are now. Is that "
    "good news?",
    figure="hit_rate",
    looks=(NEWCOMERS, HOLDERS.testing("leaked-pins"), POLICY),
    diagnoses=("scan", HEALTHY, "own-hits", "bad-policy", "leaked-pins", "volatile-heads"),
    fixes=(LONGEST_PREFIX, SLRU, ONLY_NEW, SALT, RESTART),
    tempting=("bad-policy", "longest-prefix"),
    trouble=Trouble("hit_rate", "while prompts find something", at_least=0.1),
)

FAKED = Drill(
    name="welcome-back",
    lesson="18",
    case=CASE,
    world=World(
        streams=(Stream(1.4, 500, 300, spread=0.4),),
        blocks=1500,
        config=CONFIG,
        fault=counts_who_comes_back,
    ),
    cause="own-hits",
    convicts=(
        at_least("preempted", 0.3, "Prompts find something when requests have been preempted."),
        both(
            at_least("hit_rate", 0.15, "Prompts find something when requests have been preempted."),
            at_least("preempted", 0.3, ""),
        ),
    ),
    rules_out={
        HEALTHY: (
            at_least("waiting", 5, "More is found, and the queue grows all the same: users have nothing of it."),
            at_most("cached", 0.1, "There is hardly a block in the cache in which to find anything."),
        ),
        "leaked-pins": (at_least("running", 15, "As many run as ever, and it is they who hold it all."),),
        "scan": (at_most("cached", 0.1, "Nothing is cached that could be pushed out."),),
    },
    remedy=("only-new",),
    target=Goal("hit_rate", at_most=0.1),
    guards=(Goal("tokens_per_second", at_least=1.0), Goal("ttft_p50_s", at_most=1.0)),
    incident=Incident(
        "vLLM 25780",
        "https://github.com/vllm-project/vllm/issues/25780",
        "Prompts of random tokens, which nothing can find, had a hit rate of 30%. Requests were preempted, and what "
        "they found when they came back was what they had computed themselves.",
        "Whoever was preempted is left out of the rate (pull request 25787): 0.2% were left.",
    ),
)

SHARED = Drill(
    name="house-rules",
    lesson="19",
    case=CASE,
    world=World(
        streams=(Stream(0.5, 900, 300, spread=0.4), Stream(0.5, 300, 200, head=800, heads=3, start_s=45)),
        blocks=2600,
        config=CONFIG,
    ),
    cause=HEALTHY,
    convicts=(
        at_most("preempted", 0.05, "Prompts find something, and nobody was preempted before."),
        both(
            at_least("hit_rate", 0.15, "Prompts find something, and nobody was preempted before."),
            at_most("preempted", 0.05, ""),
        ),
        at_most("recomputed", 0.01, "Prompts find something, and nothing is computed twice.", of="computed"),
    ),
    rules_out={
        "own-hits": (at_most("preempted", 0.05, "Nobody was preempted who could come back."),),
        "bad-policy": (at_most("regretted", 0.05, "Hardly a block that is evicted is wanted again.", of="evicted"),),
        "leaked-pins": (at_most("waiting", 1, "Nobody waits for memory that somebody would not give back."),),
    },
    remedy=(),
    target=None,
    guards=(),
    incident=Incident(
        "SGLang 11900",
        "https://github.com/sgl-project/sglang/pull/11900",
        "There, 122,884 tokens were said to be found of 59,946 that had been asked for, after requests had been put "
        "back: a rate above 1. A hit rate is good news if whoever finds something has come for the first time.",
        "What comes back is counted once (merged). Here nothing needs to be done: prompts have begun to start alike.",
    ),
)

DRILLS = (FAKED, SHARED)
