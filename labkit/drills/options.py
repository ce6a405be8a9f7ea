"""Changes that several cases offer."""

from __future__ import annotations

import math
from dataclasses import replace

from labkit.drills.drill import Fix

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
    "budget", "Take 256 tokens per step at most", lambda world: world.with_knobs(token_budget=256), "throughput"
)
RESTART = Fix(
    "restart",
    "Restart the server",
    lambda world: world,
    "cold",
    note="The board begins with a fresh server, so a restart buys these two minutes once more: it helps for as long as "
    "it took to come to this.",
)
"""What is restarted does the same again: requests, knobs and code are what they were."""
REPAIR = Fix(
    "repair",
    "Install the release in which memory is given back and whoever generates comes first",
    lambda world: replace(world, fault=None),
    "release",
    also=(
        "wait",
        "In each step prompts do wait for those who generate, as in lesson 16; over the two minutes first tokens come "
        "earlier all the same, since those who run end sooner.",
    ),
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
