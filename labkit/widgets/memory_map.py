"""MemoryMap: contiguous memory beside paged memory, and what each wastes, as a replay of their event logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import traitlets

from labkit import theme
from labkit.observe.events import EventLog
from labkit.observe.pool_state import LogData
from labkit.widgets.base import LabWidget
from labkit.widgets.memory_state import MemoryState, memory_state


@dataclass(frozen=True)
class Layout:
    """One way to lay sequences out in memory, with the log of what it did.

    Attributes:
        name: as the picture calls it, e.g. "Reserve to maximum".
        log: RESERVE, USE, RELEASE and REFUSE events for contiguous memory; ALLOCATE, FILL and FREE for paged.
        num_slots: all of memory, in tokens; by default the log's meta says (num_slots, or num_blocks x block_size).
        block_size: tokens per block for paged memory; 0 is contiguous; by default the log's meta says.
        wanted: length of the run that the next sequence needs, which decides what an external hole is; 0 takes it
            from the sequence that was refused last and still waits.
    """

    name: str
    log: EventLog | LogData | dict[str, Any]
    num_slots: int | None = None
    block_size: int | None = None
    wanted: int = 0


class MemoryMap(LabWidget):
    """Strips of memory, one a layout, at the same step: colour is the sequence, pattern what becomes of the slot.

    Logs of several layouts are shown side by side by step, so they should have the same steps: begin one step for
    each thing that happens in the workload, in every log. A log that has fewer stays at its end.

    Args:
        layouts: `Layout`s, or (name, log) pairs.
        step: how many operations have happened when it opens; None is the end.
        title, subtitle: what stands above the picture.
    """

    _name: ClassVar[str] = "memory_map"

    layouts = traitlets.List([]).tag(sync=True)
    logs = traitlets.List([]).tag(sync=True)
    step = traitlets.Int(None, allow_none=True).tag(sync=True)
    title = traitlets.Unicode("Memory map").tag(sync=True)
    subtitle = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        *layouts: Layout | tuple[str, EventLog],
        step: int | None = None,
        title: str = "Memory map",
        subtitle: str = "",
    ) -> None:
        self._layouts = [layout if isinstance(layout, Layout) else Layout(*layout) for layout in layouts]
        self._logs = [LogData.of(layout.log) for layout in self._layouts]
        shown = [shown_layout(layout, log) for layout, log in zip(self._layouts, self._logs, strict=True)]
        if step is not None:
            step = max(0, min(step, max((log.num_steps for log in self._logs), default=0)))
        super().__init__(
            layouts=shown,
            logs=[log.records.tobytes() for log in self._logs],
            step=step,
            title=title,
            subtitle=subtitle,
        )

    @property
    def shown_step(self) -> int:
        """The step at which the picture opens."""
        last = max((log.num_steps for log in self._logs), default=0)
        return last if self.step is None else self.step

    def states(self, step: int | None = None) -> list[MemoryState]:
        """Memory of each layout after `step` operations, by default those at which the picture opens."""
        step = self.shown_step if step is None else step
        return [
            memory_state(log, step, shown["num_slots"], shown["block_size"], shown["wanted"])
            for log, shown in zip(self._logs, self.layouts, strict=True)
        ]

    def summary(self) -> str:
        parts = []
        for shown, state in zip(self.layouts, self.states(), strict=True):
            counts = ", ".join(f"{kind} {count}" for kind, count in state.counts().items())
            parts.append(f"{shown['name'] or 'memory'}: {counts}")
        return f"MemoryMap({'; '.join(parts) or 'nothing'})"


def shown_layout(layout: Layout, log: LogData) -> dict[str, Any]:
    """A layout as the page draws it."""
    meta = log.meta
    block_size = layout.block_size if layout.block_size is not None else int(meta.get("block_size") or 0)
    num_slots = layout.num_slots
    if num_slots is None:
        blocks = int(meta.get("num_blocks") or 0)
        num_slots = int(meta.get("num_slots") or (blocks * block_size) or _extent(log))
    return {
        "name": layout.name,
        "num_slots": num_slots,
        "block_size": block_size,
        "names": log.names,
        "slots": [theme.sequence_slot(name) if name else 0 for name in log.names],
        "labels": log.labels,
        "wanted": layout.wanted,
    }


def _extent(log: LogData) -> int:
    ends = log.records["block"].astype("int64") + log.records["arg"].clip(0)
    return int(ends.max()) if len(ends) else 0
