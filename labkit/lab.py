"""Opens the course: fetches the model, copies the notebooks for the learner, starts JupyterLab at lesson 00.

`make lab` ends here, and so does `labkit lab` from a wheel. The learner works in copies: in a checkout under its
git-ignored `work/`, elsewhere in `work/` of the folder in which the command was given. JupyterLab is a child with a
session of its own, so that Ctrl-C is ours to handle, and its log goes to a file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import paths
from labkit.errors import LabkitError

FIRST_LESSON = "00_start_here.ipynb"
FIRST_PORT = 8888
START_SECONDS = 120.0  # a first start compiles and reads from a cold disk
_LESSON_FILE = re.compile(r"\d\d_\w+\.ipynb")


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


# ------------------------------------------------------------------ the learner's copies


@dataclass(frozen=True)
class Copied:
    """What became of one notebook: "copied", "updated", "kept" or "offered" (`beside` then names the new file)."""

    name: str
    action: str
    beside: str | None = None


def work_dir() -> Path:
    """Where the learner's copies live: `work/` of the checkout, or of the current folder."""
    return (paths.checkout() or Path.cwd()) / "work"


def copy_notebooks(source: Path, work: Path) -> list[Copied]:
    """Bring the lessons' notebooks from `source` to `work`; never overwrite what the learner has changed.

    A copy counts as changed when the text of its cells is not what was put there: outputs do not count, so a notebook
    that was only run is still replaced. Where a changed copy's original is new, the new one is put beside it as
    NAME.new.ipynb, once. What was put there is remembered in `work/.labkit/notebooks.json`.
    """
    memory = work / ".labkit" / "notebooks.json"
    shipped = _read_memory(memory)
    done = []
    for original in sorted(path for path in source.glob("*.ipynb") if _LESSON_FILE.fullmatch(path.name)):
        name, copy = original.name, work / original.name
        new = fingerprint(original)
        if not copy.exists():
            _copy(original, copy)
            done.append(Copied(name, "copied"))
        elif (now := fingerprint(copy)) == new:
            done.append(Copied(name, "kept"))
        elif now == shipped.get(name):
            _copy(original, copy)
            done.append(Copied(name, "updated"))
        elif new == shipped.get(name):
            done.append(Copied(name, "kept"))  # changed by the learner, and nothing new to offer
        else:
            beside = _free_name(work, original.stem, new, shipped)
            _copy(original, work / beside)
            shipped[beside] = new
            done.append(Copied(name, "offered", beside))
        shipped[name] = new
    # What asks coding assistants not to take the exercises from the learner. Edited, it is the learner's.
    asks, copy = Path(__file__).parent / "lab_settings" / "AGENTS.md", work / "AGENTS.md"
    if not copy.exists() or fingerprint(copy) == shipped.get(copy.name):
        _copy(asks, copy)
        shipped[copy.name] = fingerprint(asks)
    _write_json(memory, shipped)
    return done


def fingerprint(notebook: Path) -> str:
    """A digest of what a person can have typed: kinds and texts of the cells; of the bytes where it is no notebook."""
    data = notebook.read_bytes()
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        cells = json.loads(data)["cells"]
        typed = [[cell["cell_type"], "".join(cell["source"])] for cell in cells]
        data = json.dumps(typed).encode()
    return hashlib.sha256(data).hexdigest()


def _free_name(work: Path, stem: str, new: str, shipped: dict[str, str]) -> str:
    number = 1
    while True:
        name = f"{stem}.new{'' if number == 1 else f'-{number}'}.ipynb"
        there = work / name
        # One that was offered before and not changed since may be replaced by the newer one.
        if not there.exists() or fingerprint(there) in (new, shipped.get(name)):
            return name
        number += 1


