"""Choosing tokens: the settings mean what they say, and chance depends on (seed, request, position) alone."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import GenerationError
from labkit.serving.sampling import GREEDY, Sampling, logprobs, sample, uniform

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


def test_min_p_is_a_share_of_the_likeliest():
    # The others have 0.37, 0.14 and 0.05 of its probability.
    assert set(draws(Sampling(temperature=1, min_p=0.3))) == {0, 1}
    assert set(draws(Sampling(temperature=1, min_p=0.1, top_k=2))) == {0, 1}
    assert set(draws(Sampling(temperature=1, min_p=1))) == {0}


def by_definition(logits: torch.Tensor, how: Sampling, u: float) -> int:
    """All tokens sorted, and what may not be drawn taken away: min-p, then top-k, then top-p of what is left."""
    wide = logits.double()
    p, tokens = torch.softmax((wide - wide.max()) / how.temperature, dim=-1).sort(descending=True, stable=True)
    p = p[p >= how.min_p * p[0]][: how.top_k or None]
    before = p.cumsum(0) - p
    total = p[before < how.top_p * float(p.sum())].cumsum(0)
    return int(tokens[min(int(torch.searchsorted(total, u * float(total[-1]), right=True)), len(total) - 1)])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_looking_at_the_likeliest_first_changes_nothing(data):
    """Whatever of a vocabulary that is larger than the heads is needed, in bf16, where many logits are equal."""
    size = data.draw(st.sampled_from([7, 300, 9000]), "size")
    spread = data.draw(st.sampled_from([0.01, 1.0, 6.0]), "spread")
    noise = torch.Generator().manual_seed(data.draw(st.integers(0, 20), "noise"))
    logits = (torch.randn(4, size, generator=noise) * spread).bfloat16()
    how = Sampling(
        temperature=data.draw(st.sampled_from([0.3, 1.0, 2.0]), "temperature"),
        top_k=data.draw(st.sampled_from([0, 0, 1, 40, 256, 300, 5000]), "top_k"),
        top_p=data.draw(st.sampled_from([1.0, 0.999, 0.9, 0.1]), "top_p"),
        min_p=data.draw(st.sampled_from([0.0, 0.0, 0.05, 0.5]), "min_p"),
        seed=data.draw(st.integers(0, 9), "seed"),
    )
    keys = [("A", i) for i in range(4)]
    expected = [by_definition(row, how, uniform(how.seed, *key)) for row, key in zip(logits, keys, strict=True)]
    assert sample(logits, [how] * 4, keys) == expected


def test_log_probabilities():
    rows = torch.stack([LOGITS, LOGITS.flip(0)])
    first, second = logprobs(rows, [2, 4], [2, 0])
    assert (first.token, second.token, second.top) == (2, 4, ())
    assert first.logprob == pytest.approx(float(torch.log_softmax(LOGITS, 0)[2]))
    assert [token for token, _ in first.top] == [0, 1] and first.top[0][1] == pytest.approx(second.logprob)


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
        *({"min_p": value} for value in (-0.1, 1.1, float("nan"))),
    ],
)
def test_settings_that_make_no_sense(settings_):
    with pytest.raises(GenerationError, match=next(iter(settings_))):
        Sampling(**settings_)
