"""The `%%exercise` cell in an IPython shell: graded first, run after, errors shown and never raised."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit import exercise_magic
from labkit.errors import ProgressError
from labkit.grading.progress import Progress
from labkit.sandbox import host

pytestmark = pytest.mark.early

RIGHT = "def blocks_needed(num_tokens, block_size):\n    return -(-num_tokens // block_size)\n"
WRONG = "def blocks_needed(num_tokens, block_size):\n    return num_tokens // block_size\n"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    exercise_magic.register("04_block_pool", shell)
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shown.extend(things))
    shell.shown = shown
    yield shell
    host.close()
    InteractiveShell.clear_instance()


def test_a_pass_is_kept_and_the_name_exists_in_the_notebook(shell: Any) -> None:
    result = shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}")
    assert result.success and shell.user_ns["blocks_needed"](17, 16) == 2
    assert "passed" in repr(shell.shown[-1])
    kept = Progress().passed("04_block_pool", "blocks_needed")
    assert kept is not None and kept.strip() == RIGHT.strip()


def test_a_failure_is_shown_recorded_and_tried_first_the_next_time(shell: Any) -> None:
    result = shell.run_cell(f"%%exercise blocks_needed\n{WRONG}")
    assert result.success, "a failing check must not stop Run All"
    assert "a-started-block-counts" in repr(shell.shown[-1])
    assert Progress().passed("04_block_pool", "blocks_needed") is None
    assert Progress().failing("04_block_pool", "blocks_needed")
    assert Progress().attempts("04_block_pool", "blocks_needed")[-1]["verdict"] == "fail"
    shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}")
    assert not Progress().failing("04_block_pool", "blocks_needed")


def test_a_second_run_of_a_cell_closes_the_report_of_the_first(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = {"metadata": {"cellId": "ex-first"}}
    monkeypatch.setattr(shell, "get_parent", lambda: cell, raising=False)
    shell.run_cell(f"%%exercise blocks_needed\n{WRONG}")
    shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}")
    cell["metadata"]["cellId"] = "ex-second"
    shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}")
    assert [report.comm is None for report in shell.shown] == [True, False, False]


def test_comments_and_blank_lines_may_stand_above_the_magic(shell: Any) -> None:
    assert shell.run_cell(f"# my second try\n\n%%exercise blocks_needed\n{RIGHT}").success
    assert "passed" in repr(shell.shown[-1])


@pytest.mark.parametrize("body", ["import os; os._exit(3)", "while True: pass", "raise SystemExit", "1 / 0", "def f(:"])
def test_what_does_not_come_through_is_not_run_in_the_notebook(shell: Any, body: str) -> None:
    result = shell.run_cell(f"%%exercise blocks_needed\nmarker = 1\n{body}\n{RIGHT}")
    assert result.success and "marker" not in shell.user_ns
    assert "blocks_needed" in repr(shell.shown[-1])


def test_a_later_failure_leaves_an_earlier_pass(shell: Any) -> None:
    shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}")
    shell.run_cell(f"%%exercise blocks_needed\n{WRONG}")
    assert (Progress().passed("04_block_pool", "blocks_needed") or "").strip() == RIGHT.strip()


def test_a_name_from_another_cell_is_explained(shell: Any) -> None:
    shell.run_cell("def helper(a, b): return -(-a // b)")
    shell.run_cell(
        "%%exercise blocks_needed\ndef blocks_needed(num_tokens, block_size):\n"
        "    return helper(num_tokens, block_size)\n"
    )
    assert "another cell" in repr(shell.shown[-1])


@pytest.mark.parametrize("line", ["%%exercise", "%%exercise block_needed"])
def test_an_unknown_id_says_which_there_are(shell: Any, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run_cell(f"{line}\nx = 1\n").success
    assert "blocks_needed" in capsys.readouterr().out


def test_lift_magic_keeps_the_number_of_lines() -> None:
    lines = ["# a\n", "\n", "%%exercise x\n", "y = 1\n"]
    lifted = exercise_magic.lift_magic(lines)
    assert lifted[0] == "%%exercise x\n" and sorted(lifted) == sorted(lines)
    plain = ["x = 1\n", "%%exercise x\n"]
    assert exercise_magic.lift_magic(plain) == plain


def test_only_what_cannot_harm_runs_in_the_notebook_and_the_rest_is_named(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell(f"%%exercise blocks_needed\nUNIT = 16\n{RIGHT}\nprint('once')\nassert blocks_needed(1, UNIT) == 1\n")
    out = capsys.readouterr().out
    assert "line 6 (a call) and line 7 (an assert) ran in the check alone" in out
    assert "once" not in out.splitlines() and shell.user_ns["UNIT"] == 16
    shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("body", ["", "\n\n", "# nothing yet\n"])
def test_an_empty_cell_has_a_verdict(shell: Any, body: str) -> None:
    assert shell.run_cell(f"%%exercise blocks_needed\n{body}").success
    assert "nothing to check yet" in repr(shell.shown[-1])


@pytest.mark.parametrize("line", ["!ls", "%time blocks_needed(1, 2)", "blocks_needed?"])
def test_a_command_of_the_notebook_is_named_as_one(shell: Any, line: str) -> None:
    assert shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}{line}\n").success
    said = " ".join(repr(shell.shown[-1]).split())
    assert f"Line 4 of your cell is a command of the notebook ({line})" in said


def test_the_shell_is_not_said_to_live_in_another_cell(shell: Any) -> None:
    shell.run_cell(f"%%exercise blocks_needed\nget_ipython()\n{RIGHT}")
    assert "belongs to the notebook" in " ".join(repr(shell.shown[-1]).split())


def test_before_the_lesson_starts_the_name_of_the_notebook_tells_the_lesson(
    shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exercise_magic.register(None, shell)
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/work/04_block_pool.ipynb")
    shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}")
    assert "passed" in repr(shell.shown[-1])
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/work/Untitled.ipynb")
    assert shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}").success
    assert "run the first code cell" in capsys.readouterr().out


def test_a_kernel_of_the_lab_knows_exercise_cells_from_the_start() -> None:
    from labkit import lab

    startup = lab.server_environment("x")["PYTHONSTARTUP"]
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        f"shell.safe_execfile({startup!r}, shell.user_ns, raise_exceptions=True)\n"
        "assert 'register' not in shell.user_ns\n"
        "shell.run_cell('# above\\n%%exercise blocks_needed\\nx = 1')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "No lesson has been started here" in done.stdout and not done.stderr
    assert subprocess.run([sys.executable, startup], capture_output=True).returncode == 0


def test_the_report_comes_although_it_cannot_be_recorded(
    shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: Any) -> None:
        raise ProgressError("Your progress cannot be written: the disk is full.")

    monkeypatch.setattr(Progress, "record_attempt", full)
    monkeypatch.setattr(Progress, "failing", full)
    monkeypatch.setattr(Progress, "passed_all", full)
    assert shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}").success
    assert "passed" in repr(shell.shown[-1]) and "the disk is full" in capsys.readouterr().out
    assert shell.user_ns["blocks_needed"](17, 16) == 2


@pytest.mark.parametrize("stored", [[["call", {"n": 1}]], [["gone", {}]], [["call"]], ["call"], [3], [["call", 5]]])
def test_a_stored_sequence_that_is_none_any_more_is_dropped(shell: Any, stored: list[Any]) -> None:
    Progress().save_failing("04_block_pool", "blocks_needed", stored)
    shell.run_cell(f"%%exercise blocks_needed\n{RIGHT}")
    assert "passed" in repr(shell.shown[-1])
    assert not Progress().failing("04_block_pool", "blocks_needed")
