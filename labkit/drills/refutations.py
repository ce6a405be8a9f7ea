"""What shows of a cause, on whatever server, that it is not the one, and which figures cannot show it, and why.

Every figure of the board has, against every cause, a rule or a reason: what counts is known once, and for all drills.
A drill may add what is known of its own server (`Drill.rules_out`). A rule counts in windows in which the trouble is:
before it, every server shows that nothing is wrong with it.
"""

from __future__ import annotations

from labkit.drills.drill import HEALTHY, Drill
from labkit.drills.evidence import Evidence, at_least, at_most, both, falls, flat, never_above, never_below

DAY, STORM = 0.15, 0.25
"""Shares of what is computed that had been computed before: less than the first is a busy day (the rule of the storm
board begins there), the second is a storm in lesson 19.
"""
_EVICTING = at_least("evicted", 10, "")
_NOT_PREEMPTED = at_most("preempted", 0.02, "nobody, or hardly anybody, is preempted {when}.", least=1 / 4)
_NO_WAIT_FOR_MEMORY = at_most("waiting_for_memory", 0.1, "nobody waits for memory {when}.")
_NOBODY_WAITS = at_most("waiting", 1, "hardly anybody waits {when}.")
_NOBODY_ASKS = at_most("arrived", 0.05, "nobody asks it for anything {when}.")
_FREE = at_least("free", 0.25, "a quarter of the blocks, or more, is free {when}.")
_ROOM = at_most("held", 0.7, "those who run hold two thirds of the blocks, or fewer, {when}.")
_CACHE = at_least("cached", 0.3, "three blocks in ten, or more, are cache {when}: those who run have room.")
_NOT_EVICTED = at_most("evicted", 0.5, "hardly a block is evicted {when}.")
_NOTHING_CACHED = at_most("cached", 0.1, "there is hardly anything cached that could be evicted {when}.")
_NOT_WANTED = at_most(
    "regretted", 0.05, "hardly a block that is evicted is wanted again for half a minute.", of="evicted", least=1 / 4
)
_FOUND = at_least("hit_rate", 0.4, "prompts find two fifths of their tokens, or more, {when}.")
_FEWER_RUN = both(
    falls("running", 0.65, "fewer run than ran before, in as full a memory: the same pool had room for more."),
    at_least("held", 0.85, ""),
)._replace(least=1 / 4)
_DELIVERS_LESS = falls("delivered", 0.7, "more load alone does not make a server deliver less.")._replace(least=1 / 3)
_NO_LARGE_STEP = at_most("itl_p99", 0.2, "the slowest tokens take two ordinary steps, or less, {when}.")


def _of_work(figure: str, share: float, because: str) -> Evidence:
    """So large a share of what is computed in 20 s or more was done before: a block has 16 tokens."""
    evidence = at_least(figure, share, because, of="computed", times=16 if figure == "regretted" else 1)
    return evidence._replace(least=1 / 6)


