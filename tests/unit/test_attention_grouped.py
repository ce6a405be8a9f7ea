"""The attention entry, against a loop that follows the formula one query and one head at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.attention import ContiguousKVCache, KVCache, PagedKVCache, attend, grouped_attention
from labkit.attention.plan import hidden_positions
from labkit.cache.block_pool import CheckedPool


def by_the_formula(q, k, v, lengths):
    """softmax(q k / sqrt(d)) v with plain loops; q [seqs, new, q_heads, d], k and v [seqs, context, kv_heads, d]."""
    out = torch.zeros_like(q)
    seqs, new, q_heads, d = q.shape
    group = q_heads // k.shape[2]
    for s in range(seqs):
        for t in range(new):
            sees = lengths[s] - new + t + 1
            for h in range(q_heads):
                scores = [float(q[s, t, h] @ k[s, j, h // group]) / math.sqrt(d) for j in range(sees)]
                weights = [math.exp(x - max(scores)) for x in scores]
                for j in range(sees):
                    out[s, t, h] += weights[j] / sum(weights) * v[s, j, h // group]
    return out


@settings(max_examples=50, deadline=None)
@given(
    seqs=st.integers(1, 3),
    new=st.integers(1, 4),
    past=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    padding=st.integers(0, 3),
    kv_heads=st.integers(1, 3),
    group=st.integers(1, 3),
)
def test_it_is_the_formula(seqs, new, past, padding, kv_heads, group):
    random = torch.Generator().manual_seed(1)
    lengths = [past[i] + new for i in range(seqs)]
    context = max(lengths) + padding
    q = torch.randn(seqs, new, kv_heads * group, 4, generator=random, dtype=torch.float64)
    k, v = torch.randn(2, seqs, context, kv_heads, 4, generator=random, dtype=torch.float64)
    hidden = hidden_positions(lengths, new, context, q.device)
    torch.testing.assert_close(grouped_attention(q, k, v, hidden), by_the_formula(q, k, v, lengths))


def test_a_single_whole_context_needs_no_mask():
    assert hidden_positions([5, 5], 1, 5, torch.device("cpu")) is None
    assert hidden_positions([5, 4], 1, 5, torch.device("cpu")).tolist() == [[[False] * 5], [[False] * 4 + [True]]]


def make(kind: str, layers: int = 2):
    common = {"layers": layers, "kv_heads": 2, "head_dim": 4, "dtype": torch.float64}
    if kind == "contiguous":
        return ContiguousKVCache(max_seqs=3, max_tokens=12, **common)
    return PagedKVCache(num_blocks=9, block_size=4, pool=CheckedPool(9), **common)


@pytest.mark.parametrize("kind", ["paged", "contiguous"])
def test_what_is_written_is_what_is_read(kind):
    cache = make(kind)
    assert isinstance(cache, KVCache)
    random = torch.Generator().manual_seed(2)
    truth: dict[str, list[torch.Tensor]] = {"A": [], "B": []}
    for names, counts in [(["A"], [5]), (["A", "B"], [1, 6]), (["B", "A"], [1, 1]), (["A"], [3])]:
        for name, n in zip(names, counts, strict=True):
            assert cache.extend(name, [0] * n)
        plan = cache.plan(names, counts)
        k = torch.randn(sum(counts), 2, 4, generator=random, dtype=torch.float64)
        for part, name in zip(k.split(counts), names, strict=True):
            truth[name].append(part)
        for layer in (0, 1):
            cache.write(layer, plan, k + layer, -k - layer)
        assert plan.positions.tolist() == [
            position
            for name, n in zip(names, counts, strict=True)
            for position in range(cache.length(name) - n, cache.length(name))
        ]
    for layer in (0, 1):
        for name in "AB":
            whole = torch.cat(truth[name]) + layer
            (rectangle,) = cache.plan([name], [1]).rectangles
            keys, values = cache.read(layer, rectangle)
            assert keys.shape == (1, rectangle.context, 2, 4)
            assert torch.equal(keys[0, : len(whole)], whole)
            assert torch.equal(values[0, : len(whole)], -whole)


@pytest.mark.parametrize("kind", ["paged", "contiguous"])
def test_attending_in_pieces_is_attending_at_once(kind):
    random = torch.Generator().manual_seed(3)
    q = torch.randn(11, 4, 4, generator=random, dtype=torch.float64)
    k, v = torch.randn(2, 11, 2, 4, generator=random, dtype=torch.float64)
    at_once = attend(q, k, v)
    cache = make(kind)
    pieces = []
    start = 0
    for n in (3, 1, 4, 1, 2):
        assert cache.extend("A", [0] * n)
        rows = slice(start, start + n)
        pieces.append(attend(q[rows], k[rows], v[rows], cache, 1, cache.plan(["A"], [n])))
        start += n
    torch.testing.assert_close(torch.cat(pieces), at_once)


def test_a_refused_extend_changes_nothing():
    paged, contiguous = make("paged"), make("contiguous")
    assert paged.extend("A", [0] * 30)
    assert not paged.extend("A", [0] * 7) and not paged.extend("B", [0] * 5)
    assert (paged.length("A"), paged.length("B"), paged.manager.num_free) == (30, 0, 1)
    assert contiguous.extend("A", [0] * 12)
    assert not contiguous.extend("A", [0] * 1) and not contiguous.extend("B", [0] * 13)
    assert (contiguous.length("A"), contiguous.length("B")) == (12, 0)
    for cache in (paged, contiguous):
        cache.drop("nobody")
        cache.drop("A")
        assert cache.length("A") == 0
        assert cache.extend("A", [0] * 12)


def test_sizes_in_bytes():
    # 2 (K and V) x 2 layers x 36 slots x 2 heads x 4 numbers x 8 bytes
    assert make("paged").num_bytes == make("contiguous").num_bytes == 2 * 2 * 36 * 2 * 4 * 8
