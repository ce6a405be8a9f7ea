"""The one thread that steps the engine, and what it tells the event loop.

Calls come as orders in a queue, which are taken between steps. What a step gives goes to the event loop in one message
for all who got something, not in one for each token.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from queue import SimpleQueue

from labkit.errors import GenerationError, LabkitError, RefusedError, SchedulerError, ServeError
from labkit.observe.exporter import Exporter
from labkit.serving.http.asked import Asked, Piece
from labkit.serving.llm_engine import LLMEngine


class EngineThread:
    """Steps an engine for all who submit. `ended` says why nothing is served any more, "" while it is."""

    def __init__(self, engine: LLMEngine, exporter: Exporter) -> None:
        self.engine, self.exporter, self.ended = engine, exporter, ""
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._owners: dict[str, tuple[Asked, int]] = {}
        self._loop, self._over = asyncio.get_running_loop(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, asked: Asked) -> None:
        """Ask the engine for it."""
        self._orders.put(partial(self._submit, asked))

    def cancel(self, asked: Asked, why: Exception) -> None:
        """What of it is unfinished ends with an error, and its blocks are free before the next step."""
        self._orders.put(partial(self._cancel, asked, why))

    def stop(self) -> None:
        """End the thread, after the step that it is in."""
        self._orders.put(self._over.set)
        self._thread.join(10)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                if self.ended or not self.engine.has_work or not self._orders.empty():
                    self._orders.get()()
                else:
                    self._step()
            except BaseException as error:  # a part of the learner's may even leave by sys.exit
                known = isinstance(error, LabkitError)
                self.ended = str(error) if known else f"The engine failed ({error!r:.200}): its log says where."
                logging.getLogger(__name__).error("The run is over: %s", self.ended, exc_info=not known)
                self._tell({asked: ServeError(self.ended) for asked, _ in self._owners.values()})
                self._owners.clear()

    def _step(self) -> None:
        tokens, now = self.engine.step(), time.perf_counter()
        news: dict[Asked, list[Piece]] = {}
        for token in tokens:
            answer = token.generation
            asked, number = self._owners[answer.request]
            logprob = answer.logprobs[-1] if answer.logprobs else None
            news.setdefault(asked, []).append(Piece(number, token.text, logprob, answer.finish_reason))
            if answer.step_s:
                self.exporter.next_token(answer.step_s[-1])
            else:
                self.exporter.first_token(now - asked.came)
            if answer.finish_reason:
                self.exporter.finished(now - asked.came)
                self._forget(answer.request)
        self._tell(news)

    def _submit(self, asked: Asked) -> None:
        self._owners.update({name: (asked, number) for number, name in enumerate(asked.names)})
        try:
            if self.ended:
                raise ServeError(self.ended)
            for request in asked.requests:
                self.engine.submit(request)
            self._tell({asked: []})
        except (GenerationError, SchedulerError, RefusedError, ServeError) as error:
            self._cancel(asked, error)

    def _cancel(self, asked: Asked, why: Exception) -> None:
        for name in [name for name in asked.names if name in self._owners]:
            if not self.ended:
                before = self.engine.scheduler.unfinished
                self.engine.cancel(name)
                self.exporter.cancelled(before - self.engine.scheduler.unfinished)
            self._forget(name)
        self._tell({asked: why})

    def _forget(self, name: str) -> None:
        self._owners.pop(name, None)
        self.engine.answers.pop(name, None)

    def _tell(self, news: Mapping[Asked, list[Piece] | Exception]) -> None:
        def put() -> None:
            for asked, what in news.items():
                asked.news.put_nowait(what)

        with suppress(RuntimeError):  # the event loop is closed: nobody listens
            self._loop.call_soon_threadsafe(put)
