"""Parts, other speeds and mixtures of traces: nothing is lost, and what prompts share stays as it was."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labkit.errors import LabkitError
from labkit.simulate.block_ids import BlockIds
from labkit.simulate.trace import Trace, mix
from labkit.simulate.workload import draw


@st.composite
def traces(draw, ids: bool | None = None, least: int = 1):
    gaps = draw(st.lists(st.integers(0, 5), min_size=least, max_size=12))
    n = len(gaps)
    tokens = np.array(draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)), np.int64)
    rows = draw(st.lists(st.lists(st.integers(-3, 3), max_size=3), min_size=n, max_size=n))
    arrival_s = np.cumsum(gaps, dtype=np.float64)
    with_ids = draw(st.booleans()) if ids is None else ids
    hash_ids = BlockIds.of(rows) if with_ids else None
    return Trace(
        "t", "t", arrival_s - arrival_s[:1], tokens, tokens[::-1].copy(), hash_ids, (), 4 if with_ids else None
    )


def requests(trace: Trace, shift: float = 0.0):
    ids = [()] * len(trace) if trace.hash_ids is None else [tuple(row.tolist()) for row in trace.hash_ids]
    columns = (trace.arrival_s + shift, trace.input_tokens, trace.output_tokens)
    return list(zip(*(column.tolist() for column in columns), ids, strict=True))


@given(traces(), st.floats(-1, 40), st.floats(0.1, 40))
def test_between(trace, start_s, length_s):
    end_s = start_s + length_s
    due = [request for request in requests(trace) if start_s <= request[0] < end_s]
    if not due:
        with pytest.raises(LabkitError, match="No request of t came from"):
            trace.between(start_s, end_s)
        return
    part = trace.between(start_s, end_s)
    assert requests(part, due[0][0]) == due and part.arrival_s[0] == 0


@given(traces(), st.integers(0, 14))
def test_head(trace, count):
    assert requests(trace.head(count)) == requests(trace)[:count]


@given(traces(least=2), st.floats(0.01, 100))
def test_faster(trace, times):
    other = trace.faster(times)
    assert [request[1:] for request in requests(other)] == [request[1:] for request in requests(trace)]
    assert other.arrival_s == pytest.approx(trace.arrival_s / times)
    assume(trace.duration_s)
    assert other.per_s == pytest.approx(trace.per_s * times)
    assert other.notes == (f"Requests come {times:g} times as fast as they did.",)


@given(st.lists(st.tuples(traces(), st.integers(-9, 9)), min_size=1, max_size=4), st.booleans())
@settings(max_examples=200)
def test_mix(given_traces, same_ids):
    parts, starts = zip(*given_traces, strict=True)
    mixed = mix(parts, starts, same_ids=same_ids)
    assert mixed.arrival_s[0] == 0 and np.all(np.diff(mixed.arrival_s) >= 0)
    first = min(starts)
    due = [request for trace, start in given_traces for request in requests(trace, start - first)]
    if same_ids:
        assert Counter(requests(mixed)) == Counter(due)
        return
    assert Counter(row[:3] for row in requests(mixed)) == Counter(row[:3] for row in due)
    # Sorting is stable, so the mixture's rows are these; ids are equal where they were, in one and the same trace.
    order = sorted(range(len(due)), key=lambda n: due[n][0])
    owner = [n for n, trace in enumerate(parts) for _ in range(len(trace))]
    names: dict[int, tuple[int, int]] = {}
    for n, (*_, new) in zip(order, requests(mixed), strict=True):
        old = [(owner[n], i) for i in due[n][3]]
        assert len(old) == len(new) and all(names.setdefault(a, b) == b for a, b in zip(new, old, strict=True))
    assert len(set(names.values())) == len(names)


def test_an_idle_beginning_is_never_cut_out_in_silence():
    busy = draw(500, seed=1)
    trace = mix([draw(20, seed=2).faster(0.01), busy], [0.0, 500.0])
    for part in (trace.head(10), trace.between(0, 300)):
        assert "an idle part. As many came fastest from " in part.notes[-1]
        from_s = float(part.notes[-1].split("from ")[1].split(" s on")[0].replace(",", ""))
        assert from_s >= 500
    for part in (trace.head(len(trace)), trace.between(510), busy.head(80), busy.head(1), busy.head(2)):
        assert part.notes == trace.notes[: len(part.notes)]


def test_notes_of_a_mixture_are_said_once():
    a, b = (draw(5, seed).faster(2) for seed in (1, 2))
    assert mix([a, b]).notes == a.notes
    assert mix([a, b]).name == a.name


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: draw(3).between(5, 5), "has no length"),
        (lambda: draw(3).between(math.nan), "has no length"),
        (lambda: draw(3).between(10**9), "No request of"),
        (lambda: draw(3).faster(0), "times is 0"),
        (lambda: draw(3).faster(math.inf), "times is inf"),
        (lambda: mix([]), "needs one trace at least"),
        (lambda: mix([draw(3)], [1, 2]), "has 2 starts"),
        (lambda: mix([draw(3)], [math.nan]), "a number of seconds for each"),
        (lambda: mix([_blocks(4), _blocks(16)]), "4 and 16 tokens"),
    ],
)
def test_what_makes_no_sense(call, what):
    with pytest.raises(LabkitError, match=what):
        call()


def _blocks(size: int) -> Trace:
    one = np.ones(1, np.int64)
    return Trace("t", "t", one * 0.0, one, one, BlockIds.of([[1]]), (), size)
