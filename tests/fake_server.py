"""A server behind `/metrics` that does whatever a test wants: answers in turn, stalls, breaks off, asks for a login."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Script:
    """What it answers: `answers` one after another, the last for ever; each a text, or a function of the handler.

    Attributes:
        paths: what was asked for, in order.
        over: set when the test is over, for answers that stall.
    """

    def __init__(self, *answers: Any, version: str | None = None) -> None:
        self.answers, self.version = list(answers), version
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.over = threading.Event()

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.paths.append(handler.path)
        self.headers.append(dict(handler.headers))
        if handler.path in ("/version", "/server_info"):
            return send(handler, f'{{"version": "{self.version}"}}') if self.version else send(handler, "", 404)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(handler) if callable(answer) else send(handler, answer)


def send(handler: BaseHTTPRequestHandler, text: str | bytes, status: int = 200, **headers: str) -> None:
    """An answer with its length."""
    body = text.encode() if isinstance(text, str) else text
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serve(script: Script) -> Iterator[str]:
    """The address of a server that follows the script."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                script(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
    finally:
        script.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
