"""Three small servers whose blocks are all in use, and which of the five counters tells them apart.

All three are full from the first minute and recycle blocks all day. In the first the prompts come once; in the second
they come back after they have been evicted; in the third the sequences that run need more than there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labkit.cache.base import Allocation, Counters, EvictionPolicy
from labkit.engine import kv_cache_manager
from labkit.observe.evictions import Eviction, pair_evictions
from labkit.simulate.cache_replay import cache_replay

BLOCK_TOKENS = 16
BLOCKS = 64
PROMPT_BLOCKS = 4
REQUESTS = 400


@dataclass(frozen=True)
class Scene:
    """What a server did.

    Attributes:
        counters: the five that a dashboard keeps apart, and the tokens asked for and found.
        full: share of the time in which no block was free, 0 to 1.
    """

    counters: Counters
    full: float


def come_once(policy: Callable[[], EvictionPolicy] | None = None) -> Scene:
    """Prompts that nobody sends twice: a batch job that goes through a set of documents."""
    return _serve(range(REQUESTS), policy)


def come_back(policy: Callable[[], EvictionPolicy] | None = None, prompts: int = 20, seed: int = 4) -> Scene:
    """Prompts that come again and again, a few more of them than the cache holds."""
    return _serve(np.random.default_rng(seed).integers(prompts, size=REQUESTS).tolist(), policy)


def _serve(order: Sequence[int], policy: Callable[[], EvictionPolicy] | None) -> Scene:
    """One prompt after another; the prompts share nothing, and each has one token more than its blocks."""
    manager = kv_cache_manager(BLOCKS, BLOCK_TOKENS, policy=policy() if policy else None, regret=True)
    full = 0
    for number, prompt in enumerate(order):
        start = prompt * PROMPT_BLOCKS * BLOCK_TOKENS
        manager.allocate(number, [*range(start, start + PROMPT_BLOCKS * BLOCK_TOKENS), 0])
        manager.free(number)
        full += manager.num_free < PROMPT_BLOCKS
    return Scene(manager.counters, full / len(order))


def grow_too_large(policy: Callable[[], EvictionPolicy] | None = None, running: int = 8, answer: int = 120) -> Scene:
    """Answers that grow until the running sequences need more than there is: the last one has to give way.

    It gives back all of its memory and comes in again as soon as there is room, with what it had written as a prompt.
    """
    manager = kv_cache_manager(BLOCKS, BLOCK_TOKENS, policy=policy() if policy else None, regret=True)
    texts: dict[int, list[int]] = {}
    waiting: list[Any] = []
    served = steps = full = 0
    goal = len(range(PROMPT_BLOCKS * BLOCK_TOKENS)) + answer
    while served < REQUESTS // 10:
        steps += 1
        while len(manager) < running:
            seq = waiting[0] if waiting else len(texts)
            start = seq * 10_000
            text = texts.setdefault(seq, list(range(start, start + PROMPT_BLOCKS * BLOCK_TOKENS)))
            if not isinstance(manager.allocate(seq, text), Allocation):
                if not waiting:
                    del texts[seq]
                break
            if waiting:
                waiting.pop(0)
        there: list[Any] = manager.sequences()
        for one in there:
            if one not in manager:
                continue  # it gave way to one before it in this step
            token = one * 10_000 + len(texts[one])
            while not manager.append(one, token):
                last = manager.sequences()[-1]
                manager.preempt(last)
                waiting.insert(0, last)
                if last == one:
                    break
            if one in manager:
                texts[one].append(token)
                if len(texts[one]) >= goal:
                    manager.free(one)
                    served += 1
        full += manager.num_free < PROMPT_BLOCKS
    return Scene(manager.counters, full / steps)


def evictions_of_replay(
    requests: Sequence[Sequence[int]], num_blocks: int, make_policy: Callable[[int], EvictionPolicy] | None = None
) -> list[Eviction]:
    """What was evicted in a replay, and when it was wanted again; the step is the number of the request."""
    removed: list[tuple[int, int, int]] = []
    asked: list[tuple[int, int]] = []

    def told(number: int, ids: Sequence[int], hits: int, gone: list[int]) -> None:
        removed.extend((number, content, content) for content in gone)
        asked.extend((number, content) for content in ids)

    cache_replay(requests, num_blocks, make_policy, on_request=told)
    return pair_evictions(removed, asked, label=lambda content: f"content {content}")
