"""Every eviction policy against a model that looks at all blocks each time, and against what it must never change."""

from __future__ import annotations

import random
from functools import cache as remember
from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from labkit.cache.base import Allocation, EvictionPolicy
from labkit.cache.eviction import LRU
from labkit.cache.eviction_policies import CLOCK, FIFO, GDSF, LFU, POLICIES, SLRU, Random
from labkit.engine import kv_cache_manager
from labkit.errors import PolicyError
from labkit.simulate import hit_ratio
from labkit.simulate.cache_replay import cache_replay, demand_replay

NUM_BLOCKS = 12


# ----- models: slow, and right by looking at everything ------------------------------------------------------------


class Model:
    """What happened to each cached block; `victim` names the one to go by the policy's definition."""

    def __init__(self) -> None:
        self.time = 0
        self.stored_at: dict[int, int] = {}
        self.depth: dict[int, int] = {}
        self.hits: dict[int, int] = {}
        self.released_at: dict[int, int] = {}

    def stored(self, blocks, depth):
        for at, block in enumerate(blocks, depth):
            self.time += 1
            self.stored_at[block], self.depth[block], self.hits[block] = self.time, at, 0

    def hit(self, blocks):
        for block in blocks:
            self.hits[block] += 1

    def released(self, blocks):
        self.time += 1
        for block in blocks:
            self.released_at[block] = self.time

    def victim(self, offered):
        raise NotImplementedError

    def evicted(self, block):
        for known in (self.stored_at, self.depth, self.hits, self.released_at):
            known.pop(block, None)


class FifoModel(Model):
    def victim(self, offered):
        return min(offered, key=lambda b: self.stored_at[b])


class LruModel(Model):
    def victim(self, offered):
        return min(offered, key=lambda b: (self.released_at[b], b))


class LfuModel(Model):
    def victim(self, offered):
        return min(offered, key=lambda b: (self.hits[b], self.released_at[b], b))


class ClockModel(Model):
    """A list of all cached blocks, walked from the front."""

    def __init__(self):
        super().__init__()
        self.queue: list[int] = []
        self.bits: set[int] = set()

    def stored(self, blocks, depth):
        super().stored(blocks, depth)
        self.queue += blocks

    def hit(self, blocks):
        self.bits.update(blocks)

    def victim(self, offered):
        while True:
            block = next(b for b in self.queue if b in offered)
            self.queue.remove(block)
            if block not in self.bits:
                return block
            self.bits.remove(block)
            self.queue.append(block)


class SlruModel(Model):
    """Two segments; `share` of the blocks may be protected."""

    def __init__(self):
        super().__init__()
        self.protected: list[int] = []  # hit longest ago first

    def hit(self, blocks):
        for block in reversed(blocks):
            if block in self.protected:
                self.protected.remove(block)
            self.protected.append(block)
        while len(self.protected) > NUM_BLOCKS // 3:
            self.time += 1
            self.released_at[self.protected.pop(0)] = self.time

    def victim(self, offered):
        return min(offered, key=lambda b: (b in self.protected, self.released_at[b], b))

    def evicted(self, block):
        super().evicted(block)
        if block in self.protected:
            self.protected.remove(block)


class GdsfModel(Model):
    def __init__(self):
        super().__init__()
        self.inflation = 0.0
        self.value: dict[int, float] = {}

    def worth(self, blocks):
        for b in blocks:
            self.value[b] = self.inflation + (self.hits[b] + 1) * (1 + self.depth[b])

    def stored(self, blocks, depth):
        super().stored(blocks, depth)
        self.worth(blocks)

    def hit(self, blocks):
        super().hit(blocks)
        self.worth(blocks)

    def victim(self, offered):
        block = min(offered, key=lambda b: (self.value[b], self.released_at[b], b))
        self.inflation = max(self.inflation, self.value[block])
        return block


