"""How long the cache's operations take: microseconds on this machine, beside a textbook manager in the same run.

The workload is that of a busy server: prompts with the lengths of a production trace, half of them behind one of 20
system prompts of 512 tokens; 4,096 blocks of 16 tokens; at most 64 sequences at once. What is not held is cached, so
memory is always full and allocations evict. A sequence that finds no room waits, and one that cannot grow is
preempted and comes back. It is served twice, once with an append call for each sequence and once with one call for all.

Timed are the calls alone. A call that is refused is not counted: it does less, and would flatter the mean.
"""

from __future__ import annotations

import gc
import os
import platform
import random
import statistics
import tracemalloc
from array import array
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from time import perf_counter
from typing import Any, Protocol

from labkit.bench.textbook_cache import TextbookCache
from labkit.bench.token_workload import TokenWorkload, system_prompts
from labkit.cache.tokens import TOKEN_BYTES
from labkit.engine import kv_cache_manager
from labkit.simulate.traces import Trace

BLOCK_SIZE = 16
NUM_BLOCKS = 4096
MOST_RUNNING = 64
VOCABULARY = 49_152
LOOKUP_TOKENS = 1_000
APPENDS = ("append", "append_bulk")
"""One call a sequence, or one call for all."""


class Timed(Protocol):
    """A manager as the benchmark calls it."""

    append: Callable[[Hashable, int], Any]
    append_bulk: Callable[[Sequence[Hashable], Sequence[int]], Any]
    allocate: Callable[[Hashable, Any], Any]
    free: Callable[[Hashable], Any]
    preempt: Callable[[Hashable], Any]
    lookup: Callable[[Any], Any]

    def prompt(self, tokens: bytes) -> Any:
        """A prompt in the form in which this manager takes it; not timed."""
        ...

    def facts(self) -> dict[str, float]:
        """Hit rate and evictions."""
        ...


class OurManager:
    """The engine's manager. Its prompts are bytes, as the engine's are."""

    def __init__(self, num_blocks: int, prefix_cache: str) -> None:
        self.manager = manager = kv_cache_manager(num_blocks, BLOCK_SIZE, yours=False, prefix_cache=prefix_cache)
        self.append, self.append_bulk = manager.append, manager.append_each
        self.allocate, self.free, self.lookup = manager.allocate, manager.free, manager.lookup
        self.preempt = manager.preempt

    def prompt(self, tokens: bytes) -> bytes:
        return tokens

    def facts(self) -> dict[str, float]:
        counters = self.manager.counters
        # As the textbook counts: what a preempted sequence finds again of its own among all.
        hit = counters.hit_tokens + counters.preempted_hit_tokens
        asked = counters.queried_tokens + counters.preempted_queried_tokens
        return {
            "hit_rate": hit / max(1, asked),
            "evictions": counters.cached_blocks_evicted,
        }


class Textbook:
    """The textbook's manager. Its prompts are lists of token ids."""

    def __init__(self, num_blocks: int) -> None:
        self.cache = cache = TextbookCache(num_blocks, BLOCK_SIZE)
        self.free = self.preempt = cache.free
        self.lookup = cache.lookup
        self.hit = self.asked = 0

    def allocate(self, seq_id: Hashable, tokens: list[int]) -> bool:
        cached = self.cache.allocate(seq_id, tokens)  # type: ignore[arg-type]
        if cached is None:
            return False
        self.hit += cached
        self.asked += len(tokens)
        return True

    def append(self, seq_id: Hashable, token: int) -> bool:
        return self.cache.append(seq_id, [token])  # type: ignore[arg-type]

    def append_bulk(self, seq_ids: Sequence[Hashable], tokens: Sequence[int]) -> bool:
        # A textbook has no call for many; this is what a scheduler over it would write.
        done = [
            self.cache.append(seq_id, [token])  # type: ignore[arg-type]
            for seq_id, token in zip(seq_ids, tokens, strict=True)
        ]
        return all(done)

    def prompt(self, tokens: bytes) -> list[int]:
        return array("I", tokens).tolist()

    def facts(self) -> dict[str, float]:
        return {"hit_rate": self.hit / max(1, self.asked), "evictions": self.cache.num_evicted}


