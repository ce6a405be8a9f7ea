"""Lesson 01's references and its picture agree with torch, and with each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from labkit.attention import by_hand
from labkit.errors import LabkitError
from labkit.grading.judge import Judge
from labkit.grading.source import Source
from labkit.specs import exercise
from labkit.widgets import AttentionPlay


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "d", "dv"), [(1, 1, 1), (2, 3, 1), (7, 4, 5), (33, 16, 8)])
def test_causal_attend_equals_torch(n: int, d: int, dv: int) -> None:
    Q, K, V = draw(n, d), draw(n, d, seed=1), draw(n, dv, seed=2)
    expected = scaled_dot_product_attention(Q[None], K[None], V[None], is_causal=True)[0]
    torch.testing.assert_close(by_hand.causal_attend(Q, K, V), expected)


def test_decode_steps_equal_all_rows_at_once() -> None:
    X, W_q, W_k, W_v = draw(6, 5), draw(5, 3, seed=1), draw(5, 3, seed=2), draw(5, 4, seed=3)
    K, V, rows = torch.empty(0, 3, dtype=torch.float64), torch.empty(0, 4, dtype=torch.float64), []
    for x in X:
        row, K, V = by_hand.last_row_only(x, K, V, W_q, W_k, W_v)
        rows.append(row)
    torch.testing.assert_close(torch.stack(rows), by_hand.causal_attend(X @ W_q, X @ W_k, X @ W_v))


@pytest.mark.parametrize("cut", [(9,), (1,) * 9, (4, 5), (1, 2, 6), (5, 1, 3)])
def test_pieces_of_any_size_give_the_rows_of_the_whole(cut: tuple[int, ...]) -> None:
    Q, K, V = draw(9, 4), draw(9, 4, seed=1), draw(9, 2, seed=2)
    head, rows, start = by_hand.CachedAttention(), [], 0
    for size in cut:
        piece = slice(start, start + size)
        rows.append(head.feed(Q[piece], K[piece], V[piece]))
        start += size
    torch.testing.assert_close(torch.cat(rows), by_hand.causal_attend(Q, K, V))


def test_the_bug_of_the_break_it_is_torchs_upper_left_mask() -> None:
    spec = exercise("01", "break_the_mask").spec
    head = Source(spec.base, spec.wrong_one(), "<bug>").namespace()["CachedAttention"]()
    Q, K, V = draw(5, 4), draw(5, 4, seed=1), draw(5, 2, seed=2)
    head.feed(Q[:3], K[:3], V[:3])
    expected = scaled_dot_product_attention(Q[None, 3:], K[None], V[None], is_causal=True)[0]
    torch.testing.assert_close(head.feed(Q[3:], K[3:], V[3:]), expected)


def test_a_cut_that_makes_no_sense_is_told() -> None:
    spec = exercise("01", "break_the_mask").spec
    for ops in ([("feed", 0)], [("feed", 1.5)], [("feed", 65)], [("drop", 1)]):
        verdict = spec.judge(Judge(spec, dict), {"ops": ops}, [])
        assert verdict.verdict == "error" and verdict.message
    verdict = spec.judge(Judge(spec, dict), {"ops": [("feed", 5), ("feed", 1), ("feed", 1)]}, [])
    assert verdict.rule == "the-wrong-one-falls"


def test_picture_computes_what_the_lesson_teaches() -> None:
    play = AttentionPlay(query=(0.7, -1.2), keys=((1, 2), (-0.5, 0), (2, -2)), values=((1, 1), (0, -2), (3, 0)))
    q, K, V = (torch.tensor(x, dtype=torch.float64) for x in (play.q, play.K, play.V))
    torch.testing.assert_close(torch.tensor(play.scores(), dtype=torch.float64), by_hand.scores(q, K))
    torch.testing.assert_close(torch.tensor(play.mixture(), dtype=torch.float64), by_hand.attend(q, K, V))
    hidden = AttentionPlay(query=(0.7, -1.2), keys=play.K, values=play.V, hidden=[2])
    assert hidden.scores()[2] == -math.inf and hidden.weights()[2] == 0
    torch.testing.assert_close(torch.tensor(hidden.mixture(), dtype=torch.float64), by_hand.attend(q, K[:2], V[:2]))


def test_the_play_has_a_stable_text() -> None:
    assert repr(AttentionPlay()) == repr(AttentionPlay()) == "AttentionPlay(query=(1, 1), weights: 79%, 19%, 2%)"


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": ((1, 2),)},
        {"query": (1, 2, 3)},
        {"query": (4, 0)},
        {"hidden": [0, 1, 2]},
        {"hidden": [3]},
    ],
)
def test_picture_refuses_what_it_cannot_draw(wrong: dict) -> None:
    with pytest.raises(LabkitError):
        AttentionPlay(**wrong)


def test_one_query_among_all_keys_is_refused_by_the_reference() -> None:
    Q, K, V = draw(1, 4), draw(3, 4, seed=1), draw(3, 2, seed=2)
    with pytest.raises(ValueError, match="as many queries as keys"):
        by_hand.causal_attend(Q, K, V)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("s -= s[0]\n    return torch.softmax(s, 0) @ V", "make a new tensor"),
        ("return torch.tensor([1.0] * len(s)) @ V", "float32"),
        ("return torch.exp(s - s[:0].max(dim=0).values) @ V", "sees no key"),
        ("return torch.cat([V, s]).sum(0)", "one row"),
    ],
)
def test_what_torch_refuses_is_said_in_plain_words(body: str, words: str) -> None:
    spec = exercise("01", "attend").spec
    text = f"def attend(q, K, V):\n    s = scores(q, K)\n    {body}\n"
    judge = Judge(spec, Source(spec, text, "<exercise attend>").namespace)
    judge._search = lambda: None  # type: ignore[method-assign]
    assert words in judge.verdict().message
