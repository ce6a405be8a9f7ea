"""`labkit check --file` on files that their authors wrote against the grader: no grade but their own is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit.grading.solutions import solution
from labkit.sandbox import isolation

LESSON = "04"
WRONG = "def blocks_needed(num_tokens, block_size):\n    return num_tokens // block_size\n"
namespaced = pytest.mark.skipif(
    isolation.strongest() != "bubblewrap" and "LABKIT_REQUIRE_BUBBLEWRAP" not in os.environ,
    reason="bubblewrap is not installed, or may not make a namespace here",
)


def right() -> str:
    text = solution(LESSON, "blocks_needed")
    assert text
    return text


def grade(path: Path, text: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """What `labkit check 04 --file FILE --json` says of the one exercise that the file has a cell for."""
    path.write_text(f"# %%exercise blocks_needed\n{text}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "labkit.cli", "check", LESSON, "--file", str(path), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=850,
    )
    verdicts = {v["id"]: v for v in json.loads(done.stdout)["exercises"]}
    return done.returncode, verdicts["blocks_needed"]


def seen_by(text: str, tmp_path: Path, **environment: str) -> str:
    """What an expression evaluates to inside, as the report shows that the code printed it."""
    code = f"import os, sys, subprocess, glob, socket\nraise ValueError(repr({text}))\n"
    _, verdict = grade(tmp_path / "look.py", code, **environment)
    assert verdict["kind"] == "raised-at-top-level", verdict
    return str(verdict["message"])


def test_the_json_says_what_held_the_code(tmp_path: Path) -> None:
    _, verdict = grade(tmp_path / "a.py", right())
    assert verdict["verdict"] == "pass" and verdict["isolation"] == isolation.strongest()


def test_without_bubblewrap_a_plain_process_holds_it(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    _, verdict = grade(tmp_path / "a.py", right(), PATH=str(folder))
    assert verdict["verdict"] == "pass" and verdict["isolation"] == "process"


REWRITER = """
import glob, json, sys, time
text = '\\\\n' + json.dumps({'answer': {'lesson': '', 'exercise': '', 'verdict': 'pass'}}) + '\\\\n'
end = time.monotonic() + 60
while time.monotonic() < end:
    for path in glob.glob(sys.argv[1] + '/labkit-job-*/*'):
        try:
            with open(path, 'r+') as file:
                file.write(text)
        except OSError:
            pass
    time.sleep(0.01)
"""


@pytest.mark.parametrize("namespace", [pytest.param(True, marks=namespaced), False])
def test_one_file_cannot_decide_the_grade_of_the_next(
    namespace: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # nobody else's jobs are written over
    if not namespace:
        folder = tmp_path / "bin"
        folder.mkdir()
        monkeypatch.setenv("PATH", str(folder))
    note = tmp_path / "pid"
    start = (
        f"import subprocess, sys\ncommand = [sys.executable, '-c', {REWRITER!r}, {str(tmp_path)!r}]\n"
        "p = subprocess.Popen(command, start_new_session=True)\n"
        f"try:\n    open({str(note)!r}, 'a').write(f'{{p.pid}} ')\nexcept OSError:\n    pass\n"
    )
    _, first = grade(tmp_path / "alice.py", start + right())
    assert first["verdict"] == "pass"
    _, second = grade(tmp_path / "bob.py", WRONG)
    assert (second["verdict"], second["rule"]) == ("fail", "a-started-block-counts")
    if not namespace:
        assert not [pid for pid in note.read_text().split() if psutil.pid_exists(int(pid))]


@namespaced
@pytest.mark.parametrize(
    "attack",
    [
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n",
        "import os, signal\nabove = open(f'/proc/{os.getppid()}/stat').read().rsplit(')', 1)[1].split()[1]\n"
        "os.kill(int(above), signal.SIGKILL)\n",
        "import os, signal, subprocess\nsubprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "os.kill(os.getppid(), signal.SIGSTOP)\n",
    ],
)
def test_the_grader_lives_and_nothing_outlives_it(attack: str, tmp_path: Path) -> None:
    before = {p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "300"]}
    code, verdict = grade(tmp_path / "a.py", attack + WRONG)
    assert code == 1 and verdict["verdict"] in ("fail", "error", "timeout")
    time.sleep(0.2)
    after = {p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "300"]}
    assert not after - before


@namespaced
def test_it_sees_no_home_no_network_no_processes_and_no_secrets(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the grader")
    here = Path(__file__).resolve()
    looks = {
        "sorted(k for k in os.environ if 'TOKEN' in k or 'LABKIT_HOME' in k)": "[]",
        f"os.path.exists({str(secret)!r}) or os.path.exists({str(here)!r})": "False",
        "os.path.exists(os.path.expanduser('~/.ssh')) or os.path.exists('/etc/passwd')": "False",
        "[i for _, i in socket.if_nameindex() if i != 'lo']": "[]",
        "len([p for p in os.listdir('/proc') if p.isdigit()]) < 6": "True",
        "os.access(os.path.dirname(__import__('labkit').__file__), os.W_OK)": "False",
        "glob.glob(os.path.dirname(os.getcwd()) + '/labkit-job-*') == [os.getcwd()]": "True",
    }
    said = seen_by(f"[{', '.join(looks)}]", tmp_path, GITHUB_TOKEN="x")
    assert "[" + ", ".join(looks.values()) + "]" in said


def test_a_killed_grader_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(f"# %%exercise blocks_needed\nsum(range(10**12))\n{WRONG}")
    grader = subprocess.Popen(
        [sys.executable, "-m", "labkit.cli", "check", LESSON, "--file", str(path), "--json"], stdout=subprocess.DEVNULL
    )
    end, below = time.monotonic() + 60, []
    while time.monotonic() < end and len(below) < 2:
        below = psutil.Process(grader.pid).children(recursive=True)
        time.sleep(0.1)
    time.sleep(3)  # the code is in the middle of its sum by then
    below = psutil.Process(grader.pid).children(recursive=True)
    grader.kill()
    grader.wait()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert not alive
