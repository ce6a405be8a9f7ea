"""What the cache refuses, in one sentence each, and that nothing is lost or half-changed afterwards."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from labkit.cache.belady import Belady, belady_victim
from labkit.cache.block_pool import BlockPool
from labkit.cache.eviction import LRU
from labkit.cache.eviction_policies import GDSF, SLRU
from labkit.cache.ghosts import Ghosts
from labkit.cache.hash_prefix_cache import HashPrefixCache, chain_hashes
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.queue_backed_cache import QueueBackedCache, queue_backed
from labkit.cache.radix_prefix_cache import RadixPrefixCache
from labkit.cache.ref_counts import RefCounts
from labkit.cache.swap import SwapPool
from labkit.cache.tokens import block_id_bytes, salted
from labkit.errors import BlockError, CacheError, PolicyError, TokenError, UnknownSequenceError
from labkit.simulate.shadow import Shadow, random_operations

CACHES = pytest.mark.parametrize("cache", [HashPrefixCache, RadixPrefixCache, QueueBackedCache])
KINDS = pytest.mark.parametrize("kind", ["hash", "radix", "queue", None])
BOTH = pytest.mark.parametrize("kind", ["hash", "radix"])


def books(manager):
    """All that can be seen from outside, with the tokens that the last blocks hold."""
    return (
        manager.num_free, manager.num_held, manager.num_available, manager._preempted.copy(), list(manager.copies),
        {name: (seq.blocks[:], seq.tail[:], seq.room, seq.keyed) for name, seq in manager._sequences.items()},
    )


def in_use(kind, **settings):
    """A manager with a part-filled block, a full one, a shared one, and one that nobody holds."""
    cache = queue_backed() if kind == "queue" else kind
    manager = KVCacheManager(12, 4, prefix_cache=cache, swap_pool=SwapPool(3), **settings)
    manager.allocate("part", list(range(6)))
    manager.allocate("full", list(range(4)))
    manager.allocate("parent", list(range(10, 16)))
    manager.fork("parent", "child")
    manager.allocate("gone", [1] * 9)
    manager.free("gone")
    return manager


@CACHES
@pytest.mark.parametrize("page_bytes", [0, -4, 2.5, "8", None])
def test_a_page_has_a_byte_at_least(cache, page_bytes):
    with pytest.raises(CacheError, match=r"page_bytes is .* whole number, 1 or more"):
        cache(RefCounts(BlockPool(4)), page_bytes)


@BOTH
@pytest.mark.parametrize("policy, why", [
    (LRU, "the class LRU"), (object(), "no stored, hit, released, add, remove, evict"), ("LRU", "is 'LRU', which"),
])
def test_what_is_no_policy(kind, policy, why):
    with pytest.raises(PolicyError, match=why):
        KVCacheManager(8, 4, prefix_cache=kind, policy=policy)


@pytest.mark.parametrize("settings, why", [
    (dict(pool=BlockPool(4)), "4 blocks, 4 of them free, but the manager was asked for 8"),
    (dict(pool=8), "None blocks"), (dict(swap_pool=8), "swap_pool is 8"), (dict(counts=8), "counts is 8"),
    (dict(null_block=2), "null_block is 2"), (dict(null_block=None), "null_block is None"),
])
def test_parts_that_do_not_fit(settings, why):
    with pytest.raises(CacheError, match=why):
        KVCacheManager(8, 4, **settings)


def test_a_pool_that_is_in_use_already():
    pool = BlockPool(8)
    pool.allocate(3)
    with pytest.raises(CacheError, match="5 of them free"):
        KVCacheManager(8, 4, pool=pool)


@pytest.mark.parametrize("make, why", [
    (lambda: SLRU(4, "half"), "protected share is 'half'"), (lambda: SLRU(4, None), "protected share"),
    (lambda: SLRU(0), "num_blocks"), (lambda: GDSF(3), "cost is 3"),
])
def test_settings_of_policies(make, why):
    with pytest.raises(PolicyError, match=why):
        make()


@KINDS
@pytest.mark.parametrize("name", [[1, 2], {}, {1}, np.array([1, 2]), bytearray(b"x")], ids=repr)
def test_names_that_have_no_hash(kind, name):
    manager = in_use(kind)
    before = books(manager)
    for call in (lambda: manager.append(name, 1), lambda: manager.append_each(["part", name], [1, 2]),
                 lambda: manager.extend(name, [1]), lambda: manager.grow(name), lambda: manager.fork(name, "x"),
                 lambda: manager.free(name), lambda: manager.release(name), lambda: manager.swap_out(name),
                 lambda: manager.swap_in(name), lambda: manager.blocks(name), lambda: manager.num_tokens(name)):
        with pytest.raises(UnknownSequenceError):
            call()
    for call in (lambda: manager.allocate(name, [1]), lambda: manager.fork("part", name)):
        with pytest.raises(CacheError, match="has no hash"):
            call()
    assert books(manager) == before


@KINDS
def test_arguments_of_another_kind(kind):
    manager = in_use(kind)
    before = books(manager)
    for call, error, why in (
        (lambda: manager.append_each(None, [1]), CacheError, "several names"),
        (lambda: manager.append_each(["part", "full"], b"odd"), TokenError, "3 bytes are no whole number of tokens"),
        (lambda: manager.append_each(["part", "full"], None), TokenError, "pass a list"),
        (lambda: manager.allocate("new", [1, 2], salt=None), CacheError, "salt is None"),
        (lambda: manager.allocate("new", [1, 2], salt=""), CacheError, "salt is ''"),
        (lambda: manager.lookup([1, 2], salt=None), CacheError, "salt is None"),
        (lambda: manager.lookup([1, 2], salt=""), CacheError, "salt is ''"),
        (lambda: manager.lookup([1, 2], extra_keys=0), CacheError, "extra keys are 0"),
        (lambda: manager.allocate("new", [1, 2], extra_keys=7), CacheError, "extra keys are 7"),
        (lambda: manager.allocate("new", [1, 2], extra_keys=None), CacheError, "extra keys are None"),
        (lambda: manager.allocate("new", [1, 2], num_tokens=3), CacheError, "num_tokens is 3, but the prompt has 2"),
        (lambda: manager.lookup([1, 2], num_tokens=-1), CacheError, "num_tokens is -1"),
        (lambda: block_id_bytes(b"x"), CacheError, "no block ids"),
        (lambda: manager.slots("part", 0, 1.0), BlockError, "stop is 1.0"),
    ):
        with pytest.raises(error, match=why):
            call()
    assert books(manager) == before


@KINDS
@pytest.mark.parametrize("n", [49, 10**12, 10**30])
def test_growing_by_more_than_there_is_finds_no_room(kind, n):
    manager = in_use(kind)
    before = books(manager)
    assert manager.grow("part", n) is False
    assert books(manager) == before


def test_growing_up_to_the_last_slot():
    manager = KVCacheManager(3, 4)
    manager.allocate("a", [1, 2, 3])
    assert manager.grow("a", 10) is False and manager.grow("a", 9) is True and manager.num_free == 0


def test_salts_and_keys_of_any_content_stay_apart():
    keys = [["\ud800"], ["é"], [10**5000], [-(10**5000)], ["10"], [10], [b"10"], [""], [b""], [1, 0], ["1", "0"]]
    seen = {salted(salt, extra) for salt in (b"", b"\x00", b"s1:", bytes(range(256))) for extra in keys}
    assert len(seen) == 4 * len(keys)
    # A view of wider items has fewer items than bytes: its length must be counted in bytes.
    assert salted(memoryview(b"Xb0:").cast("I")) == salted(b"Xb0:") != salted(b"X", [b""])


@CACHES
@pytest.mark.parametrize("n", [-1, 0.5, "1", None])
def test_a_number_to_evict_that_cannot_be(cache, n):
    made = cache(RefCounts(BlockPool(4)), 8)
    chain = made.chain(bytes(16))
    blocks = made.refs.allocate(2)
    made.register(chain, blocks, 2)
    made.release(chain, blocks)
    with pytest.raises(CacheError, match=r"n is .* whole number"):
        made.evict(n)
    assert made.num_evictable == 2 and made.evictions == 0
    made.audit()


class Boom(Exception):
    pass


def failing(method, at, answer):
    """LRU, except that one method fails when it is called for the `at`-th time."""
    calls = Counter()

    def broken(self, *args):
        calls[method] += 1
        if calls[method] != at:
            return getattr(LRU, method)(self, *args)
        if answer is Boom:
            raise Boom
        return answer

    # Without `exchange`, the cache asks with `add` and `evict` alone.
    return type("Failing", (LRU,), {"exchange": None, method: broken})()


TELLINGS = ("stored", "hit", "released", "add", "remove")


class Grumbling(LRU):
    """Takes what it is told, and then raises all the same, now and then."""

    def __init__(self, method, rng):
        super().__init__()
        self.raised = 0

        def told(*args):
            getattr(LRU, method)(self, *args)
            if rng.random() < 0.3:
                self.raised += 1
                raise Boom("not again")

        setattr(self, method, told)


@BOTH
@pytest.mark.parametrize("method", TELLINGS)
def test_a_policy_that_raises_when_it_is_told_something(kind, method):
    """`free` and `release` are carried out all the same; any other call that raises has changed nothing."""
    raised = 0
    said = Counter()
    for seed in range(12):
        rng = random.Random(seed)
        policy = Grumbling(method, rng)
        shadow = Shadow(KVCacheManager(10, 3, prefix_cache=kind, policy=policy, swap_pool=SwapPool(6)))
        for _ in range(300):
            before, running = shadow._state(), len(shadow.seqs)
            try:
                random_operations(shadow, rng, 1, tokens=1)
            except PolicyError as error:
                assert isinstance(error.__cause__, Boom)
                gone = running - len(shadow.seqs)  # the model lets go of a sequence before the manager does
                said["carried out" if gone else "refused"] += 1
                assert gone or shadow._state() == before
                shadow._check()
        policy.__dict__.pop(method)
        shadow.manager._policy.failure = None
        shadow.finish()
        raised += policy.raised
    assert said["refused"] > 3 and raised >= said.total()
    assert said["carried out"] > 10 or method in ("stored", "hit", "remove")  # nothing is told of these by a release


@BOTH
@pytest.mark.parametrize("method", TELLINGS)
def test_what_a_policy_raises_when_it_is_told_something_is_said(kind, method):
    policy = failing(method, 1, Boom)
    manager = KVCacheManager(8, 2, prefix_cache=kind, policy=policy)
    with pytest.raises(PolicyError, match=rf"The policy Failing raised Boom: .* in {method}\(.*: mend it") as caught:
        for name in "abc":
            manager.allocate(name, range(7))
            manager.free(name)
    assert isinstance(caught.value.__cause__, Boom)
    manager.cache.audit()
    for name in manager.sequences():
        manager.free(name)
    assert manager.num_held == 0 and manager.num_cached == 3


def test_a_policy_error_of_a_policy_stays_what_it_is():
    policy = LRU()
    policy.released = lambda blocks: (_ for _ in ()).throw(PolicyError("I said no."))
    manager = KVCacheManager(8, 2, policy=policy)
    manager.allocate("a", range(7))
    with pytest.raises(PolicyError, match=r"^I said no\.$"):
        manager.free("a")
    assert "a" not in manager and manager.num_cached == 3


@pytest.mark.parametrize("kind, method, answer", [
    *((kind, "evict", answer) for kind in ("hash", "radix") for answer in (Boom, None, -1, 10**9, "a", [], True)),
    ("hash", "exchange", Boom),  # the radix cache does not ask for it
])
@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_policy_that_fails_in_the_middle_of_an_eviction(kind, method, answer, at):
    failures = 0
    for seed in range(20):
        rng = random.Random(seed)
        policy = failing(method, at, answer)
        manager = KVCacheManager(10, 3, prefix_cache=kind, policy=policy, swap_pool=SwapPool(6))
        for number in range(200):
            before = {name: (seq.blocks[:], seq.tail[:]) for name, seq in manager._sequences.items()}
            swapped = list(manager._swapped)
            names, roll = list(before), rng.random()
            try:
                if roll < 0.4 or not names:
                    manager.allocate(number, [rng.randrange(2) for _ in range(rng.randint(1, 11))])
                elif roll < 0.55:
                    manager.append_each(names, [1] * len(names))
                elif roll < 0.7:
                    manager.extend(rng.choice(names), [1, 0, 1, 0])
                elif roll < 0.75 and swapped:
                    manager.swap_in(swapped[0])
                elif roll < 0.8:
                    manager.swap_out(names[0])
                else:
                    manager.free(rng.choice(names))
            except (Boom, PolicyError):
                failures += 1
                after = {name: (seq.blocks[:], seq.tail[:]) for name, seq in manager._sequences.items()}
                assert after == before and list(manager._swapped) == swapped and not manager.copies
                holders = Counter(block for blocks, _ in after.values() for block in blocks)
                assert [manager.refs.count(block) for block in range(10)] == [holders[block] for block in range(10)]
                assert manager.num_held == len(holders)
                manager.cache.audit()
                break
    assert failures > 3


@pytest.mark.parametrize("pool", [5, None, [1, 2], object()])
def test_counts_need_a_pool(pool):
    with pytest.raises(BlockError, match=r"The pool is .*: pass a BlockPool"):
        RefCounts(pool)


@pytest.mark.parametrize("method", ["share", "drop", "recycle", "free"])
@pytest.mark.parametrize("blocks", [3, None])
def test_counts_need_several_blocks(method, blocks):
    refs = RefCounts(BlockPool(4))
    refs.allocate(4)
    with pytest.raises(BlockError, match="must be several blocks"):
        getattr(refs, method)(blocks)
    assert [refs.count(block) for block in range(4)] == [1, 1, 1, 1]


@pytest.mark.parametrize("page_bytes", [0, -1, 1.5, None])
def test_pages_of_a_chain_have_bytes(page_bytes):
    with pytest.raises(CacheError, match=r"page_bytes is .* whole number, 1 or more"):
        chain_hashes(bytes(8), page_bytes)


@pytest.mark.parametrize("kind, why", [
    (5, 'must be "hash", "radix", None or a function'), ("tree", 'must be "hash", "radix", None or a function'),
    (lambda: None, r"called with \(refs, page_bytes, policy\)"), (lambda *parts: None, "which has no chain, lookup"),
    (lambda *parts: RefCounts(parts[0].pool), "which has no chain, lookup"),
])
def test_what_makes_no_prefix_cache(kind, why):
    with pytest.raises(CacheError, match=why):
        KVCacheManager(4, prefix_cache=kind)


def test_an_error_inside_of_a_prefix_cache_is_its_own():
    with pytest.raises(TypeError, match="unsupported operand"):
        KVCacheManager(4, prefix_cache=lambda refs, page_bytes, policy: page_bytes + "1")


@pytest.mark.parametrize("name", [[], {}])
def test_names_without_a_hash_for_the_host(name):
    pool = SwapPool(4)
    with pytest.raises(CacheError, match="which has no hash"):
        pool.store(name, 1)
    for call in (pool.take, pool.discard, pool.blocks):
        with pytest.raises(UnknownSequenceError):
            call(name)
    assert pool.num_free == 4


@pytest.mark.parametrize("future", [5, None, [5], [[1, 2], None], [[[1]]], {1: [2]}, (request for request in [[1]])],
                         ids=lambda future: f"{future!r:.20}")
def test_a_future_that_belady_cannot_know(future):
    with pytest.raises(PolicyError, match=r"future is .* list of requests"):
        Belady(future)


@pytest.mark.parametrize("cached, future, why", [
    ({}, [], "cached is {}, but"), (None, [1], "cached is None, but"), ([1, 2], [1], r"cached is \[1, 2\], but"),
    ({1: 0}, None, "future is None, but"), ({1: 0}, 7, "future is 7, but"),
    ({1: 0}, [[1]], r"future is \[\[1\]\], but"),
])
def test_no_victim_without_a_cache_and_a_future(cached, future, why):
    with pytest.raises(PolicyError, match=why):
        belady_victim(cached, future)


@pytest.mark.parametrize("size", [-1, 0, 2.0, "x", None])
def test_a_number_of_ghosts_that_cannot_be(size):
    with pytest.raises(CacheError, match=r"size is .* whole number, 1 or more"):
        Ghosts(size)


@KINDS
@pytest.mark.parametrize("method", ["append_each", "extend", "allocate"])
def test_a_bad_token_in_an_iterator_is_found_where_it_stands(kind, method):
    manager = in_use(kind)
    before = books(manager)
    call = {"append_each": lambda: manager.append_each(["part", "full"], iter([2.5, 7, 8])),
            "extend": lambda: manager.extend("part", iter([2.5, 7])),
            "allocate": lambda: manager.allocate("new", iter([2.5, 7]))}[method]
    with pytest.raises(TokenError, match=r"position 0 is 2\.5"):
        call()
    assert books(manager) == before


def test_tokens_in_any_wrapping_are_as_many():
    for tokens in (b"\1\0\0\0", bytearray(b"\1\0\0\0"), memoryview(b"\1\0\0\0"), [1], (1,), iter([1])):
        manager = KVCacheManager(4, 4)
        manager.allocate("a", [5])
        assert manager.append_each(["a"], tokens) and manager.num_tokens("a") == 2
        assert manager._sequences["a"].tail.tolist() == [5, 1]
