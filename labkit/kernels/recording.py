"""A kernel that stands in a notebook, launched in a process of its own: its addresses come back, whatever it does.

The worker (`labkit.sandbox`) gets the kernel's text and the name of a scene, a function that makes the inputs of a
launch. There kernels are always interpreted, also on a machine with a GPU. A kernel that ends its process, or never
comes to its end, ends the worker alone, and what comes back is one sentence.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labkit.errors import KernelError
from labkit.kernels.ledger import Access, LaunchTraffic, OutsideError
from labkit.sandbox import host
from labkit.sandbox.worker import Session

PRELUDE = "from kvkernels import tl, triton"
PRELOAD = ("labkit.grading.job", "torch", "kvkernels._triton")
"""What a check of a kernel preloads as well, so that either finds the worker that the other has kept warm."""
SECONDS = 6.0
"""Processor time of a launch."""


def can_launch() -> bool:
    """Whether kernels can be launched on this machine; where they cannot, one sentence says why."""
    from kvkernels.errors import KernelPlatformError

    try:
        import kvkernels._triton  # noqa: F401  (before whoever imports Triton without asking for the interpreter)
    except (ImportError, KernelPlatformError) as error:
        print(error)
        return False
    return True


@dataclass(frozen=True)
class Paged:
    """Which argument of a launch lies in blocks, and which of them belong to the request.

    Attributes:
        argument: its parameter's name.
        num_blocks: blocks of it.
        page: slots of a block.
        row: numbers of a slot.
        table: the request's blocks, page 0 first.
        length: tokens of the request; the slots behind them hold none.
        slot: what a slot is called, e.g. "slot" or "number".
        block: what a block is called.
    """

    argument: str
    num_blocks: int
    page: int
    row: int
    table: tuple[int, ...]
    length: int
    slot: str = "slot"
    block: str = "block"


@dataclass(frozen=True)
class Scene:
    """A launch: arguments and constants by name, and the grid.

    Attributes:
        paged: what a picture of it shows.
    """

    arguments: Mapping[str, Any]
    constants: Mapping[str, Any]
    grid: tuple[int, ...]
    paged: Paged | None = None


@dataclass
class Recording:
    """What became of a launch.

    Attributes:
        kernel: its name.
        launch: its loads and stores, as far as it came; None where nobody looked or it did not begin.
        paged: of the scene.
        sentence: why it did not come to its end; "" where it did.
        outside: the access that ended it, where its address lies in no tensor.
        written: whether there was any code: False for a stub.
        crash: the name of the signal that ended the process; "" where none did.
    """

    kernel: str
    launch: LaunchTraffic | None = None
    paged: Paged | None = None
    sentence: str = ""
    outside: Access | None = None
    written: bool = True
    crash: str = ""


def record(kernel: Any, scene: str, *, watch: bool = True) -> Recording:
    """Launch a kernel in the sandbox.

    Args:
        kernel: made by `@triton.jit`, with its text in the notebook or a file.
        scene: "module:function"; the function takes nothing and gives a `Scene`.
        watch: False to follow each address as it is, as a GPU would. What that ends is the worker.

    Raises:
        KernelError: that is no kernel, or its text cannot be found.
    """
    function: Any = getattr(kernel, "fn", None)
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (TypeError, OSError):
        raise KernelError(
            f"{kernel!r:.60} is no kernel whose text can be read: write @triton.jit above its def."
        ) from None
    name = function.__name__
    job = {"text": text, "name": name, "scene": scene, "watch": watch}
    limits = host.Limits(SECONDS)
    outcome = host.run("labkit.kernels.recording:launch_job", job, limits=limits, preload=PRELOAD, keep_spare=True)
    made = _load(scene)().paged
    if outcome.ended != "answer":
        return Recording(name, paged=made, sentence=_ended(name, outcome), crash=outcome.crash)
    answer = outcome.answer
    launch = answer["launch"] and LaunchTraffic(
        name, tuple(answer["launch"]["grid"]), accesses=[_access(row) for row in answer["launch"]["accesses"]]
    )
    outside = answer["outside"] and _access(answer["outside"])
    return Recording(name, launch or None, made, answer["sentence"], outside or None, answer["written"])


def _ended(name: str, outcome: host.Outcome) -> str:
    if outcome.ended == "time":
        return (
            f"{name} had not come to its end after {SECONDS:g} s of processor time, and its process was ended: look "
            "for a loop whose end never comes. The notebook goes on."
        )
    if outcome.ended == "memory":
        return f"{name} asked for more memory than there is for it, and its process was ended. The notebook goes on."
    if outcome.ended in ("exit", "channel"):
        how = f"was ended by {outcome.crash}" if outcome.crash else "ended before it answered"
        why = ": the kernel followed an address that is not its process's" if outcome.crash == "SIGSEGV" else ""
        return f"The process that ran {name} {how}{why}. The notebook goes on."
    if outcome.ended == "busy":
        return "This machine is too busy to run the kernel: close what else is computing, then run the cell again."
    last = (outcome.reason.strip().splitlines() or ["nothing was said"])[-1]
    return f"The launch of {name} could not be made: {last}"


def launch_job(job: dict[str, Any], session: Session) -> dict[str, Any]:
    """What the worker does: run the text, launch the kernel on its scene, and tell of it as JSON-able data."""
    from labkit.grading.source import compile_text

    scene: Scene = _load(job["scene"])()
    answer: dict[str, Any] = {"launch": None, "sentence": "", "outside": None, "written": True}
    session.begin()
    namespace: dict[str, Any] = {}
    launches: list[LaunchTraffic] = []
    try:
        exec(PRELUDE, namespace)
        exec(compile_text(job["text"], f"<kernel {job['name']}>"), namespace)
        _launch(namespace[job["name"]], scene, launches, job["watch"])
    except OutsideError as error:
        answer["sentence"] = str(error)
        answer["outside"] = error.access and _row(error.access)
    except NotImplementedError:
        answer["sentence"], answer["written"] = f"{job['name']} is not written yet.", False
    except NameError as error:
        answer["sentence"] = (
            f"{error.name} is no name in {job['name']}: a kernel stands for itself, with tl and triton."
        )
    except Exception as error:
        answer["sentence"] = f"{job['name']} raised {type(error).__name__}: {_said_by(error, 200)}"
    if launches:
        answer["launch"] = {"grid": list(scene.grid), "accesses": [_row(a) for a in launches[-1].accesses]}
    return answer


def _launch(kernel: Any, scene: Scene, launches: list[LaunchTraffic], watch: bool) -> None:
    from labkit.kernels.watched import guarded, watched

    named = {name: guarded(value) if hasattr(value, "new_full") else value for name, value in scene.arguments.items()}
    if not watch:
        kernel[scene.grid](**named, **scene.constants)
        return
    with watched() as book:
        try:
            kernel[scene.grid](**named, **scene.constants)
        finally:
            launches += book.launches


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _row(access: Access) -> list[Any]:
    return [list(access.program), access.argument, access.offsets.tolist(), access.store]


def _access(row: Sequence[Any]) -> Access:
    x, y, z = row[0]
    return Access((x, y, z), row[1], np.array(row[2], dtype=np.int64), bool(row[3]))


def _said_by(error: BaseException, limit: int) -> str:
    """The message of an exception, cut; "" where even asking for it fails."""
    try:
        return str(error)[:limit]
    except Exception:
        return ""