REFUTATIONS: dict[str, tuple[Evidence, ...]] = {
    HEALTHY: (
        at_least("waiting", 20, "a long queue waits: whoever stands in it feels that something is wrong."),
        at_least("waiting_for_memory", 20, "a long queue waits for memory: whoever stands in it feels that."),
        at_least("ttft_p50", 8, "half of the users wait eight seconds or more for a first token."),
        at_least("ttft_p99", 20, "the slowest first tokens take twenty seconds or more."),
        at_least("itl_p99", 0.8, "the slowest tokens take eight ordinary steps or more: answers stutter."),
        _of_work("recomputed", STORM, "a quarter of what is computed, or more, had been computed before."),
        _of_work("regretted", STORM, "a quarter of what is computed, or more, had been evicted before."),
        both(
            at_most("goodput", 0.5, "of those who finish, half or fewer were served in time.", of="finished"),
            at_least("finished", 0.1, ""),
        ),
    ),
    "overload": (
        _NOBODY_WAITS,
        _NO_WAIT_FOR_MEMORY._replace(claims=(*_NO_WAIT_FOR_MEMORY.claims, *_NOBODY_WAITS.claims)),
        _NOBODY_ASKS,
        at_most("running", 2, "a server with too much to do would do it: hardly anybody runs."),
        at_most("ttft_p50", 0.5, "half of the users have their first token within half a second {when}."),
        at_most("ttft_p99", 1, "even the slowest first tokens come within a second {when}."),
        _of_work("recomputed", DAY, "of what is computed, 15% or more is computed twice: load is not all of it."),
        _of_work("regretted", DAY, "of what is computed, 15% or more had been evicted before: load is not all of it."),
        _DELIVERS_LESS,
        _FEWER_RUN,
    ),
    "small-pool": (
        _FREE,
        _ROOM,
        _CACHE,
        both(_NOT_WANTED, _EVICTING),
        both(_NO_WAIT_FOR_MEMORY, _NOT_PREEMPTED),
        at_most(
            "preempted", 0.02, "nobody, or hardly anybody, is preempted {when}: those who run have room.", least=1 / 4
        ),
        both(_NOBODY_WAITS, _NOT_PREEMPTED),
        at_most("recomputed", 0.01, "those who run lose nothing {when}: they have room.", of="computed"),
        _FOUND,
        _FEWER_RUN,
    ),
    "eager-admission": (
        _NOT_PREEMPTED,
        _FREE,
        _ROOM,
        _CACHE,
        at_most("recomputed", 0.02, "hardly a token is computed twice for half a minute.", of="computed", least=1 / 4),
        at_most(
            "itl_p99", 0.2, "the slowest tokens take two steps for 40 seconds: nobody is out for long.", least=1 / 3
        ),
    ),
    "first-chunk": (
        at_most("preempted", 0.02, "nobody, or hardly anybody, is preempted for 40 seconds.", least=1 / 3),
        at_most("recomputed", 0.1, "hardly a token is computed twice for 40 seconds.", of="computed", least=1 / 3),
    ),
    "prompts-first": (
        at_most("itl_p99", 0.4, "hardly a token waits longer than one large step {when}."),
        at_most("computed", 500, "little is computed {when}: there are hardly any prompts that could go first."),
    ),
    "volatile-heads": (
        never_below("hit_rate", 0.05, "prompts still find their beginnings {when}: they are alike."),
        both(at_least("regretted", 0.3, "what is evicted is wanted again: the same comes back.", "evicted"), _EVICTING),
    ),
    "scan": (
        _NOT_EVICTED,
        _NOTHING_CACHED,
        at_most("regretted", 0.01, "nothing that is pushed out is wanted again for half a minute.", "evicted", 1 / 4),
        at_least("hit_rate", 0.6, "most of what is asked for is still there for half a minute.")._replace(least=1 / 4),
    ),
    "crowded-out": (
        _NOT_WANTED,
        _NOT_EVICTED,
        _FREE,
        at_most("held", 0.5, "those who run leave half of it to the cache."),
        at_least("cached", 0.5, "half of the blocks, or more, are cache {when}."),
        _FOUND,
    ),
    "bad-policy": (_NOT_EVICTED, _NOTHING_CACHED, _NOT_WANTED),
    "leaked-pins": (
        at_most("held", 0.5, "half of the blocks, or fewer, are held at all {when}."),
        flat("held", 0.25, "for each request that runs as much is held as before.", of="running"),
        _FREE,
        at_least("cached", 0.5, "half of the blocks, or more, are cache {when}: nobody holds them."),
        flat("running", 0.25, "as many run as before for 40 seconds: a leak would leave room for fewer and fewer."),
        both(_NOBODY_WAITS, at_most("held", 0.6, "")),
        both(_NO_WAIT_FOR_MEMORY, at_most("held", 0.6, "")),
    ),
    "long-prompt": (
        at_most("computed", 500, "a long prompt would have to be computed, and little is."),
        at_least("itl_p99", 1, "gaps are two of the largest steps, or more: one prompt takes one step at a time."),
        _NO_LARGE_STEP,
    ),
    "offload": (
        at_least("computed", 1300, "it computes all it can for half a minute: no step waits for a copy.")._replace(
            least=1 / 4
        ),
        _NO_LARGE_STEP,
    ),
    "shut-gate": (
        at_most("waiting", 0.5, "there is nobody whom a gate could keep out."),
        _NO_WAIT_FOR_MEMORY,
        at_least("held", 0.9, "memory is full: nobody is kept out who would fit."),
        at_most("free", 0.1, "hardly a block is free: nobody is kept out who would fit."),
        at_least("running", 8, "many run {when}: the gate lets them in."),
    ),
    "own-hits": (
        _NOT_PREEMPTED,
        at_most("recomputed", 0.01, "nobody comes back and computes anew what it had {when}.", of="computed"),
        at_most("hit_rate", 0.02, "hardly anything is counted as found {when}."),
    ),
    "hangs": (
        never_below("computed", 100, "in none of these windows does it stop computing: nothing hangs."),
        never_below("delivered", 30, "in all of these windows tokens come out: nothing hangs."),
        never_below("finished", 0.1, "in all of these windows somebody finishes: nothing hangs."),
        never_above("itl_p99", 2.5, "no token waits longer than seconds {when}: nothing hangs."),
        never_above("waiting", 0.5, "what hangs has a queue before it."),
        both(at_most("running", 0.5, "nobody runs or waits: there is nothing to hang on."), _NOBODY_WAITS),
        _NOBODY_ASKS,
    ),
}
"""By cause. A drill in which it is the cause shows none of it while its trouble lasts."""

