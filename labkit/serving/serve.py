"""`labkit serve`, and the same in a thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from labkit.cache.geometry import kv_bytes_per_token
from labkit.errors import ServeError
from labkit.scheduling.config import SchedulerConfig
from labkit.serving.http.app import Server
from labkit.serving.llm_engine import LLMEngine
from labkit.serving.loaded import LoadedModel, load
from labkit.words import listed, plural

LOCAL = ("127.0.0.1", "::1", "localhost")


@contextmanager
def in_thread(model: LoadedModel, engine: LLMEngine, *, grace_s: float = 5.0, **where: Any) -> Iterator[Server]:
    """A server that answers until the block is left: at `.url`, any free port of this machine unless `where` says so.

    Args:
        grace_s: seconds in which what is being answered may finish then.
        where: `host`, `port` and `key` of `Server`.
    """
    server = Server(model, engine, **where)
    server.grace_s = grace_s
    thread = threading.Thread(target=server.run, args=([server.socket],), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield server
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join()


class _Process(Server):
    """A server that is all that its process does: the second signal ends it, whatever its threads are at."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self.force_exit:
            os._exit(1)


def run(
    name: str | None,
    host: str,
    port: int,
    key: str,
    grace_s: float,
    num_blocks: int | None,
    kv_bytes: int | None,
    block_size: int,
    **config: Any,
) -> None:
    """Serve until a signal comes.

    Args:
        name: of the model, as `load` takes it.
        kv_bytes: of KV cache, in place of `num_blocks`; room for 16,384 tokens without either.
        config: for `SchedulerConfig`.

    Raises:
        ServeError: nobody can listen there, or numbers that cannot be.
    """
    if num_blocks is not None and kv_bytes is not None:
        raise ServeError("--num-blocks and --kv-bytes say the same: give one of them.")
    model = load(name)
    if kv_bytes is not None:
        block = block_size * kv_bytes_per_token(model.shape, model.model.dtype.itemsize)
        num_blocks = kv_bytes // block
        if not num_blocks:
            raise ServeError(
                f"{kv_bytes:,} bytes of KV cache have no room for a block, which has {block:,}: give more."
            )
    engine = model.engine(num_blocks, block_size, config=SchedulerConfig(**config))
    server = _Process(model, engine, host, port, key)
    server.grace_s = grace_s
    if host not in LOCAL and not key:
        typer.echo(f"Whoever reaches {host} may use this server: give --api-key to keep others out.", err=True)
    blocks = plural(engine.scheduler.manager.num_blocks, "block")
    yours = listed(sorted(engine.yours), none="none")
    typer.echo(f"{server.url} serves {model.name} with {blocks} of {block_size} tokens; yours: {yours}.")
    server.run([server.socket])
