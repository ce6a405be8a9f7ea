"""Lesson 19: a server that more and more people use, a cache on tape, and what vLLM and SGLang tell of such things."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from labkit import engine
from labkit.cache.geometry import MODELS
from labkit.drills.evidence import figure_name
from labkit.drills.world import BLOCK_SIZE, SECONDS, Run, Stream, World, run
from labkit.observe.series import Series
from labkit.observe.servers import SGLANG, VLLM, Server
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.clock import Moment, simulate
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.specs.eviction_storms.boards import KINDS, server

Event = tuple[float, str, str]
"""Seconds, "stored", "removed" or "cleared", and the content, as `regret_rate` takes them."""

CROWD, CROWD_SEED = KINDS["crowding"], 3
SICK = World(
    (Stream(0.5, 300, 500, spread=0.4),), blocks=900, cache=None, config=SchedulerConfig(seats=64, token_budget=2048)
)
"""Answers that outgrow what was free when their requests came in; the watermark is 0."""

KNOBS = (
    ("blocks", "Blocks", (1900, 2500, 3000, 4000)),
    ("seats", "Seats", (12, 16, 24, 32, 64)),
    ("watermark", "Watermark", (0.0, 0.02, 0.05, 0.1, 0.2)),
    ("beginnings", "Beginnings", (10, 20, 40)),
)
"""What can be turned at `crowded`: its name there, what a person reads, and the values."""
OPENED = {"blocks": 1900, "seats": 64, "watermark": 0.0, "beginnings": 40}
"""Where these knobs stand at first."""


def crowded(blocks: int = 1900, seats: int = 64, watermark: float = 0.0, beginnings: int = 40) -> Series:
    """Two minutes of the server at the top: after forty seconds more come, with so many different beginnings."""
    world = CROWD.with_stream(1, heads=beginnings).with_knobs(seats=seats, watermark=watermark)
    return run(replace(world, blocks=blocks), CROWD_SEED).series


def mean(board: Series, figure: str, first_s: float, last_s: float) -> float:
    """The mean of a figure over windows that end in this time."""
    at = (board.end_s > first_s) & (board.end_s <= last_s)
    return float(np.nanmean(board[figure][at]))


def late_figures(**knobs: Any) -> tuple[float, float, float]:
    """What that server does late: the share of its work that is done twice, tokens delivered per second, who waits."""
    names = "computed", "regretted", "recomputed", "delivered", "waiting"
    computed, regretted, recomputed, delivered, waiting = (mean(crowded(**knobs), name, 80, SECONDS) for name in names)
    return (BLOCK_SIZE * regretted + recomputed) / computed, delivered, waiting


def tape(name: str) -> list[Event]:
    """What a server's prefix cache tells while it runs, as KV events would: contents are numbered as they come."""
    found = server(name)
    manager = engine.kv_cache_manager(found.scheduler.manager.num_blocks, BLOCK_SIZE, regret=True, yours=False)
    names: dict[Hashable, str] = {}
    events: list[Event] = []
    fresh: list[tuple[str, Hashable]] = []  # of the step that is being decided
    meter = manager.regret
    assert meter is not None
    stored, removed = meter.stored, meter.removed

    def hear(kind: str, contents: Iterable[Hashable]) -> list[Hashable]:
        heard = list(contents)
        fresh.extend((kind, content) for content in heard)
        return heard

    meter.stored = lambda contents: stored(hear("stored", contents))
    meter.removed = lambda contents: removed(hear("removed", contents))

    def stamp(moment: Moment) -> None:
        for kind, content in fresh:
            events.append((moment.at_s, kind, names.setdefault(content, f"content {len(names)}")))
        fresh.clear()

    simulate(
        found.requests(), Scheduler(manager, found.world.config), cost_model(CARDS["L4"], MODELS["Llama-3.1-8B"]),
        most_seconds=SECONDS, keep=False, tell=stamp,
    )  # fmt: skip
    return [event for event in events if event[0] < SECONDS]


