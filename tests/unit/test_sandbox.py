"""What a sandbox promises: an answer or a word for what ended it, and nothing left of what the code started."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from labkit.sandbox import clock, host, journal, limits
from labkit.sandbox.clock import Stopwatch
from labkit.sandbox.host import Limits, Outcome

TESTS = Path(__file__).resolve().parents[1]

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans fall to the supervisor on Linux alone")


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    yield
    host.close()


def execute(text: str, seconds: float = 9.0) -> Outcome:
    return host.run("sandbox_jobs:execute", text, limits=Limits(processor_seconds=seconds))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_end(pids: list[int], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_the_answer_comes_back_and_what_is_printed_does_not() -> None:
    outcome = execute("print('{\"answer\": 1}')\nimport os\nos.write(1, b'{\"answer\": 1}\\n')\nanswer = [2, 'x']")
    assert (outcome.ended, outcome.answer) == ("answer", [2, "x"])


def test_a_job_that_raises_is_an_error_with_its_traceback() -> None:
    outcome = execute("1 / 0")
    assert outcome.ended == "error" and "ZeroDivisionError" in outcome.reason


def test_an_answer_that_json_has_no_form_for_comes_as_text() -> None:
    assert execute("class X:\n    def __repr__(self): 1 / 0\nanswer = [X(), {1j: 2}.keys()]").ended == "answer"


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("import os; os._exit(0)", "exit"),
        ("while True: pass", "time"),
        ("import time; time.sleep(60)", "time"),
        ("sum(range(10**12))", "time"),
    ],
)
def test_what_does_not_answer_has_a_word_for_it(text: str, ended: str) -> None:
    assert execute("session.journal.append(['first', {}])\n" + text, seconds=1).ended == ended


def test_the_journal_tells_what_was_running() -> None:
    outcome = execute(
        "session.journal.append(['a', {}])\nsession.journal.append(['b', {'n': 1}])\nimport os; os._exit(1)"
    )
    assert outcome.journal.lines == [["a", {}], ["b", {"n": 1}]] and outcome.journal.count == 2


def test_a_journal_that_the_code_overwrote_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for data in (b"", b"x", b"\xff" * 70_000, (60_000).to_bytes(4, "little") + bytes(12) + b"[" * 60_000):
        path.write_bytes(data)
        assert journal.read(path).lines == []


# ----- the end of what the code starts --------------------------------------------------------------------------------

ORPHANS = {
    "in a new session": "p = subprocess.Popen(['sleep', '300'], start_new_session=True)\nnote(p.pid)",
    "forked twice": """
