"""At times not a token comes out: because a gate keeps out who fits, and because nobody asks for one."""

from __future__ import annotations

from labkit.drills.drill import HEALTHY, Case, Drill, Goal, Incident
from labkit.drills.evidence import Trouble, at_least, at_most, both
from labkit.drills.faults import two_formulas
from labkit.drills.looks import HOLDERS, QUEUE, STALLS
from labkit.drills.options import FEWER_SEATS, ONE_FORMULA, RAISE_WATERMARK, REFUSE, RESTART
from labkit.drills.world import Stream, World
from labkit.scheduling.config import SchedulerConfig

CONFIG = SchedulerConfig(seats=16, token_budget=2048)
CASE = Case(
    headline="At times hardly a token comes out, at others {most:.0f} a second. The health check is green all the "
    "while. Should it restart the server?",
    figure="delivered",
    looks=(QUEUE, HOLDERS.testing("leaked-pins"), STALLS),
    diagnoses=("hangs", "small-pool", HEALTHY, "overload", "shut-gate", "leaked-pins"),
    fixes=(RESTART, RAISE_WATERMARK, ONE_FORMULA, FEWER_SEATS, REFUSE),
    tempting=("hangs", "restart"),
    trouble=Trouble("delivered", "where hardly a token comes out", at_most=12, gap=0),
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
            at_least("free", 0.8, "Requests wait, memory is empty, and nobody is let in."), at_least("waiting", 4, "")
        ),
        both(
            at_least("waiting_for_memory", 4, "Requests wait for memory while all of it is free."),
            at_least("free", 0.8, ""),
        ),
        both(at_most("running", 1, "Hardly anybody runs, and many wait."), at_least("waiting", 4, "")),
    ),
    rules_out={
        HEALTHY: (at_least("waiting", 4, "Where no token comes out, users wait for one."),),
        "small-pool": (at_most("held", 0.2, "Where no token comes out, hardly a block is held."),),
        "leaked-pins": (at_most("held", 0.2, "Where no token comes out, hardly a block is held."),),
        "overload": (at_most("running", 1, "A server with too much to do would do it."),),
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
        at_most("waiting", 0.5, "Where no token comes out, nobody waits for one."),
        at_most("arrived", 0.05, "Where no token comes out, nobody has asked for one."),
        both(
            at_most("running", 0.5, "Where no token comes out, nobody runs, and nobody waits."),
            at_most("waiting", 0.5, ""),
        ),
    ),
    rules_out={
        "hangs": (
            at_most("waiting", 0.5, "What hangs has a queue before it."),
            at_most("arrived", 0.05, "Nobody asks it for anything."),
        ),
        "shut-gate": (at_most("waiting", 0.5, "There is nobody whom a gate could keep out."),),
        "overload": (at_most("arrived", 0.05, "Nobody asks it for anything."),),
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