def serve(manager: Timed, workload: TokenWorkload, operation: str) -> dict[str, float]:
    """Serve all requests; microseconds per call (a token, for the bulk call), by operation.

    Where the running sequences cannot grow, the youngest is preempted, and nobody is admitted until somebody has
    finished: whoever is let in again at once is preempted again at once.

    Args:
        manager: an empty one.
        workload: prompts and answers.
        operation: the one of `APPENDS` by which sequences grow; a scheduler uses one of them or the other.
    """
    seconds = dict.fromkeys((operation, "allocate", "free"), 0.0)
    calls = dict.fromkeys(seconds, 0)
    prompts = [manager.prompt(tokens) for tokens in workload.prompts]
    answers = [array("I", tokens).tolist() for tokens in workload.answers]
    waiting = deque(range(len(workload)))
    left: dict[int, int] = {}  # running sequence -> tokens still to generate
    pressed = False
    while waiting or left:
        while waiting and len(left) < MOST_RUNNING and not pressed:
            seq = waiting[0]
            start = perf_counter()
            got = manager.allocate(seq, prompts[seq])
            took = perf_counter() - start
            if not got:
                break
            waiting.popleft()
            seconds["allocate"] += took
            calls["allocate"] += 1
            left[seq] = len(answers[seq])
        names = [seq for seq, tokens in left.items() if tokens > 0]
        tokens = [answers[seq][-left[seq]] for seq in names]
        full = False
        if operation == "append":
            append = manager.append
            start = perf_counter()
            for seq, token in zip(names, tokens, strict=True):
                if not append(seq, token):
                    full = True
                    break
            took = perf_counter() - start
        else:
            start = perf_counter()
            full = not manager.append_bulk(names, tokens)
            took = perf_counter() - start
        if full:  # the youngest gives its blocks back and comes again, its answer so far behind its prompt
            victim = next(reversed(left))
            manager.preempt(victim)
            done = len(answers[victim]) - left.pop(victim)
            prompts[victim] = manager.prompt(workload.prompts[victim] + workload.answers[victim][: TOKEN_BYTES * done])
            answers[victim] = answers[victim][done:]
            waiting.appendleft(victim)
            pressed = len(left) > 0
            continue
        seconds[operation] += took
        calls[operation] += len(names)
        for seq in list(left):
            left[seq] -= 1
            if left[seq] <= 0:
                start = perf_counter()
                manager.free(seq)
                seconds["free"] += perf_counter() - start
                calls["free"] += 1
                del left[seq]
                pressed = False
    return {name: 1e6 * seconds[name] / max(1, calls[name]) for name in seconds}