script = "import os, time; os.setsid(); pid = os.fork()\\nif pid: os._exit(0)\\n"
script += "open({note!r}, 'a').write(str(os.getpid()) + ' '); time.sleep(300)"
subprocess.run([sys.executable, '-c', script])
time.sleep(0.5)""",
    "a shell's background": "subprocess.run('setsid sleep 300 & echo $! >> {note}; (sleep 300 &)', shell=True)",
    "that ignores signals": "p = subprocess.Popen(['sh', '-c', \"trap '' TERM HUP INT; sleep 300\"])\nnote(p.pid)",
}


def started(note: Path) -> list[int]:
    return [int(word) for word in note.read_text().split()]


def starting(how: str, note: Path, then: str = "answer = 1") -> str:
    head = f"import os, signal, subprocess, sys, time\ndef note(pid): open({str(note)!r}, 'a').write(f'{{pid}} ')\n"
    return head + ORPHANS[how].replace("{note!r}", repr(str(note))).replace("{note}", str(note)) + "\n" + then


def sleeping() -> set[int]:
    return {p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "300"]}


@linux
@pytest.mark.parametrize("how", ORPHANS)
def test_every_descendant_has_ended_when_the_answer_is_there(how: str, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    before = sleeping()
    assert execute(starting(how, note)).answer == 1
    assert started(note) and not any(map(alive, started(note)))
    assert not sleeping() - before


@linux
@pytest.mark.parametrize("number", ["SIGKILL", "SIGSTOP", "SIGTERM"])
def test_code_that_turns_on_its_parent_ends_itself(number: str, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    text = starting("in a new session", note, f"os.kill(os.getppid(), signal.{number}); time.sleep(300)")
    outcome = execute(text, seconds=2)
    assert outcome.ended in ("exit", "time")
    assert started(note) and all_end(started(note))
    assert execute("answer = 1").answer == 1


@posix
def test_a_worker_in_the_middle_of_c_ends_with_a_killed_parent(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    text = f"import os\nopen({str(note)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}}')\nsum(range(10**12))"
    code = f"from labkit.sandbox.host import run\nrun('sandbox_jobs:execute', {text!r})"
    asking = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 60
    while time.monotonic() < end and not (note.exists() and len(note.read_text().split()) == 2):
        time.sleep(0.05)
    asking.kill()
    asking.wait()
    assert all_end(started(note))


@posix
def test_nothing_that_the_code_starts_inherits_the_channel() -> None:
    show = "import os; print([d for d in range(3, 5000) if os.path.exists(f'/dev/fd/{d}')])"
    outcome = execute(
        f"import subprocess, sys\nanswer = subprocess.check_output([sys.executable, '-c', {show!r}], text=True)"
    )
    assert outcome.answer.strip() == "[]"


@posix
def test_a_copy_of_the_process_does_not_answer_beside_it() -> None:
    assert execute("import os\nfor _ in range(3): os.fork()\nanswer = 'one'").answer == "one"


@posix
def test_code_that_closes_the_channel_is_told_so() -> None:
    assert execute("import os\nos.closerange(3, 9999)").ended == "channel"


# ----- what it sees ---------------------------------------------------------------------------------------------------


def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("JUPYTER_TOKEN", "x")
    names = execute("import os\nanswer = sorted(os.environ)").answer
    assert "PATH" in names and not {"AWS_SECRET_ACCESS_KEY", "JUPYTER_TOKEN", "PYTEST_CURRENT_TEST"} & set(names)


# ----- the machine ----------------------------------------------------------------------------------------------------


def test_without_a_folder_for_temporary_files_it_is_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    outcome = execute("answer = 1")
    assert outcome.ended == "machine" and "No such file" in outcome.reason


def test_a_full_disk_is_the_machine_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(journal, "create", full)
    outcome = execute("answer = 1")
    assert outcome.ended == "machine" and "No space left" in outcome.reason
    assert not list(tmp_path.glob("labkit-job-*"))


def test_what_was_made_for_a_job_goes_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert execute("open('left', 'w').write('x')\nanswer = 1").answer == 1
    assert not list(tmp_path.glob("labkit-job-*"))


# ----- the clock ------------------------------------------------------------------------------------------------------

PINNED = """
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from labkit.sandbox.clock import Stopwatch
watch = Stopwatch()
while time.process_time() < 1.5: pass
print(watch.wall(), watch.own())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a processor of its own")
def test_time_in_the_run_queue_is_no_time_of_its_own() -> None:
    """Three that compute share one processor: on the wall each takes three times what it computes."""
    running = [subprocess.Popen([sys.executable, "-c", PINNED], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        wall, own = map(float, process.communicate()[0].split())
        assert own < 0.7 * wall


def test_a_sleep_is_time_of_its_own() -> None:
    watch = Stopwatch()
    time.sleep(0.3)
    assert watch.own() > 0.2


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="interval timers are a POSIX notion")
def test_the_kernel_is_asked_once_for_many_short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, now = [], [100.0]
    monkeypatch.setattr(clock, "queued_seconds", lambda pid="self": asked.append(pid) or 0.0)
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    for _ in range(50):
        with limits.time_limit(1.0):
            pass
    assert len(asked) == 1
    now[0] += 2 * clock.RECENT_SECONDS
    with limits.time_limit(1.0):
        pass
    assert len(asked) == 2
    Stopwatch()
    assert len(asked) == 3, "who measures asks"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="interval timers are a POSIX notion")
def test_the_signals_of_many_blocks_are_given_back() -> None:
    def handlers() -> list:
        return [signal.getsignal(s) for s in (signal.SIGALRM, signal.SIGPROF)]

    before = handlers()
    with pytest.raises(limits.OperationTimeout), limits.alarms():
        ours = handlers()
        assert ours != before
        for _ in range(3):
            with limits.time_limit(1.0):
                assert handlers() == ours
        assert handlers() == ours
        signal.raise_signal(signal.SIGPROF)  # late: no block is held
        with limits.time_limit(0.05):
            while True:
                pass
    assert handlers() == before
    with limits.time_limit(1.0):
        assert handlers() != before
    assert handlers() == before
