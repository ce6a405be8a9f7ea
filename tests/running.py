"""An engine that is busy: more requests than its memory holds, with common prefixes, and no model."""

from __future__ import annotations

import itertools
import random
from typing import Any

from labkit import engine
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request


class Engine:
    """A scheduler over a small memory, which never runs out of work."""

    def __init__(self, regret: bool = True, blocks: int = 24, seed: int = 1) -> None:
        self.manager = engine.kv_cache_manager(blocks, 4, regret=regret, yours=False)
        self.scheduler = engine.scheduler(self.manager, SchedulerConfig(token_budget=64, seats=8), yours=False)
        self.finished = 0
        self._draw = random.Random(seed)
        self._ids = itertools.count()

    def steps(self, count: int, exporter: Any = None) -> None:
        """So many steps; the exporter is told times that are made up."""
        for _ in range(count):
            while len(self.scheduler.waiting) < 3:
                self._submit()
            step = self.scheduler.schedule()
            sampling = step.sampling  # as it is before the update
            done = self.scheduler.update(step, [self._draw.randrange(1000) for _ in sampling])
            self.finished += len(done)
            if exporter is not None:
                for request in sampling:
                    exporter.first_token(0.2) if len(request.output) == 1 else exporter.next_token(0.02)
                for _ in done:
                    exporter.finished(1.0)

    def refuse(self) -> None:
        """Somebody asks for more than there is."""
        assert not self.scheduler.submit(Request("huge", bytes(4 * 4000), 4))

    def _submit(self) -> None:
        head = self._draw.randrange(4)  # one of four system prompts
        prompt = [head] * 12 + [self._draw.randrange(1000) for _ in range(self._draw.randrange(4, 16))]
        data = b"".join(token.to_bytes(4, "little") for token in prompt)
        assert self.scheduler.submit(Request(next(self._ids), data, self._draw.randrange(4, 24)))
