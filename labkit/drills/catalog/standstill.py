"""At times not a token comes out: because a gate keeps out who fits, and because nobody asks for one."""

from __future__ import annotations

from labkit.drills.drill import HEALTHY, Case, Drill, Goal, Incident, Look
from labkit.drills.evidence import at_least, at_most, both
from labkit.drills.faults import two_formulas
from labkit.drills.options import FEWER_SEATS, GPU, ONE_FORMULA, RAISE_WATERMARK, REFUSE, RESTART, RESTARTED
from labkit.drills.world import Run, Stream, World
from labkit.scheduling.config import SchedulerConfig


def _first_in_line(run: Run) -> int:
    stuck = sum(moment.seconds for moment in run.moments if moment.waiting and not moment.running)
    return int(stuck < 5)


STILL = at_most("delivered", 12, "")
"""The windows are those in which hardly a token comes out."""
CONFIG = SchedulerConfig(seats=16, token_budget=2048)
CASE = Case(
    headline="At times hardly a token comes out, at others {most:.0f} a second. The health check is green all the "
    "while. Should it restart the server?",
    figure="delivered",
    looks=(
        GPU,
        Look(
            "queue",
            "At a standstill, look who is first in the queue, and since when",
            (
                ("The same request for seconds, with room for it in memory.", "shut-gate"),
                ("Nobody: the queue is empty.", HEALTHY),
            ),
            _first_in_line,
        ),
        RESTARTED,
    ),
    diagnoses=("hangs", "small-pool", HEALTHY, "overload", "shut-gate", "leaked-pins"),
    fixes=(RESTART, RAISE_WATERMARK, ONE_FORMULA, FEWER_SEATS, REFUSE),
    tempting=("hangs", "restart"),
    happens=STILL,
)

SHUT = Drill(
    name="the-door-keeper",
    lesson="17",
    case=CASE,
    world=World(
        streams=(Stream(0.9, 300, 90), Stream(0.05, 7500, 40, start_s=25, spread=0.15)),
        blocks=1200,
        config=CONFIG,
        cache=None,
        fault=two_formulas(4, 35),
    ),
    cause="shut-gate",
    convicts=(
        both(
            at_least("free", 0.8, "Requests wait, memory is empty, and nobody is let in."),
            both(at_least("waiting", 4, ""), STILL),
        ),
        both(
            at_least("waiting_for_memory", 4, "Requests wait for memory while all of it is free."),
            at_least("free", 0.8, ""),
        ),
        both(at_most("running", 1, "Hardly anybody runs, and many wait."), at_least("waiting", 4, "")),
    ),
    rules_out={
        HEALTHY: (both(at_least("waiting", 4, "Where no token comes out, users wait for one."), STILL),),
        "small-pool": (both(at_most("held", 0.2, "Where no token comes out, hardly a block is held."), STILL),),
        "leaked-pins": (both(at_most("held", 0.2, "Where no token comes out, hardly a block is held."), STILL),),
        "overload": (both(at_most("running", 1, "A server with too much to do would do it."), STILL),),
    },
    remedy=("formula",),
    target=Goal("ttft_p99_s", at_most=0.5),
    guards=(Goal("tokens_per_second", at_least=1.0), Goal("refused", at_most=1.0)),
    incident=Incident(
        "vLLM 39734",
        "https://github.com/vllm-project/vllm/issues/39734",
        "Running 0, waiting 1, and nothing moved any more. The gate on the full sequence counted the blocks of a "
        "request by one formula and the cache was sized by another, so one that fitted never passed, and everybody "
        "stood behind it.",
        "Gate and size have to count alike. A gate must let in whoever fits when nobody runs: there is nobody left to "
        "wait for.",
    ),
)

QUIET = Drill(
    name="between-two-trains",
    lesson="19",
    case=CASE,
    world=World(
        streams=tuple(
            Stream(3.0, 300, 50, spread=0.4, start_s=start, end_s=end)
            for start, end in ((0, 9), (37, 46), (77, 87), (110, 120))
        ),
        blocks=1200,
        config=CONFIG,
        cache=None,
    ),
    cause=HEALTHY,
    convicts=(
        both(at_most("waiting", 0.5, "Where no token comes out, nobody waits for one."), STILL),
        both(at_most("arrived", 0.05, "Where no token comes out, nobody has asked for one."), STILL),
        both(
            at_most("running", 0.5, "Where no token comes out, nobody runs, and nobody waits."),
            both(at_most("waiting", 0.5, ""), STILL),
        ),
    ),
    rules_out={
        "hangs": (
            both(at_most("waiting", 0.5, "What hangs has a queue before it."), STILL),
            both(at_most("arrived", 0.05, "Nobody asks it for anything."), STILL),
        ),
        "shut-gate": (both(at_most("waiting", 0.5, "There is nobody whom a gate could keep out."), STILL),),
        "overload": (both(at_most("arrived", 0.05, "Nobody asks it for anything."), STILL),),
    },
    remedy=(),
    target=None,
    guards=(),
    incident=Incident(
        "vLLM 45387",
        "https://github.com/vllm-project/vllm/issues/45387",
        "There, nobody ran, five or six waited, the KV cache was empty, and for nine minutes the health check was "
        "green. A restart on the health check is the tempting answer to it. Tokens alone do not tell such a server "
        "from one that nobody asks for anything: the queue does.",
        "Open when it was read in November 2026. Here the queue is empty: they come in crowds, and are served.",
    ),
)

DRILLS = (SHUT, QUIET)
