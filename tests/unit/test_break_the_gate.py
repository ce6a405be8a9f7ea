"""Break it in lesson 02: a list that convicts nobody is told what the server did with the request."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.grading.judge import Judge
from labkit.specs.what_a_token_costs import BreakTheGate


def verdict(*ops: Any) -> Any:
    spec = BreakTheGate()
    return spec.judge(Judge(spec, dict), {"ops": list(ops)}, [])


@pytest.mark.parametrize(("server", "tokens", "words"), [
    ((100, 2, 2, 64), 64, "at 64 tokens both formulas count 16 blocks"),
    ((100, 2, 2, 64), 128, "the door counts 24 blocks, the start 32, and the server has 100"),
    ((4, 1, 1, 16), 640, "rightly: 640 tokens hold 41 blocks, and the server has 4"),
])  # fmt: skip
def test_what_the_server_did(server: tuple[int, ...], tokens: int, words: str) -> None:
    found = verdict(("Gate", *server), ("request", tokens))
    assert (found.verdict, found.rule) == ("fail", "the-wrong-one-falls")
    assert words in found.message


def test_the_last_request_goes_to_the_last_server() -> None:
    first, second, unused = (("Gate", n, 1, 1, 16) for n in (4, 9, 1))
    found = verdict(first, ("request", 16), second, ("request", 48), unused)
    assert "the door counts 4 blocks, the start 6, and the server has 9" in found.message


def test_a_server_alone_wants_a_request_and_a_request_a_server() -> None:
    assert "add a request" in verdict(("Gate", 4, 1, 1, 16)).message
    assert 'begin with ("Gate", 100, 2, 2, 64)' in verdict(("request", 64)).message


def test_small_letters_are_understood() -> None:
    assert verdict(("gate", 4, 1, 1, 16), ("request", 48)).verdict == "pass"
