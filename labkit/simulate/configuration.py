"""One simulation as plain data: what comes, on what it runs, and every knob. A sweep is a list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from labkit.cache.checks import one_of, whole_number
from labkit.cache.eviction_policies import POLICIES
from labkit.cache.geometry import blocks_that_fit, kv_bytes_per_token, model
from labkit.engine import kv_cache_manager
from labkit.errors import SimulationError
from labkit.observe.regret import watch_regret
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.scheduler import Scheduler
from labkit.simulate.clock import Simulation, simulate
from labkit.simulate.cost_model import CARDS, CostModel, cost_model
from labkit.simulate.generators import WORKLOADS, workload
from labkit.simulate.metrics import ROWS, Metrics, Target
from labkit.simulate.prefix_workload import draw_conversations
from labkit.simulate.traces import Trace, read_trace
from labkit.simulate.workload import draw

DRAWN: dict[str, Callable[[int, int], Trace]] = {
    "chats": draw,
    "conversations": draw_conversations,
    **{kind.replace(" ", "-"): partial(workload, kind) for kind in WORKLOADS if kind != "conversations"},
}
"""Workloads by the name that stands in a file's place: lengths like Azure's, prompts that begin alike, and those of
`labkit.simulate.generators`.
"""
DRAWN_REQUESTS = 2_000
CACHES = ("auto", "hash", "radix", "none")
UTILISATION = 0.9
"""Of a card's memory, for weights and KV cache: vLLM's `--gpu-memory-utilization`."""


@dataclass(frozen=True)
class Configuration:
    """What is simulated.

    Attributes:
        trace: a trace file, or one of `DRAWN`.
        columns, unit: for a file whose format is not known, its `column_map` and unit of time; see
            `labkit.simulate.traces.read_trace`.
        requests: the first so many; None for all of a file.
        seed: of a workload that is drawn.
        speed: how much faster than in the trace requests come.
        blocks: of KV cache; None for as many as fit beside the weights.
        block_size: tokens per block; None for what the trace's block ids stand for, or 16.
        cache: "hash", "radix", "none", or "auto": the radix tree where the trace says which prompts begin alike.
        eviction: a policy by name (`labkit.cache.eviction_policies`); None for the cache's own.
        card, model: by name; they give the cost of a step.
        scheduler: its knobs.
        target: what counts as goodput.
        window_s: seconds to a row of figures; None for about 300 rows.
        name: what it is called where several are compared.

    Raises:
        SimulationError: what no simulation can be run with; the knobs have errors of their own.
    """

    trace: str
    columns: dict[str, str] | None = None
    unit: str | None = None
    requests: int | None = None
    seed: int = 0
    speed: float = 1.0
    blocks: int | None = None
    block_size: int | None = None
    cache: str = "auto"
    eviction: str | None = None
    card: str = "H100"
    model: str = "Llama-3.1-8B"
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    target: Target = field(default_factory=Target)
    window_s: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        for name in ("requests", "blocks", "block_size"):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), name, at_least=1, error=SimulationError)
        if not 0 < self.speed < float("inf"):
            raise SimulationError(f"speed is {self.speed!r:.60}, but must be more than 0: 2 is twice as fast.")
        one_of(self.cache, "cache", CACHES, SimulationError)
        one_of(self.card, "card", CARDS, SimulationError)
        model(self.model)
        if self.eviction is not None:
            one_of(self.eviction, "eviction", POLICIES, SimulationError)
            if self.cache == "none":
                raise SimulationError(
                    f"Without a prefix cache there is nothing for {self.eviction} to evict: leave one of the two out."
                )

    @property
    def cost(self) -> CostModel:
        """What a step takes."""
        return cost_model(CARDS[self.card], model(self.model))

    def workload(self) -> Trace:
        """What comes.

        Raises:
            TraceFileError: no such file, or one that cannot be read.
        """
        if self.trace in DRAWN:
            if self.columns is not None or self.unit is not None:
                raise SimulationError(f"{self.trace} is drawn and no file: leave columns and the unit of time out.")
            trace = DRAWN[self.trace](self.requests or DRAWN_REQUESTS, self.seed)
        else:
            trace = read_trace(Path(self.trace), self.requests, column_map=self.columns, unit=self.unit)
        return replace(trace, arrival_s=trace.arrival_s / self.speed)

    def prepared(self, trace: Trace, tell: Callable[[Metrics], None] | None = None) -> tuple[Scheduler, Metrics]:
        """A fresh scheduler for a trace, over the reference parts, and what keeps its figures.

        Args:
            tell: called after each row of figures.
        """
        size = self.block_size or (trace.block_tokens if trace.hash_ids is not None else None) or 16
        if self.scheduler.token_budget < size:
            raise SimulationError(
                f"A step has {self.scheduler.token_budget:,} tokens, and a block {size:,}: give a larger budget, or "
                "smaller blocks."
            )
        kind = {"auto": "radix" if trace.hash_ids is not None else None, "none": None}.get(self.cache, self.cache)
        blocks = self.blocks or self._blocks_that_fit(size)
        policy = None if self.eviction is None or kind is None else POLICIES[self.eviction](blocks)
        manager = kv_cache_manager(blocks, size, prefix_cache=kind, policy=policy, yours=False)
        if kind is not None:
            watch_regret(manager, most=max(2**16, 8 * blocks))
        scheduler = Scheduler(manager, self.scheduler)
        window_s = self.window_s or max(1.0, float(round(trace.duration_s / ROWS)))
        source = f"simulation of {trace.name}, {blocks:,} blocks"
        return scheduler, Metrics(scheduler, window_s=window_s, target=self.target, source=source, tell=tell)

    def run(self, tell: Callable[[Metrics], None] | None = None, trace: Trace | None = None) -> Simulation:
        """Simulate it.

        Args:
            tell: called after each row of figures.
            trace: the workload, where it has been read already.
        """
        trace = self.workload() if trace is None else trace
        scheduler, metrics = self.prepared(trace, tell)
        return simulate(trace, scheduler, self.cost, keep=False, metrics=metrics, most_steps=10**12)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)

    def _blocks_that_fit(self, block_size: int) -> int:
        shape = model(self.model)
        block_bytes = block_size * kv_bytes_per_token(shape)
        blocks = blocks_that_fit(CARDS[self.card].memory_bytes, UTILISATION, shape.weights_bytes, 0, block_bytes)
        if blocks < 1:
            raise SimulationError(
                f"{self.model} leaves no room for a KV cache on one {self.card}: name a smaller model, a larger card, "
                "or the blocks."
            )
        return blocks
