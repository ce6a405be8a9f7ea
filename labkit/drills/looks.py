"""Looks: what can be looked up of a server besides its board. Each is what tells twins apart somewhere, or tests one
rival (`Look.testing`) where others are in question. What it says is a count, and not the name of a cause.
"""

from __future__ import annotations

from dataclasses import replace

from labkit.cache.tokens import TOKEN_BYTES
from labkit.drills.drill import HEALTHY, Look
from labkit.drills.faults import PIN
from labkit.drills.world import BLOCK_SIZE, SECONDS, Run, kind_of, run

FIRST_BLOCK = TOKEN_BYTES * BLOCK_SIZE


def _holders(found: Run) -> int:
    manager = found.scheduler.manager
    pinned = {block for name in manager.sequences() if name[0] == PIN for block in manager.blocks(name)}  # type: ignore[index]
    return int(len(pinned) < manager.num_blocks / 4)


def _computed_twice(found: Run) -> int:
    computed = found.totals["computed_tokens_per_second"] * found.totals["seconds_simulated"]
    return int(found.totals["recomputed_tokens"] < 0.1 * computed)


def _beginnings(found: Run) -> int:
    late = [it.prompt for it in found.requests() if it.arrival > SECONDS / 2 and kind_of(it) == 0]
    return int(len({prompt[:FIRST_BLOCK] for prompt in late}) < len(late) / 2)


def _newcomers(found: Run) -> int:
    heads = [request.prompt[:FIRST_BLOCK] for request in found.requests()]
    return int(len(set(heads)) < 0.8 * len(heads))  # whose first block nobody has had finds nothing


def _come_again(found: Run) -> int:
    long = [request for request in found.requests() if kind_of(request) == 1]
    late = [request.prompt for request in long if request.arrival > SECONDS / 2]
    before = {request.prompt for request in long if request.arrival <= SECONDS / 2}
    return int(sum(prompt in before for prompt in late) < len(late) / 4)


def _prompt_steps(found: Run) -> int:
    steps = [moment for moment in found.moments if moment.computed > 4 * moment.running]
    computed, running = sum(step.computed for step in steps), sum(step.running for step in steps)
    if sum(step.recomputed for step in steps) > 0.3 * computed:
        return 1
    return 0 if sum(step.delivered for step in steps) < 0.3 * running else 2


def _slow_steps(found: Run) -> int:
    slow = [moment for moment in found.moments if moment.seconds > 0.4]
    return int(sum(step.computed for step in slow) < 1000 * sum(step.seconds for step in slow))


def _first_in_line(found: Run) -> int:
    stuck = sum(moment.seconds for moment in found.moments if moment.waiting and not moment.running)
    return int(stuck < 5)


def _by_another_policy(found: Run) -> int:
    other = run(replace(found.world, policy="SLRU"), found.seed)
    return int(other.measure("hit_rate") < 1.1 * found.measure("hit_rate"))


HOLDERS = Look(
    "holders",
    "List the blocks that are held, and lay the list beside that of the requests that run",
    (
        ("A quarter of all blocks, or more, has a name on it that is not in the other list.", "leaked-pins"),
        ("Nearly every name is in the other list.", "overload"),
    ),
    _holders,
)
TWICE = Look(
    "twice",
    "Add up over the two minutes what was computed a second time after a preemption",
    (
        ("A tenth of all tokens computed, or more.", "eager-admission"),
        ("Less than a tenth of all tokens computed.", HEALTHY),
    ),
    _computed_twice,
)
HEADS = Look(
    "heads",
    "Lay the first block of the chats’ prompts of the last minute side by side",
    (
        ("Hardly any two are the same.", "volatile-heads"),
        ("There are a few, and each comes again and again.", "scan"),
    ),
    _beginnings,
)
NEWCOMERS = Look(
    "newcomers",
    "Add up what requests find that come for the first time",
    (
        ("Next to nothing.", "own-hits"),
        ("Most of all that is found.", HEALTHY),
    ),
    _newcomers,
)
DOCUMENTS = Look(
    "log",
    "Look in the log whether the long documents of the last minute had come in the minute before",
    (
        ("A quarter of them or more had.", "bad-policy"),
        ("Hardly any had.", HEALTHY),
    ),
    _come_again,
)
STEPS = Look(
    "steps",
    "Log for a few steps with prompts in them: whose tokens are computed, and how many for answers",
    (
        ("Tokens of prompts, for the first time; for most answers none.", "prompts-first"),
        ("Tokens of prompts, many of them for the second time; for each answer one.", "first-chunk"),
        ("Tokens of prompts, for the first time; for each answer one.", "overload"),
    ),
    _prompt_steps,
)
PROFILE = Look(
    "step",
    "Take a profile of a step that takes long",
    (
        ("Most of its time is in the kernels of the model.", "long-prompt"),
        ("Most of its time is in none of the model’s kernels.", "offload"),
    ),
    _slow_steps,
)
QUEUE = Look(
    "queue",
    "At a standstill, look who is first in the queue, and since when",
    (
        ("The same request for seconds.", "shut-gate"),
        ("Nobody: the queue is empty.", HEALTHY),
    ),
    _first_in_line,
)
STALLS = Look(
    "stalls",
    "Look in the log for the longest time in which somebody ran and no step ended",
    (
        ("It is seconds, again and again.", "hangs"),
        ("It is no longer than one large step.", None),
    ),
    lambda found: 1,  # a simulated server takes one step after the other while somebody runs
)
POLICY = Look(
    "policy",
    "Send the log through a cache of the same size that keeps longest what was asked for twice",
    (
        ("It finds a tenth more, or more than that.", "bad-policy"),
        ("It finds about as much, or less.", None),
    ),
    _by_another_policy,
)
