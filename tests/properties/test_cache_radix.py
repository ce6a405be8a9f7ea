"""Any sequence of requests over the radix cache: what the tree says is what a dict of prefixes says.

The model is a dict from (salt, tokens up to the end of a page) to the block of that page. After each step the whole
tree is read and compared with it; what has left the tree must have been evicted, held by nobody, and the end of every
way that led through it. Beside it stands KV memory, one prefix a block: every sequence must find its own there.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from labkit.cache.block_pool import CheckedPool
from labkit.cache.eviction import LRU
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.cache.radix_prefix_cache import RadixPrefixCache
from labkit.cache.swap import SwapPool
from labkit.cache.tokens import TOKEN_BYTES, salted, token_bytes
from labkit.errors import CacheError

NUM_BLOCKS = 10
SALTS = (b"", b"a", b"\x00")
prompts = st.lists(st.integers(0, 1), min_size=1, max_size=14)


class Watched:
    """A policy that chooses anything it was offered, and notices where the cache breaks its side of the protocol."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.known: set[int] = set()
        self.offered: list[int] = []

    def stored(self, items, depth):
        assert not set(items) & set(self.offered) and depth >= 0
        self.known.update(items)

    def hit(self, items):
        assert set(items) <= self.known and not set(items) & set(self.offered)

    def released(self, items):
        assert set(items) <= self.known and not set(items) & set(self.offered)

    def add(self, item):
        assert item in self.known and item not in self.offered
        self.offered.append(item)

    def remove(self, item):
        self.offered.remove(item)

    def evict(self):
        victim = self.offered.pop(self.random.randrange(len(self.offered)))
        self.known.discard(victim)
        return victim


def tree_of(cache: RadixPrefixCache) -> dict[tuple[bytes, bytes], int]:
    """Every page of the tree by its prefix; checks each node on the way."""
    pages: dict[tuple[bytes, bytes], int] = {}
    size = cache.page_bytes
    for salt, root in cache._roots.items():
        todo = [(root, b"")]
        while todo:
            node, prefix = todo.pop()
            assert node is not root or not (node.key or node.blocks or node.locks)
            assert len(node.key) == size * len(node.blocks)
            for i, block in enumerate(node.blocks):
                pages[salt, prefix + node.key[: (i + 1) * size]] = block
            for first, child in node.children.items():
                assert child.parent is node and child.key[:size] == first and child.blocks
                assert node is root or node.locks or not child.locks, "a locked child has a locked parent"
                todo.append((child, prefix + node.key))
    assert len(set(pages.values())) == len(pages), "a block stands in one place"
    return pages