class RandomModel(Model):
    """The same draws over the same list, whose holes are filled by the last."""

    def __init__(self):
        super().__init__()
        self.draw = random.Random(5)
        self.order: list[int] = []

    def victim(self, offered):
        assert sorted(self.order) == sorted(offered)
        return self.order[int(self.draw.random() * len(self.order))]


PAIRS = {
    "FIFO": (FIFO, FifoModel),
    "LRU": (LRU, LruModel),
    "CLOCK": (CLOCK, ClockModel),
    "LFU": (LFU, LfuModel),
    "SLRU": (lambda: SLRU(NUM_BLOCKS, 1 / 3), SlruModel),
    "GDSF": (lambda: GDSF(cost=lambda depth: 1 + depth), GdsfModel),
    "Random": (lambda: Random(5), RandomModel),
}


class PolicyMachine(RuleBasedStateMachine):
    """A cache's calls in any order that a cache may make them."""

    name = ""

    @initialize()
    def start(self):
        make_policy, make_model = PAIRS[self.name]
        self.policy, self.model = make_policy(), make_model()
        assert isinstance(self.policy, EvictionPolicy)
        self.held: list[int] = []
        self.idle: list[int] = []  # nobody holds it, but it may not go: it has a child, say
        self.offered: list[int] = []
        self.absent = list(range(NUM_BLOCKS))

    def take(self, blocks, count, data):
        return data.draw(st.lists(st.sampled_from(blocks), min_size=1, max_size=count, unique=True)) if blocks else []

    @rule(data=st.data(), depth=st.integers(0, 3))
    def store(self, data, depth):
        blocks = self.take(self.absent, 4, data)
        if blocks:
            self.absent = [b for b in self.absent if b not in blocks]
            self.policy.stored(blocks, depth)
            self.model.stored(blocks, depth)
            self.held += blocks

    @rule(data=st.data())
    def hit(self, data):
        blocks = self.take(self.held + self.idle + self.offered, 4, data)
        if blocks:
            for block in [b for b in blocks if b in self.offered]:
                self.withdraw(block)
            self.idle = [b for b in self.idle if b not in blocks]
            self.held = [b for b in self.held if b not in blocks] + blocks
            self.policy.hit(blocks)
            self.model.hit(blocks)

    @rule(data=st.data())
    def release(self, data):
        blocks = self.take(self.held, 4, data)
        if blocks:
            self.held = [b for b in self.held if b not in blocks]
            self.policy.released(blocks)
            self.model.released(blocks)
            self.idle += blocks
            self.offer(blocks[0])

    @rule(data=st.data())
    def offer_one(self, data):
        if self.idle:
            self.offer(data.draw(st.sampled_from(self.idle)))

    @rule(data=st.data())
    def withdraw_one(self, data):
        if self.offered:
            block = data.draw(st.sampled_from(self.offered))
            self.withdraw(block)
            self.idle.append(block)

    def offer(self, block):
        self.idle.remove(block)
        self.offered.append(block)
        self.policy.add(block)
        if isinstance(self.model, RandomModel):
            self.model.order.append(block)

    def withdraw(self, block):
        self.offered.remove(block)
        self.policy.remove(block)
        self.unlist(block)

    def unlist(self, block):
        if isinstance(self.model, RandomModel):
            order = self.model.order
            at, last = order.index(block), order.pop()
            if last != block:
                order[at] = last

    @precondition(lambda self: self.offered)
    @rule()
    def evict(self):
        expected = self.model.victim(self.offered)
        self.gone(expected, self.policy.evict())

    @precondition(lambda self: self.idle)
    @rule(data=st.data())
    def exchange(self, data):
        block = data.draw(st.sampled_from(self.idle))
        if not hasattr(self.policy, "exchange"):
            return
        self.idle.remove(block)
        self.offered.append(block)
        expected = self.model.victim(self.offered)
        self.gone(expected, self.policy.exchange(block))

    def gone(self, expected, victim):
        assert victim in self.offered
        assert victim == expected
        self.offered.remove(victim)
        self.model.evicted(victim)
        self.unlist(victim)
        self.absent.append(victim)

    @precondition(lambda self: not self.offered)
    @rule()
    def nothing_may_go(self):
        with pytest.raises(PolicyError):
            self.policy.evict()

    def teardown(self):
        """What is evicted is forgotten, and the heap of ranks is never much larger than what it ranks."""
        if not hasattr(self, "policy"):
            return
        cached = {*self.held, *self.idle, *self.offered}
        for name, kept in vars(self.policy).items():
            if isinstance(kept, dict | set):
                assert set(kept) <= cached, f"{name} remembers {set(kept) - cached}"
            elif isinstance(kept, list):
                assert len(kept) <= 3 * NUM_BLOCKS + 64


