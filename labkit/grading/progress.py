"""What the learner has done: attempts, passes, hints, quiz answers. One SQLite file; two notebooks may write at once.

The rules that keep it whole, each learned from a failure:

- every write is one BEGIN IMMEDIATE transaction: a deferred one that reads first and writes later is refused when
  another process wrote in between, and its work is lost;
- the file is in WAL mode, and the switch to it is tried again: SQLite answers "locked" there despite a timeout;
- on a network home it is a rollback journal, because WAL needs memory shared by all who have the file open;
- a connection lives for one operation, so a killed kernel leaves nothing open and a forked worker inherits nothing.

Code that passed is kept in the file and also, for people, as plain `passed/LESSON/EXERCISE.py`; the file counts.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from labkit import paths
from labkit.errors import ProgressError, UnreadableError
from labkit.reading import read_json

SCHEMA_VERSION = 1
FORMAT = "labkit-progress"
DRILLS = "drills"
"""The key of drills among the answers: they belong to no lesson, since a learner plays them anywhere."""
BUSY_SECONDS = 30.0  # how long a write waits for another process before it gives up
EXPORT_BYTES = 256 << 20  # an export of all lessons, each with hundreds of attempts, has some MB

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE attempts (id INTEGER PRIMARY KEY, lesson TEXT NOT NULL, exercise TEXT NOT NULL, at TEXT NOT NULL,"
    " verdict TEXT NOT NULL, rule TEXT, seconds REAL NOT NULL, text TEXT NOT NULL)",
    "CREATE INDEX attempts_by_exercise ON attempts (lesson, exercise)",
    "CREATE TABLE passes (lesson TEXT NOT NULL, exercise TEXT NOT NULL, at TEXT NOT NULL, text TEXT NOT NULL,"
    " PRIMARY KEY (lesson, exercise))",
    "CREATE TABLE hints (lesson TEXT NOT NULL, exercise TEXT NOT NULL, level INTEGER NOT NULL,"
    " PRIMARY KEY (lesson, exercise))",
    "CREATE TABLE failing (lesson TEXT NOT NULL, exercise TEXT NOT NULL, at TEXT NOT NULL, ops TEXT NOT NULL,"
    " PRIMARY KEY (lesson, exercise))",
    "CREATE TABLE answers (lesson TEXT NOT NULL, question TEXT NOT NULL, at TEXT NOT NULL, answer TEXT NOT NULL,"
    " correct INTEGER NOT NULL, score REAL NOT NULL, attempts INTEGER NOT NULL, PRIMARY KEY (lesson, question))",
)

# File systems on which WAL must not be used, as the operating systems name them.
_NETWORK = ("nfs", "cifs", "smb", "afs", "afpfs", "webdav", "davfs", "ncpfs", "9p", "lustre", "gpfs", "ceph",
            "glusterfs", "beegfs", "fuse.sshfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs")  # fmt: skip

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
T = TypeVar("T")


class Progress:
    """The learner's progress under `home` (default: `labkit.paths.home()`).

    `lesson` is always a full lesson key such as "04_block_pool"; `exercise` and `question` are the ids used there.
    Every method opens the file, does its one transaction, and closes it. All of them raise ProgressError with one
    sentence when the file cannot be used, and leave what was there unchanged.
    """

    def __init__(self, home: Path | str | None = None) -> None:
        self.home = Path(home).expanduser().absolute() if home is not None else paths.home()
        self.path = self.home / "progress.sqlite"
        self.passed_dir = self.home / "passed"

    # ------------------------------------------------------------------ exercises

    def record_attempt(
        self, lesson: str, exercise: str, verdict: str, rule: str | None, seconds: float, text: str
    ) -> None:
        """Append one attempt: its verdict, the rule it broke (or None), the seconds it took, the text graded."""
        row = (_name(lesson), _name(exercise), _now(), str(verdict), rule, float(seconds), text)
        self._write(lambda db: db.execute(
            "INSERT INTO attempts (lesson, exercise, at, verdict, rule, seconds, text) VALUES (?,?,?,?,?,?,?)", row
        ))  # fmt: skip

    def save_pass(self, lesson: str, exercise: str, text: str) -> None:
        """Keep `text` as the code that passed, also as `passed/LESSON/EXERCISE.py`; forget its failing sequence."""
        key = (_name(lesson), _name(exercise))

        def write(db: sqlite3.Connection) -> None:
            _put_pass(db, key, _now(), text)
            db.execute("DELETE FROM failing WHERE lesson=? AND exercise=?", key)
            # Inside the transaction: two processes that pass one exercise leave the same text in file and table.
            _write_text(self._passed_file(*key), text)

        self._write(write)

    def passed(self, lesson: str, exercise: str) -> str | None:
        """The text that passed, or None."""
        sql = "SELECT text FROM passes WHERE lesson=? AND exercise=?"
        row = self._read(lambda db: db.execute(sql, (lesson, exercise)).fetchone())
        return row[0] if row else None

    def passed_all(self) -> dict[tuple[str, str], str]:
        """Every (lesson, exercise) that passed, with its text, in lesson order."""
        sql = "SELECT lesson, exercise, text FROM passes ORDER BY lesson, at, exercise"
        return {(lesson, ex): text for lesson, ex, text in self._read(lambda db: db.execute(sql).fetchall())}

    def hint_level(self, lesson: str, exercise: str) -> int:
        """How many hints of this exercise have been opened."""
        sql = "SELECT level FROM hints WHERE lesson=? AND exercise=?"
        row = self._read(lambda db: db.execute(sql, (lesson, exercise)).fetchone())
        return row[0] if row else 0

    def open_hint(self, lesson: str, exercise: str) -> int:
        """Open the next hint; returns the new level, counted from 1."""
        sql = (
            "INSERT INTO hints (lesson, exercise, level) VALUES (?,?,1)"
            " ON CONFLICT (lesson, exercise) DO UPDATE SET level = level + 1 RETURNING level"
        )
        key = (_name(lesson), _name(exercise))
        return self._write(lambda db: db.execute(sql, key).fetchall()[0][0])

    def save_failing(self, lesson: str, exercise: str, ops: Any) -> None:
        """Keep the shortest failing sequence (any JSON value), to be replayed by the next check. None forgets it."""
        key = (_name(lesson), _name(exercise))
        if ops is None:
            self._write(lambda db: db.execute("DELETE FROM failing WHERE lesson=? AND exercise=?", key))
            return
        row = (*key, _now(), _dump(ops))
        self._write(lambda db: db.execute(
            "INSERT INTO failing (lesson, exercise, at, ops) VALUES (?,?,?,?)"
            " ON CONFLICT (lesson, exercise) DO UPDATE SET at=excluded.at, ops=excluded.ops", row
        ))  # fmt: skip

    def failing(self, lesson: str, exercise: str) -> Any | None:
        """The stored failing sequence, or None."""
        sql = "SELECT ops FROM failing WHERE lesson=? AND exercise=?"
        row = self._read(lambda db: db.execute(sql, (lesson, exercise)).fetchone())
        return row[0] if row else None

    def attempts(self, lesson: str, exercise: str) -> list[dict[str, Any]]:
        """All attempts at an exercise, oldest first: {at, verdict, rule, seconds, text}."""
        sql = "SELECT at, verdict, rule, seconds, text FROM attempts WHERE lesson=? AND exercise=? ORDER BY id"
        rows = self._read(lambda db: db.execute(sql, (lesson, exercise)).fetchall())
        return [dict(zip(("at", "verdict", "rule", "seconds", "text"), row, strict=True)) for row in rows]

    # ------------------------------------------------------------------ quizzes

    def save_answer(self, lesson: str, question: str, answer: Any, correct: bool, score: float) -> None:
        """Keep the latest answer (any JSON value) to a question and count the attempt."""
        row = (_name(lesson), _name(question), _now(), _dump(answer), int(bool(correct)), float(score))
        self._write(lambda db: db.execute(
            "INSERT INTO answers (lesson, question, at, answer, correct, score, attempts) VALUES (?,?,?,?,?,?,1)"
            " ON CONFLICT (lesson, question) DO UPDATE SET at=excluded.at, answer=excluded.answer,"
            " correct=excluded.correct, score=excluded.score, attempts=attempts+1", row
        ))  # fmt: skip

    def answers(self, lesson: str) -> dict[str, dict[str, Any]]:
        """Question id -> {answer, correct, score, attempts}, the latest answer to each."""
        sql = "SELECT question, answer, correct, score, attempts FROM answers WHERE lesson=? ORDER BY question"
        rows = self._read(lambda db: db.execute(sql, (lesson,)).fetchall())
        return {
            q: {"answer": answer, "correct": bool(correct), "score": score, "attempts": attempts}
            for q, answer, correct, score, attempts in rows
        }

    def seed(self) -> int:
        """This learner's number, drawn once: quizzes with computed answers draw their parameters from it."""
        return self._read(_seed)

    # ------------------------------------------------------------------ the whole

    def summary(self) -> dict[str, Any]:
        """What was done, as plain data.

        {"passed": int, "attempts": int, "lessons": {KEY: {"passed": [exercise, ...], "exercises": {ID: {"passed":
        bool, "attempts": int, "hints": int, "last": verdict | None, "at": time of the last attempt or pass | None}},
        "questions": {"answered": int, "correct": int, "score": float}}}}. Times are ISO 8601 in UTC. Only lessons in
        which something was done are there.
        """

        def read(db: sqlite3.Connection) -> dict[str, Any]:
            lessons: dict[str, Any] = {}

            def lesson(key: str) -> dict[str, Any]:
                empty = {"passed": [], "exercises": {}, "questions": {"answered": 0, "correct": 0, "score": 0.0}}
                return lessons.setdefault(key, empty)

            def exercise(key: str, name: str) -> dict[str, Any]:
                empty = {"passed": False, "attempts": 0, "hints": 0, "last": None, "at": None}
                return lesson(key)["exercises"].setdefault(name, empty)

            sql = "SELECT lesson, exercise, verdict, at FROM attempts ORDER BY id"
            for key, name, verdict, at in db.execute(sql):
                entry = exercise(key, name)
                entry["attempts"] += 1
                entry["last"], entry["at"] = verdict, at
            for key, name, at in db.execute("SELECT lesson, exercise, at FROM passes ORDER BY at, exercise"):
                entry = exercise(key, name)
                entry["passed"], entry["at"] = True, max(at, entry["at"] or "")
                lesson(key)["passed"].append(name)
            for key, name, level in db.execute("SELECT lesson, exercise, level FROM hints"):
                exercise(key, name)["hints"] = level
            for key, answered, right, score in db.execute(
                "SELECT lesson, COUNT(*), SUM(correct), SUM(score) FROM answers GROUP BY lesson"
            ):
                lesson(key)["questions"] = {"answered": answered, "correct": right, "score": score}
            return {
                "passed": sum(len(entry["passed"]) for entry in lessons.values()),
                "attempts": sum(ex["attempts"] for key in lessons.values() for ex in key["exercises"].values()),
                "lessons": dict(sorted(lessons.items())),
            }

        return self._read(read)

    def reset(self, lesson: str, exercise: str | None = None) -> dict[str, int]:
        """Forget a lesson, or one exercise of it (its quiz answers then stay). Returns what was removed, by kind.

        Code that had passed is not destroyed: it is moved to `set_aside/LESSON/` in the learner's folder.
        """
        _name(lesson)
        key: tuple[str, ...] = (lesson,)
        where = "lesson=?"
        tables = ["attempts", "passes", "hints", "failing"]
        if exercise is None:
            tables.append("answers")
        else:
            where, key = "lesson=? AND exercise=?", (lesson, _name(exercise))

        def write(db: sqlite3.Connection) -> dict[str, int]:
            texts = db.execute(f"SELECT exercise, text FROM passes WHERE {where}", key).fetchall()
            for name, text in texts:
                self._set_aside(lesson, name, text)
            removed = {table: db.execute(f"DELETE FROM {table} WHERE {where}", key).rowcount for table in tables}
            for name, _ in texts:
                self._passed_file(lesson, name).unlink(missing_ok=True)
            return removed

        return self._write(write)

    def export(self, path: Path | str) -> Path:
        """Write everything to a JSON file, atomically. Returns its path."""
        target = Path(path).expanduser().absolute()
        text = json.dumps(self._snapshot(), ensure_ascii=False, indent=1) + "\n"
        try:
            _write_text(target, text)
        except OSError as error:
            raise ProgressError(
                f"Progress could not be written to {target} ({_reason(error)});"
                " name a file in a folder you may write to."
            ) from error
        return target

    def import_(
        self, path: Path | str, passes: Callable[[str, str, str], bool] = lambda lesson, exercise, text: True
    ) -> dict[str, int]:
        """Take in a file written by `export`, whole or not at all. Returns how many records of each kind were taken.

        Nothing that is here is lost: of two passes or answers the later one stays, of two hint levels the higher one,
        attempts are united. The seed is taken from the file, since its answers were given to that seed's numbers.

        Args:
            path: the file.
            passes: asked with lesson, exercise and text, before anything is changed, whether code passes. What does not
                is kept in `set_aside/LESSON/`, and is no pass.

        Raises:
            ProgressError: with nothing changed, when the file is missing or not what `export` writes.
        """
        source = Path(path).expanduser().absolute()
        data = _read_export(source)
        believed = [e for e in data["passes"] if passes(e["lesson"], e["exercise"], e["text"])]
        aside = [entry for entry in data["passes"] if entry not in believed]
        data["passes"] = believed

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('seed', ?)", (str(data["seed"]),))
            db.executemany(
                "INSERT INTO attempts (lesson, exercise, at, verdict, rule, seconds, text)"
                " SELECT :lesson, :exercise, :at, :verdict, :rule, :seconds, :text"
                " WHERE NOT EXISTS (SELECT 1 FROM attempts WHERE lesson=:lesson AND exercise=:exercise"
                " AND at=:at AND verdict=:verdict AND text=:text)",
                data["attempts"],
            )
            for entry in data["passes"]:
                _put_pass(db, (entry["lesson"], entry["exercise"]), entry["at"], entry["text"], only_if_newer=True)
            db.executemany(
                "INSERT INTO hints (lesson, exercise, level) VALUES (:lesson, :exercise, :level)"
                " ON CONFLICT (lesson, exercise) DO UPDATE SET level = MAX(level, excluded.level)",
                data["hints"],
            )
            db.executemany(
                "INSERT INTO failing (lesson, exercise, at, ops) VALUES (:lesson, :exercise, :at, :ops)"
                " ON CONFLICT (lesson, exercise) DO UPDATE SET at=excluded.at, ops=excluded.ops WHERE excluded.at > at",
                [{**entry, "ops": _dump(entry["ops"])} for entry in data["failing"]],
            )
            db.executemany(
                "INSERT INTO answers (lesson, question, at, answer, correct, score, attempts)"
                " VALUES (:lesson, :question, :at, :answer, :correct, :score, :attempts)"
                " ON CONFLICT (lesson, question) DO UPDATE SET at=excluded.at, answer=excluded.answer,"
                " correct=excluded.correct, score=excluded.score,"
                " attempts=MAX(attempts, excluded.attempts) WHERE excluded.at > at",
                [{**entry, "answer": _dump(entry["answer"])} for entry in data["answers"]],
            )
            for lesson, name, text in db.execute("SELECT lesson, exercise, text FROM passes").fetchall():
                _write_text(self._passed_file(lesson, name), text)
            for entry in aside:
                self._set_aside(entry["lesson"], entry["exercise"], entry["text"])

        self._write(write)
        return {kind: len(data[kind]) for kind in _KINDS}

    def _snapshot(self) -> dict[str, Any]:
        def read(db: sqlite3.Connection) -> dict[str, Any]:
            def rows(sql: str) -> list[dict[str, Any]]:
                cursor = db.execute(sql)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor]

            db.execute("BEGIN")  # one view of the file for all the queries
            data: dict[str, Any] = {
                "format": FORMAT,
                "version": SCHEMA_VERSION,
                "exported": _now(),
                "seed": _seed(db),
                "attempts": rows(
                    "SELECT lesson, exercise, at, verdict, rule, seconds, text FROM attempts ORDER BY at, id"
                ),
                "passes": rows("SELECT lesson, exercise, at, text FROM passes ORDER BY lesson, exercise"),
                "hints": rows("SELECT lesson, exercise, level FROM hints ORDER BY lesson, exercise"),
                "failing": rows("SELECT lesson, exercise, at, ops FROM failing ORDER BY lesson, exercise"),
                "answers": rows(
                    "SELECT lesson, question, at, answer, correct, score, attempts FROM answers"
                    " ORDER BY lesson, question"
                ),
            }
            db.execute("COMMIT")
            for entry in data["answers"]:
                entry["correct"] = bool(entry["correct"])
            return data

        return self._read(read)

    # ------------------------------------------------------------------ the file

    def _set_aside(self, lesson: str, exercise: str, text: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        _write_text(self.home / "set_aside" / lesson / f"{exercise}-{stamp}.py", text)

    def _passed_file(self, lesson: str, exercise: str) -> Path:
        return self.passed_dir / lesson / f"{exercise}.py"

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._run(work)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transaction(db: sqlite3.Connection) -> T:
            with _immediate(db):
                return work(db)

        return self._run(transaction)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Open, do `work`, close; wait for others, and turn what can go wrong into one sentence."""
        deadline = time.monotonic() + BUSY_SECONDS
        pause = 0.005
        checked = False
        while True:
            try:
                with closing(self._connect()) as db:
                    return work(db)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if _is_busy(error):
                    if time.monotonic() < deadline:
                        time.sleep(pause)
                        pause = min(pause * 2, 0.2)
                        continue
                    raise ProgressError(
                        f"Progress in {self.path} stayed locked by another program for {BUSY_SECONDS:.0f} s;"
                        " close the program that holds it and run this again."
                    ) from error
                if _is_damage(error):
                    # Another process may have replaced the file since: look once more before calling it damaged.
                    if not checked and self._is_whole():
                        checked = True
                        continue
                    raise self._put_aside(error) from error
                raise ProgressError(
                    f"Progress in {self.path} could not be read or written ({_reason(error)});"
                    " free disk space or set LABKIT_HOME to a folder you may write to."
                ) from error
            except UnicodeEncodeError as error:
                raise ProgressError(
                    f"Progress keeps text, and {error.object[error.start : error.end]!r:.20} in it is none;"
                    " write the character itself."
                ) from error
            except OSError as error:
                raise ProgressError(
                    f"Progress could not be kept in {self.home} ({_reason(error)});"
                    " set LABKIT_HOME to a folder you may write to."
                ) from error

    def _connect(self) -> sqlite3.Connection:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What somebody tried and got wrong is nobody else's business; SQLite gives its other files the same rights.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        if self.path.stat().st_mode & 0o077:
            self.path.chmod(0o600)
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        db.row_factory = _whole_row
        try:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._create(db)
            elif version > SCHEMA_VERSION:
                raise ProgressError(
                    f"Progress in {self.path} was written by a newer labkit (format {version}, this one knows"
                    f" {SCHEMA_VERSION}); update labkit, or set LABKIT_HOME to another folder."
                )
            # FULL: a pass survives a power cut too. A write costs a few milliseconds and happens once a check.
            db.execute("PRAGMA synchronous=FULL")
        except BaseException:
            db.close()
            raise
        return db

    def _create(self, db: sqlite3.Connection) -> None:
        # "locked" is answered here at once, whatever the timeout: _run tries again.
        # A file system that cannot do WAL answers with the mode it keeps, and that one is safe too.
        db.execute(f"PRAGMA journal_mode={'DELETE' if is_network(self.home) else 'WAL'}")
        with _immediate(db):
            if db.execute("PRAGMA user_version").fetchone()[0] != 0:
                return  # another process made the tables while this one waited
            for statement in _TABLES:
                db.execute(statement)
            db.execute("INSERT INTO meta (key, value) VALUES ('seed', ?)", (str(secrets.randbelow(2**31)),))
            # Code that passed outlives its table: after a damaged file was put aside, the plain copies count again.
            for file in sorted(self.passed_dir.glob("*/*.py")):
                at = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="microseconds")
                _put_pass(db, (file.parent.name, file.stem), at, file.read_text(encoding="utf-8", errors="replace"))
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def _is_whole(self) -> bool:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS)) as db:
                return db.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        except (sqlite3.Error, UnicodeDecodeError):
            return False

    def _put_aside(self, error: Exception) -> ProgressError:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        kept = self.home / f"progress.damaged-{stamp}.sqlite"
        try:
            os.replace(self.path, kept)
            for suffix in ("-wal", "-shm", "-journal"):
                with suppress(FileNotFoundError):
                    os.replace(f"{self.path}{suffix}", f"{kept}{suffix}")
        except OSError as problem:
            return ProgressError(
                f"The progress file {self.path} is damaged ({_reason(error)}) and could not be put aside"
                f" ({_reason(problem)}); move it away by hand and run this again."
            )
        return ProgressError(
            f"The progress file {self.path} is damaged ({_reason(error)}) and was kept as {kept.name}; run this"
            " again to start a new one, which takes up the code in passed/."
        )


FIRST = datetime(2020, 1, 1, tzinfo=UTC)
"""Nothing was done before."""
_KINDS = ("attempts", "passes", "hints", "failing", "answers")
_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "attempts": {"lesson": (str,), "exercise": (str,), "at": (str,), "verdict": (str,), "rule": (str, type(None)),
                 "seconds": (int, float), "text": (str,)},
    "passes": {"lesson": (str,), "exercise": (str,), "at": (str,), "text": (str,)},
    "hints": {"lesson": (str,), "exercise": (str,), "level": (int,)},
    "failing": {"lesson": (str,), "exercise": (str,), "at": (str,), "ops": (object,)},
    "answers": {"lesson": (str,), "question": (str,), "at": (str,), "answer": (object,), "correct": (bool,),
                "score": (int, float), "attempts": (int,)},
}  # fmt: skip


def _read_export(source: Path) -> dict[str, Any]:
    """Read and check a file that `export` wrote; every fault is named before anything is changed."""
    remedy = "give a file that `labkit progress export` wrote; nothing was changed."
    try:
        data = read_json(source, EXPORT_BYTES)
    except UnreadableError as error:
        raise ProgressError(f"{source} could not be read ({error.reason}); {remedy}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ProgressError(f'{source} is not an export of progress (no "format": "{FORMAT}" in it); {remedy}')
    version = data.get("version")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise ProgressError(f"{source} has version {version!r}, and 1 to {SCHEMA_VERSION} are known; update labkit.")
    if type(data.get("seed")) is not int or not 0 <= data["seed"] < 2**63:
        raise ProgressError(f"{source} has no usable seed (a whole number was expected); {remedy}")
    for kind in _KINDS:
        entries = data.get(kind)
        if not isinstance(entries, list):
            raise ProgressError(f'{source} has no list "{kind}"; {remedy}')
        for number, entry in enumerate(entries):
            fault = _fault(kind, entry)
            if fault:
                raise ProgressError(f"{source}: {kind}[{number}] {fault}; {remedy}")
            data[kind][number] = {field: entry[field] for field in _FIELDS[kind]}
    return data


def _fault(kind: str, entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return "is not an object"
    for field, types in _FIELDS[kind].items():
        if field not in entry:
            return f'lacks "{field}"'
        value: Any = entry[field]
        wrong_bool = isinstance(value, bool) and bool not in types and object not in types
        if wrong_bool or not any(isinstance(value, kind) for kind in types):
            return f'has a "{field}" of the wrong type ({type(value).__name__})'
        if field in ("lesson", "exercise", "question") and not _NAME.fullmatch(value):
            return f'has a "{field}" that is no name ({value!r})'
        most = {"level": 2**31 - 1, "attempts": 2**31 - 1, "seconds": 1e9, "score": 1}.get(field)
        if most is not None and not 0 <= value <= most:
            return f'has a "{field}" out of range ({value})'
        if field == "at":
            try:
                parsed = datetime.fromisoformat(value)
            except ValueError:
                return f'has an "at" that is no time ({value!r})'
            if parsed.tzinfo is None:
                return f'has an "at" without a time zone ({value!r})'
            # What lies ahead would win over everything that is done from now on; clocks differ by less than a day.
            if not FIRST <= parsed <= datetime.now(UTC) + timedelta(days=1):
                return f'has an "at" that cannot be ({value!r})'
            # Times are compared as text, so all of them are kept in one form.
            entry[field] = parsed.astimezone(UTC).isoformat(timespec="microseconds")
    return None


def _put_pass(db: sqlite3.Connection, key: tuple[str, str], at: str, text: str, *, only_if_newer: bool = False) -> None:
    db.execute(
        "INSERT INTO passes (lesson, exercise, at, text) VALUES (?,?,?,?)"
        " ON CONFLICT (lesson, exercise) DO UPDATE SET at=excluded.at, text=excluded.text"
        + (" WHERE excluded.at > at" if only_if_newer else ""),
        (*key, at, text),
    )


@contextmanager
def _immediate(db: sqlite3.Connection) -> Iterator[None]:
    """One write transaction that takes its lock at the start."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def is_network(folder: Path) -> bool:
    """Whether `folder` lies on a network file system, as far as the operating system says."""
    text = str(folder)
    if text.startswith(("\\\\", "//")):
        return True
    import psutil

    best, kind = -1, ""
    with suppress(OSError, RuntimeError):
        real = Path(os.path.realpath(folder))
        for part in psutil.disk_partitions(all=True):
            mount = Path(part.mountpoint)
            if (real == mount or mount in real.parents) and len(mount.parts) >= best:
                best, kind = len(mount.parts), "nfs" if "remote" in part.opts.split(",") else part.fstype.lower()
    return kind.startswith(_NETWORK)


def _write_text(target: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part, even after a kill."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _seed(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM meta WHERE key='seed'").fetchone()
    if row is None or not re.fullmatch("[0-9]{1,19}", row[0]):
        raise _Damaged("the seed is gone")
    return int(row[0])


class _Damaged(sqlite3.DatabaseError):
    """SQLite reads the file without complaint, but what it reads was never written."""


_COLUMNS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("lesson", "exercise", "question", "at", "verdict", "text", "ops", "answer", "value"), (str,)),
    **dict.fromkeys(("level", "attempts", "correct"), (int,)),
    **dict.fromkeys(("seconds", "score"), (int, float)),
    "rule": (str, type(None)),
}


