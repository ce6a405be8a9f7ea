"""`labkit watch`: a server's board in the terminal, or that of a recording."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from labkit.errors import WatchError
from labkit.observe import terminal_board
from labkit.observe.kv_events import subscribe
from labkit.observe.live import Watch
from labkit.observe.series import FIGURES, Series
from labkit.observe.series_log import SeriesLog, read_series


def run(
    place: str,
    *,
    every_s: float | None = None,
    record: Path | None = None,
    for_s: float = float("inf"),
    timeout_s: float = 5.0,
    headers: Sequence[str] = (),
    sample: float | None = None,
    events: str | None = None,
    as_json: bool = False,
) -> int:
    """Watch a server, or play a recording.

    Args:
        place: an address, or the file of a recording.
        every_s: seconds between two questions; of a recording, between two of its windows (None: all at once).
        record: a new file to record into.
        for_s: how long.
        timeout_s: for one answer.
        headers: "NAME: VALUE", sent with each question.
        sample: the share of blocks that vLLM watches.
        events: where vLLM publishes its KV events.
        as_json: windows as JSON Lines, no board.

    Returns:
        0, or 1 where a server never gave a window.

    Raises:
        WatchError, SeriesError, KVEventError: there is no such server, recording or publisher.
    """
    if "://" not in place and (Path(place).exists() or Path(place).suffix in (".jsonl", ".json")):
        if record is not None:
            raise WatchError(f"{place} is a recording already: give --record with the address of a server.")
        _Screen(as_json).play(read_series(Path(place)), every_s or 0.0)
        return 0
    settings: dict[str, Any] = {"timeout_s": timeout_s, "headers": _headers(headers)}
    settings |= {} if sample is None else {"sample": sample}
    settings |= {} if every_s is None else {"every_s": every_s}
    Watch(place, **settings)  # what makes no sense is said before a file is made
    log = SeriesLog(record) if record is not None else None
    with ExitStack() as stack:
        if log is not None:
            stack.enter_context(closing(log))
        beside = stack.enter_context(subscribe(events)) if events is not None else None
        watched = Watch(place, log=log, beside=beside, **settings)
        note = f"recorded in {record}" if record is not None else ""
        _Screen(as_json).follow(watched, for_s, note)
    return 0 if len(watched.series) else 1


class _Screen:
    """Where a series is shown: a live board on a terminal, lines anywhere else."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._console = Console(highlight=False)
        self._live: Live | None = None
        self._told: tuple[str, str] = ("", "")

    def follow(self, watched: Watch, for_s: float, note: str) -> None:
        """Show a server until it is over, or the user has had enough."""
        series = watched.series
        with self._board():
            try:
                for number, row in enumerate(watched.asks(for_s)):
                    if not number and watched.problem:
                        raise WatchError(watched.problem)  # it may never come up: whoever asked is not left waiting
                    self._show(series, row, watched.problem, note)
            except KeyboardInterrupt:
                watched.stop()
        if note and not self._json:
            self._console.print(f"{len(series)} windows {note}", soft_wrap=True)

    def play(self, series: Series, every_s: float) -> None:
        """Show a recording, window by window, or at once."""
        shown = Series(series.source)
        shown.describe(series.source, {name: series.worth(name) for name in FIGURES})
        with self._board():
            try:
                for row in series.rows():
                    shown.add(**row)
                    self._show(shown, row, "", "")
                    time.sleep(every_s)
            except KeyboardInterrupt:
                return
        if not len(series) and not self._json:
            self._console.print(f"{series.source or 'This recording'}: no window was recorded.", soft_wrap=True)

    def _board(self) -> AbstractContextManager[Any]:
        if self._json or not self._console.is_terminal:
            return nullcontext()
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="visible")
        return self._live

    def _show(self, series: Series, row: dict[str, float] | None, problem: str, note: str) -> None:
        if self._live is not None:
            self._live.update(terminal_board.board(series, problem, note), refresh=True)
            return
        if problem and problem != self._told[1]:
            self._say({"problem": problem}, problem)
        legend = terminal_board.legend(series)
        if not problem and (source := series.source + legend) != self._told[0]:
            if not self._json:
                self._say({}, "\n".join(filter(None, [series.source, legend])))
            self._told = source, problem
        self._told = self._told[0], problem
        if row is not None:
            self._say(row, terminal_board.line(series, row))

    def _say(self, data: dict[str, Any], text: str) -> None:
        print(json.dumps(data) if self._json else text, file=sys.stdout, flush=True)


def _headers(given: Sequence[str]) -> dict[str, str]:
    headers = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip() or any(ord(sign) < 32 for sign in text):
            raise WatchError(f"--header is {text!r:.60}, but must be 'NAME: VALUE'.")
        headers[name.strip()] = value.strip()
    return headers
