"""Choosing tokens: the settings mean what they say, and chance depends on (seed, request, position) alone."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import GenerationError
from labkit.serving.sampling import GREEDY, Sampling, sample, uniform

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, -float("inf")])


def draws(how: Sampling, count: int = 4000, logits: torch.Tensor = LOGITS) -> Counter[int]:
    rows = logits.expand(count, -1)
    return Counter(sample(rows, [how] * count, [("A", position) for position in range(count)]))


def test_greedy_takes_the_highest_and_of_equals_the_first():
    logits = torch.tensor([[0.0, 3.0, 3.0], [5.0, 1.0, 2.0]])
    assert sample(logits, [GREEDY, GREEDY], [("A", 0), ("B", 0)]) == [1, 0]


def test_drawn_tokens_follow_the_distribution():
    how = Sampling(temperature=1.5, seed=7)
    expected = torch.softmax(LOGITS / 1.5, dim=0)
    seen = draws(how)
    assert 4 not in seen, "a forbidden token was drawn"
    for token in range(4):
        # Four standard deviations of a share of 4,000 draws: a fixed seed, so this holds always or never.
        spread = 4 * float(expected[token] * (1 - expected[token]) / 4000) ** 0.5
        assert abs(seen[token] / 4000 - float(expected[token])) < spread


def test_top_k_and_top_p_cut_the_tail():
    assert set(draws(Sampling(temperature=1, top_k=2))) == {0, 1}
    # The probabilities are 0.64, 0.24, 0.09, 0.03: two are needed to reach 0.8.
    assert set(draws(Sampling(temperature=1, top_p=0.8))) == {0, 1}
    assert set(draws(Sampling(temperature=1, top_p=0.1))) == {0}
    assert set(draws(Sampling(temperature=1, top_k=3, top_p=0.999))) == {0, 1, 2}
    assert set(draws(Sampling(temperature=1, top_k=1000))) == {0, 1, 2, 3}


def test_a_tiny_temperature_is_greedy_and_does_not_overflow():
    assert set(draws(Sampling(temperature=1e-6), count=50)) == {0}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_batch_draws_what_each_would_draw_alone(data):
    size = data.draw(st.integers(1, 6))
    logits = torch.randn(size, 30, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 9))))
    temperature = st.sampled_from([0.0, 0.7, 1.3])
    hows = [Sampling(data.draw(temperature), data.draw(st.integers(0, 5)), seed=3) for _ in range(size)]
    keys = [(f"R{i}", data.draw(st.integers(0, 50))) for i in range(size)]
    together = sample(logits, hows, keys)
    assert together == [sample(logits[i : i + 1], hows[i : i + 1], keys[i : i + 1])[0] for i in range(size)]


def test_seed_request_and_position_all_count():
    values = {uniform(s, r, p) for s in (0, 1) for r in ("A", "B") for p in range(50)}
    assert len(values) == 200
    assert all(0 <= value < 1 for value in values)
    assert uniform(0, "A", 0) == 0.6465172142134414, "another number here would change every stored text"
    assert uniform(1, "1|x", 2) != uniform(1, "x", 21), "fields must not run into each other"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite(bad):
    logits = torch.zeros(3, 5)
    logits[1, 2] = bad
    with pytest.raises(GenerationError, match="for request B are not finite"):
        sample(logits, [GREEDY] * 3, [("A", 1), ("B", 1), ("C", 1)])
    logits[1] = -float("inf")  # nothing left to choose
    with pytest.raises(GenerationError, match="request B"):
        sample(logits, [GREEDY] * 3, [("A", 1), ("B", 1), ("C", 1)])


@pytest.mark.parametrize(
    "settings_",
    [
        *({"temperature": value} for value in (-1, float("nan"), float("inf"))),
        *({"top_p": value} for value in (0, 1.5, float("nan"))),
        {"top_k": -1},
    ],
)
def test_settings_that_make_no_sense(settings_):
    with pytest.raises(GenerationError, match=next(iter(settings_))):
        Sampling(**settings_)
