"""PageTable: logical blocks of each sequence beside the physical blocks of the pool, as a replay of the event log."""

from __future__ import annotations

import threading
import time
from typing import Any, ClassVar

import traitlets

from labkit import theme
from labkit.observe.events import EventLog
from labkit.observe.pool_state import LogData, PoolState, pool_state
from labkit.widgets.base import LabWidget

BATCH_SECONDS = 0.1
"""A live board sends at most ten batches per second: Jupyter Server stops all output past 1,000 messages per second."""

WHOLE_SECONDS = 1.0
"""How often a live board syncs the whole log, for a page that was not there when a batch went out."""


class PageTable(LabWidget):
    """A replay of the block pool: play, step, rewind; hover or focus links a logical block to its physical one.

    Args:
        log: an `EventLog`, a `LogData`, or a verdict's dict of events ({"data": base64, "names", "labels", "meta"}).
        num_blocks: blocks in the pool; by default the log's meta says, else the highest block seen.
        block_size: tokens per block, for the fill height; by default the log's meta says. 0 draws every block full.
        step: how many operations have happened when it opens; None is the end of the log.
        live: follow `log` while it grows. Needs an `EventLog`; call `close_live()` when it is done.
        title, subtitle: what stands above the picture.
    """

    _name: ClassVar[str] = "page_table"

    records = traitlets.Bytes(b"").tag(sync=True)
    names = traitlets.List([]).tag(sync=True)
    slots = traitlets.List([]).tag(sync=True)
    labels = traitlets.List([]).tag(sync=True)
    num_blocks = traitlets.Int(0).tag(sync=True)
    block_size = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int(None, allow_none=True).tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)
    title = traitlets.Unicode("Page table").tag(sync=True)
    subtitle = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        log: EventLog | LogData | dict[str, Any],
        num_blocks: int | None = None,
        block_size: int | None = None,
        step: int | None = None,
        live: bool = False,
        title: str = "Page table",
        subtitle: str = "",
    ) -> None:
        if live and not isinstance(log, EventLog):
            raise TypeError("live=True follows a log that grows: give it an EventLog, not a copy of one.")
        self._source = log
        data = LogData.of(log)
        if num_blocks is None:
            num_blocks = data.num_blocks
        if block_size is None:
            block_size = int(data.meta.get("block_size") or 0)
        if step is not None:
            step = max(0, min(step, data.num_steps))
        super().__init__(
            records=data.records.tobytes(),
            names=data.names,
            slots=_slots(data.names),
            labels=data.labels,
            num_blocks=max(0, num_blocks),
            block_size=max(0, block_size),
            step=step,
            live=live,
            title=title,
            subtitle=subtitle,
        )
        self._feed = _Feed(self, log) if live and isinstance(log, EventLog) else None

    # What is shown.

    def log_data(self) -> LogData:
        """The log as it is now."""
        return LogData.of(self._source)

    def shown_step(self, log: LogData | None = None) -> int:
        """The step at which the picture opens: operations that have happened."""
        log = log or self.log_data()
        return log.num_steps if self.step is None else min(self.step, log.num_steps)

    def state(self, step: int | None = None) -> PoolState:
        """The pool after `step` operations, by default those at which the picture opens."""
        log = self.log_data()
        return pool_state(log, self.shown_step(log) if step is None else step, self.num_blocks)

    def summary(self) -> str:
        log = self.log_data()
        state = self.state()
        free, held, cached = state.counts()
        lost = len(state.lost(log.names))
        blocks = "1 block" if self.num_blocks == 1 else f"{self.num_blocks} blocks"
        gone = f", {lost} lost" if lost else ""
        where = f"step {self.shown_step(log)} of {log.num_steps}"
        return f"PageTable({blocks}: {held - lost} held, {cached} cached, {free} free{gone}; {where})"

    # The page's side.

    def handle(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if content.get("type") == "whole" and self._feed is not None:
            self._feed.send_whole()

    def flush(self) -> None:
        """Send what a live log has gained since the last batch, now."""
        if self._feed is not None:
            self._feed.flush()

    def close_live(self) -> None:
        """Stop following the log; the page then holds all of it and no longer says that it is live."""
        if self._feed is not None:
            self._feed.stop()
            self._feed = None
        self.live = False


class _Feed:
    """Carries a growing log to the page in batches.

    The log calls `_tell` at every event, often inside a busy cell, so it must cost next to nothing: it sends when the
    last batch is old enough, and otherwise leaves it to a timer.
    """

    def __init__(self, widget: PageTable, log: EventLog) -> None:
        self._widget = widget
        self._log = log
        self._sent = len(log)
        self._labels_sent = len(log.labels)
        self._last_label = log.labels[-1] if log.labels else ""
        self._batch_at = self._whole_at = time.monotonic()
        self._dirty_whole = False
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._unlisten = log.listen(self._tell)

    def _tell(self) -> None:
        if time.monotonic() - self._batch_at >= BATCH_SECONDS:
            self.flush()
        elif self._timer is None:
            self._later()

    def _later(self, seconds: float = BATCH_SECONDS) -> None:
        timer = threading.Timer(seconds, self._on_timer)
        timer.daemon = True
        self._timer = timer
        timer.start()

    def _on_timer(self) -> None:
        self._timer = None
        self.flush()
        if self._dirty_whole and self._timer is None:
            if time.monotonic() - self._batch_at >= WHOLE_SECONDS:
                self.send_whole()  # the log has come to rest: let the model hold all of it
            else:
                self._later(WHOLE_SECONDS)

    def flush(self) -> None:
        """Send the events since the last batch, if there are any."""
        with self._lock:
            count, labels = len(self._log), list(self._log.labels)
            last_label = labels[-1] if labels else ""
            if (count, len(labels), last_label) == (self._sent, self._labels_sent, self._last_label):
                return
            now = time.monotonic()
            names = list(self._log.names)
            # The newest sentence may have been replaced since (its outcome is now known), so it goes out again.
            labels_from = max(0, self._labels_sent - 1)
            self._widget.send(
                {
                    "type": "append",
                    "from": self._sent,
                    "labels_from": labels_from,
                    "labels": labels[labels_from:],
                    "names": names,
                    "slots": _slots(names),
                },
                buffers=[self._log.to_bytes(self._sent)[: 16 * (count - self._sent)]],
            )
            self._sent, self._labels_sent, self._last_label = count, len(labels), last_label
            self._batch_at = now
            self._dirty_whole = True
            # A longer log is synced whole less often, so that this stays a small part of what is sent.
            if now - self._whole_at >= max(WHOLE_SECONDS, 16 * count / 2_000_000):
                self.send_whole()
            elif self._timer is None:
                self._later(WHOLE_SECONDS)

    def send_whole(self) -> None:
        """Sync the whole log into the model."""
        with self._lock:
            self._whole_at = time.monotonic()
            self._dirty_whole = False
            data = LogData.of(self._log)
            with self._widget.hold_sync():
                self._widget.labels = data.labels
                self._widget.names = data.names
                self._widget.slots = _slots(data.names)
                self._widget.records = data.records.tobytes()
            self._sent, self._labels_sent = len(data.records), len(data.labels)
            self._last_label = data.labels[-1] if data.labels else ""

    def stop(self) -> None:
        """Stop listening and sync once more."""
        self._unlisten()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.send_whole()


def _slots(names: list[str]) -> list[int]:
    return [theme.sequence_slot(name) if name else 0 for name in names]
