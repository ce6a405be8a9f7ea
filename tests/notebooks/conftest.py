"""Kernels and executed notebooks for the tests of this folder, each with a LABKIT_HOME of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.authoring import build, layout, master
from labkit.authoring.environment import kernel_environment, prepare_home

SANITIZE = Path(__file__).with_name("sanitize.cfg")
QUIET = {"PYTHONWARNINGS": "ignore::RuntimeWarning"}


class Kernel:
    """A real kernel process, driven cell by cell.

    `run(code)` waits and returns what was shown as text; `send(code)` only sends.
    """

    def __init__(self, home: Path, scratch: Path) -> None:
        from jupyter_client.manager import KernelManager

        scratch.mkdir(parents=True, exist_ok=True)
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=kernel_environment(home, scratch) | QUIET, cwd=str(scratch))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=300)

    @property
    def pid(self) -> int:
        """Process id of the kernel."""
        return self.manager.provisioner.process.pid

    def send(self, code: str) -> str:
        """Send a cell; the id of the request."""
        return self.client.execute(code)

    def wait(self, request: str, timeout: float = 600) -> str:
        """Wait for a sent cell; the text it showed. AssertionError where it raised."""
        shown: list[str] = []
        deadline = time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=max(deadline - time.monotonic(), 0.01))
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                shown.append(content["text"])
            elif kind in ("execute_result", "display_data"):
                shown.append(content["data"].get("text/plain", ""))
            elif kind == "error":
                raise AssertionError("the cell raised:\n" + build.strip_ansi("\n".join(content["traceback"])))
            elif kind == "status" and content["execution_state"] == "idle":
                return "\n".join(shown)

    def run(self, code: str, timeout: float = 600) -> str:
        """Run a cell to its end; the text it showed."""
        return self.wait(self.send(code), timeout)

    def kill(self) -> None:
        """End the kernel at once, as when a machine runs out of memory."""
        os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def stop(self) -> None:
        """Shut the kernel down."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def prepared_home(fresh_home: Path) -> Path:
    """The test's LABKIT_HOME, with the seed that stored notebooks were executed with."""
    return prepare_home(fresh_home)


@pytest.fixture
def kernel(prepared_home: Path, tmp_path: Path) -> Iterator[Callable[[], Kernel]]:
    """Start a kernel on the test's LABKIT_HOME; called twice it gives two kernels on the same home."""
    started: list[Kernel] = []

    def start() -> Kernel:
        started.append(Kernel(prepared_home, tmp_path / f"kernel-{len(started)}"))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def exercise_text() -> Callable[..., str]:
    """`exercise_text("04", "BlockPool", solved=True)`: the cell of one exercise, magic line included."""

    def text(lesson: str, name: str, solved: bool) -> str:
        (path,) = layout.masters([lesson])
        cell = master.read(path).exercises[name]
        return cell.solved_source if solved else cell.learner_source

    return text


@pytest.fixture
def no_children() -> Callable[[list[int]], None]:
    """Wait until none of the processes lives any more; AssertionError naming those that do after ten seconds."""
    import psutil

    def gone(pids: list[int]) -> None:
        deadline = time.monotonic() + 10
        while True:
            alive = []
            for pid in pids:
                try:
                    if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                        alive.append(pid)
                except psutil.NoSuchProcess:
                    continue
            if not alive:
                return
            assert time.monotonic() < deadline, f"still alive: {alive}"
            time.sleep(0.1)

    return gone


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`lesson_master`: once for each lesson; `any_master`: once for each master, the gallery included."""
    for argument in ("lesson_master", "any_master"):
        if argument in metafunc.fixturenames:
            paths = [p for p in layout.masters() if argument == "any_master" or layout.is_lesson(p.stem)]
            metafunc.parametrize(argument, paths, ids=[p.stem for p in paths])


@pytest.fixture
def nbval(prepared_home: Path, tmp_path: Path) -> Callable[..., None]:
    """Run nbval on a copy of a notebook in a process of its own: `nbval(path, "--nbval")`.

    In a process, because nbval keeps its kernel in the collecting pytest, and that one may be a worker of xdist.
    """

    def run(path: Path, form: str, seconds: int = 850) -> None:
        assert path.is_file(), f"{path} is not built; run `labkit author build`."
        copy = tmp_path / "nbval" / path.name
        copy.parent.mkdir()
        copy.write_bytes(path.read_bytes())
        command = [
            sys.executable, "-m", "pytest", form, str(copy), "--nbval-cell-timeout=600", "--nbval-current-env",
            f"--nbval-sanitize-with={SANITIZE}", "--rootdir", str(copy.parent), "-c", os.devnull,
            "-p", "nbval.plugin", "-p", "no:cacheprovider", "-q", "--tb=short",
        ]  # fmt: skip
        env = kernel_environment(prepared_home, tmp_path) | {"JUPYTER_DATA_DIR": str(tmp_path / "jupyter")}
        env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # of all plugins that are installed, this takes one
        env.pop("PYTEST_ADDOPTS", None)
        done = subprocess.run(command, env=env, cwd=copy.parent, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]

    return run