def _whole_row(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row as it was written: each value of its column's type, sequences and answers as the JSON that they are.

    SQLite lets any type stand in any column, so one flipped bit makes a blob of a text.
    """
    names = [column[0] for column in cursor.description]
    values = []
    for name, value in zip(names, row, strict=True):
        if name in _COLUMNS and not isinstance(value, _COLUMNS[name]):
            raise _Damaged(f"a {type(value).__name__} stands where a {name} belongs")
        if name in ("ops", "answer"):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise _Damaged(f"a {name} is no JSON") from None
        values.append(value)
    return tuple(values)


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_busy(error: Exception) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_damage(error: Exception) -> bool:
    """Whether the file is to blame: our statements do not change, so an error in one means that its tables did."""
    damage = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR,
              sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_FORMAT)  # fmt: skip
    undecoded = isinstance(error, sqlite3.OperationalError) and "decode" in str(error).lower()
    return isinstance(error, _Damaged | UnicodeDecodeError) or undecoded or _code(error) in damage


def _name(value: str) -> str:
    """A lesson, exercise or question id. It also names a file, so it must be a plain word."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ProgressError(
            f"{value!r} is no name of a lesson, exercise or question; use letters, digits, '_', '-' and '.'."
        )
    return value


def _dump(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()  # half of a surrogate pair is no text
        return text
    except (TypeError, ValueError) as error:
        raise ProgressError(f"Progress keeps plain JSON values ({_reason(error)}); convert the value first.") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or type(error).__name__).strip().rstrip(".")
