"""Lesson 20: a shop's assistant and its server, what a person sees of it, and a log from somewhere else."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit import engine, theme
from labkit.observe.series import Series
from labkit.scheduling.config import SchedulerConfig
from labkit.simulate.clock import Simulation, simulate
from labkit.simulate.configuration import Configuration
from labkit.simulate.generators import workload
from labkit.simulate.metrics import Metrics, Target
from labkit.simulate.pictures import Picture, blank
from labkit.simulate.trace import Trace

PROMISE = Target(ttft_s=1.0, tpot_s=0.05)
"""What the shop promised: a first word within a second, and then 20 tokens per second."""
REQUESTS = 240
KNOBS = (
    ("per_s", "Requests per second", (4, 6, 8, 10, 12, 16, 20, 24)),
    ("blocks", "Blocks", (1000, 2000, 3000, 4000, 5000, 6000, 8000, 12000)),
)
"""What can be turned at `on_a_board`: its name there, what a person reads, and the values."""
OPENED = {"per_s": 8, "blocks": 3000}
"""Where these knobs stand at first."""


def asked(per_s: float, seed: int = 1, n: int = REQUESTS) -> Trace:
    """Questions to the shop: prompts of about 1,000 tokens, answers of about 150, nothing shared."""
    return workload("poisson", n, seed, per_s=per_s)


def rush(per_s: float, seed: int = 1) -> Trace:
    """Twenty seconds of such questions: what is enough depends on how long a load lasts."""
    return asked(per_s, seed, round(20 * per_s))


def begun(trace: Trace) -> int:
    """How many conversations of `chats` are in it: so many blocks stand first behind the system prompt."""
    return len({int(ids[4]) for ids in trace.hash_ids or () if len(ids) > 4})


def chats(starts_per_s: float, seed: int = 1, n: int = 600) -> Trace:
    """The first `n` prompts of conversations that come to eight turns in the mean; ids stand for 64 tokens.

    All begin with one system prompt of 256 tokens.
    """
    return workload(
        "conversations", n, seed, starts_per_s=starts_per_s, turns=8, gap_s=(5, 30), system_tokens=256, block_tokens=64
    )


def server(blocks: int | None = None, **more: Any) -> Configuration:
    """Llama 3.1 8B on one H100 with so many blocks; None for as many as it has room for."""
    return Configuration("chats", card="H100", blocks=blocks, **{"target": PROMISE} | more)


def served(trace: Trace, blocks: int, *, keep: bool = True, window_s: float = 2.0) -> Simulation:
    """The same server, made of the parts in use; every life is kept, unless nobody wants them."""
    manager = engine.kv_cache_manager(blocks, prefix_cache=None)
    scheduler = engine.scheduler(manager, SchedulerConfig())
    metrics = Metrics(scheduler, window_s=window_s, target=PROMISE)
    return simulate(trace, scheduler, server().cost, keep=keep, metrics=metrics)


def on_a_board(settings: dict[str, Any]) -> Series:
    """What a board shows of the same server, from "per_s" requests per second on so many "blocks"."""
    return served(asked(settings["per_s"]), settings["blocks"], keep=False).metrics.series


def measured_picture(measured: dict[int, float], blocks: int, wanted: float) -> Picture:
    """The share that was served well at each size that a search has measured."""
    figure = blank(2.8)
    axes = figure.subplots()
    sizes, shares = zip(*sorted(measured.items()), strict=True)
    axes.plot([blocks * size for size in sizes], shares, color=theme.sequence_color("A"), linewidth=1.2, alpha=0.6)
    for number, (size, share) in enumerate(measured.items(), start=1):
        axes.plot(blocks * size, share, "o", color=theme.sequence_color("A" if share >= wanted else "B"), markersize=7)
        axes.annotate(str(number), (blocks * size, share), (6, -11), textcoords="offset points", fontsize=8)
    axes.axhline(wanted, linestyle="--", linewidth=1, color=theme.sequence_color("C"))
    axes.set(xlabel="blocks", ylabel="share served well", ylim=(0, 1.05), xlim=(0, None))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_title("What was measured, in this order")
    said = ", ".join(f"{blocks * size:,} blocks {share:.1%}" for size, share in measured.items())
    return Picture(figure, f"Share served well by memory, in the order of the measurements: {said}.")


COLUMNS = ("request", "user", "Started_ms", "finished_ms", "Prompt Tokens", "total_tokens", "Completion-Tokens")


def foreign_log(path: Path, columns: Sequence[str] = COLUMNS) -> Path:
    """A log as a gateway writes it: other names, milliseconds since some day, columns that nobody needs."""
    trace = workload("bursty", 200, 7, per_s=5, cv=2.0)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for i in range(len(trace)):
            began, prompt, answer = (
                1_700_000_000_000 + round(1000 * float(trace.arrival_s[i])),
                int(trace.input_tokens[i]),
                int(trace.output_tokens[i]),
            )
            table.writerow([f"r{i}", f"u{i % 7}", began, began + 30 * answer, prompt, prompt + answer, answer])
    return path


def waited(due_s: float, sent_s: float, first_s: float) -> float:
    """The right clock of a client: it starts when the request was due."""
    return first_s - due_s
