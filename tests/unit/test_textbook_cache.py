"""The textbook manager: by hand, against a model that remembers texts, and against the plain replay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.bench.textbook_cache import TextbookCache
from labkit.errors import BlockError, LabkitError
from labkit.simulate.hit_ratio import replay, requests_of
from labkit.simulate.traces import read_trace

MOONCAKE = Path(__file__).resolve().parents[3] / "shared" / "data" / "mooncake_conversation.jsonl"


def test_a_prefix_is_found_while_held_and_after():
    cache = TextbookCache(8, 4)
    assert cache.allocate("a", range(10)) == 0
    assert cache.allocate("b", [*range(8), 99]) == 8
    assert cache.table("a")[:2] == cache.table("b")[:2]
    assert cache.num_free == 4
    cache.free("a")
    cache.free("b")
    assert cache.num_free == 8
    assert len(cache.lookup(range(10))) == 2
    assert cache.lookup([99, *range(1, 10)]) == []
    assert cache.lookup([*range(4), 99, *range(5, 9)]) == cache.lookup(range(10))[:1]


def test_one_token_is_always_computed():
    cache = TextbookCache(8, 4)
    cache.allocate("a", range(8))
    assert len(cache.lookup(range(8))) == 1
    assert cache.allocate("b", range(8)) == 4
    assert cache.allocate("c", range(12)) == 8
    assert cache.allocate("d", range(1)) == 0


def test_no_room_changes_nothing():
    cache = TextbookCache(4, 4)
    cache.allocate("a", range(8))
    cache.free("a")
    # Both blocks of the prefix are free, and both would be held: three more are not there.
    before = cache.lookup(range(9))
    assert cache.allocate("b", [*range(8), *range(50, 62)]) is None
    assert (cache.num_free, cache.lookup(range(9)), cache.num_evicted) == (4, before, 0)
    assert cache.allocate("b", [*range(8), *range(50, 58)]) == 8
    assert not cache.append("b", [1])
    assert (cache.num_free, len(cache.table("b"))) == (0, 4)


def test_append_fills_blocks_and_makes_them_findable():
    cache = TextbookCache(8, 4)
    cache.allocate("a", range(6))
    assert cache.append("a", [6])
    assert len(cache.lookup(range(20))) == 1
    assert cache.append("a", [7, 8, 9, 10, 11, 12])
    assert cache.lookup(range(20)) == cache.table("a")[:3]
    assert len(cache.table("a")) == 4
    assert cache.append("a", [])


def test_blocks_that_cache_nothing_go_first_then_the_tail_of_the_oldest():
    cache = TextbookCache(6, 4)
    cache.allocate("a", range(13))
    blocks = cache.table("a")
    cache.free("a")
    cache.allocate("b", range(100, 112))  # three: the two that were never used, and the part-filled one of a
    assert (cache.num_evicted, blocks[3] in cache.table("b")) == (0, True)
    cache.allocate("c", range(200, 202))
    assert (cache.num_evicted, cache.table("c")) == (1, [blocks[2]])
    assert cache.lookup(range(13)) == blocks[:2]


def test_refusals():
    for wrong in ((0, 16), (-1, 16), (16, 0), (2.5, 16)):
        with pytest.raises(LabkitError):
            TextbookCache(*wrong)
    cache = TextbookCache(4, 4)
    with pytest.raises(BlockError, match="empty"):
        cache.allocate("a", [])
    cache.allocate("a", [1])
    with pytest.raises(BlockError, match="'a' exists already"):
        cache.allocate("a", [1])
    cache.free("a")
    for call in (lambda: cache.free("a"), lambda: cache.append("a", [1]), lambda: cache.table("a")):
        with pytest.raises(BlockError, match="no sequence 'a'"):
            call()


texts = st.lists(st.integers(0, 1), min_size=1, max_size=14)
steps = st.lists(st.tuples(st.sampled_from(["allocate", "append", "free"]), st.integers(0, 3), texts), max_size=60)


@given(steps, st.integers(1, 9), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_any_sequence_of_calls(steps, num_blocks, size):
    cache = TextbookCache(num_blocks, size)
    held: dict[str, list[int]] = {}
    for call, number, text in steps:
        seq = str(number)
        free = cache.num_free
        if call == "allocate" and seq not in held:
            prefix = cache.lookup(text)
            cached = cache.allocate(seq, text)
            if cached is None:
                assert (cache.num_free, cache.lookup(text)) == (free, prefix)
                continue
            assert cached == len(prefix) * size < len(text)
            assert cache.table(seq)[: len(prefix)] == prefix
            held[seq] = list(text)
        elif call == "append" and seq in held:
            if cache.append(seq, text):
                held[seq] += text
            else:
                assert cache.num_free == free
        elif call == "free" and seq in held:
            cache.free(seq)
            del held[seq]
        tables = {seq: cache.table(seq) for seq in held}
        assert all(len(tables[seq]) == -(-len(text) // size) for seq, text in held.items())
        assert all(len(set(table)) == len(table) for table in tables.values())
        assert cache.num_free == num_blocks - len({block for table in tables.values() for block in table})
        # Whoever holds the same block has the same text up to its end.
        for one, first in held.items():
            for other, second in held.items():
                for place, block in enumerate(tables[one]):
                    if one != other and block in tables[other]:
                        end = (place + 1) * size
                        assert tables[other][place] == block
                        assert first[:end] == second[:end] and len(first) >= end
    for seq in held:
        cache.free(seq)
    assert cache.num_free == num_blocks


def test_served_one_by_one_it_hits_as_the_plain_replay_says():
    rng = np.random.default_rng(5)
    stories = [rng.integers(0, 1000, 80).tolist() for _ in range(12)]
    cache, size, num_blocks = TextbookCache(40, 4), 4, 40
    ids: dict[tuple, int] = {}
    requests, hits = [], 0
    for turn in range(600):
        story = stories[int(rng.integers(12) * rng.random())]
        text = [*story[: 4 * int(rng.integers(1, 20))], 2000 + turn]  # the last block is never full
        requests.append([ids.setdefault(tuple(text[: n + size]), len(ids)) for n in range(0, len(text) - size, size)])
        hits += cache.allocate("it", text) // size
        cache.free("it")
    # One block is always the part-filled one of the prompt, so one fewer is left to cache.
    count = replay(requests, num_blocks - 1)
    assert hits == count.hits > 0
    assert cache.num_evicted == count.evicted > 0


@pytest.mark.parametrize(("num_blocks", "ratio"), [(1000, 0.047), (10_000, 0.224), (30_000, 0.345)])
def test_on_mooncake_it_hits_what_is_known(num_blocks, ratio):
    if not MOONCAKE.exists():
        pytest.skip(f"{MOONCAKE.name} is not in {MOONCAKE.parent}")
    trace = read_trace(MOONCAKE)
    full = requests_of(trace, full_blocks_only=True)
    cache, hits = TextbookCache(num_blocks, 2), 0
    for number, blocks in enumerate(full):
        # Two tokens stand for a full block of 512, one for a part-filled one, which nobody else has.
        tokens = [token for block in blocks for token in (block, block)]
        tokens += [-1 - number] * (len(trace.hash_ids[number]) - len(blocks))
        hits += cache.allocate("it", tokens) // 2
        cache.free("it")
    assert hits / sum(map(len, full)) == pytest.approx(ratio, abs=0.0006)
    assert hits == replay(full, num_blocks - 1).hits
