"""`labkit check` and `labkit lessons`: what they print, and the status they end with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labkit import paths, specs
from labkit.errors import LessonError
from labkit.grading import commands
from labkit.grading.solutions import solutions
from labkit.grading.source import strip_magic

pytestmark = pytest.mark.early

IDS = [e.id for e in specs.lesson("04").exercises]
POOL = """
class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.f = deque(range(num_blocks))

    @property
    def num_free(self):
        return len(self.f)

    def allocate(self, n):
        return None if n > len(self.f) else [self.f.popleft() for _ in range(n)]

    def free(self, blocks):
        self.f.extend(blocks)
"""
NEEDED = "def blocks_needed(num_tokens, block_size):\n    return -(-num_tokens // block_size)\n"


def labkit(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "labkit.cli", *args], capture_output=True, text=True, env=os.environ)


def check(path: Path, lesson: str = "04") -> dict[str, Any]:
    return {v.exercise: v for v in commands.check_all(lesson, path)}


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_json_has_the_promised_shape_and_the_status_says_whether_all_pass(tmp_path: Path) -> None:
    file = write(tmp_path, NEEDED.replace("-(-num_tokens // block_size)", "num_tokens // block_size"))
    done = labkit("check", "04", "--file", str(file), "--json")
    assert done.returncode == 1 and not done.stderr
    data = json.loads(done.stdout)
    assert data["lesson"] == "04_block_pool"
    assert [e["id"] for e in data["exercises"]] == IDS
    for entry in data["exercises"]:
        assert {"id", "verdict", "rule", "message", "counterexample"} <= set(entry)
    failed, *others = data["exercises"]
    assert (failed["verdict"], failed["rule"]) == ("fail", "a-started-block-counts")
    assert failed["counterexample"]["steps"][-1]["broken"]
    assert {e["verdict"] for e in others} == {"missing"} and all(e["message"] for e in others)


def test_a_whole_solved_lesson_passes_as_one_file_and_as_cells(tmp_path: Path) -> None:
    texts = solutions("04")
    cells = write(tmp_path, "".join(f"# %%exercise {id}\n{text.lstrip()}\n" for id, text in texts.items()), "cells.py")
    done = labkit("check", "block_pool", "--file", str(cells), "--json")
    assert done.returncode == 0, done.stdout
    whole = write(tmp_path, "\n".join(text for text in texts.values()), "whole.py")
    assert all(v.passed for v in check(whole).values())


def test_a_notebook_that_was_handed_in_is_graded(tmp_path: Path) -> None:
    """The learner's notebook of a lesson with the solutions in its cells, and one of them wrong."""
    notebook = json.loads((paths.notebooks_dir() / "04_block_pool.ipynb").read_text(encoding="utf-8"))
    texts = solutions("04")
    for cell in notebook["cells"]:
        id, _ = strip_magic("".join(cell["source"]))
        if id == "find_leak":
            cell["source"] = (
                f"# mine\n%%exercise {id}\ndef find_leak(num_blocks, free_blocks, tables):\n    return 1 / 0\n"
            )
        elif id is not None:
            cell["source"] = f"%%exercise {id}\n{texts[id]}".splitlines(keepends=True)
    file = write(tmp_path, json.dumps(notebook), "mine.ipynb")
    done = labkit("check", "04", "--file", str(file), "--json")
    data = json.loads(done.stdout)
    verdicts = {entry["id"]: entry["verdict"] for entry in data["exercises"]}
    assert (done.returncode, data["unknown"]) == (1, [])
    assert {id for id, verdict in verdicts.items() if verdict != "pass"} == {"find_leak"}
    [wrong] = [entry for entry in data["exercises"] if entry["id"] == "find_leak"]
    assert "ZeroDivisionError" in wrong["message"] and "line 4" in wrong["message"]  # as its cell counts lines
    assert {entry["isolation"] for entry in data["exercises"]} == {wrong["isolation"]}

    other = labkit("check", "05", "--file", str(file))
    assert other.returncode == 1 and "'BlockPool', which is no exercise here" in other.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "it is not JSON"),
        ("[]", "has no cells"),
        ('{"cells": 3}', "has no cells"),
        ('{"cells": [' + "[" * 200, "JSON"),
    ],
)
def test_a_notebook_that_is_none(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(LessonError, match=said):
        check(write(tmp_path, content, "mine.ipynb"))


def test_odd_cells_of_a_notebook_are_passed_over(tmp_path: Path) -> None:
    code = {"cell_type": "code", "source": f"%%exercise blocks_needed\n{NEEDED}"}
    prose = {"cell_type": "markdown", "source": "%%exercise BlockPool\n1 / 0"}
    cells = [3, {"cell_type": "code"}, {"cell_type": "code", "source": [1, "x"]}, code, prose]
    verdicts = check(write(tmp_path, json.dumps({"cells": cells}), "mine.ipynb"))
    assert verdicts["blocks_needed"].passed and verdicts["BlockPool"].verdict == "missing"


def test_text_for_people(tmp_path: Path) -> None:
    done = labkit("check", "4", "--file", str(write(tmp_path, NEEDED)))
    assert done.returncode == 1
    assert "04 blocks_needed: passed, 3 of 3 rules hold" in done.stdout
    assert f"1 of {len(IDS)} exercises pass." in done.stdout


def test_only_what_a_file_defines_is_graded(tmp_path: Path) -> None:
    checked = "from labkit.errors import DoubleFreeError\n" + solutions("04")["CheckedPool"]
    verdicts = check(write(tmp_path, checked))
    assert verdicts["CheckedPool"].passed
    assert {v.verdict for id, v in verdicts.items() if id != "CheckedPool"} == {"missing"}


def test_a_name_that_only_the_prelude_knows_is_not_the_learners(tmp_path: Path) -> None:
    verdicts = check(write(tmp_path, NEEDED + "exec('x = 1')\n"))
    assert verdicts["blocks_needed"].passed
    assert {v.verdict for id, v in verdicts.items() if id != "blocks_needed"} == {"missing"}


def test_imports_above_the_first_cell_belong_to_every_cell_and_lines_are_those_of_the_file(tmp_path: Path) -> None:
    text = (
        "from collections import deque\n\n# %%exercise BlockPool\n" + POOL + "\n# %% [markdown]\n# prose\n# %%\n1 / 0\n"
    )
    assert check(write(tmp_path, text))["BlockPool"].passed
    broken = text.replace("self.f.extend(blocks)", "self.f.extend(blocks) +")
    message = check(write(tmp_path, broken))["BlockPool"].message
    assert f"line {broken[: broken.index('blocks) +')].count(chr(10)) + 1} " in message


def test_other_cells_of_a_notebook_are_left_out(tmp_path: Path) -> None:
    text = (
        "# %% [markdown]\n# # Lesson\n# %%\nraise SystemExit\n# %%exercise BlockPool\n"
        "from collections import deque\n" + POOL + "# %%\nraise SystemExit\n%%exercise blocks_needed\n" + NEEDED
    )
    verdicts = check(write(tmp_path, text))
    assert verdicts["BlockPool"].passed and verdicts["blocks_needed"].passed


def test_of_two_definitions_the_later_counts(tmp_path: Path) -> None:
    wrong = NEEDED.replace("-(-", "(")
    assert check(write(tmp_path, wrong + NEEDED))["blocks_needed"].passed
    assert not check(write(tmp_path, NEEDED + wrong))["blocks_needed"].passed
    cells = f"# %%exercise blocks_needed\n{wrong}# %%exercise blocks_needed\n{NEEDED}"
    assert check(write(tmp_path, cells))["blocks_needed"].passed


def test_a_file_with_a_syntax_error_says_so_for_every_exercise(tmp_path: Path) -> None:
    verdicts = check(write(tmp_path, "def f(:\n"))
    assert {(v.verdict, v.kind) for v in verdicts.values()} == {("error", "syntax")}


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + NEEDED.encode(),
        NEEDED.replace("\n", "\r\n").encode(),
        b"# -*- coding: latin-1 -*-\n# gr\xfc\xdfe\n" + NEEDED.encode(),
        b"# %%exercise blocks_needed\r\n" + NEEDED.replace("\n", "\r\n").encode(),
    ],
)
def test_marks_line_ends_and_declared_encodings_are_read(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.py"
    file.write_bytes(content)
    assert check(file)["blocks_needed"].passed


def test_an_empty_file_is_missing_everything(tmp_path: Path) -> None:
    assert {v.verdict for v in check(write(tmp_path, "")).values()} == {"missing"}


@pytest.mark.parametrize("make", ["absent", "folder", "notebook", "bytes", "lesson", "both"])
def test_what_cannot_be_graded_ends_in_one_sentence(tmp_path: Path, make: str) -> None:
    file = write(tmp_path, NEEDED)
    lesson, more = "04", []
    if make == "absent":
        file = tmp_path / "no.py"
    elif make == "folder":
        file = tmp_path
    elif make == "notebook":
        file = write(tmp_path, "{}", "mine.ipynb")
    elif make == "bytes":
        file.write_bytes(b"x = '\xff\xfe'\n")
    elif make == "lesson":
        lesson = "block pools"
    else:
        more = ["--solved"]
    done = labkit("check", lesson, "--file", str(file), "--json", *more)
    assert done.returncode == 2
    assert done.stderr.startswith("labkit: ") and "Traceback" not in done.stderr
    assert done.stderr.strip().endswith(".")
    assert json.loads(done.stdout) == {"error": done.stderr.removeprefix("labkit: ").strip()}


def test_a_lesson_without_exercises_passes_in_silence(tmp_path: Path) -> None:
    assert commands.check_all("00", write(tmp_path, "")) == [] or specs.lesson("00").exercises


def test_what_the_code_prints_never_mixes_with_the_json(tmp_path: Path) -> None:
    noisy = "print('{')\n" + NEEDED.replace("return", "print('noise \\udc80')\n    return")
    done = labkit("check", "04", "--file", str(write(tmp_path, noisy)), "--json")
    assert json.loads(done.stdout)["exercises"][0]["verdict"] == "pass"
    shown = labkit("check", "04", "--file", str(write(tmp_path, noisy)))
    assert "noise" in shown.stdout and "Traceback" not in shown.stderr


def test_lessons_as_json_name_exercises_minutes_difficulty_and_questions() -> None:
    done = labkit("lessons", "--json")
    assert done.returncode == 0
    data = {lesson["number"]: lesson for lesson in json.loads(done.stdout)}
    assert list(data) == [key[:2] for key in specs.KEYS]
    assert [e["id"] for e in data["04"]["exercises"]] == IDS
    assert all({"minutes", "difficulty"} <= set(e) for lesson in data.values() for e in lesson["exercises"])
    assert all(isinstance(lesson["questions"], int) and lesson["minutes"] > 0 for lesson in data.values())
    assert "The block pool" in labkit("lessons").stdout


def test_without_a_file_the_last_attempts_are_graded() -> None:
    from labkit.grading.progress import Progress

    Progress().record_attempt("04_block_pool", "blocks_needed", "fail", None, 0.1, NEEDED)
    verdicts = {v.exercise: v for v in commands.check_all("04")}
    assert verdicts["blocks_needed"].passed and verdicts["BlockPool"].verdict == "missing"


def test_a_cell_for_an_exercise_that_there_is_not_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, f"# %%exercise block_needed\n{NEEDED}")
    assert json.loads(labkit("check", "04", "--file", str(file), "--json").stdout)["unknown"] == ["block_needed"]
    assert "'block_needed', which is no exercise here; there are: " in labkit("check", "04", "--file", str(file)).stdout


def test_what_the_code_prints_does_not_steer_the_terminal(tmp_path: Path) -> None:
    clear = "print('\\x1b[2J\\x1b[8m\\x9b1m5 of 5 exercises pass.\\u202e')\n"
    shown = labkit("check", "04", "--file", str(write(tmp_path, clear + NEEDED))).stdout
    assert "\\x1b[2J\\x1b[8m\\x9b1m5 of 5" in shown and "\\x202e" in shown
    assert not set(shown) & {"\x1b", "\x9b", "\u202e"}
