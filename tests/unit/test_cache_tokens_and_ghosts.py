"""Tokens as bytes, salts that never meet, and the memory of what was evicted."""

from __future__ import annotations

import hashlib
import random
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.cache.ghosts import GENERATIONS, Ghosts
from labkit.cache.tokens import block_id_bytes, salted, token_bytes
from labkit.errors import CacheError, TokenError

PARTS = st.one_of(st.binary(max_size=4), st.text(max_size=4), st.integers(-3, 300))
CIRCUMSTANCES = st.tuples(st.binary(max_size=6), st.lists(PARTS, max_size=3))


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_four_little_endian_bytes_a_token(tokens):
    expected = struct.pack(f"<{len(tokens)}I", *tokens)
    assert token_bytes(tokens) == expected == token_bytes(np.array(tokens, np.uint32)) == token_bytes(expected)


def test_bytes_that_are_no_whole_tokens():
    with pytest.raises(TokenError, match="7 bytes are no whole number of tokens"):
        token_bytes(bytes(7))


def test_the_position_of_a_bad_token_is_named():
    with pytest.raises(TokenError, match="Token at position 2 is -5"):
        token_bytes([1, 2, -5])
    with pytest.raises(TokenError, match="must be whole numbers"):
        token_bytes(7)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_eight_bytes_a_block_id(ids):
    assert block_id_bytes(ids) == struct.pack(f"<{len(ids)}q", *ids)


@pytest.mark.parametrize("ids", [[2**63], [0.5], ["a"], 7])
def test_ids_that_cannot_be(ids):
    with pytest.raises(CacheError, match="block ids"):
        block_id_bytes(ids)


@given(CIRCUMSTANCES, CIRCUMSTANCES)
def test_two_circumstances_never_read_alike(one, other):
    kinds = [(one[0], [(type(key), key) for key in one[1]]), (other[0], [(type(key), key) for key in other[1]])]
    assert (salted(*one) == salted(*other)) == (kinds[0] == kinds[1])


def test_no_salt_is_no_bytes():
    assert salted() == b"" and salted(b"") == b"" and salted(b"\x00") != b""


# ----- ghosts -------------------------------------------------------------------------------------------------------

# What stands for a content, which is the tokens up to its end: well spread numbers, digests, small numbers, and numbers
# that differ in their high bits alone.
KEYS = {
    "hash": hash,
    "digest": lambda tokens: hashlib.sha256(bytes(tokens)).digest(),
    "small": lambda tokens: int("1" + "".join(map(str, tokens)), 3),
    "crowded": lambda tokens: int("1" + "".join(map(str, tokens)), 3) << 40,
}


class Cached:
    """Contents of prompts, evicted and computed again, with a plain memory of everything beside `Ghosts`."""

    def __init__(self, size, key):
        self.ghosts = Ghosts(size)
        self.size, self.key = size, key
        self.cached: set[tuple[int, ...]] = set()
        self.gone: dict[tuple[int, ...], int] = {}  # content -> number of its eviction, until it is there again
        self.evictions = self.largest = self.regrets = self.counted = 0

    def prompt(self, tokens):
        contents = [tuple(tokens[: i + 1]) for i in range(len(tokens))]
        new = [content for content in contents if content not in self.cached]
        possibly = [c for c in new if c in self.gone]
        surely = [c for c in possibly if self.gone[c] >= self.evictions - self.size]
        counted = self.ghosts.take([self.key(content) for content in new])
        assert len(surely) <= counted <= len(possibly)
        self.regrets += len(possibly)
        self.counted += counted
        if self.evictions <= self.size:
            assert self.counted == self.regrets
        self.cached.update(new)
        for content in possibly:
            del self.gone[content]
        # Computed once more beside the first, as the last block of a prompt is: nothing has come back.
        assert all(self.ghosts.take([self.key(content)]) == 0 for content in contents)

    def evict(self, picks):
        lost = []
        for pick in picks[: len(self.cached)]:
            leaves = sorted(c for c in self.cached if not any(d[:-1] == c for d in self.cached))
            content = leaves[pick % len(leaves)]
            self.cached.remove(content)
            self.gone[content] = self.evictions
            self.evictions += 1
            lost.append(content)
        self.largest = max(self.largest, len(lost))
        self.ghosts.add([self.key(content) for content in lost])
        kept = len(self.ghosts._young) + sum(len(run.hashes) for run in self.ghosts._runs)
        assert kept <= (GENERATIONS + 1) * (self.ghosts.size + self.largest)


PROMPTS = st.lists(st.integers(0, 2), min_size=1, max_size=6)
PICKS = st.lists(st.integers(0, 50), max_size=12)


@pytest.mark.parametrize("kind", KEYS)
@given(steps=st.lists(st.one_of(PROMPTS.map(lambda x: ("prompt", x)), PICKS.map(lambda x: ("evict", x))), max_size=40),
       size=st.integers(1, 40))
def test_ghosts_remember_the_last_evictions_and_make_none_up(kind, steps, size):
    cached = Cached(size, KEYS[kind])
    for step, argument in steps:
        getattr(cached, step)(argument)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("size", [1, 5, 40, 300])
def test_ghosts_over_many_evictions(kind, size):
    rng = random.Random(size)
    cached = Cached(size, KEYS[kind])
    while cached.evictions < 2_000:  # so the marks of runs, of which there are 255, begin again
        cached.prompt([rng.randrange(3) for _ in range(rng.randint(1, 6))])
        if rng.random() < 0.5:
            cached.evict([rng.randrange(50) for _ in range(rng.randint(0, 8))])
    assert cached.counted > 100


def test_what_is_evicted_once_more_is_a_ghost_once_more():
    ghosts = Ghosts(2_000)
    for round in range(1, 5):
        ghosts.add(list(range(700)))
        assert ghosts.take(list(range(350, 700))) == 350
        assert ghosts.take(list(range(700))) == 350  # it is let go of at the first that is no ghost
        assert ghosts.take(list(range(700))) == 0, round


def test_a_ghost_costs_a_few_bytes():
    size, batch = 20_000, 100
    tracemalloc.start()
    ghosts = Ghosts(size)
    for start in range(0, 5 * size, batch):
        ghosts.add([hash((1.5, key)) for key in range(start, start + batch)])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 30 * size
