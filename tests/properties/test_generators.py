"""Workloads have the rates, lengths and shared blocks that their parameters say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import LabkitError
from labkit.simulate.generators import WORKLOADS, agents, conversations, independent, workload
from labkit.simulate.hit_ratio import replay, requests_of

SEEDS = st.integers(0, 2**32)


def plain(trace):
    ids = None if trace.hash_ids is None else [row.tolist() for row in trace.hash_ids]
    return *(getattr(trace, name).tolist() for name in ("arrival_s", "input_tokens", "output_tokens")), ids


@pytest.mark.parametrize("kind", WORKLOADS)
def test_every_kind_is_a_trace_of_its_seed(kind):
    trace, again, more, other = (
        workload(kind, 60, 3),
        workload(kind, 60, 3),
        workload(kind, 90, 3),
        workload(kind, 60, 4),
    )
    assert plain(trace) == plain(again) == plain(more.head(60)) != plain(other)
    assert trace.arrival_s[0] == 0 and np.all(np.diff(trace.arrival_s) >= 0)
    assert trace.input_tokens.min() >= 1 and trace.output_tokens.min() >= 1
    if trace.hash_ids is not None:
        assert trace.hash_ids.counts.tolist() == (-(-trace.input_tokens // trace.block_tokens)).tolist()


@given(SEEDS, st.floats(0.01, 1000), st.floats(0.3, 3), st.floats(0, 0.99))
@settings(max_examples=40, deadline=None)
def test_rate_and_unevenness(seed, per_s, cv, swing):
    n = 20_000
    period_s = n / 10 / per_s  # ten periods
    trace = independent(n, seed, per_s=per_s, cv=cv, swing=swing, period_s=period_s)
    # The mean of n gaps has a standard deviation of cv / sqrt(n); the end of the trace may cut a period.
    assert trace.per_s == pytest.approx(per_s, rel=5 * cv / math.sqrt(n) + 0.06 * swing)
    steady = independent(n, seed, per_s=per_s, cv=cv)
    assert steady.summary()["arrivals"]["cv"] == pytest.approx(cv, rel=0.05 + 0.04 * cv)
    # Rising and falling half of a sine: 1 + 2 / pi * swing against 1 - 2 / pi * swing of the mean.
    first_half = np.mean(trace.arrival_s % period_s < period_s / 2)
    assert first_half == pytest.approx(0.5 + swing / math.pi, abs=0.01 + 0.01 * cv + 0.02 * swing)


@given(SEEDS, st.floats(20, 5000), st.floats(1, 40))
@settings(max_examples=25, deadline=None)
def test_lengths(seed, median, tail):
    trace = independent(20_000, seed, input_tokens=(median, median * tail), output_tokens=(median, median))
    below = [np.mean(trace.input_tokens <= math.ceil(edge)) for edge in (median, median * tail)]
    assert below[0] >= 0.48 and below[1] >= 0.987
    above = [np.mean(trace.input_tokens >= math.floor(edge)) for edge in (median, median * tail)]
    assert above[0] >= 0.48 and above[1] >= 0.007
    assert set(trace.output_tokens) == {round(median)}


@given(SEEDS, st.floats(1, 12), st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.floats(0.05, 5))
@settings(max_examples=12, deadline=None)
def test_share_of_shared_blocks(seed, turns, system, first, added, starts_per_s):
    size = 16
    trace = conversations(
        4000, seed, starts_per_s=starts_per_s, turns=turns, gap_s=(1 / starts_per_s, 3 / starts_per_s),
        system_tokens=size * system, first_tokens=(size * (first + 1),) * 2, added_tokens=(size * added,) * 2,
        max_prompt_tokens=2**30, block_tokens=size,
    )  # fmt: skip
    # Turn k comes with probability p**(k-1) and has system + first + 1 + (k-1) * added blocks, of which new are the
    # last `added`, and of the first turn all but the system prompt.
    p = 1 - 1 / turns
    blocks = (system + first + 1) / (1 - p) + added * p / (1 - p) ** 2
    new = first + 1 + added * p / (1 - p)
    assert replay(requests_of(trace), None).ratio == pytest.approx(1 - new / blocks, abs=0.05)
    starts = np.sum(trace.input_tokens == size * (system + first + 1))
    assert starts / len(trace) == pytest.approx(1 / turns, abs=0.04)
    # Once as many end as begin.
    late = trace.between(trace.duration_s / 2)
    assert late.per_s == pytest.approx(starts_per_s * turns, rel=0.2)


def test_agents_share_a_long_prompt_and_call_again_within_seconds():
    trace = agents(500, 5, gap_s=(19, 19))
    system = 14_976 // 64
    rows = requests_of(trace)
    assert len({tuple(row[:system]) for row in rows}) == 1
    last: dict[int, float] = {}
    gaps_s = []
    for row, at_s in zip(rows, trace.arrival_s, strict=True):
        if len(row) > system + 1:  # below, a session's first block of its own may be part filled
            if row[system] in last:
                gaps_s.append(at_s - last[row[system]])
            last[row[system]] = at_s
    assert np.allclose(gaps_s, 19) and len(gaps_s) > 400
    assert replay(rows, None).ratio > 0.9  # .964 in a sample of Weka's sessions


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: workload("poison"), "take one of poisson, bursty"),
        (lambda: workload("poisson", turns=3), "has no turns: its parameters are per_s, cv"),
        (lambda: independent(0), "num_requests is 0"),
        (lambda: independent(1, -1), "seed is -1"),
        (lambda: independent(per_s=0), "per_s is 0"),
        (lambda: independent(cv=math.nan), "cv is nan"),
        (lambda: independent(swing=1), "swing is 1"),
        (lambda: independent(period_s="day"), "period_s is 'day'"),
        (lambda: independent(input_tokens=(5, 4)), "input_tokens is"),
        (lambda: independent(output_tokens=7), "output_tokens is 7"),
        (lambda: conversations(turns=0.5), "turns is 0.5"),
        (lambda: conversations(system_tokens=-1), "system_tokens is -1"),
        (lambda: conversations(block_tokens=1.5), "block_tokens is 1.5"),
        (lambda: conversations(max_prompt_tokens=100), "system_tokens is 512"),
        (lambda: conversations(gap_s=(0, 1)), "gap_s is"),
    ],
)
def test_numbers_that_make_no_sense(call, what):
    with pytest.raises(LabkitError) as caught:
        call()
    message = str(caught.value)
    assert what in message and ": " in message and message.endswith(".") and "\n" not in message