_SAME_QUEUE = "it says how long somebody waited, and not what for"
_SAME_BLOCKS = "it says how full memory is, and this cause does not need it full, or is there only when it is"
REASONS: dict[str, str] = {
    "delivered": "what goes out rises and falls with who comes and how long their answers are",
    "computed": "how much is computed depends on which prompts come",
    "recomputed": "what a preemption throws away says nothing of it",
    "recycled": "blocks change hands whenever a request ends, on every server",
    "evicted": "a cache that is full evicts, harmed or not, and a server without one never does",
    "regretted": "what an eviction costs says nothing of it",
    "preempted": "whether somebody is preempted says nothing of it",
    "arrived": "who comes does not depend on what is wrong with the server",
    "finished": "how many finish depends on who came, and how much they asked for",
    "refused": "who is turned away at the door is turned away by a limit there, whatever is behind it",
    "running": "how many run depends on who comes and how long their answers are",
    "waiting": "a queue says that something is short, and not what",
    "waiting_for_memory": "a queue for memory says that blocks are short, and not why",
    "held": _SAME_BLOCKS,
    "cached": _SAME_BLOCKS,
    "free": _SAME_BLOCKS,
    "hit_rate": "what prompts find depends on which prompts come",
    "ttft_p50": _SAME_QUEUE,
    "ttft_p99": _SAME_QUEUE,
    "itl_p50": "half of the tokens come in time on most servers that are ill",
    "itl_p99": "it says that some steps are long, or missed, and not why",
    "e2e_p99": "it adds up queue, prompt and answer, and says of none of them why it took so long",
    "goodput": "it says what users got, and not why",
    "flops_per_token": "it depends on how long prompts and answers are",
}
"""By figure: why it cannot tell a cause for which no rule stands above from another."""

_ANY_CAUSE = "memory is full, or is not, for many reasons"
ALONE: dict[str, str] = REASONS | {
    "recomputed": "work is thrown away wherever memory runs short, for whatever reason",
    "regretted": "what an eviction costs does not say why the block was evicted",
    "preempted": "a server that is well preempts now and then, and one that is short of memory does for many reasons",
    "held": _ANY_CAUSE,
    "cached": _ANY_CAUSE,
    "free": _ANY_CAUSE,
}
"""By figure: why it does not convict where it is no evidence of the cause."""

_IN_TIME = "users may be served in time by a server that does much of its work twice"
_CLEARED = "acquits {} alone, and the headline asks about something else"
ASKED_ABOUT = "the headline asks about it: what it costs, or that it costs nothing, another figure shows"
NO_ACQUITTAL: dict[str, str] = {
    "delivered": "a server that does half of its work twice may deliver more than ever",
    "recomputed": f"it {_CLEARED.format('preemptions')}",
    "preempted": f"it {_CLEARED.format('preemptions')}",
    "regretted": f"it {_CLEARED.format('evictions')}",
    "evicted": "what is evicted, or is not, harms nobody until it is wanted again",
    "waiting": _IN_TIME,
    "waiting_for_memory": _IN_TIME,
    "ttft_p50": _IN_TIME,
    "ttft_p99": _IN_TIME,
    "itl_p50": _IN_TIME,
    "itl_p99": _IN_TIME,
    "e2e_p99": _IN_TIME,
    "goodput": _IN_TIME,
}
"""By figure: why it does not show of a healthy server that it is well, where it is no evidence of that."""

UNTOLD: dict[tuple[str, str], str] = {
    (
        "overload",
        "arrived",
    ): "no more may come than at first, and be too many all the same, since a queue takes time to grow",
    (HEALTHY, "preempted"): "a server that is well preempts now and then, and one that preempts nobody may be ill",
    (HEALTHY, "evicted"): "every cache that is full evicts: it harms nobody until what went is wanted again",
    (HEALTHY, "delivered"): "throughput can rise on a server that is ill, and fall because fewer ask",
}
"""By cause and figure: a reason of its own, which is also told where a rule about the figure is missed."""


def refutations(drill: Drill, rival: str) -> tuple[Evidence, ...]:
    """All that rules a rival out on a drill's boards: its own evidence first."""
    return (*drill.rules_out.get(rival, ()), *REFUTATIONS.get(rival, ()))


def unjudged(rival: str, figure: str) -> str:
    """Why no pin on a figure rules a rival out: the end of a sentence that says so."""
    return UNTOLD.get((rival, figure), REASONS[figure])