class Paired(NamedTuple):
    """What a setting made of the same servers, seed by seed.

    Attributes:
        preemptions: in all of them; twice: share of the computed tokens that had been computed before.
        delivered: tokens per second; ttft_s: median time to the first token, both of the second minute, on average.
        runs: of the seeds, in order.
    """

    preemptions: int
    twice: float
    delivered: float
    ttft_s: float
    runs: list[Run]


def paired(world: World, seeds: Sequence[int], **knobs: Any) -> Paired:
    """The same requests for each seed, under other knobs."""
    runs = [run(world.with_knobs(**knobs), seed) for seed in seeds]
    computed = sum(it.totals["computed_tokens_per_second"] * it.totals["seconds_simulated"] for it in runs)
    return Paired(
        sum(it.totals["preemptions"] for it in runs),
        sum(it.totals["recomputed_tokens"] for it in runs) / computed,
        float(np.mean([it.measure("delivered") for it in runs])),
        float(np.mean([it.measure("ttft_p50") for it in runs])),
        runs,
    )


# ----- what servers tell ------------------------------------------------------------------------------------------


class Symptom(NamedTuple):
    """Something that a board shows.

    Attributes:
        figure: its name in a series. means: what it convicts, or acquits.
        vllm, sglang: what to turn, "" for nothing.
    """

    figure: str
    means: str
    vllm: str = ""
    sglang: str = ""


SYMPTOMS = (
    Symptom("evicted", "alone, nothing: a full cache evicts all day"),
    Symptom(
        "regretted", "prefixes that are in use do not fit", "--gpu-memory-utilization, --kv-cache-dtype",
        "--mem-fraction-static, --radix-eviction-policy",
    ),
    Symptom("preempted", "alone, nothing: ask what is computed again for it", "--watermark"),
    Symptom(
        "recomputed", "those who run take each other's memory", "--watermark, --max-num-seqs"
    ),
    Symptom("held", "rises without more who run: something does not let go; full alone: nothing"),
    Symptom("waiting_for_memory", "who waits for memory: more comes than fits", "--max-num-queued-reqs",
            "--max-queued-requests"),
    Symptom("hit_rate", "prompts no longer begin alike, or their beginnings went"),
    Symptom("itl_p99", "with memory free: prompts go before those who generate", "--max-num-batched-tokens",
            "--chunked-prefill-size"),
)  # fmt: skip
"""Read in vLLM 0.33.0 and SGLang 0.5.23."""


def symptom_table(symptoms: Sequence[Symptom] = SYMPTOMS) -> str:
    """Two tables in Markdown: from symptom to flag, and from symptom to metric.

    What a metric is worth stands in `labkit.observe.servers`, with the bias or the reason.
    """
    flags, metrics = "| what you see | what it means |", "| what you see |"
    flags += " to turn in vLLM | to turn in SGLang |\n" + "|:--" * 4 + "|"
    metrics += " vLLM | SGLang |\n" + "|:--" * 3 + "|"
    for it in symptoms:
        title = figure_name(it.figure)
        flags += f"\n| {title} | {it.means} | {_code(it.vllm)} | {_code(it.sglang)} |"
        metrics += f"\n| {title} |"
        for worth, metric, why in (told(kind, it.figure) for kind in (VLLM, SGLANG)):
            metrics += " " + "<br>".join(filter(None, (f"**{worth}**", _code(metric), why))) + " |"
    return f"{flags}\n\n{metrics}"


def _code(names: str) -> str:
    return "<br>".join(f"`{name}`" for name in names.split(", ")) if names else ""


def told(kind: Server, figure: str) -> tuple[str, str, str]:
    """What a kind of server says of a figure today: its worth, the metrics, and the bias or the reason."""
    for reading in kind.readings:
        if reading.figure == figure and not reading.older:
            names = dict.fromkeys(term.metric for term in reading.terms)
            return str(reading.worth), ", ".join(names), reading.bias
    return "absent", "", kind.why_absent(figure)
