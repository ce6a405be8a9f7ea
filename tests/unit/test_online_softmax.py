"""The picture of lesson 10, and what its first cell counts."""

from __future__ import annotations

import pytest

from labkit.engine import Parts
from labkit.errors import LabkitError
from labkit.serving import load
from labkit.specs.paged_attention.scenes import moved_per_token, one_request
from labkit.widgets import OnlineSoftmax


def test_its_states_end_where_two_passes_do_and_its_sentences_say_what_a_page_changed():
    board = OnlineSoftmax(*one_request(), step=99)
    assert board.step == len(board.pages) == 4 and len(board.states) == 5
    end = board.states[-1]
    assert [end["m"], end["l"], *end["out"]] == pytest.approx([board.exact["m"], board.exact["l"], *board.exact["out"]])
    said = [state["say"] for state in board.states]
    assert "exp(1.60 \N{MINUS SIGN} 2.70) = 0.33" in said[3] and "no score above 2.70" in said[4]
    assert said[4].endswith("Only 2 of its 4 slots are read. The output is what two passes give.")
    assert board.pages[3]["scores"][2:] == [None, None] and repr(board) == repr(OnlineSoftmax(*one_request()))


def test_it_runs_on_the_update_that_it_is_given():
    def never_rescales(m, l, acc, s, v):  # noqa: E741
        new, p = s.amax(1).maximum(m), (s - s.amax(1).maximum(m)[:, None]).exp()
        return new, l + p.sum(1), acc + p @ v

    assert (
        OnlineSoftmax(*one_request(), update=never_rescales).states[-1]["say"].endswith("is not what two passes give.")
    )


@pytest.mark.parametrize(("blocks", "size", "why"), [([7, 2], 4, "do not fit"), ([*range(2)], 13, "cannot be drawn")])
def test_it_refuses_what_it_cannot_draw(blocks: list[int], size: int, why: str):
    scores, values, _ = one_request()
    with pytest.raises(LabkitError, match=why):
        OnlineSoftmax(scores, values, blocks, size)


def test_what_a_step_needs_and_what_a_gather_copies():
    """Two requests that decode twice: 9 and 10 tokens in one block of 16, 17 and 18 tokens in two."""
    model = load("tiny")
    config = model.config
    token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4
    moved = moved_per_token(model, [[5] * 8, [5] * 16], new=3)
    assert moved.needed == (9 + 17 + 10 + 18) / 4 * token
    assert moved.copied == 32 * token and moved.moved == 3 * moved.copied


def test_the_pages_of_another_are_never_read_by_the_model(monkeypatch: pytest.MonkeyPatch):
    """The references decode over the copy: no box of the learner's, no page-by-page loop."""
    assert load("tiny").paged_cache(4, 4, parts=Parts(yours=False))._decode_attention is None
