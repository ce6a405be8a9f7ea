"""The KV-cache manager beside its model: any sequence of calls, on every kind of cache."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from labkit.cache.hash_prefix_cache import HashPrefixCache
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.swap import SwapPool
from labkit.errors import LabkitError
from labkit.simulate.shadow import Shadow, random_operations
from labkit.simulate.stress import weak_hash

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=14)
WHICH = st.integers(0, 30)


class Managed(RuleBasedStateMachine):
    """Sequences come, fork, grow, swap and go; `Shadow` checks each answer and every slot."""

    kind: str | None = "hash"

    @initialize(num_blocks=st.integers(2, 12), block_size=st.integers(1, 4), null=st.booleans(), host=st.integers(0, 8))
    def start(self, num_blocks, block_size, null, host):
        manager = KVCacheManager(num_blocks, block_size, prefix_cache=self.kind, null_block=null,
                                 swap_pool=SwapPool(host))
        self.shadow = Shadow(manager)
        self.born = 0

    def pick(self, which):
        return list(self.shadow.seqs)[which % len(self.shadow.seqs)]

    def new_name(self):
        self.born += 1
        return f"s{self.born}"

    @rule(tokens=TOKENS, salt=st.sampled_from([b"", b"", b"\x00", b"a tenant"]))
    def allocate(self, tokens, salt):
        self.shadow.allocate(self.new_name(), tokens, salt)

    @rule(which=WHICH)
    @precondition(lambda self: self.shadow.released)
    def come_back(self, which):
        self.shadow.allocate(list(self.shadow.released)[which % len(self.shadow.released)], [])

    @rule(which=WHICH, token=st.integers(0, 2))
    @precondition(lambda self: self.shadow.seqs)
    def append(self, which, token):
        self.shadow.append(self.pick(which), token)

    @rule(which=WHICH, tokens=st.lists(st.integers(0, 2), max_size=9))
    @precondition(lambda self: self.shadow.seqs)
    def extend(self, which, tokens):
        self.shadow.extend(self.pick(which), tokens)

    @rule(which=WHICH, n=st.integers(0, 5))
    @precondition(lambda self: self.shadow.seqs)
    def grow(self, which, n):
        self.shadow.grow(self.pick(which), n)

    @rule(data=st.data(), each=st.sampled_from([1, 1, 2, 3]))
    @precondition(lambda self: self.shadow.seqs)
    def append_each(self, data, each):
        names = data.draw(st.lists(st.sampled_from(list(self.shadow.seqs)), min_size=1, unique=True))
        tokens = st.lists(st.integers(0, 2), min_size=each, max_size=each)
        self.shadow.append_each(names, [data.draw(tokens) for _ in names])

    @rule(which=WHICH)
    @precondition(lambda self: self.shadow.seqs)
    def fork(self, which):
        self.shadow.fork(self.pick(which), self.new_name())

    @rule(which=WHICH)
    @precondition(lambda self: self.shadow.seqs)
    def free(self, which):
        self.shadow.free(self.pick(which))

    @rule(which=WHICH)
    @precondition(lambda self: self.shadow.seqs)
    def release(self, which):
        self.shadow.release(self.pick(which))

    @rule(which=WHICH)
    @precondition(lambda self: self.shadow.seqs)
    def swap_out(self, which):
        self.shadow.swap_out(self.pick(which))

    @rule(which=WHICH)
    @precondition(lambda self: self.shadow.swapped)
    def swap_in(self, which):
        self.shadow.swap_in(list(self.shadow.swapped)[which % len(self.shadow.swapped)])

    @rule(which=WHICH)
    @precondition(lambda self: self.shadow.swapped or self.shadow.released)
    def forget(self, which):
        away = [*self.shadow.swapped, *self.shadow.released]
        self.shadow.forget(away[which % len(away)])

    @rule(which=WHICH, token=st.sampled_from([-1, 2**32, 0.5, None, "7"]))
    @precondition(lambda self: self.shadow.seqs)
    def bad_calls(self, which, token):
        seq_id = self.pick(which)
        self.shadow.refuse("allocate", seq_id, [1])
        self.shadow.refuse("allocate", "new", [1, token])
        self.shadow.refuse("allocate", "new", [])
        self.shadow.refuse("append", seq_id, token)
        self.shadow.refuse("extend", seq_id, [0, token])
        self.shadow.refuse("append_each", [seq_id], [token])
        self.shadow.refuse("append_each", [seq_id, seq_id], [0, 1])
        self.shadow.refuse("append_each", [seq_id, "nobody"], [0, 1])
        self.shadow.refuse("fork", seq_id, seq_id)
        self.shadow.refuse("free", "nobody")
        self.shadow.refuse("swap_in", seq_id)
        self.shadow.refuse("forget", seq_id)

    @invariant()
    def books_agree(self):
        if hasattr(self, "shadow"):
            self.shadow.audit()

    def teardown(self):
        if hasattr(self, "shadow"):
            self.shadow.finish()


class ManagedByRadixTree(Managed):
    kind = "radix"


class ManagedWithoutCache(Managed):
    kind = None


for machine in (Managed, ManagedByRadixTree, ManagedWithoutCache):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestManaged = Managed.TestCase
TestManagedByRadixTree = ManagedByRadixTree.TestCase
TestManagedWithoutCache = ManagedWithoutCache.TestCase


@pytest.mark.parametrize("seed", range(40))
def test_a_weak_hash_finds_less_and_never_the_wrong_block(seed):
    """Five hash values for all contents: nearly every chain meets a collision, and no K and V gets mixed up."""
    rng = random.Random(seed)

    def cache(refs, page_bytes, policy):
        return HashPrefixCache(refs, page_bytes, policy, weak_hash)

    shadow = Shadow(KVCacheManager(rng.randint(4, 24), rng.choice([1, 2, 4]), prefix_cache=cache), exact=False)
    assert random_operations(shadow, rng, 150) > 30
    shadow.finish()


# ----- the model notices: each of these managers has one thing wrong ------------------------------------------------


class _NoComparison(HashPrefixCache):
    """Believes the hash."""

    def lookup(self, chain, limit):
        from labkit.cache.hash_prefix_cache import longest_hit

        return longest_hit(chain.hashes, self._block_of, limit)


class _ForgetsSalt(HashPrefixCache):
    def chain(self, tokens, salt=b""):
        return super().chain(tokens)


class _ParentFirst(HashPrefixCache):
    """Offers a block to the policy although something hangs from it."""

    def release(self, chain, blocks):
        super().release(chain, blocks)
        for block in range(self.refs.num_blocks):
            if self._unheld[block] and not self._offered[block]:
                self._offered[block] = 1
                self.policy.add(block)


class _WritesIntoSharedBlocks(KVCacheManager):
    def _own_last(self, seq, fresh):
        seq.room = self.block_size - len(seq.tail)

    def _copies_for(self, sharers):
        return 0


class _AppendsHalf(KVCacheManager):
    """Serves those that it can before it finds that there is no room."""

    def append_each(self, seq_ids, tokens):
        if len(seq_ids) != len(tokens):
            return super().append_each(seq_ids, tokens)
        return all(self.append(seq_id, token) for seq_id, token in zip(seq_ids, tokens, strict=True))


class _LosesLoose(HashPrefixCache):
    """Keeps what nobody can find."""

    def release(self, chain, blocks):
        super().release(chain, blocks[: chain.registered])


class _HoldsWithoutCounting(HashPrefixCache):
    def num_unheld(self, hit):
        return 0


def _caught(make):
    """How many of 60 seeds notice."""
    caught = 0
    for seed in range(60):
        rng = random.Random(seed)
        shadow = Shadow(make(rng.randint(4, 16), rng.choice([1, 2, 4])))
        try:
            random_operations(shadow, rng, 200)
            shadow.finish()
        except (AssertionError, LabkitError, TypeError, KeyError, ValueError):
            caught += 1
    return caught


@pytest.mark.parametrize("cache", [_ForgetsSalt, _ParentFirst, _LosesLoose, _HoldsWithoutCounting])
def test_the_model_notices_a_wrong_cache(cache):
    assert _caught(lambda blocks, size: KVCacheManager(blocks, size, prefix_cache=cache)) > 0


def test_the_model_notices_a_hash_that_is_believed():
    def cache(refs, page_bytes, policy):
        return _NoComparison(refs, page_bytes, policy, weak_hash)

    assert _caught(lambda blocks, size: KVCacheManager(blocks, size, prefix_cache=cache)) > 0


@pytest.mark.parametrize("manager", [_WritesIntoSharedBlocks, _AppendsHalf])
def test_the_model_notices_a_wrong_manager(manager):
    assert _caught(manager) > 0
