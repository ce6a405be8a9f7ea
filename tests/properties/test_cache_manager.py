"""The KV-cache manager beside its model: any sequence of calls, on every kind of cache."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from labkit.bench.shadow import Shadow, random_operations
from labkit.cache.block_pool import CheckedPool
from labkit.cache.eviction import LRU
from labkit.cache.eviction_policies import POLICIES
from labkit.cache.hash_prefix_cache import HashPrefixCache
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.radix_prefix_cache import RadixPrefixCache
from labkit.cache.ref_counts import CheckedRefCounts
from labkit.cache.tokens import TOKEN_BYTES
from labkit.engine import kv_cache_manager
from labkit.errors import LabkitError

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=14)
WHICH = st.integers(0, 30)


class Managed(RuleBasedStateMachine):
    """Sequences come, fork, grow, are preempted and go; `Shadow` checks each answer and every slot."""

    kind: str | None = "hash"

    @initialize(
        num_blocks=st.integers(2, 12),
        block_size=st.integers(1, 4),
        policy=st.sampled_from([None, *POLICIES]),
        longest=st.sampled_from([1, 2, 99]),
    )
    def start(self, num_blocks, block_size, policy, longest):
        manager = kv_cache_manager(
            num_blocks,
            block_size,
            prefix_cache=self.kind,
            policy=POLICIES[policy](num_blocks) if policy else None,
            pool=CheckedPool(num_blocks),
            counts=CheckedRefCounts,
            regret=self.kind is not None,
            yours=False,
        )
        if self.kind == "radix":
            manager.cache._longest = longest  # pages of one edge
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
    @precondition(lambda self: self.shadow.preempted)
    def come_back(self, which):
        self.shadow.allocate(list(self.shadow.preempted)[which % len(self.shadow.preempted)], [])

    @rule(which=WHICH, token=st.integers(0, 2))
    @precondition(lambda self: self.shadow.seqs)
    def append(self, which, token):
        self.shadow.append(self.pick(which), token)

    @rule(which=WHICH, tokens=st.lists(st.integers(0, 2), max_size=9))
    @precondition(lambda self: self.shadow.seqs)
    def extend(self, which, tokens):
        self.shadow.extend(self.pick(which), tokens)

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
    def preempt(self, which):
        self.shadow.preempt(self.pick(which))

    @rule(which=WHICH)
    @precondition(lambda self: self.shadow.preempted)
    def forget(self, which):
        away = list(self.shadow.preempted)
        self.shadow.forget(away[which % len(away)])

    @rule()
    def reset(self):
        self.shadow.reset()

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

    @invariant()
    def locks_count_who_passes(self):
        """A node is locked once for each sequence whose path goes through it; an edge has so many pages at most."""
        if not hasattr(self, "shadow"):
            return
        through = Counter()
        for seq in self.shadow.manager._sequences.values():
            node = seq.place.node
            while node is not None:
                through[id(node)] += 1
                node = node.parent
        cache = self.shadow.manager.cache
        for node in cache._nodes.values():
            assert node.locks == through[id(node)] and len(node.key) <= cache._longest * cache.page_bytes
        assert all(root.children for salt, root in cache._roots.items() if salt), "an empty tree is forgotten"


class ManagedWithoutCache(Managed):
    kind = None


for machine in (Managed, ManagedByRadixTree, ManagedWithoutCache):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestManaged = Managed.TestCase
TestManagedByRadixTree = ManagedByRadixTree.TestCase
TestManagedWithoutCache = ManagedWithoutCache.TestCase


# ----- the model notices: each of these managers has one thing wrong ------------------------------------------------


class _ForgetsSalt(HashPrefixCache):
    def lookup(self, tokens, salt, limit):
        return super().lookup(tokens, b"", limit)


class _ParentFirst(HashPrefixCache):
    """Puts the front of a sequence into the queue first."""

    def free(self, blocks):
        super().free(list(blocks)[::-1])


class _LosesLoose(RadixPrefixCache):
    """Keeps what nobody can find."""

    def free(self, blocks):
        self.refs.drop(list(blocks))


class _HoldsWithoutCounting(HashPrefixCache):
    def num_unheld(self, hit):
        return 0


class _KeepsTwins(RadixPrefixCache):
    """Keeps its own block for a page although nobody holds it."""

    def _take_over(self, place, own, node, top, after):
        return after


class _ForgetsToLock(RadixPrefixCache):
    def fork(self, place):
        return type(place)(place.salt, place.node, place.pages)


class _Writes(KVCacheManager):
    """Writes into shared blocks."""

    def _take(self, seq):
        if not seq.tail:
            return super()._take(seq)
        seq.room = self.block_size - len(seq.tail)
        return True


class _AppendsHalf(KVCacheManager):
    """Serves those that it can before it finds that there is no room."""

    def append_each(self, seq_ids, tokens):
        if len(seq_ids) != len(tokens):
            return super().append_each(seq_ids, tokens)
        return all(self.append(seq_id, token) for seq_id, token in zip(seq_ids, tokens, strict=True))


class _CountsOwnHits(KVCacheManager):
    """Takes what it found for room as well: asks before it holds."""

    def _make_room(self, seqs, each):
        return True


def _manager(blocks, size, cache=HashPrefixCache, manager=KVCacheManager):
    policy = [LRU()] if issubclass(cache, RadixPrefixCache) else []
    return manager(cache(CheckedRefCounts(CheckedPool(blocks)), TOKEN_BYTES * size, *policy), size)


def _caught(**wrong):
    """How many of 40 seeds notice."""
    caught = 0
    for seed in range(40):
        rng = random.Random(seed)
        shadow = Shadow(_manager(rng.randint(4, 16), rng.choice([1, 2, 4]), **wrong))
        try:
            random_operations(shadow, rng, 200)
            shadow.finish()
        except (AssertionError, LabkitError, TypeError, KeyError, ValueError):
            caught += 1
    return caught


def test_the_model_finds_nothing_wrong_with_what_is_right():
    assert _caught() == _caught(cache=RadixPrefixCache) == 0


@pytest.mark.parametrize(
    "cache", [_ForgetsSalt, _ParentFirst, _LosesLoose, _HoldsWithoutCounting, _KeepsTwins, _ForgetsToLock]
)
def test_the_model_notices_a_wrong_cache(cache):
    assert _caught(cache=cache) > 0


@pytest.mark.parametrize("manager", [_Writes, _AppendsHalf, _CountsOwnHits])
def test_the_model_notices_a_wrong_manager(manager):
    assert _caught(manager=manager) > 0


# ----- sequences from bug reports of serving engines -----------------------------------------------------------------


def _shadow(kind, blocks, size=4):
    return Shadow(kv_cache_manager(blocks, size, prefix_cache=kind, yours=False))


def _duplicate_last_page(kind):
    """mini-sglang issue 142."""
    s = _shadow(kind, 8)
    (
        s.allocate("a", range(8)),
        s.allocate("b", range(8)),
        s.fork("b", "b2"),
        s.free("a"),
        s.allocate("c", range(100, 113)),
    )
    s.append("b", 77), s.append("b2", 78)
    for i in range(4):
        s.append("b", i)
    s.free("c"), s.allocate("d", range(200, 216)), s.free("b"), s.free("b2")


def _beams_over_a_part_filled_tail(kind):
    """TensorRT-LLM pull request 14945."""
    s = _shadow(kind, 256, 32)
    s.allocate("p", range(40))
    for i in range(31):
        s.fork("p", i)
    assert s.append_each(["p", *range(31)], [[1000 + i] for i in range(32)]) and s.manager.num_held == 33
    for i in range(30):
        s.free(i)
    for i in range(30):
        s.fork("p", ("n", i))
    assert s.append_each(["p", 30, *[("n", i) for i in range(30)]], [[5]] * 32)
    for seq in s.manager.sequences():
        s.free(seq)
    assert s.manager.num_held == 0


def _beams_without_room(kind):
    """TensorRT-LLM issue 19527."""
    s = _shadow(kind, 5)
    s.allocate("p", range(6))
    for i in range(5):
        s.fork("p", i)
    assert not s.append_each(["p", *range(5)], [[9 + i] for i in range(6)]) and s.manager.num_held == 2
    s.free(0), s.free(1)
    assert s.append_each(["p", 2, 3, 4], [[9 + i] for i in range(4)])


def _a_preempted_one_finds_what_it_generated(kind):
    """LMCache issue 1969."""
    s = _shadow(kind, 12)
    s.allocate("a", range(9))
    for i in range(8):
        s.append("a", 50 + i)
    s.preempt("a")
    assert s.manager.lookup([*range(9), *range(50, 58)]) == 16
    s.allocate("a", [])


def _the_hit_is_the_next_victim(kind):
    """vLLM issue 37076."""
    s = _shadow(kind, 6)
    for name, start in (("x", 0), ("y", 30), ("z", 60)):
        s.allocate(name, range(start, start + 8)), s.free(name)
    assert s.allocate("x2", [*range(8), *range(90, 106)])


def _a_hit_on_a_block_that_nobody_holds(kind):
    """ATOM issue 902."""
    s = _shadow(kind, 8)
    s.allocate("a", range(9)), s.free("a")
    for name in "bcde":
        s.allocate(name, range(9))
        assert s.manager.lookup(range(9)) == 8
        s.free(name)


def _shorter_than_a_page(kind):
    """SGLang issue 10637."""
    s = _shadow(kind, 12, 16)
    s.allocate("a", [1, 2, 3]), s.allocate("b", [1, 2, 3]), s.fork("a", "f")
    for i in range(40):
        s.append("a", i), s.append("b", i), s.append("f", i + 1)
    for name in "abf":
        s.free(name)


def _a_salt_on_a_prompt_below_a_block(kind):
    """vLLM issue 44706."""
    s = _shadow(kind, 8)
    s.allocate("a", [1, 2], b"t1")
    for i in range(6):
        s.append("a", i)
    assert [s.manager.lookup([1, 2, *range(6), 9], salt=salt) for salt in (b"t1", b"", b"t2")] == [8, 0, 0]


def _salt_and_adapter_of_one_name(kind):
    """vLLM issue 44701."""
    m = _shadow(kind, 16).manager
    m.allocate("a", range(9), extra_keys=["X"])
    assert m.lookup(range(9), salt=b"X") == m.lookup(range(9), extra_keys=[b"X"]) == m.lookup(range(9)) == 0


def _retries_do_not_count(kind):
    """vLLM issue 43736."""
    m = _shadow(kind, 4).manager
    m.allocate("b", range(100, 109))
    before = m.counters
    for _ in range(5):
        assert not m.allocate("c", range(9))
    assert m.counters == before


def _hits_are_no_room(kind):
    """vLLM issue 11565."""
    s = _shadow(kind, 6)
    s.allocate("a", range(8)), s.free("a")
    assert not s.allocate("b", [*range(8), *range(50, 70)])
    assert (s.manager.num_free, s.manager.num_cached, s.manager.num_held) == (4, 2, 0)
    assert s.allocate("c", [*range(8), *range(50, 66)])


def _the_map_does_not_grow(kind):
    """nano-vllm issue 163."""
    m = kv_cache_manager(8, 4, prefix_cache=kind, yours=False)
    for name in range(3000):
        m.allocate(name, range(10 * name, 10 * name + 8)), m.free(name)
    books = [vars(m.cache), vars(getattr(m.cache, "blocks", m)), vars(getattr(m.cache, "policy", m))]
    assert all(len(held) <= 200 for book in books for held in book.values() if isinstance(held, dict | list | set))


REPORTS = [
    _duplicate_last_page, _beams_over_a_part_filled_tail, _beams_without_room, _a_preempted_one_finds_what_it_generated,
    _the_hit_is_the_next_victim, _a_hit_on_a_block_that_nobody_holds, _shorter_than_a_page,
    _a_salt_on_a_prompt_below_a_block, _salt_and_adapter_of_one_name, _retries_do_not_count, _hits_are_no_room,
    _the_map_does_not_grow,
]  # fmt: skip


@pytest.mark.parametrize("kind", ["hash", "radix"])
@pytest.mark.parametrize("report", REPORTS)
def test_sequences_from_bug_reports(kind, report):
    report(kind)


@pytest.mark.parametrize("kind", ["hash", "radix", None])
@given(
    num_blocks=st.integers(2, 10),
    block_size=st.integers(1, 4),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    forks=st.lists(WHICH, max_size=3),
    order=st.randoms(use_true_random=False),
    steps=st.integers(1, 4),
)
def test_the_bulk_append_finds_room_exactly_where_one_append_after_the_other_does(
    kind, num_blocks, block_size, lengths, forks, order, steps
):
    one, many = (kv_cache_manager(num_blocks, block_size, prefix_cache=kind, yours=False) for _ in range(2))
    for manager in (one, many):
        for number, length in enumerate(lengths):
            manager.allocate(number, [number] * length)
        for number, which in enumerate(forks):
            there = manager.sequences()
            if there:
                manager.fork(there[which % len(there)], f"fork {number}")
    names = one.sequences()
    order.shuffle(names)
    for _ in range(steps):
        at_once = many.append_each(names, [1] * len(names))
        assert at_once == all(one.append(name, 1) for name in names)
        if not at_once:
            break
        assert [one.num_tokens(name) for name in names] == [many.num_tokens(name) for name in names]
        assert one.num_available == many.num_available
