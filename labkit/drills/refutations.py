"""What shows of a cause, on whatever server, that it is not the one: what is known besides a drill's own evidence.

It counts only in windows in which what the headline tells of happens (`Case.happens`): before that, every server shows
that nothing is wrong with it.
"""

from __future__ import annotations

from labkit.drills.drill import HEALTHY, Drill
from labkit.drills.evidence import Evidence, at_least, at_most, both, never_above, never_below

_EVICTING = at_least("evicted", 10, "")
_COMPUTES = at_least("computed", 1, "")
_FREE = at_least("free", 0.25, "A quarter of the blocks, or more, is free while it happens.")
_ROOM = at_most("held", 0.7, "While it happens, those who run hold two thirds of the blocks, or fewer.")
_NOBODY_WAITS = at_most("waiting", 1, "While it happens, hardly anybody waits.")
_NOT_PREEMPTED = at_most("preempted", 0.02, "While it happens, nobody is preempted.")
_NOT_WANTED = both(
    at_most("regretted", 0.05, "Hardly a block that is evicted is wanted again.", of="evicted"), _EVICTING
)
_NOT_EVICTED = at_most("evicted", 0.5, "While it happens, hardly a block is evicted.")
_NO_WAIT_FOR_MEMORY = at_most("waiting_for_memory", 0.1, "While it happens, nobody waits for memory.")
_NOBODY_ASKS = at_most("arrived", 0.05, "While it happens, nobody asks it for anything.")

REFUTATIONS: dict[str, tuple[Evidence, ...]] = {
    HEALTHY: (
        at_least("waiting", 20, "A long queue waits: whoever stands in it feels that something is wrong."),
        at_least("waiting_for_memory", 20, "A long queue waits for memory: whoever stands in it feels that."),
        at_least("ttft_p50", 8, "Half of the users wait eight seconds or more for a first token."),
        at_least("ttft_p99", 20, "The slowest first tokens take twenty seconds or more."),
        at_least("itl_p99", 0.8, "The slowest tokens take eight ordinary steps or more: answers stutter."),
        both(at_least("recomputed", 0.25, "A quarter of what is computed had been before.", of="computed"), _COMPUTES),
        both(
            at_least("regretted", 0.25 / 16, "A quarter of what is computed was evicted before.", of="computed"),
            _COMPUTES,
        ),
    ),
    "overload": (
        _NOBODY_WAITS,
        _NOBODY_ASKS,
        at_most("running", 2, "A server with too much to do would do it: hardly anybody runs."),
    ),
    "small-pool": (
        _FREE,
        _ROOM,
        _NOT_WANTED,
        both(_NO_WAIT_FOR_MEMORY, _NOT_PREEMPTED),
        both(_NOT_PREEMPTED, _NO_WAIT_FOR_MEMORY),
    ),
    "eager-admission": (_NOT_PREEMPTED, _FREE, _ROOM),
    "first-chunk": (never_above("preempted", 0.02, "For a third of the board nobody is preempted."),),
    "prompts-first": (at_most("itl_p99", 0.4, "While it happens, hardly a token waits longer than one large step."),),
    "volatile-heads": (
        never_below("hit_rate", 0.05, "While it happens, prompts still find their beginnings: they are alike."),
        both(
            at_least("regretted", 0.3, "What is evicted is wanted again: the same comes back.", of="evicted"), _EVICTING
        ),
    ),
    "scan": (_NOT_EVICTED, at_most("cached", 0.1, "There is hardly anything that could be pushed out.")),
    "crowded-out": (
        _NOT_WANTED,
        _NOT_EVICTED,
        _FREE,
        at_most("held", 0.5, "Those who run leave half of it to the cache."),
    ),
    "bad-policy": (_NOT_EVICTED,),
    "leaked-pins": (
        at_most("held", 0.5, "While it happens, half of the blocks, or fewer, is held at all."),
        at_least("free", 0.5, "Half of the blocks, or more, is free while it happens."),
    ),
    "long-prompt": (at_most("computed", 500, "A long prompt would have to be computed, and little is."),),
    "offload": (never_below("computed", 1500, "While it happens, it computes all it can: no step waits for a copy."),),
    "shut-gate": (
        at_most("waiting", 0.5, "There is nobody whom a gate could keep out."),
        _NO_WAIT_FOR_MEMORY,
        at_least("held", 0.95, "Memory is full: nobody is kept out who would fit."),
    ),
    "own-hits": (_NOT_PREEMPTED,),
    "hangs": (
        never_below("computed", 100, "In none of these windows does it stop computing: nothing hangs."),
        never_below("delivered", 30, "In all of these windows tokens come out: nothing hangs."),
        both(
            at_most("running", 0.5, "Nobody runs or waits: there is nothing to hang on."), at_most("waiting", 0.5, "")
        ),
        _NOBODY_ASKS,
    ),
}
"""By cause. A drill in which it is the cause shows none of it while its headline holds."""


def refutations(drill: Drill, rival: str) -> tuple[Evidence, ...]:
    """All that rules a rival out on a drill's boards: its own evidence first."""
    general = (both(evidence, drill.case.happens) for evidence in REFUTATIONS.get(rival, ()))
    return (*drill.rules_out.get(rival, ()), *general)