def _read_memory(memory: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        data = json.loads(memory.read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in data.items()} if isinstance(data, dict) else {}
    return {}


def _copy(source: Path, target: Path) -> None:
    """Copy so that the target is the old file or the new one, never a part of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(source.read_bytes())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _write_json(target: Path, data: Any) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(temporary, target)


def _report(done: list[Copied], work: Path) -> None:
    count = {action: sum(1 for item in done if item.action == action) for action in ("copied", "updated", "kept")}
    parts = [f"{number} {action}" for action, number in count.items() if number]
    say(f"Notebooks in {work}: {', '.join(parts) or 'none'}.")
    for item in done:
        if item.action == "offered":
            say(f"{item.name} has your changes and was left alone; its new version is beside it as {item.beside}.")


# ------------------------------------------------------------------ the model


def fetch_model() -> bool:
    """Fetch the model, its progress in sight; False, with a sentence, where that fails or is interrupted."""
    if os.environ.get("LABKIT_NO_MODEL") == "1":
        say("No model is fetched (LABKIT_NO_MODEL=1): the lessons run with the tiny seeded one.")
        return False
    command = [sys.executable, "-c", "from labkit.cli import main; main()", "model", "fetch"]
    fallback = "the lessons run with a tiny seeded model; `labkit model fetch` tries again."
    try:
        status = subprocess.call(command, stdin=subprocess.DEVNULL)
    except KeyboardInterrupt:
        print()
        say(f"The model's download was stopped: {fallback}")
        return False
    if status != 0:
        say(f"The model could not be fetched: {fallback}")
    return status == 0


# ------------------------------------------------------------------ JupyterLab


def server_command(work: Path, port: int) -> list[str]:
    """The command that serves `work` at http://127.0.0.1:PORT; its token is the environment's JUPYTER_TOKEN.

    Defaults of ours (no prompt for news, no question about updates) come from a settings folder inside the package:
    the learner's own settings are neither written nor overruled.
    """
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={work}",
        f"--LabApp.default_url=/lab/tree/{FIRST_LESSON}",
        f"--LabApp.app_settings_dir={Path(__file__).parent / 'lab_settings'}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--HTMLExporter.preprocessors=labkit.export.StaticWidgets",  # File > Save and Export Notebook As > HTML
    ]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # as in a container; the server listens to this machine alone
    return command


def server_environment(token: str) -> dict[str, str]:
    """The server's variables: its token, what its kernels begin with, and programs of this environment first."""
    scripts = str(Path(sys.executable).parent)
    return {
        "PYTHONSTARTUP": str(Path(__file__).with_name("startup.py")),  # unless the learner has one
        **os.environ,
        "JUPYTER_TOKEN": token,
        "JUPYTER_PREFER_ENV_PATH": "1",  # a kernel of the same name in the learner's home must not be taken instead
        "PATH": scripts + os.pathsep + os.environ.get("PATH", ""),
    }


def free_port(first: int = FIRST_PORT) -> int:
    """The first port from `first` on that nobody listens at; any free one where twenty in a row are taken."""
    for port in [*range(first, first + 20), 0]:
        with socket.socket() as probe:
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
    raise LabkitError("No port of this machine is free for JupyterLab; close a program that serves one and try again.")


def running_url(work: Path) -> str | None:
    """The address of a JupyterLab that serves `work` already, or None."""
    try:
        info = json.loads(_server_file(work).read_text(encoding="utf-8"))
        port, token = int(info["port"]), str(info["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _lesson_url(port, token) if _answers(port, token) else None


def _server_file(work: Path) -> Path:
    return work / ".labkit" / "server.json"


def _lesson_url(port: int, token: str) -> str:
    return f"http://127.0.0.1:{port}/lab/tree/{FIRST_LESSON}?token={token}"


def _answers(port: int, token: str) -> bool:
    # A proxy that the environment names must not be asked for this machine's own address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/status", headers={"Authorization": f"token {token}"})
    try:
        with opener.open(request, timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def _signals_end_us_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that the server never outlives us."""

    def stop(number: int, _frame: Any) -> None:
        raise SystemExit(128 + number)

    kinds = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {kind: signal.signal(kind, stop) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def serve(work: Path, browser: bool) -> int:
    """Start JupyterLab on `work`, say where, open a browser if asked, and stay until it ends; its exit status."""
    log = work / ".labkit" / "jupyterlab.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    port, token = free_port(), secrets.token_hex(24)
    options: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
    with _signals_end_us_in_order(), open(log, "wb") as sink:
        server = subprocess.Popen(
            server_command(work, port),
            env=server_environment(token),
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            **options,
        )
        try:
            _wait_until_up(server, port, token, log)
            _write_private(_server_file(work), {"port": port, "token": token, "pid": server.pid})
            _announce(_lesson_url(port, token), browser)
            say("Ctrl-C in this window stops JupyterLab; the notebooks save themselves.")
            return server.wait()
        except KeyboardInterrupt:
            print()
            say("Stopping JupyterLab.")
            return 0
        finally:
            _stop(server)
            _server_file(work).unlink(missing_ok=True)


def _wait_until_up(server: subprocess.Popen[bytes], port: int, token: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port, token):
        ended = server.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            how = "ended at once" if ended else f"did not answer within {START_SECONDS:.0f} s"
            raise LabkitError(f"JupyterLab {how}; `labkit doctor` looks for causes; its log {log} ends:\n{tail}")
        time.sleep(0.2)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its kernels: politely first, then not."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


def _write_private(target: Path, data: Any) -> None:
    """Write JSON that nobody but this user may read: it holds the token."""
    target.unlink(missing_ok=True)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(data, file)


def _announce(url: str, browser: bool) -> None:
    say("Lesson 00 is at")
    print(f"\n    {url}\n", flush=True)
    if browser and os.environ.get("LABKIT_NO_BROWSER") != "1":
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(url)


# ------------------------------------------------------------------ the command


def run(work: Path | str | None = None, browser: bool = True, model: bool = True) -> int:
    """Fetch the model, copy the notebooks, open JupyterLab at lesson 00; returns the exit status.

    work: the folder of the learner's copies, `work_dir()` where None. browser=False opens none, nor does
    LABKIT_NO_BROWSER=1. model=False fetches no model, nor does LABKIT_NO_MODEL=1.
    """
    folder = Path(work).expanduser().absolute() if work is not None else work_dir()
    try:
        if model:
            fetch_model()
        _report(copy_notebooks(paths.notebooks_dir(), folder), folder)
        url = running_url(folder)
        if url is not None:
            say("JupyterLab is running already.")
            _announce(url, browser)
            return 0
        return serve(folder, browser)
    except LabkitError as error:
        print(f"Stopped: {error}", file=sys.stderr)
    except OSError as error:
        place = error.filename or folder
        print(f"Stopped: {place} cannot be used ({error.strerror or error}); `labkit doctor` looks for causes.",
              file=sys.stderr)  # fmt: skip
    return 1


def main(arguments: list[str] | None = None) -> int:
    """`python -m labkit.lab`: what bootstrap.py hands over to."""
    parser = argparse.ArgumentParser(prog="labkit lab", description="Open the course in JupyterLab.")
    parser.add_argument("--work", help="folder of your copies of the notebooks")
    parser.add_argument("--model-only", action="store_true", help="fetch the model and stop")
    options = parser.parse_args(arguments)
    if options.model_only:
        return 0 if fetch_model() else 1
    return run(options.work)


if __name__ == "__main__":
    sys.exit(main())