def _machine(name: str):
    machine = type(f"{name}Machine", (PolicyMachine,), {"name": name})
    case = machine.TestCase
    case.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
    return case


TestFifo, TestLru, TestClock, TestLfu, TestSlru, TestGdsf, TestRandom = (
    _machine(name) for name in ("FIFO", "LRU", "CLOCK", "LFU", "SLRU", "GDSF", "Random")
)


# ----- in a cache ---------------------------------------------------------------------------------------------------


@st.composite
def prompts(draw, most: int = 12):
    """Requests whose blocks are a tree: an id says everything before it, as in a trace with hash_ids."""
    tree: dict[tuple[int, ...], int] = {}
    requests = []
    for branches in draw(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=most)):
        path = [tuple(branches[: i + 1]) for i in range(len(branches))]
        requests.append([tree.setdefault(node, len(tree)) for node in path])
    return requests


@settings(max_examples=80, deadline=None)
@given(requests=prompts(24), blocks=st.integers(1, 8))
def test_belady_bounds_every_policy(requests, blocks):
    """By proof in demand replay; seen to hold, too, where a cache serves whole requests that fit into it."""
    best = demand_replay(requests, blocks)
    assert best.hits == hit_ratio.demand_replay(requests, blocks, "belady").hits
    for name, make in POLICIES.items():
        assert demand_replay(requests, blocks, make).hits <= best.hits, name
    if max(map(len, requests)) <= blocks:
        best = cache_replay(requests, blocks)
        for name, make in POLICIES.items():
            assert cache_replay(requests, blocks, make).hits <= best.hits, name


@settings(max_examples=60, deadline=None)
@given(references=st.lists(st.integers(0, 4), min_size=1, max_size=12), blocks=st.integers(1, 3))
def test_belady_is_the_best_that_can_be(references, blocks):
    """Every choice of victims tried."""

    @remember
    def best(at: int, cached: frozenset) -> int:
        if at == len(references):
            return 0
        key = references[at]
        if key in cached:
            return 1 + best(at + 1, cached)
        if len(cached) < blocks:
            return best(at + 1, cached | {key})
        return max(best(at + 1, frozenset(kept) | {key}) for kept in combinations(cached, blocks - 1))

    assert demand_replay([[key] for key in references], blocks).hits == best(0, frozenset())


@settings(max_examples=80, deadline=None)
@given(requests=prompts(24), blocks=st.integers(1, 8))
def test_the_real_cache_and_the_plain_model_agree(requests, blocks):
    for full, capacity in ((requests, blocks), (requests[::2], blocks + 3)):
        real, plain = cache_replay(full, capacity, POLICIES["LRU"]), hit_ratio.replay(full, capacity)
        assert (real.hits, real.looked_up) == (plain.hits, plain.looked_up)


SIZE = 3
TOKENS = st.lists(st.integers(0, 1), min_size=1, max_size=11)
OPS = st.lists(
    st.one_of(
        st.tuples(st.just("allocate"), TOKENS),
        st.tuples(st.just("append"), st.integers(0, 5), st.integers(0, 1)),
        st.tuples(st.just("fork"), st.integers(0, 5)),
        st.tuples(st.just("free"), st.integers(0, 5)),
    ),
    max_size=40,
)


