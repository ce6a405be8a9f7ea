"""The drawn workload against the published statistics of the trace it imitates."""

from __future__ import annotations

import numpy as np
import pytest

from labkit.errors import LabkitError
from labkit.simulate.workload import AZURE_CONVERSATION, draw

SEEDS = pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])


@SEEDS
def test_lengths_match_the_published_mean_median_and_tail(seed):
    summary = draw(20_000, seed).summary()
    for what, published in (("input_tokens", (1155, 1020, 4142)), ("output_tokens", (211, 129, 601))):
        mean, p50, p99 = (summary[what][k] for k in ("mean", "p50", "p99"))
        assert mean == pytest.approx(published[0], rel=0.03)
        assert p50 == pytest.approx(published[1], rel=0.05)
        assert p99 == pytest.approx(published[2], rel=0.05)


@SEEDS
def test_arrivals_match_the_published_rate_and_unevenness(seed):
    arrivals = draw(20_000, seed).summary()["arrivals"]
    assert arrivals["per_s"] == pytest.approx(5.53, rel=0.03)
    assert arrivals["cv"] == pytest.approx(1.09, abs=0.05)


@SEEDS
def test_middling_prompts_get_the_long_answers(seed):
    trace = draw(20_000, seed)
    middling = (trace.input_tokens > 1020) & (trace.input_tokens < 1315)
    longest = trace.input_tokens > 1315
    assert np.median(trace.output_tokens[middling]) > 380
    assert np.median(trace.output_tokens[longest]) < 90
    assert abs(np.corrcoef(trace.input_tokens, trace.output_tokens)[0, 1]) < 0.2


def test_a_seed_gives_the_same_requests_again_and_more_of_them_continue_it():
    a, b, longer = draw(50, 7), draw(50, 7), draw(80, 7).head(50)
    for other in (b, longer):
        assert np.array_equal(a.arrival_s, other.arrival_s)
        assert np.array_equal(a.input_tokens, other.input_tokens)
        assert np.array_equal(a.output_tokens, other.output_tokens)
    assert not np.array_equal(a.input_tokens, draw(50, 8).input_tokens)


def test_what_is_drawn_is_a_trace():
    trace = draw(1)
    assert (len(trace), trace.duration_s, trace.arrival_s.tolist()) == (1, 0.0, [0.0])
    trace = draw(500, 3)
    assert trace.arrival_s[0] == 0
    assert np.all(np.diff(trace.arrival_s) >= 0)
    assert trace.input_tokens.min() >= 2
    assert trace.output_tokens.min() >= 7
    assert "seed 3" in trace.source
    assert "CC-BY 4.0" in trace.source


def test_the_tables_are_distributions():
    shape = AZURE_CONVERSATION
    bands = [(shape.output_shares, tokens) for _, tokens in shape.output_quantiles]
    for shares, tokens in [tuple(zip(*shape.input_quantiles, strict=True)), *bands]:
        assert len(shares) == len(tokens)
        assert (shares[0], shares[-1]) == (0, 1)
        assert list(shares) == sorted(shares)
        assert list(tokens) == sorted(tokens)
    assert shape.output_quantiles[-1][0] == 1


@pytest.mark.parametrize("bad", [0, -1, 2.5, "x"])
def test_numbers_that_make_no_sense(bad):
    with pytest.raises(LabkitError):
        draw(bad)
    if bad != 0:
        with pytest.raises(LabkitError):
            draw(1, seed=bad)
