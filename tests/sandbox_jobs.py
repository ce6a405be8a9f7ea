"""What tests run in a sandbox; `tests` is put on the worker's path by the tests that need it."""

from __future__ import annotations

from typing import Any

from labkit.sandbox.worker import Session


def execute(text: str, session: Session) -> Any:
    """Execute a text and answer with what it calls `answer`."""
    session.begin()
    namespace: dict[str, Any] = {"session": session}
    exec(text, namespace)
    return namespace.get("answer")
