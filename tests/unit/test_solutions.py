"""The difference to the solution shows what two solutions do differently, and nothing else."""

from __future__ import annotations

import ast

from labkit.grading.solutions import _Bare, brief, difference, solution


def test_only_what_computes_is_compared() -> None:
    solved = solution("04", "blocks_needed")
    assert solved is not None and '"""' in solved
    assert difference("04", "blocks_needed", solved) == ""
    bare = "def blocks_needed(num_tokens, block_size):\n    # mine\n    return -(-num_tokens // block_size)\n"
    changed = [line for line in difference("04", "blocks_needed", bare).splitlines() if line[:1] in "+-"]
    assert changed[2:] == [
        "-    return -(-num_tokens // block_size)",
        "+    return (num_tokens + block_size - 1) // block_size",
    ]


def test_an_exercise_without_a_solution_has_no_difference() -> None:
    assert solution("04", "no_such_exercise") is None
    assert difference("04", "no_such_exercise", "x = 1") == ""


def test_a_shown_solution_begins_with_its_code() -> None:
    """Of a docstring, which the stub has as well, one line: nothing else is left out."""
    solved = solution("05", "BlockTable")
    assert solved is not None
    shown = brief(solved)
    assert len(shown.splitlines()) < len(solved.splitlines()) - 20
    assert ast.dump(_Bare().visit(ast.parse(shown))) == ast.dump(_Bare().visit(ast.parse(solved)))
    long = [n for n in ast.walk(ast.parse(shown)) if isinstance(n, ast.Constant) and "\n" in str(n.value)]
    assert long == []
    assert brief("def f():\n    'One line.'\n    return 1\n") == "def f():\n    'One line.'\n    return 1\n"
