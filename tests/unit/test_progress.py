"""Progress survives what happens to it: two notebooks at once, a kill in the middle, a damaged file, a bad import."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from labkit.errors import LabkitError, ProgressError
from labkit.grading import progress as module
from labkit.grading.progress import Progress

LESSON = "04_block_pool"

WRITER = """
import sys
from labkit.grading.progress import Progress

progress, who, count = Progress(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for n in range(count):
    progress.record_attempt("04_block_pool", who, "fail", "rule", 0.1, f"text {n}")
    progress.open_hint("04_block_pool", "shared")
    progress.save_answer("04_block_pool", "q-" + who, n, n % 2 == 0, 0.5)
    progress.save_pass("04_block_pool", "shared", f"# {who} {n}\\n" + "x = 1\\n" * 200)
    print(n, flush=True)
"""


def writer(home: Path, who: str, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(home), who, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA integrity_check").fetchone()[0]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    assert progress.passed(LESSON, "pool") is None
    assert progress.hint_level(LESSON, "pool") == 0
    assert progress.failing(LESSON, "pool") is None
    progress.record_attempt(LESSON, "pool", "fail", "conservation", 1.5, "first")
    progress.save_failing(LESSON, "pool", [{"op": "allocate", "args": [3]}])
    assert progress.open_hint(LESSON, "pool") == 1
    assert progress.open_hint(LESSON, "pool") == 2
    assert Progress(tmp_path).failing(LESSON, "pool") == [{"op": "allocate", "args": [3]}]
    progress.save_pass(LESSON, "pool", "class BlockPool: ...\n")

    again = Progress(tmp_path)
    assert again.passed(LESSON, "pool") == "class BlockPool: ...\n"
    assert again.passed_all() == {(LESSON, "pool"): "class BlockPool: ...\n"}
    assert (tmp_path / "passed" / LESSON / "pool.py").read_text() == "class BlockPool: ...\n"
    assert again.failing(LESSON, "pool") is None  # a pass forgets the sequence that failed
    assert again.hint_level(LESSON, "pool") == 2
    (attempt,) = again.attempts(LESSON, "pool")
    assert (attempt["verdict"], attempt["rule"], attempt["seconds"], attempt["text"]) == (
        "fail",
        "conservation",
        1.5,
        "first",
    )


def test_answers_keep_the_latest_and_count_attempts(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.save_answer(LESSON, "q1", ["a", "b"], False, 0.5)
    progress.save_answer(LESSON, "q1", ["a"], True, 1.0)
    assert progress.answers(LESSON) == {"q1": {"answer": ["a"], "correct": True, "score": 1.0, "attempts": 2}}
    assert progress.answers("03_contiguous_world") == {}


def test_the_seed_is_drawn_once(tmp_path: Path) -> None:
    assert Progress(tmp_path / "a").seed() == Progress(tmp_path / "a").seed()
    assert len({Progress(tmp_path / str(n)).seed() for n in range(5)}) > 1


def test_the_default_home_is_labkit_home(fresh_home: Path) -> None:
    Progress().open_hint(LESSON, "pool")
    assert (fresh_home / "progress.sqlite").is_file()


def test_summary(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    assert progress.summary() == {"passed": 0, "attempts": 0, "lessons": {}}
    progress.record_attempt(LESSON, "pool", "fail", "r", 1, "t")
    progress.record_attempt(LESSON, "pool", "pass", None, 1, "t")
    progress.save_pass(LESSON, "pool", "t")
    progress.open_hint(LESSON, "table")
    progress.save_answer(LESSON, "q1", 1, True, 1.0)
    progress.save_answer(LESSON, "q2", 1, False, 0.0)
    summary = progress.summary()
    assert (summary["passed"], summary["attempts"]) == (1, 2)
    lesson = summary["lessons"][LESSON]
    assert lesson["passed"] == ["pool"]
    assert lesson["exercises"]["pool"]["passed"] and lesson["exercises"]["pool"]["last"] == "pass"
    assert lesson["exercises"]["table"] == {"passed": False, "attempts": 0, "hints": 1, "last": None, "at": None}
    assert lesson["questions"] == {"answered": 2, "correct": 1, "score": 1.0}


def test_reset_takes_one_exercise_or_the_lesson_and_keeps_passed_code_aside(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    for name in ("pool", "table"):
        progress.record_attempt(LESSON, name, "pass", None, 1, name)
        progress.save_pass(LESSON, name, name)
    progress.save_answer(LESSON, "q1", 1, True, 1.0)
    progress.save_pass("03_contiguous_world", "first_fit", "other")

    assert progress.reset(LESSON, "pool")["passes"] == 1
    assert progress.passed_all() == {("03_contiguous_world", "first_fit"): "other", (LESSON, "table"): "table"}
    assert not (tmp_path / "passed" / LESSON / "pool.py").exists()
    assert progress.answers(LESSON)
    assert [file.read_text() for file in (tmp_path / "set_aside" / LESSON).glob("pool-*.py")] == ["pool"]

    removed = progress.reset(LESSON)
    assert removed == {"attempts": 1, "passes": 1, "hints": 0, "failing": 0, "answers": 1}
    assert list(progress.summary()["lessons"]) == ["03_contiguous_world"]


def test_two_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    count = 120  # rounds; each is four transactions
    both = [writer(tmp_path, who, count) for who in ("a", "b")]  # the file does not exist yet: they also race for it
    for process in both:
        go(process)
    for process in both:
        _, errors = process.communicate(timeout=850)
        assert process.returncode == 0, errors
    progress = Progress(tmp_path)
    for who in ("a", "b"):
        assert [entry["text"] for entry in progress.attempts(LESSON, who)] == [f"text {n}" for n in range(count)]
        assert progress.answers(LESSON)[f"q-{who}"]["attempts"] == count
    assert progress.hint_level(LESSON, "shared") == 2 * count
    assert progress.passed(LESSON, "shared") == (tmp_path / "passed" / LESSON / "shared.py").read_text()
    assert integrity(progress.path) == "ok"
    assert not list(tmp_path.rglob("*.tmp"))


def test_many_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from labkit.grading.progress import Progress; sys.stdin.readline();"
        " print(Progress(sys.argv[1]).seed())"
    )
    for attempt in range(3):
        command = [sys.executable, "-c", code, str(tmp_path / str(attempt))]
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        results = []
        for process in processes:
            go(process)
        for process in processes:
            out, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            results.append(out)
        assert len(set(results)) == 1  # one made the file, the others found it


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_kill_in_the_middle_loses_no_write_that_was_answered(tmp_path: Path) -> None:
    for attempt in range(6):
        home = tmp_path / str(attempt)
        process = writer(home, "a", 100_000)
        go(process)
        time.sleep(0.05 + 0.07 * attempt)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate(timeout=30)
        # A line cut off by the kill says nothing; every whole one stands for four transactions that had returned.
        finished = len(out.splitlines()) if out.endswith("\n") or not out else len(out.splitlines()) - 1
        progress = Progress(home)
        assert integrity(progress.path) == "ok"
        attempts = progress.attempts(LESSON, "a")
        assert finished <= len(attempts) <= finished + 1
        assert [entry["text"] for entry in attempts] == [f"text {n}" for n in range(len(attempts))]
        assert finished <= progress.hint_level(LESSON, "shared") <= finished + 1
        text = progress.passed(LESSON, "shared")
        assert finished == 0 or (text is not None and text.endswith("x = 1\n" * 200))
        file = home / "passed" / LESSON / "shared.py"
        assert not file.exists() or file.read_text().endswith("x = 1\n" * 200)  # the old text or the new, whole
        progress.record_attempt(LESSON, "after", "pass", None, 0.1, "works")
        assert len(progress.attempts(LESSON, "after")) == 1


def test_a_writer_waits_for_another_that_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = Progress(tmp_path)
    progress.seed()
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.3)
    with closing(sqlite3.connect(progress.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert progress.hint_level(LESSON, "pool") == 0  # readers do not wait
        with pytest.raises(ProgressError, match="stayed locked by another program"):
            progress.open_hint(LESSON, "pool")
        other.execute("ROLLBACK")
    assert progress.open_hint(LESSON, "pool") == 1


def test_the_switch_to_wal_is_tried_again(tmp_path: Path) -> None:
    # Another process holds the new file's write lock for a moment: SQLite answers the switch with "locked" at once.
    path = tmp_path / "progress.sqlite"
    code = (
        "import sqlite3, sys, time; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        " db.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(0.5); db.execute('ROLLBACK')"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    assert Progress(tmp_path).open_hint(LESSON, "pool") == 1
    assert process.wait(10) == 0
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_network_home_gets_a_rollback_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_network", lambda folder: True)
    progress = Progress(tmp_path)
    progress.save_pass(LESSON, "pool", "text")
    with closing(sqlite3.connect(progress.path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert progress.passed(LESSON, "pool") == "text"


def test_network_file_systems_are_known_by_their_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def mounts(kind: str):
        root = SimpleNamespace(mountpoint="/", fstype="ext4", opts="rw")
        return lambda all: [root, SimpleNamespace(mountpoint=str(tmp_path), fstype=kind, opts="rw")]

    for kind, expected in (("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("apfs", False)):
        monkeypatch.setattr(psutil, "disk_partitions", mounts(kind))
        assert module.is_network(tmp_path / "home") is expected, kind
    monkeypatch.setattr(psutil, "disk_partitions", mounts("nfs"))
    assert not module.is_network(tmp_path.parent / "elsewhere")
    assert module.is_network(Path("//server/share"))


def test_a_damaged_file_is_kept_aside_and_passed_code_is_taken_up_again(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.save_pass(LESSON, "pool", "class BlockPool: ...\n")
    damaged = b"this is no database" * 200
    progress.path.write_bytes(damaged)
    with pytest.raises(ProgressError, match=r"is damaged .* kept as progress\.damaged-") as caught:
        progress.seed()
    assert "\n" not in str(caught.value)
    (kept,) = tmp_path.glob("progress.damaged-*.sqlite")
    assert kept.read_bytes() == damaged
    assert progress.passed(LESSON, "pool") == "class BlockPool: ...\n"


def test_damage_inside_the_file_is_found_too(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    for n in range(50):
        progress.record_attempt(LESSON, "pool", "fail", None, 1, "x" * 3000 + str(n))
    data = bytearray(progress.path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 4096] = b"\xff" * len(data[page : page + 4096])
    progress.path.write_bytes(bytes(data))
    with pytest.raises(ProgressError, match="is damaged"):
        progress.attempts(LESSON, "pool")
    assert list(tmp_path.glob("progress.damaged-*.sqlite"))
    assert progress.open_hint(LESSON, "pool") == 1


def test_flipped_bytes_are_never_more_than_a_sentence(tmp_path: Path) -> None:
    """Every file that a bad disk may leave is read as it stands, or put aside; the next call finds a new one."""
    made = Progress(tmp_path / "made")
    made.record_attempt(
        "04_block_pool", "BlockPool", "fail", "no-double-free", 0.5, "class BlockPool: pass  # \u00e9" * 20
    )
    made.record_attempt("04_block_pool", "find_leak", "error", None, 1.5, "def find_leak(): ...")
    made.save_pass("04_block_pool", "BlockPool", "class BlockPool: ...\n")
    made.open_hint("04_block_pool", "BlockPool")
    made.save_failing("04_block_pool", "find_leak", [{"op": "new", "args": {"n": 3}}])
    made.save_answer("04_block_pool", "q1", {"a": "b"}, True, 1.0)
    with closing(sqlite3.connect(made.path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert db.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    whole = made.path.read_bytes()
    used = [i for i, byte in enumerate(whole) if byte]
    dice = random.Random(8)
    home = tmp_path / "home"
    progress = Progress(home)
    aside = 0
    for number in range(300):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        damaged = bytearray(whole)
        for at in dice.sample(used, dice.choice((1, 1, 3, 30))):
            damaged[at] = dice.randrange(256)
        progress.path.write_bytes(damaged)
        try:
            json.dumps([progress.summary(), progress._snapshot()])
            if number % 10 == 0:
                progress.open_hint("04_block_pool", "BlockPool")
        except ProgressError as error:
            said = str(error)
            assert ("is damaged" in said and "was kept as" in said) or "newer labkit" in said
            if "is damaged" in said:
                aside += 1
                assert progress.seed() >= 0 and list(home.glob("progress.damaged-*.sqlite"))
    assert aside > 100


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM meta", "UPDATE meta SET value='x'", "UPDATE failing SET ops='{'", "UPDATE answers SET answer='['",
        "UPDATE passes SET text=x'ff00'", "UPDATE attempts SET text=CAST(x'ff' AS TEXT)", "UPDATE hints SET level='a'",
        "DROP TABLE hints", "UPDATE answers SET correct='yes'",
    ],
)  # fmt: skip
def test_values_that_were_never_written_are_damage(tmp_path: Path, statement: str) -> None:
    progress = Progress(tmp_path)
    progress.record_attempt("04_block_pool", "BlockPool", "fail", None, 0.5, "text")
    progress.save_pass("04_block_pool", "BlockPool", "class BlockPool: ...\n")
    progress.open_hint("04_block_pool", "BlockPool")
    progress.save_failing("04_block_pool", "find_leak", [])
    progress.save_answer("04_block_pool", "q1", 1, True, 1.0)
    with closing(sqlite3.connect(progress.path)) as db, db:
        db.execute(statement)
    with pytest.raises(ProgressError, match=r"is damaged .* was kept as progress\.damaged"):
        progress._snapshot()
    assert progress.passed("04_block_pool", "BlockPool") == "class BlockPool: ...\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")
def test_what_was_tried_is_nobody_elses_business(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "home")
    progress.open_hint("04_block_pool", "BlockPool")
    assert stat.S_IMODE(progress.home.stat().st_mode) == 0o700
    progress.path.chmod(0o644)  # as earlier versions left it
    progress.open_hint("04_block_pool", "BlockPool")
    assert stat.S_IMODE(progress.path.stat().st_mode) == 0o600


def test_a_home_that_no_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_HOME", "~nobody-of-this-name/x")
    with pytest.raises(LabkitError, match="LABKIT_HOME is '~nobody-of-this-name/x', which is no folder"):
        Progress()


def test_a_home_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(ProgressError, match="set LABKIT_HOME to a folder you may write to") as caught:
        Progress(blocked).seed()
    assert "\n" not in str(caught.value) and str(blocked) in str(caught.value)
    assert blocked.read_text() == "in the way"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_without_rights(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    with pytest.raises(ProgressError, match="set LABKIT_HOME"):
        Progress(home).seed()


def test_a_file_of_a_newer_labkit_is_left_alone(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.seed()
    with closing(sqlite3.connect(progress.path)) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(ProgressError, match="written by a newer labkit"):
        progress.seed()
    with closing(sqlite3.connect(progress.path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 99


def test_a_pass_whose_file_cannot_be_written_is_not_recorded(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    progress.seed()
    (tmp_path / "passed").write_text("a file in the way")
    with pytest.raises(ProgressError, match="could not be kept"):
        progress.save_pass(LESSON, "pool", "text")
    assert progress.passed(LESSON, "pool") is None


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a\\b", ".hidden", "two words", 4])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: object) -> None:
    progress = Progress(tmp_path)
    with pytest.raises(ProgressError, match="is no name"):
        progress.save_pass(LESSON, name, "text")  # type: ignore[arg-type]
    with pytest.raises(ProgressError, match="is no name"):
        progress.save_pass(name, "pool", "text")  # type: ignore[arg-type]
    assert progress.passed_all() == {}


def test_values_that_are_no_json_are_refused(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    with pytest.raises(ProgressError, match="plain JSON"):
        progress.save_answer(LESSON, "q1", object(), True, 1.0)
    with pytest.raises(ProgressError, match="plain JSON"):
        progress.save_answer(LESSON, "q1", "\ud800", True, 1.0)
    with pytest.raises(ProgressError, match="keeps text"):
        progress.record_attempt(LESSON, "pool", "error", None, 1.0, "x = '\ud800'")
    assert progress.answers(LESSON) == {}


def filled(home: Path) -> Progress:
    progress = Progress(home)
    progress.record_attempt(LESSON, "pool", "fail", "rule", 1.0, "first")
    progress.record_attempt(LESSON, "pool", "pass", None, 1.0, "second")
    progress.save_pass(LESSON, "pool", "second")
    progress.open_hint(LESSON, "pool")
    progress.save_failing(LESSON, "table", [1, {"a": None}])
    progress.save_answer(LESSON, "q1", {"x": [1, 2]}, True, 1.0)
    return progress


def test_export_and_import_carry_everything(tmp_path: Path) -> None:
    one = filled(tmp_path / "one")
    file = one.export(tmp_path / "progress.json")
    two = Progress(tmp_path / "two")
    counts = two.import_(file)
    assert counts == {"attempts": 2, "passes": 1, "hints": 1, "failing": 1, "answers": 1}
    assert two.summary() == one.summary()
    assert two.seed() == one.seed()
    assert two.answers(LESSON) == one.answers(LESSON)
    assert two.failing(LESSON, "table") == [1, {"a": None}]
    assert (tmp_path / "two" / "passed" / LESSON / "pool.py").read_text() == "second"
    two.import_(file)
    assert two.summary() == one.summary()  # a second time changes nothing


def test_import_keeps_what_is_newer_here(tmp_path: Path) -> None:
    one = filled(tmp_path / "one")
    file = one.export(tmp_path / "progress.json")
    one.save_pass(LESSON, "pool", "third")
    one.save_answer(LESSON, "q1", "newer", False, 0.0)
    one.open_hint(LESSON, "pool")
    one.import_(file)
    assert one.passed(LESSON, "pool") == "third"
    assert (tmp_path / "one" / "passed" / LESSON / "pool.py").read_text() == "third"
    assert one.answers(LESSON)["q1"]["answer"] == "newer"
    assert one.hint_level(LESSON, "pool") == 2


AT = """{"format": "labkit-progress", "version": 1, "seed": 1, "attempts": [], "hints": [], "failing": [],
"answers": [], "passes": [{"lesson": "a", "exercise": "b", "at": "%s", "text": ""}]}"""
FAULTS = {
    "not json": ("{", "is not JSON"),
    "a list": ("[]", "is not an export"),
    "another format": ('{"format": "other"}', "is not an export"),
    "a newer version": ({"version": 99}, "version 99"),
    "no seed": ({"seed": "x"}, "no usable seed"),
    "a missing list": ({"passes": None}, 'no list "passes"'),
    "an entry that is no object": ({"hints": [3]}, r"hints\[0\] is not an object"),
    "a missing field": ({"hints": [{"lesson": "a", "exercise": "b"}]}, r'hints\[0\] lacks "level"'),
    "a wrong type": ({"hints": [{"lesson": "a", "exercise": "b", "level": "2"}]}, "wrong type"),
    "a truth value for a number": ({"hints": [{"lesson": "a", "exercise": "b", "level": True}]}, "wrong type"),
    "a path for a name": (
        {"passes": [{"lesson": "../..", "exercise": "b", "at": "2026-01-01T00:00:00+00:00", "text": ""}]},
        "is no name",
    ),
    "no time": ({"passes": [{"lesson": "a", "exercise": "b", "at": "yesterday", "text": ""}]}, "is no time"),
    "no time zone": (
        {"passes": [{"lesson": "a", "exercise": "b", "at": "2026-01-01T00:00:00", "text": ""}]},
        "time zone",
    ),
    "the year 1": (AT % "0001-01-01T00:00:00+14:00", "cannot be"),
    "the year 9999": (AT % "9999-12-31T23:59:59-14:00", "cannot be"),
    "a time ahead": (AT % "2999-01-01T00:00:00+00:00", "cannot be"),
    "half of a surrogate pair": (AT % "\\ud800", "surrogate"),
    "more than 64 bits": ({"hints": [{"lesson": "a", "exercise": "b", "level": 1 << 64}]}, "64 bits"),
    "a score of 999": (
        {"answers": [{"lesson": "a", "question": "b", "at": "2026-01-01T00:00:00+00:00", "answer": 1, "correct": True,
                      "score": 999, "attempts": 1}]},
        "out of range",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_bad_import_changes_nothing(tmp_path: Path, fault: str) -> None:
    content, message = FAULTS[fault]
    progress = filled(tmp_path / "home")
    file = tmp_path / "import.json"
    if isinstance(content, str):
        file.write_text(content)
    else:
        good = json.loads(filled(tmp_path / "other").export(file).read_text())
        file.write_text(json.dumps(good | content))
    before = progress.export(tmp_path / "before.json").read_text().split('"seed"')[1]
    with pytest.raises(ProgressError, match=message) as caught:
        progress.import_(file)
    assert "\n" not in str(caught.value)
    assert progress.export(tmp_path / "after.json").read_text().split('"seed"')[1] == before


def test_import_of_a_missing_file_and_export_to_a_bad_place(tmp_path: Path) -> None:
    progress = Progress(tmp_path)
    with pytest.raises(ProgressError, match="could not be read"):
        progress.import_(tmp_path / "nothing.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(ProgressError, match="could not be written"):
        progress.export(tmp_path / "file" / "x.json")


def test_the_commands(fresh_home: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from labkit.grading.progress_commands import app

    runner = CliRunner()
    assert "Nothing is recorded yet" in runner.invoke(app, []).output
    filled(fresh_home)
    shown = runner.invoke(app, ["show"]).output
    assert "1 of 1 tried exercises passed" in shown and "2 attempts, 1 hint" in shown
    assert json.loads(runner.invoke(app, ["show", "--json"]).output)["passed"] == 1
    target = tmp_path / "p.json"
    assert runner.invoke(app, ["export", str(target)]).exit_code == 0
    assert runner.invoke(app, ["import", str(target)]).exit_code == 0
    # What is said to pass is checked before it is believed; what does not is kept, and is no pass.
    lie = json.loads(target.read_text())
    entry = {"lesson": LESSON, "at": "2026-01-01T00:00:00+00:00"}
    lie["passes"] = [
        {**entry, "exercise": "blocks_needed", "text": "def blocks_needed(*args):\n    return 1\n"},
        {**entry, "exercise": "no_such_exercise", "text": "x = 1\n"},
    ]
    target.write_text(json.dumps(lie))
    done = runner.invoke(app, ["import", str(target)])
    assert done.exit_code == 0 and "0 passes" in done.output
    assert f"Not taken as passed: {LESSON}/blocks_needed, {LESSON}/no_such_exercise." in done.output
    assert Progress().passed(LESSON, "blocks_needed") is None
    assert len(list((fresh_home / "set_aside" / LESSON).glob("blocks_needed-*.py"))) == 1
    target.write_text("{")
    refused = runner.invoke(app, ["import", str(target)])
    assert refused.exit_code == 1 and "is not JSON" in refused.output


def test_the_reset_command(fresh_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from labkit.grading.progress_commands import reset

    progress = Progress()
    progress.record_attempt(LESSON, "blocks_needed", "pass", None, 1, "text")
    progress.save_pass(LESSON, "blocks_needed", "text")
    for name in ("04", "block_pool", LESSON):
        assert reset(name, "blocks_needed") == 0
    out = capsys.readouterr().out
    assert "removed 1 attempts, 1 passes" in out and "set_aside" in out and "Nothing was recorded" in out
    assert progress.passed_all() == {}
    for lesson, exercise in (("99", None), ("04", "no_such_exercise")):
        with pytest.raises(typer.Exit):
            reset(lesson, exercise)
    assert "no_such_exercise" in capsys.readouterr().err