def lookup_us(manager: Timed, workload: TokenWorkload, repeats: int = 2_000) -> float:
    """Microseconds of a lookup of about 1,000 tokens that finds all but the last block, in a cache full of others."""
    long_enough = [tokens for tokens in workload.prompts if len(tokens) >= TOKEN_BYTES * LOOKUP_TOKENS]
    prompts = [manager.prompt(tokens[: TOKEN_BYTES * LOOKUP_TOKENS]) for tokens in long_enough[-8:]]
    for i, prompt in enumerate(prompts):
        if manager.allocate(("lookup", i), prompt):
            manager.free(("lookup", i))
    lookup = manager.lookup
    best = []
    for _ in range(5):
        start = perf_counter()
        for i in range(repeats // 5):
            lookup(prompts[i % len(prompts)])
        best.append((perf_counter() - start) / (repeats // 5))
    return 1e6 * statistics.median(best)


def bytes_per_block(prefix_cache: str, num_blocks: int = NUM_BLOCKS, evictions: int = 0) -> float:
    """Bytes a block in a cache that has just filled up, on top of those of its tokens.

    Prompts have 64 blocks on average. Shorter ones cost more: what is kept once a prompt or once an edge is spread over
    fewer blocks. So does a cache that has been evicting for long.

    Args:
        evictions: go on with new prompts until so many blocks have been evicted.
    """
    rng = random.Random(0)
    gc.collect()
    tracemalloc.start()
    manager = kv_cache_manager(num_blocks, BLOCK_SIZE, yours=False, prefix_cache=prefix_cache)
    seq = 0
    while manager.num_free or manager.cache.evictions < evictions:
        # Prompts are made here, so that whoever keeps one instead of a copy of it pays for it all the same.
        blocks = min(manager.num_free or num_blocks, rng.randint(1, 2 * 64))
        manager.allocate(seq, rng.randbytes(TOKEN_BYTES * BLOCK_SIZE * blocks))
        manager.free(seq)
        seq += 1
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert manager.num_cached == num_blocks
    return used / num_blocks - TOKEN_BYTES * BLOCK_SIZE


def bench_cache(trace: Trace | None = None, seed: int = 0, num_requests: int = 2_000) -> dict[str, Any]:
    """The whole benchmark; see `labkit bench cache --json` for the keys."""
    workload = system_prompts(num_requests, trace, vocabulary=VOCABULARY, seed=seed)
    makers: dict[str, Callable[[], Any]] = {
        "radix": lambda: OurManager(NUM_BLOCKS, "radix"),
        "hash": lambda: OurManager(NUM_BLOCKS, "hash"),
        "textbook": lambda: Textbook(NUM_BLOCKS),
    }
    results: dict[str, dict[str, float]] = {}
    for name, make in makers.items():
        times: dict[str, list[float]] = {}
        for operation in APPENDS:
            manager = make()
            gc.collect()
            for key, value in serve(manager, workload, operation).items():
                times.setdefault(key, []).append(value)
        facts = manager.facts()  # before the lookups, which are no part of the workload
        results[name] = {
            **{f"{key}_us": statistics.mean(values) for key, values in times.items()},
            "lookup_hit_us": lookup_us(manager, workload),
            **facts,
        }
        if name != "textbook":
            results[name]["bytes_per_block"] = bytes_per_block(name)
            results[name]["bytes_per_block_evicting"] = bytes_per_block(name, evictions=4 * NUM_BLOCKS)
    return {
        **results["radix"],
        "cache": "radix",
        "hash": results["hash"],
        "textbook": results["textbook"],
        "workload": {
            "requests": len(workload),
            "name": workload.name,
            "source": workload.source,
            "seed": seed,
            "num_blocks": NUM_BLOCKS,
            "block_size": BLOCK_SIZE,
            "most_running": MOST_RUNNING,
        },
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
            "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        },
    }


def bench_sizes(
    sizes: Sequence[int] = (4_096, 32_768, 262_144, 1_000_000), prefix_cache: str = "radix", seed: int = 0
) -> list[dict[str, float]]:
    """Microseconds an operation in pools of several sizes, each full of cached blocks before anything is timed."""
    rows = []
    for num_blocks in sizes:
        rng = random.Random(seed)
        manager = kv_cache_manager(num_blocks, BLOCK_SIZE, yours=False, prefix_cache=prefix_cache)
        tokens = 90 * BLOCK_SIZE + 5

        def text(rng: random.Random = rng, tokens: int = tokens) -> bytes:
            return rng.randbytes(TOKEN_BYTES * tokens)

        filled = 0
        while manager.num_free >= 91:
            manager.allocate(filled, text())
            manager.free(filled)
            filled += 1
        times: dict[str, list[float]] = {"allocate": [], "append": [], "free": [], "lookup_hit": []}
        gc.collect()
        gc.freeze()  # what fills the pool is no garbage; scanning it would be timed with whatever comes next
        for i in range(400):
            prompt, name = text(), ("timed", i)
            start = perf_counter()
            manager.allocate(name, prompt)
            times["allocate"].append(perf_counter() - start)
            start = perf_counter()
            for token in range(32):
                manager.append(name, token)
            times["append"].append((perf_counter() - start) / 32)
            start = perf_counter()
            manager.free(name)
            times["free"].append(perf_counter() - start)
            start = perf_counter()
            manager.lookup(prompt)
            times["lookup_hit"].append(perf_counter() - start)
        gc.unfreeze()
        rows.append(
            {
                "num_blocks": num_blocks,
                **{f"{name}_us": 1e6 * statistics.median(values) for name, values in times.items()},
            }
        )
        del manager
    return rows
