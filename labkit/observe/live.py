"""A series that grows: a server asked for its metrics again and again.

    watched = watch("localhost:8000")
    for row in watched:             # a row a scrape, until `stop`
        print(row["delivered"])

A board draws `watched.series`; the terminal (`labkit watch`) and the widget use the same object.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from labkit.errors import UnreadableError, WatchError
from labkit.observe import endpoint, scrape
from labkit.observe.exposition import Exposition
from labkit.observe.series import Series, Worth
from labkit.observe.series_log import SeriesLog
from labkit.observe.servers import Server
from labkit.reading import parse_json

SHORTEST_S = 0.05


class Beside(Protocol):
    """Another source of the same server, such as its KV events (`labkit.observe.kv_events`)."""

    def figures(self, seconds: float) -> dict[str, float]:
        """What it saw since the last call, a second."""
        ...

    def worths(self) -> dict[str, tuple[Worth, str]]:
        """What its figures are worth."""
        ...


class Watch:
    """A server behind `/metrics`, and what it has told so far.

    Args:
        url: where its metrics are; "HOST:PORT" will do.
        every_s: how often it is asked, seconds.
        timeout_s: how long one answer may take.
        headers: sent with each question.
        sample: the share of blocks that vLLM watches (--kv-cache-metrics-sample).
        log: where it is recorded too.
        beside: another source, whose figures come before those of the metrics.
        get: asks an address and gives the text; `endpoint.get` unless a test says otherwise.
        clock: seconds, never backwards.
        wait: waits so many seconds; by default until then or until `stop`.

    Attributes:
        series: what it has told.
        server: what kind it is; None until it has answered.
        problem: why the last question gave nothing, in a sentence; "" where it did.
        failures: questions that gave nothing, in all.

    Raises:
        WatchError: the address or the interval makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        every_s: float = 2.0,
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
        sample: float = scrape.VLLM_SAMPLE,
        log: SeriesLog | None = None,
        beside: Beside | None = None,
        get: Callable[..., str] = endpoint.get,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], Any] | None = None,
    ) -> None:
        for what, value in (("The interval", every_s), ("The time for an answer", timeout_s)):
            if not SHORTEST_S <= value < float("inf"):
                raise WatchError(f"{what} is {value!r:.20} s, but must be {SHORTEST_S:g} s or more.")
        if not 0 < sample <= 1:
            raise WatchError(
                f"The share of blocks that are watched is {sample!r:.20}, but lies above 0, and 1 at most."
            )
        self.url, self.every_s, self.timeout_s = endpoint.metrics_url(url), every_s, timeout_s
        self.series = Series(f"{endpoint.without_password(self.url)}, not asked yet")
        self.server: Server | None = None
        self.problem = ""
        self.failures = 0
        self._headers, self._sample, self._log, self._beside = dict(headers or {}), sample, log, beside
        self._get, self._clock = get, clock
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._began: float | None = None
        self._before: tuple[float, Exposition] | None = None
        self._version = ""
        self._described: tuple[Any, ...] = ()

    def ask(self) -> dict[str, float] | None:
        """Ask once.

        Returns:
            The row that it gave; None for the first answer, which is nobody's difference, and where `problem` says why.
        """
        now = self._clock()
        if self._began is None:
            self._began = now
        try:
            after = Exposition(self._get(self.url, timeout_s=self.timeout_s, headers=self._headers))
            self._describe(scrape.server_of(after), after)
        except WatchError as error:
            self.problem = str(error)
            self.failures += 1
            if self._log is not None:
                self._log.problem(now - self._began, self.problem)
            return None
        self.problem = ""
        before, self._before = self._before, (now, after)
        seconds = now - before[0] if before else self.every_s
        seen = self._beside.figures(seconds) if self._beside is not None else {}
        if before is None or seconds <= 0 or self.server is None:
            return None
        row = scrape.row(self.server, before[1], after, seconds, self._sample) | seen
        self.series.add(now - self._began, seconds, **row)
        row = {"end_s": now - self._began, "seconds": seconds, **row}
        if self._log is not None:
            self._log.add(row)
        return row

    def asks(self, for_s: float = float("inf")) -> Iterator[dict[str, float] | None]:
        """Ask every `every_s` seconds, for so long or until `stop`, and give what each question gave."""
        begin = self._clock()
        due = begin
        while not self._stopped.is_set():
            yield self.ask()
            due = max(due + self.every_s, self._clock())  # no question is made up for
            if due - begin > for_s:
                return
            self._wait(due - self._clock())

    def __iter__(self) -> Iterator[dict[str, float]]:
        """The rows, as they come, until `stop`."""
        return (row for row in self.asks() if row is not None)

    def start(self) -> threading.Thread:
        """Ask in a thread of its own, until `stop`: for a board that draws `series` meanwhile."""
        thread = threading.Thread(target=lambda: deque(self.asks(), maxlen=0), daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """Ask no more; from any thread."""
        self._stopped.set()

    def _describe(self, server: Server, answer: Exposition) -> None:
        """Say what the series is of, where that has changed; a new server's counters are nobody's difference."""
        worth = scrape.worths(server, answer)
        if self._beside is not None:
            for name, told in self._beside.worths().items():
                worth[name] = told
        if server is not self.server:
            self._before, self._version = None, ""
        if server is not self.server or self.problem:
            self._version = self._ask_version(server, answer)
        self.server = server
        name = f"{server.name} {self._version}" if self._version else f"{server.name} (it does not tell its version)"
        source = f"{name} at {endpoint.without_password(self.url)}"
        if (source, worth) != self._described:
            self._described = source, worth
            self.series.describe(source, worth)
            if self._log is not None:
                self._log.describe(self.series)

    def _ask_version(self, server: Server, answer: Exposition) -> str:
        if server.version_in[0]:
            return answer.label(*server.version_in)[:40]
        url = endpoint.beside(self.url, server.version_path)
        try:
            told = parse_json(self._get(url, timeout_s=self.timeout_s, headers=self._headers))
        except (WatchError, UnreadableError):
            return ""
        version = told.get("version") if isinstance(told, dict) else None
        return version[:40] if isinstance(version, str) else ""


def watch(url: str, **settings: Any) -> Watch:
    """A server to watch; see `Watch`."""
    return Watch(url, **settings)
