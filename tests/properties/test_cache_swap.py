"""The swap pool: any sequence of calls, beside a dict."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from labkit.cache.swap import SwapPool
from labkit.errors import CacheError, UnknownSequenceError

NAMES = st.sampled_from("abcde")


class Swapped(RuleBasedStateMachine):
    """Sequences go to the host and come back; the model is who has how many blocks."""

    @initialize(size=st.integers(0, 9))
    def start(self, size):
        self.pool, self.size = SwapPool(size), size
        self.model: dict[str, list[int]] = {}
        self.moved = [0, 0]

    @rule(name=NAMES, n=st.integers(0, 6))
    def store(self, name, n):
        if name in self.model:
            with pytest.raises(CacheError, match="in the swap pool already"):
                self.pool.store(name, n)
            return
        host = self.pool.store(name, n)
        if n > self.size - sum(map(len, self.model.values())):
            assert host is None
            return
        assert len(host) == n
        self.model[name] = list(host)
        host.clear()  # what was handed out is the caller's own
        self.moved[0] += n

    @rule(name=NAMES)
    def take(self, name):
        if name not in self.model:
            with pytest.raises(UnknownSequenceError, match="not in the swap pool"):
                self.pool.take(name)
            return
        assert self.pool.take(name) == self.model[name]
        self.moved[1] += len(self.model.pop(name))

    @rule(name=NAMES)
    def discard(self, name):
        if name not in self.model:
            with pytest.raises(UnknownSequenceError, match="not in the swap pool"):
                self.pool.discard(name)
            return
        self.pool.discard(name)
        del self.model[name]

    @invariant()
    def conserved(self):
        if not hasattr(self, "pool"):
            return
        held = [block for blocks in self.model.values() for block in blocks]
        assert len(set(held)) == len(held) and set(held) <= set(range(self.size))
        assert self.pool.num_free + len(held) == self.size
        assert [self.pool.swapped_out, self.pool.swapped_in] == self.moved
        assert all(self.pool.blocks(name) == blocks for name, blocks in self.model.items())


Swapped.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestSwapped = Swapped.TestCase


@pytest.mark.parametrize("size", [-1, 1.5, "4", None])
def test_sizes_that_cannot_be(size):
    with pytest.raises(CacheError, match=r"num_blocks is .*whole number"):
        SwapPool(size)
