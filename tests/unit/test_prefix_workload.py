"""Drawn conversations, named patterns and token workloads: their laws, and the shape of what they imitate."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.bench.token_workload import TokenWorkload, ids_of_prompts, system_prompts
from labkit.errors import LabkitError
from labkit.simulate.hit_ratio import replay, requests_of
from labkit.simulate.prefix_patterns import cyclic_scan, multi_turn, one_time_scan, zipf
from labkit.simulate.prefix_workload import MOONCAKE_CONVERSATION, draw_conversations
from labkit.simulate.traces import Trace
from labkit.simulate.workload import draw

pytestmark = pytest.mark.early

MAKERS = {
    "conversations": lambda seed: draw_conversations(800, seed),
    "cyclic scan": lambda seed: cyclic_scan(30, 4, 2),
    "one-time scan": lambda seed: one_time_scan(10, 40, 50, 3, seed),
    "zipf": lambda seed: zipf(300, 50, 0.8, 2, seed),
    "multi-turn": lambda seed: multi_turn(12, 5, 2, 3, 2, seed),
    "system prompts": lambda seed: system_prompts(60, seed=seed).trace(16),
}


def plain(trace: Trace):
    return (
        [ids.tolist() for ids in trace.hash_ids],
        *(getattr(trace, name).tolist() for name in ("arrival_s", "input_tokens", "output_tokens")),
    )


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_laws_of_every_workload(make, seed):
    trace = make(seed)
    rows = requests_of(trace)
    assert plain(trace) == plain(make(seed))
    assert trace.hash_ids.counts.tolist() == (-(-trace.input_tokens // trace.block_tokens)).tolist()
    assert all(rows)
    assert np.all(np.diff(trace.arrival_s) >= 0) and trace.arrival_s[0] == 0
    assert trace.input_tokens.dtype == trace.output_tokens.dtype == np.int64
    assert trace.output_tokens.min() >= 0
    # A forest: whatever stands before an id stands before it everywhere.
    before: dict[int, int] = {}
    for row in rows:
        for parent, block in zip([-1, *row], row, strict=False):
            assert before.setdefault(block, parent) == parent
    # An id that another prompt goes on from stands for a full block.
    size = trace.block_tokens
    full = {block for row, tokens in zip(rows, trace.input_tokens, strict=True) for block in row[: tokens // size]}
    partial = {row[-1] for row, tokens in zip(rows, trace.input_tokens, strict=True) if tokens % size}
    assert not full & partial
    assert not partial & set(before.values())


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"cyclic scan"}))
def test_another_seed_is_another_workload(name):
    assert plain(MAKERS[name](1)) != plain(MAKERS[name](2))


# ----- conversations --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn():
    return [draw_conversations(12_031, seed) for seed in range(3)]


@pytest.mark.parametrize(
    ("capacity", "real"), [(1000, 0.045), (3000, 0.065), (10_000, 0.212), (30_000, 0.326), (None, 0.366)]
)
def test_conversations_hit_as_the_mooncake_trace_does(drawn, capacity, real):
    ratios = [replay(requests_of(trace), capacity).ratio for trace in drawn]
    assert np.mean(ratios) == pytest.approx(real, abs=0.03)
    assert ratios == pytest.approx([real] * 3, abs=0.04)
    if capacity in (1000, 3000):
        # LRU loses to random eviction on the trace itself too.
        for trace, ratio in zip(drawn, ratios, strict=True):
            assert replay(requests_of(trace), capacity, "random").ratio > ratio


def test_conversations_have_the_statistics_of_the_mooncake_trace(drawn):
    for trace in drawn:
        summary = trace.summary()
        prompts, answers = summary["input_tokens"], summary["output_tokens"]
        # (12,035, 6,909, 85,400) and (343, 350, 1,119) tokens, 3.40 requests per second
        assert [prompts[key] for key in ("mean", "p50", "p99")] == pytest.approx([12_035, 6909, 85_400], rel=0.15)
        assert [answers[key] for key in ("mean", "p50", "p99")] == pytest.approx([343, 350, 1119], rel=0.05)
        assert summary["arrivals"]["per_s"] == pytest.approx(3.40, rel=0.06)
        seen: set[int] = set()
        depths = []
        for row in requests_of(trace):
            depths.append(sum(block in seen for block in row))
            seen.update(row)
        assert np.mean(np.array(depths) <= 1) == pytest.approx(0.613, abs=0.03)  # new but for the system prompt
        uses = Counter(block for row in requests_of(trace) for block in row)
        assert sum(count == 1 for count in uses.values()) / len(uses) == pytest.approx(138_646 / 182_790, abs=0.05)


def test_more_conversations_continue_the_fewer():
    few, many = draw_conversations(200, 3), draw_conversations(1000, 3)
    assert plain(few) == plain(many.head(200))


def test_the_shape_is_in_order():
    shape = MOONCAKE_CONVERSATION
    for field in fields(shape):
        rows = getattr(shape, field.name)
        if field.type == "Quantiles":
            shares, values = zip(*rows, strict=True)
            assert (shares[0], shares[-1]) == (0, 1)
            assert list(shares) == sorted(set(shares)), field.name
            assert list(values) == sorted(values), field.name
    for rows in (shape.goes_on, shape.branches):
        assert rows[-1][0] == shape.max_prompt_tokens
    assert all(0 <= p <= 1 for _, row in shape.goes_on for p in row)
    assert draw_conversations(3000).input_tokens.max() <= shape.max_prompt_tokens


@given(st.integers(0, 2**40), st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_any_seed_and_number(seed, count):
    trace = draw_conversations(count, seed)
    assert len(trace) == count
    assert all(row[0] == 0 for row in requests_of(trace))


# ----- patterns -------------------------------------------------------------------------------------------------------


def test_cyclic_scan():
    requests = requests_of(cyclic_scan(1100, 50))
    assert replay(requests, 1000).hits == 0
    assert replay(requests, 1099).hits == 0
    assert replay(requests, 1100).ratio == 49 / 50
    share = 0.8
    for _ in range(500):
        share = math.exp(-(1 - share) * 1.1)
    last_rounds = replay(requests, 1000, "random").hits - replay(requests[: 25 * 1100], 1000, "random").hits
    assert last_rounds / (25 * 1100) == pytest.approx(share, abs=0.01)


def test_one_time_scan():
    requests = requests_of(one_time_scan(working_set=50, scan=400, warm=500, blocks_per_prompt=8))
    warm, scan, after = requests[:500], requests[500:900], requests[900:]
    assert Counter(map(len, requests)) == {8: 1400}
    assert {block for row in warm + after for block in row} == set(range(400))
    assert len({row[0] for row in scan}) == 400 and min(map(min, scan)) == 400
    # Room for the working set, and for less than the scan: LRU has to find all of it anew.
    missed = [
        500 * 8 - hits for hits in (replay(warm, 1000).hits, replay(requests, 1000).hits - replay(warm, 1000).hits)
    ]
    assert missed == [400, 400]
    assert 500 * 8 - (replay(requests, 1000, "belady").hits - replay(warm, 1000).hits) == 0


def test_zipf():
    requests = requests_of(zipf(20_000, 100, 1.0, 2, seed=4))
    counts = Counter(row[0] // 2 for row in requests)
    harmonic = sum(1 / k for k in range(1, 101))
    for k in (1, 2, 5, 10):
        assert counts[k - 1] / 20_000 == pytest.approx(1 / k / harmonic, rel=0.1)
    even = Counter(row[0] for row in requests_of(zipf(20_000, 100, 0)))
    assert len(even) == 100 and max(even.values()) < 2 * min(even.values())
    for exponent in (-1, math.nan, math.inf, "1", None):
        with pytest.raises(LabkitError, match="exponent is"):
            zipf(10, 10, exponent)


def test_multi_turn():
    requests = requests_of(multi_turn(20, 4, system_blocks=1, first_blocks=3, added_blocks=2))
    last: dict[int, list[int]] = {}
    for row in requests:
        assert row[0] == 0
        assert row[: len(last.get(row[1], []))] == last.get(row[1], [])
        last[row[1]] = row
    assert Counter(map(len, requests)) == {4: 20, 6: 20, 8: 20, 10: 20}
    assert {len(row) for row in last.values()} == {10} and len(last) == 20
    # Unbounded, all is found but the new: the system prompt once, and nine blocks of each conversation.
    count = replay(requests, None)
    assert count.looked_up - count.hits == 1 + 20 * 9
    assert requests_of(multi_turn(2, 2, system_blocks=0))[0][0] in (0, 5)


# ----- tokens ---------------------------------------------------------------------------------------------------------


def test_system_prompts():
    workload = system_prompts(400, seed=2)
    lengths = draw(400, 2)
    assert len(workload) == 400 and repr(workload) == "TokenWorkload(20 system prompts of 512 tokens: 400 requests)"
    systems: dict[int, bytes] = {}
    for prompt, answer, group, inputs, outputs in zip(
        workload.prompts, workload.answers, workload.groups, lengths.input_tokens, lengths.output_tokens, strict=True
    ):
        assert len(prompt) == 4 * (inputs + 512 * (group >= 0))
        assert len(answer) == 4 * outputs
        tokens = np.frombuffer(prompt, "<i4")
        assert tokens.min() >= 0 and tokens.max() < 50_000
        if group >= 0:
            assert systems.setdefault(int(group), prompt[:2048]) == prompt[:2048]
    assert len(set(systems.values())) == 20
    assert np.mean(workload.groups >= 0) == pytest.approx(0.5, abs=0.06)
    trace = workload.trace(16)
    # What repeats is the system prompts, 32 blocks each, and nothing else.
    count = replay(requests_of(trace), None)
    assert count.hits == 32 * (int(np.sum(workload.groups >= 0)) - 20)
    assert trace.hash_ids.counts.tolist() == (-(-trace.input_tokens // 16)).tolist()


def test_system_prompts_with_given_lengths():
    given_lengths = Trace("t", "t", np.arange(3.0), np.array([0, 5, 7]), np.array([0, 2, 3]))
    workload = system_prompts(3, given_lengths, num_prompts=1, prompt_tokens=4, share=1, vocabulary=10)
    assert [len(text) // 4 for text in workload.prompts] == [5, 9, 11]
    assert [len(text) // 4 for text in workload.answers] == [0, 2, 3]
    assert workload.arrival_s.tolist() == [0, 1, 2]
    assert set(system_prompts(3, given_lengths, share=0).groups) == {-1}
    with pytest.raises(LabkitError, match="has 3 requests, but 4 are wanted"):
        system_prompts(4, given_lengths)


def test_more_system_prompts_continue_the_fewer():
    few, many = system_prompts(20, seed=5), system_prompts(50, seed=5)
    assert (few.prompts, few.answers) == (many.prompts[:20], many.answers[:20])
    assert few.groups.tolist() == many.groups[:20].tolist()


@given(st.lists(st.lists(st.integers(0, 1), max_size=7), max_size=8), st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_ids_are_equal_where_prefixes_are(texts, size):
    prompts = [np.array(text, "<i4").tobytes() for text in texts]
    rows = [row.tolist() for row in ids_of_prompts(prompts, size)]
    named = [
        (row[n], tuple(text[: (n + 1) * size])) for row, text in zip(rows, texts, strict=True) for n in range(len(row))
    ]
    assert len(set(named)) == len({name for name, _ in named}) == len({prefix for _, prefix in named})
    assert [len(row) for row in rows] == [-(-len(text) // size) for text in texts]


# ----- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: draw_conversations(0),
        lambda: draw_conversations(1.5),
        lambda: draw_conversations(5, seed=-1),
        lambda: cyclic_scan(0),
        lambda: cyclic_scan(5, 0),
        lambda: one_time_scan(scan=-1),
        lambda: zipf(num_prompts=0),
        lambda: zipf(seed=0.5),
        lambda: multi_turn(turns=0),
        lambda: multi_turn(system_blocks=-1),
        lambda: system_prompts(0),
        lambda: system_prompts(5, share=1.5),
        lambda: system_prompts(5, share="half"),
        lambda: system_prompts(5, vocabulary=0),
        lambda: system_prompts(5, vocabulary=2**40),
        lambda: system_prompts(5).trace(0),
    ],
)
def test_numbers_that_make_no_sense(call):
    with pytest.raises(LabkitError, match=r" is .*, but .*: pass .*\.$"):
        call()


def test_a_token_workload_is_plain_data():
    assert {field.name for field in fields(TokenWorkload)} == {
        "name", "source", "prompts", "answers", "arrival_s", "groups"
    }  # fmt: skip
