"""The server: its routes, and how it listens and stops."""

from __future__ import annotations

import asyncio
import hmac
import math
import socket
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from types import FrameType

import uvicorn
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from labkit.errors import LabkitError, RefusedError, ServeError
from labkit.observe.exporter import Exporter
from labkit.serving.http.answers import Answer, error_body
from labkit.serving.http.asked import Asked, read
from labkit.serving.http.engine_thread import EngineThread
from labkit.serving.llm_engine import LLMEngine
from labkit.serving.loaded import LoadedModel

MOST_BYTES = 1 << 20  # of a body; a prompt of 8,000 tokens has some 40 KB


class Server(uvicorn.Server):
    """An engine behind routes at `url`: `run([server.socket])` answers until it is told to stop.

    Args:
        key: what everybody must show below /v1; "" for nothing.

    Raises:
        ServeError: nobody can listen there.
    """

    grace_s = 30.0  # for what is being answered when it is told to stop

    def __init__(
        self, model: LoadedModel, engine: LLMEngine, host: str = "127.0.0.1", port: int = 0, key: str = ""
    ) -> None:
        self._model, self._engine, self._key = model, engine, key.encode()
        manager = engine.scheduler.manager
        self._most_tokens = min(model.config.max_position_embeddings, manager.num_blocks * manager.block_size + 1)
        self._exporter = Exporter(engine.scheduler, vllm_model=model.name)
        self._reader = ThreadPoolExecutor(1)  # one: a tokenizer that is set to read control tokens does so for all
        self._open: dict[Asked, asyncio.Task[None]] = {}
        self._until = math.inf  # when a server that is stopping has waited long enough
        routes = [
            Route("/v1/completions", partial(self._generate, chat=False), methods=["POST"]),
            Route("/v1/chat/completions", partial(self._generate, chat=True), methods=["POST"]),
            Route("/v1/models", self._models),
            Route("/health", self._health),
            Route("/metrics", self._metrics),
        ]
        errors = dict.fromkeys((HTTPException, LabkitError, ClientDisconnect, Exception), _error)
        app = Starlette(routes=routes, exception_handlers=errors, lifespan=self._life)
        super().__init__(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=2))
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.socket = socket.create_server((host, port), family=family, backlog=2048)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ServeError(f"Nobody can listen at {host}:{port} ({reason}): give another port or host.") from None
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.socket.getsockname()[1]}"

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; the second time at once."""
        self.should_exit = self.force_exit = self._until < math.inf
        self._until = time.monotonic() + self.grace_s

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end."""
        if time.monotonic() > self._until or (self._until < math.inf and not self._open):
            self.should_exit = True
            for asked in self._open:
                self._thread.cancel(asked, ServeError("The server stops before this was done: ask another one."))
        return await super().on_tick(counter)

    @asynccontextmanager
    async def _life(self, app: Starlette) -> AsyncIterator[None]:
        self._thread = EngineThread(self._engine, self._exporter)
        yield
        self._thread.stop()

    async def _generate(self, request: Request, chat: bool) -> Response:
        self._check(request)
        reading = partial(read, await _body(request), chat, self._model, self._most_tokens)
        asked = await asyncio.get_running_loop().run_in_executor(self._reader, reading)
        self._open[asked] = asyncio.create_task(self._close(request, asked))
        self._thread.submit(asked)
        await asked.next()  # it is taken, or this raises
        answer = Answer(asked, self._model)
        if asked.stream:
            return StreamingResponse(answer.stream(), media_type="text/event-stream")
        return Response(await answer.whole(), media_type="application/json")

    async def _close(self, request: Request, asked: Asked) -> None:
        """Wait until the client has its answer or is gone: nobody waits then for what is unfinished."""
        try:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        finally:  # also where the event loop is ended
            self._thread.cancel(asked, ServeError("The client is gone."))
            del self._open[asked]

    async def _models(self, request: Request) -> Response:
        self._check(request)
        card = {"id": self._model.name, "object": "model", "created": 0, "owned_by": "labkit"}
        return JSONResponse({"object": "list", "data": [{**card, "max_model_len": self._most_tokens}]})

    async def _health(self, request: Request) -> Response:
        self._check(None)
        return JSONResponse({"status": "ok"})

    async def _metrics(self, request: Request) -> Response:
        return Response(self._exporter.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    def _check(self, request: Request | None) -> None:
        """Whether a call may be answered; the key of `request` is looked at."""
        shown = request.headers.get("authorization", "").removeprefix("Bearer ").encode() if request else self._key
        if self._key and not hmac.compare_digest(shown, self._key):
            raise HTTPException(401, "The key is missing or wrong: send it as 'Authorization: Bearer KEY'.")
        if self._thread.ended or self._until < math.inf:
            raise ServeError(self._thread.ended or "The server is stopping and takes no more calls: ask another one.")


async def _body(request: Request) -> bytes:
    """The body, if it is not too large; the rest of one that is is thrown away, so that the client comes to listen."""
    body = bytearray()
    async for piece in request.stream():
        body += piece[: MOST_BYTES + 1 - len(body)]
    if len(body) > MOST_BYTES:
        raise HTTPException(413, f"The body has more than {MOST_BYTES:,} bytes: send a shorter one.")
    return bytes(body)


async def _error(request: Request, error: Exception) -> Response:
    """Any error in OpenAI's form."""
    status, sentence = 500, "The server failed at this call: its log says where."
    if isinstance(error, LabkitError):
        status, sentence = {RefusedError: 429, ServeError: 503}.get(type(error), 400), str(error)
    elif isinstance(error, HTTPException):
        status, sentence = error.status_code, error.detail
        if sentence == HTTPStatus(status).phrase:  # of the router
            sentence = f"There is no {request.method} {request.url.path:.60} here: docs/serving.md has what there is."
    headers = {"retry-after": str(math.ceil(error.retry_after_s))} if isinstance(error, RefusedError) else None
    return JSONResponse(error_body(status, sentence), status, headers)
