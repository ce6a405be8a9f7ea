"""The `%%exercise` cell in an IPython shell: graded first, run after, errors shown and never raised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit.grading import exercise_magic, runner
from labkit.grading.progress import Progress

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
    runner.close()
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
    shell.run_cell("%%exercise blocks_needed\ndef blocks_needed(num_tokens, block_size):\n"
                   "    return helper(num_tokens, block_size)\n")
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