class RadixCache(RuleBasedStateMachine):
    """A manager over the radix cache, with few blocks, short prompts of two letters, forks, swaps and evictions."""

    names = Bundle("names")

    @initialize(block_size=st.integers(1, 3), seed=st.none() | st.integers(0, 9), longest=st.sampled_from((1, 2, 99)))
    def start(self, block_size, seed, longest):
        self.block_size = block_size
        self.policy = LRU() if seed is None else Watched(seed)
        self.manager = KVCacheManager(
            NUM_BLOCKS,
            block_size,
            prefix_cache="radix",
            policy=self.policy,
            pool=CheckedPool(NUM_BLOCKS),
            swap_pool=SwapPool(NUM_BLOCKS),
        )
        self.cache: RadixPrefixCache = self.manager.cache
        self.cache._longest = longest  # pages of one edge
        self.texts: dict[int, tuple[bytes, list[int]]] = {}  # in memory: salt and tokens
        self.swapped: dict[int, tuple[bytes, list[int]]] = {}
        self.model: dict[tuple[bytes, bytes], int] = {}
        self.memory: dict[int, tuple[bytes, bytes]] = {}  # what was computed into a block
        self.evictions = 0
        self.step: set[tuple[bytes, bytes]] = set()  # what was computed in this step
        self.next = 0

    # ----- the model -------------------------------------------------------------------------------------------

    def prefixes(self, salt: bytes, tokens: list[int]) -> list[tuple[bytes, bytes]]:
        """Of every full page."""
        data, size = token_bytes(tokens), TOKEN_BYTES * self.block_size
        return [(salted(salt), data[:end]) for end in range(size, len(data) + 1, size)]

    def hit(self, salt: bytes, tokens: list[int], limit: int) -> list[int]:
        blocks = []
        for prefix in self.prefixes(salt, tokens)[:limit]:
            if prefix not in self.model:
                break
            blocks.append(self.model[prefix])
        return blocks

    def computed(self, name: int, start: int = 0) -> None:
        """The sequence has computed its pages from `start` on; they are in the cache if no other block was before."""
        salt, tokens = self.texts[name]
        blocks = self.manager.blocks(name)
        for prefix, block in list(zip(self.prefixes(salt, tokens), blocks, strict=False))[start:]:
            assert self.manager.refs.count(block) == 1, "a shared block is never written"
            self.memory[block] = prefix
            self.step.add(prefix)

    def sync(self) -> None:
        """Take over what was registered and what was evicted since."""
        tree = tree_of(self.cache)
        gone = {prefix for prefix, block in self.model.items() if tree.get(prefix) != block}
        # What is evicted to make room for a request can be what the same request computes again.
        evicted, back = self.cache.evictions - self.evictions, self.step & set(self.model)
        assert len(gone) <= evicted <= len(gone | back) and not (gone & set(tree)) - back
        self.step = set()
        held = self.paths() - back
        assert not gone & held, "what a sequence needs was evicted"
        for salt, prefix in tree:
            above = prefix[: -TOKEN_BYTES * self.block_size]
            assert not above or (salt, above) in tree, "a child without its parent"
        assert set(tree) - set(self.model) <= self.paths(), "what is new is on somebody's way"
        self.model, self.evictions = tree, self.cache.evictions

    def paths(self) -> set[tuple[bytes, bytes]]:
        return {prefix for salt, tokens in self.texts.values() for prefix in self.prefixes(salt, tokens)}

    def everything(self) -> tuple:
        refs = self.manager.refs
        tables = {name: self.manager.blocks(name) for name in self.texts}
        counts = [refs.count(block) for block in range(NUM_BLOCKS)]
        return tree_of(self.cache), tables, counts, self.manager.num_available, self.manager.counters

    # ----- what may happen -------------------------------------------------------------------------------------

    @rule(target=names, salt=st.sampled_from(SALTS), tokens=prompts)
    def allocate(self, salt, tokens):
        name, self.next = self.next, self.next + 1
        before = self.everything()
        hit = self.hit(salt, tokens, (len(tokens) - 1) // self.block_size)
        assert self.manager.lookup(tokens, salt=salt) == len(hit) * self.block_size
        assert self.everything() == before
        held = self.paths()
        found = self.prefixes(salt, tokens)[: len(hit)]
        available = self.manager.num_available - len([prefix for prefix in found if prefix not in held])
        needed = -(-len(tokens) // self.block_size) - len(hit)
        got = self.manager.allocate(name, tokens, salt=salt)
        if needed > available:
            assert not got and (got.needed, got.available) == (needed, available)
            assert self.everything() == before
            return name
        assert got and got.num_cached_tokens == len(hit) * self.block_size
        assert got.blocks[: len(hit)] == hit
        self.texts[name] = (salt, list(tokens))
        self.computed(name, len(hit))
        return name

    @rule(name=names, tokens=prompts)
    def extend(self, name, tokens):
        if name not in self.texts:
            return
        before = self.everything()
        salt, old = self.texts[name]
        if self.manager.extend(name, tokens):
            self.texts[name] = (salt, old + tokens)
            self.computed(name, len(old) // self.block_size)
            self.manager.copies.clear()
        else:
            assert self.everything() == before

    @rule(names=st.lists(names, unique=True, max_size=4), token=st.integers(0, 1))
    def append_each(self, names, token):
        alive = [name for name in dict.fromkeys(names) if name in self.texts]
        before = self.everything()
        if not self.manager.append_each(alive, [token] * len(alive)):
            assert self.everything() == before
            return
        for name in alive:
            salt, old = self.texts[name]
            self.texts[name] = (salt, [*old, token])
        for name in alive:
            self.computed(name, (len(self.texts[name][1]) - 1) // self.block_size)
        self.manager.copies.clear()

    @rule(target=names, name=names)
    def fork(self, name):
        child, self.next = self.next, self.next + 1
        if name in self.texts:
            self.manager.fork(name, child)
            salt, tokens = self.texts[name]
            self.texts[child] = (salt, list(tokens))
        return child

    @rule(name=consumes(names), preempt=st.booleans())
    def free(self, name, preempt):
        if name in self.texts:
            (self.manager.release if preempt else self.manager.free)(name)
            del self.texts[name]

    @rule(name=names)
    def swap(self, name):
        if name in self.texts:
            if self.manager.swap_out(name) is not None:
                self.swapped[name] = self.texts.pop(name)
        elif name in self.swapped:
            _, tokens = self.swapped[name]
            before = self.everything()
            copies = self.manager.swap_in(name)
            if copies is None:
                assert self.everything() == before
            else:
                self.texts[name] = self.swapped.pop(name)
                full = len(tokens) // self.block_size
                fresh = len(self.manager.blocks(name)) - len(copies)
                if fresh < full:
                    self.computed(name, fresh)

    @rule(n=st.integers(0, 4))
    def evict(self, n):
        if n > self.cache.num_evictable:
            before = self.everything()
            with pytest.raises(CacheError):
                self.cache.evict(n)
            assert self.everything() == before
        else:
            assert len(self.cache.evict(n)) == n

    # ----- what must always hold -------------------------------------------------------------------------------

    @invariant()
    def all_of_this(self):
        self.sync()  # the tree is the model
        self.numbers_are_exact()
        self.locks_are_the_paths_that_go_through()
        self.what_is_offered_is_what_may_go()
        self.every_sequence_finds_its_own()

    def numbers_are_exact(self):
        held = self.paths()
        refs = self.manager.refs
        assert self.cache.num_evictable == len([prefix for prefix in self.model if prefix not in held])
        assert self.cache.num_cached == len([block for block in self.model.values() if not refs.count(block)])
        tables = [self.manager.blocks(name) for name in self.texts]
        for block in range(NUM_BLOCKS):
            assert refs.count(block) == sum(block in table for table in tables)
        held_blocks = {block for table in tables for block in table}
        assert self.manager.num_free + len(held_blocks) + self.cache.num_cached == NUM_BLOCKS
        assert self.manager.num_held == len(held_blocks)
        assert self.cache.num_nodes == len(set(map(id, self.nodes())))

    def nodes(self) -> list:
        found, todo = [], list(self.cache._roots.values())
        while todo:
            children = list(todo.pop().children.values())
            found += children
            todo += children
        return found

    def locks_are_the_paths_that_go_through(self):
        size = self.cache.page_bytes
        for salt, root in self.cache._roots.items():
            todo = [(root, b"")]
            while todo:
                node, above = todo.pop()
                prefix = above + node.key
                through = [
                    name
                    for name, (its, tokens) in self.texts.items()
                    if salted(its) == salt and token_bytes(tokens)[: len(prefix)] == prefix
                ]
                assert not prefix or node.locks == len(through)
                assert not salt or node is not root or node.children, "an empty tree is forgotten"
                todo += [(child, prefix) for child in node.children.values()]
                assert len(node.key) <= size * self.cache._longest

    def what_is_offered_is_what_may_go(self):
        if isinstance(self.policy, Watched):
            leaves = {node.number for node in self.nodes() if not node.children and not node.locks}
            if self.cache._victim is not None:
                leaves.discard(self.cache._victim.number)
            assert set(self.policy.offered) == leaves

    def every_sequence_finds_its_own(self):
        for name, (salt, tokens) in self.texts.items():
            for prefix, block in zip(self.prefixes(salt, tokens), self.manager.blocks(name), strict=False):
                assert self.memory[block] == prefix

    def teardown(self):
        if not hasattr(self, "manager"):
            return
        for name in list(self.texts):
            self.manager.free(name)
        self.cache.clear()
        assert not tree_of(self.cache) and list(self.cache._roots) == [b""]
        assert self.manager.num_free == NUM_BLOCKS and not self.cache._unused


RadixCache.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRadixCache = RadixCache.TestCase


# ----- beside the hash cache ----------------------------------------------------------------------------------------


def replay(kind: str, requests: list[tuple[bytes, list[int], int]], num_blocks: int, block_size: int):
    """Requests one after another, three of them in memory at a time: hits of each, then all counters."""
    manager = KVCacheManager(num_blocks, block_size, prefix_cache=kind)
    hits, running = [], []
    for name, (salt, tokens, more) in enumerate(requests):
        if len(running) == 3:
            manager.free(running.pop(0))
        got = manager.allocate(name, tokens, salt=salt)
        while not got and running:
            manager.free(running.pop(0))
            got = manager.allocate(name, tokens, salt=salt)
        hits.append(got.num_cached_tokens if got else None)
        if got:
            running.append(name)
            # What is answered is new each time, so that no two sequences ever compute the same page.
            hits += [manager.append(name, 1000 * name + i + 2) for i in range(more)]
    return hits, manager.counters, manager.cache.num_evictable


requests = st.lists(st.tuples(st.sampled_from(SALTS), prompts, st.integers(0, 6)), max_size=25)


@settings(max_examples=150, deadline=None)
@given(requests, st.integers(1, 4))
def test_without_pressure_both_caches_find_the_same(requests, block_size):
    # A page computed twice stays cached twice under hashes and goes back to the pool under the tree; that is all.
    (hits, counters, _), (same_hits, same_counters, _) = (
        replay(kind, requests, 1000, block_size) for kind in ("hash", "radix")
    )
    assert hits == same_hits and counters.hit_tokens == same_counters.hit_tokens
    assert counters.cached_blocks_evicted == same_counters.cached_blocks_evicted == 0


@settings(max_examples=300, deadline=None)
@given(requests, st.integers(2, 4), st.integers(4, 16))
def test_under_pressure_both_evict_and_regret_the_same_where_no_page_is_computed_twice(requests, block_size, blocks):
    # A prompt of whole pages that is known whole computes its last page again, into a second block.
    requests = [(salt, [*tokens, 2] if len(tokens) % block_size == 0 else tokens, n) for salt, tokens, n in requests]
    requests = [(salt, tokens, n) for salt, tokens, n in requests if len(tokens) % block_size]
    assert replay("hash", requests, blocks, block_size) == replay("radix", requests, blocks, block_size)