def serve(ops, policy, prefix_cache="hash") -> list[object]:
    """What has room, and what every sequence reads after each operation from a memory in which only what was computed
    was written.
    """
    manager = kv_cache_manager(10, SIZE, policy=policy, prefix_cache=prefix_cache, yours=False)
    memory: dict[int, tuple[int, ...]] = {}  # slot -> all tokens up to it, which is what its K and V stand for
    texts: dict[int, list[int]] = {}
    seen: list[object] = []
    names = 0

    def write(seq, start):
        for source, target in manager.copies:
            for i in range(SIZE):
                if source * SIZE + i in memory:
                    memory[target * SIZE + i] = memory[source * SIZE + i]
        manager.copies.clear()
        for at, slot in enumerate(manager.slots(seq, start, len(texts[seq])), start):
            memory[slot] = tuple(texts[seq][: at + 1])

    for op, *args in ops:
        alive = sorted(texts)
        if op == "allocate":
            got = manager.allocate(names, args[0])
            if isinstance(got, Allocation):
                texts[names] = list(args[0])
                write(names, got.num_cached_tokens)
            seen.append(isinstance(got, Allocation))
            names += 1
        elif alive:
            seq = alive[args[0] % len(alive)]
            if op == "append":
                done = manager.append(seq, args[1])
                if done:
                    texts[seq].append(args[1])
                    write(seq, len(texts[seq]) - 1)
                seen.append(done)
            elif op == "fork":
                manager.fork(seq, names)
                texts[names] = list(texts[seq])
                names += 1
            else:
                manager.free(seq)
                del texts[seq]
        for seq, text in texts.items():
            read = [memory[slot] for slot in manager.slots(seq, 0, len(text))]
            assert read == [tuple(text[: i + 1]) for i in range(len(text))]
            seen.append(read)
    return seen


A_PAGE_KNOWN_ONCE_OR_TWICE = [
    ("allocate", [0]), ("allocate", [0]), ("free", 0), ("allocate", [0, 1] + [0] * 8), ("free", 0),
    ("allocate", [0] * 3), ("allocate", [0, 0, 1]), ("allocate", [0, 0]), ("free", 1), ("free", 1), ("allocate", [0]),
    ("allocate", [0]), ("allocate", [0]), ("allocate", [0]), ("append", 1, 0), ("allocate", [0]),
]  # fmt: skip
"""Whether a page that is computed again is still cached depends on what was evicted; who gets room must not."""


@pytest.mark.hypothesis
@pytest.mark.parametrize("prefix_cache", ["hash", "radix"])
def test_swapping_the_policy_changes_no_output_and_refuses_nobody_else(prefix_cache):
    @example(ops=A_PAGE_KNOWN_ONCE_OR_TWICE)
    @settings(max_examples=120, deadline=None)
    @given(ops=OPS)
    def check(ops):
        expected = serve(ops, LRU(), prefix_cache)
        for name, make in POLICIES.items():
            assert serve(ops, make(10), prefix_cache) == expected, name

    check()


def test_a_cyclic_scan_on_which_random_beats_lru():
    """1,100 blocks asked for in a circle, 1,000 slots: LRU throws out each just before it comes again."""
    scan = [[block] for _ in range(30) for block in range(1100)]
    ratio = {name: demand_replay(scan, 1000, POLICIES[name]).hit_ratio for name in ("LRU", "FIFO", "Random")}
    assert ratio["LRU"] == ratio["FIFO"] == 0
    assert ratio["Random"] == pytest.approx(0.81, abs=0.02)
    assert demand_replay(scan, 1000).hit_ratio == pytest.approx(0.88, abs=0.01)
