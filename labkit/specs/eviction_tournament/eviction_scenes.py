"""Three small servers whose blocks are all in use, and what tells them apart.

All three are full from the first minute and recycle blocks all day. In the first the prompts come once; in the second
they come back after they have been evicted; in the third the sequences that run need more than there is. Regret tells
the second from the first, and what is held, which is the gauge of memory that real servers show, tells the third.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labkit.cache.base import Allocation, Counters, EvictionPolicy
from labkit.cache.tokens import TOKEN_BYTES
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
        asked: full blocks of all prompts, whether they were found or not.
        full: share of the time in which the pool alone had no room for a prompt, 0 to 1.
        held: share of the blocks that somebody held, on the average over the time in which somebody ran, 0 to 1: what
            `vllm:kv_cache_usage_perc` and `sglang:token_usage` show. Cached blocks that nobody holds do not count.
    """

    counters: Counters
    asked: int
    full: float
    held: float

    @property
    def found(self) -> float:
        """Share of the blocks asked for that were found, 0 to 1."""
        return self.counters.hit_tokens / BLOCK_TOKENS / self.asked

    @property
    def regret(self) -> float:
        """Regretted evictions as a share of the blocks asked for, 0 to 1."""
        return (self.counters.regretted_evictions or 0) / self.asked


def come_once(policy: Callable[[], EvictionPolicy] | None = None) -> Scene:
    """Prompts that nobody sends twice: a batch job that goes through a set of documents."""
    return _serve(range(REQUESTS), policy)


def come_back(
    policy: Callable[[], EvictionPolicy] | None = None, prompts: int = 20, seed: int = 4, blocks: int = BLOCKS
) -> Scene:
    """Prompts that come again and again, a few more of them than the cache holds."""
    return _serve(np.random.default_rng(seed).integers(prompts, size=REQUESTS).tolist(), policy, blocks)


def _serve(order: Sequence[int], policy: Callable[[], EvictionPolicy] | None, blocks: int = BLOCKS) -> Scene:
    """One prompt after another; the prompts share nothing, and each has one token more than its blocks."""
    manager = kv_cache_manager(blocks, BLOCK_TOKENS, policy=policy() if policy else None, regret=True)
    full = held = 0
    for number, prompt in enumerate(order):
        manager.allocate(number, _tokens(prompt))
        held += manager.num_held
        manager.free(number)
        full += manager.num_free < PROMPT_BLOCKS
    count = len(order)
    return Scene(manager.counters, PROMPT_BLOCKS * count, full / count, held / count / blocks)


def _tokens(prompt: int) -> list[int]:
    start = prompt * PROMPT_BLOCKS * BLOCK_TOKENS
    return [*range(start, start + PROMPT_BLOCKS * BLOCK_TOKENS), 0]


def grow_too_large(policy: Callable[[], EvictionPolicy] | None = None, running: int = 8, answer: int = 120) -> Scene:
    """Answers that grow until the running sequences need more than there is: the last one has to give way.

    It gives back all of its memory and comes in again as soon as there is room, with what it had written as a prompt.
    """
    manager = kv_cache_manager(BLOCKS, BLOCK_TOKENS, policy=policy() if policy else None, regret=True)
    texts: dict[int, list[int]] = {}
    waiting: list[Any] = []
    served = steps = full = held = asked = 0
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
            asked += len(text) // BLOCK_TOKENS
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
        held += manager.num_held
    return Scene(manager.counters, asked, full / steps, held / steps / BLOCKS)


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


NINE_O_CLOCK = 1_767_603_600
"""09:00 UTC on Monday, 5 January 2026, in seconds since 1970."""


class _Publisher:
    """Hears of a cache (`labkit.cache.base.CacheListener`) and writes what it hears as vLLM's KV events are written."""

    def __init__(self, page_bytes: int) -> None:
        self.page_bytes = page_bytes
        self.content: dict[int | None, int] = {None: 0}  # what is in a block: a number for its tokens and all before
        self.numbers: dict[tuple[int, bytes], int] = {}
        self.events: list[dict[str, Any]] = []

    def stored(self, blocks: Sequence[int], tokens: bytes, after: int | None, salt: bytes) -> None:
        at = self.content[after]
        for place, block in enumerate(blocks):
            page = tokens[place * self.page_bytes : (place + 1) * self.page_bytes]
            at = self.content[block] = self.numbers.setdefault((at, page), len(self.numbers) + 1)
        self._tell("BlockStored", [self.content[block] for block in blocks])

    def removed(self, blocks: Sequence[int]) -> None:
        self._tell("BlockRemoved", [self.content.pop(block) for block in blocks])

    def cleared(self) -> None:
        self.content = {None: 0}
        self.events.append({"type": "AllBlocksCleared"})

    def _tell(self, kind: str, contents: list[int]) -> None:
        if contents:
            self.events.append({"type": kind, "block_hashes": contents, "medium": "GPU"})


def published_events(minutes: int = 5, seed: int = 4) -> list[bytes]:
    """The KV events of one server, as vLLM writes them: some minutes of prompts that come once, and as many of prompts
    that come back; a batch for each request, 80 of them per minute.
    """
    import msgspec

    manager = kv_cache_manager(BLOCKS, BLOCK_TOKENS)
    publisher = _Publisher(BLOCK_TOKENS * TOKEN_BYTES)
    manager.cache.listeners.append(publisher)
    per_minute = REQUESTS // 5
    once, back = (
        range(1000, 1000 + minutes * per_minute),
        np.random.default_rng(seed).integers(20, size=minutes * per_minute),
    )
    written = []
    for number, prompt in enumerate([*once, *back.tolist()]):
        manager.allocate(number, _tokens(prompt))
        manager.free(number)
        batch = [NINE_O_CLOCK + number * 60 / per_minute, publisher.events, 0]
        written.append(msgspec.msgpack.encode(batch))
        publisher.events = []
    return written
