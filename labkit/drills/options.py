"""Options that several cases offer: fixes, and looks that tell nothing, which look useful in each of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from labkit.drills.drill import Fix, Look
from labkit.drills.world import SECONDS, Run

RAISE_WATERMARK = Fix("watermark", "Raise the watermark to 0.1", lambda world: world.with_knobs(watermark=0.1), "wait")
FULL_SEQUENCE = Fix(
    "full-sequence",
    "Let a prompt in only where all of it has room",
    lambda world: world.with_knobs(full_sequence=True),
    "wait",
)
FEWER_SEATS = Fix("seats", "Let 8 requests run at most", lambda world: world.with_knobs(seats=8), "wait")
REFUSE = Fix("refuse", "Refuse who comes while 4 wait", lambda world: world.with_knobs(most_queued=4), "turned-away")
SMALLER_BUDGET = Fix(
    "budget", "Take 256 tokens a step at most", lambda world: world.with_knobs(token_budget=256), "throughput"
)
RESTART = Fix("restart", "Restart the server", lambda world: world, "cold")
"""What is restarted does the same again: requests, knobs and code are what they were."""
REPAIR = Fix(
    "repair",
    "Install the release in which memory is given back and whoever generates comes first",
    lambda world: replace(world, fault=None),
    "release",
)
SHORT_PIECES = Fix(
    "pieces",
    "Take 256 tokens of a prompt a step at most, and the rest for others",
    lambda world: world.with_knobs(longest_chunk=256),
    "wait",
)
NO_OFFLOAD = Fix(
    "no-offload",
    "Switch the offload to the memory of the host off",
    lambda world: replace(world, fault=None),
    "hits",
)
ONE_FORMULA = Fix(
    "formula",
    "Install the release in which gate and memory count blocks alike",
    lambda world: replace(world, fault=None),
    "release",
)
ONLY_NEW = Fix(
    "only-new",
    "Install the release whose hit rate leaves out who was preempted",
    lambda world: replace(world, fault=None),
    "release",
)
LONGEST_PREFIX = Fix(
    "longest-prefix",
    "Serve first whose prompt is in the cache",
    lambda world: world.with_knobs(queue="longest-prefix"),
    "wait",
)

MEND_PROMPTS = Fix(
    "prompts",
    "Move what changes in a prompt behind what does not",
    lambda world: world.with_stream(0, stamped_from_s=math.inf),
    "release",
)
SLRU = Fix("slru", "Keep longest what was asked for twice (SLRU)", lambda world: replace(world, policy="SLRU"), "hits")
RANDOM = Fix("random", "Evict at random", lambda world: replace(world, policy="Random"), "hits")
SALT = Fix(
    "salt", "Give each long document a cache salt of its own", lambda world: world.with_stream(-1, salted=True), "hits"
)


def _busy(run: Run) -> int:
    return int(sum(moment.seconds for moment in run.moments[len(run.moments) // 2 :]) < 0.4 * SECONDS)


def _before_noon(run: Run) -> int:
    itl = run.series["itl_p99"]
    return int(np.nanmean(itl[: len(itl) // 3]) > 0.8 * np.nanmean(itl[-(len(itl) // 3) :]))


GPU = Look(
    "gpu",
    "Look up how busy the GPU is",
    (("It is busy nearly all the time.", None), ("It is idle now and then.", None)),
    _busy,
)
"""A GPU is as busy with useless work as with useful."""
RESTARTED = Look(
    "restart",
    "Restart one replica and see what it does",
    (("It is fast for half a minute, and then as before.", None), ("It is at once as before.", None)),
    _before_noon,
)
"""A fresh server has an empty memory: whatever fills it takes its time, and says nothing of what that was."""
