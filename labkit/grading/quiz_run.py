"""What the code of questions shows, run in the sandbox: a quiz file may be anybody's."""

from __future__ import annotations

import ast
import contextlib
import io
import os
from collections.abc import Sequence
from typing import Any

from labkit.sandbox import host
from labkit.sandbox.worker import Session

SECONDS = 10.0
"""Processor time for the codes of one question, all together."""
MOST_SHOWN = 10_000  # characters


def shown(codes: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """What cells with these codes show: what they print, then the value of their last line as a notebook shows it.

    Args:
        codes: (code, setup that runs before it), each in a fresh namespace, over the reference parts.

    Returns:
        For each {"shown": text}, or {"fails": why} with a clause. Where one of them ended the process it stands alone.
    """
    outcome = host.run("labkit.grading.quiz_run:show", list(codes), limits=host.Limits(processor_seconds=SECONDS))
    if outcome.ended == "answer":
        return list(outcome.answer)
    why = {
        "time": f"had not come to an end after {SECONDS:g} s",
        "memory": "uses too much memory",
        "busy": "got no processor time on this busy machine",
        "machine": f"could not be run on this machine ({outcome.reason})",
    }
    return [{"fails": why.get(outcome.ended, "ends the program when it is run")}]


def show(codes: list[list[str]], session: Session) -> list[dict[str, str]]:
    """The job in the sandbox."""
    os.environ["LABKIT_PARTS"] = "reference"
    session.begin()
    return [_run(code, setup) for code, setup in codes]


def _run(code: str, setup: str) -> dict[str, str]:
    printed = io.StringIO()
    names: dict[str, Any] = {"__name__": "quiz"}
    try:
        exec(setup, names)
        tree = ast.parse(code)
        last = tree.body[-1] if tree.body else None
        last = last if isinstance(last, ast.Expr) else None
        tree.body = tree.body[:-1] if last else tree.body
        with contextlib.redirect_stdout(printed):
            exec(compile(tree, "<question>", "exec"), names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "<question>", "eval"), names)
                if value is not None:
                    print(repr(value))
    except SystemExit:
        return {"fails": "ends the program when it is run"}
    except BaseException as error:
        return {"fails": f"fails when it is run: {type(error).__name__}: {error}"[:300]}
    return {"shown": printed.getvalue().strip("\n")[:MOST_SHOWN]}
