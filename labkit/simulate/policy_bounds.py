"""What may be asked of an eviction policy whatever its ranking: time that does not grow with the cache, memory that
does not grow with the past, and nothing imported that reaches beyond what it is told.

Time is a ratio inside one run: that in a cache of `LARGE` blocks to that in one of `SMALL`, each the median of many
short pieces. So a slow machine does not change the verdict, and a busy one interrupts only a few of the pieces. A look
at all blocks makes the ratio nearly LARGE / SMALL, a heap or a linked list leaves it near 1.

Memory is what Python has handed out to the whole process, by `tracemalloc`, so it does not matter where something is
kept: in the policy, in a closure, in a module's global or in an object made by C.
"""

from __future__ import annotations

import ast
import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from labkit.errors import PolicyError

MODULES = (
    "__future__", "abc", "bisect", "collections", "collections.abc", "dataclasses", "enum", "functools", "heapq",
    "itertools", "labkit.cache.eviction", "labkit.errors", "math", "operator", "random", "typing",
)  # fmt: skip
"""What the process of a tournament has loaded for a policy; it cannot load anything else."""
OWN_PARTS = "labkit.mine"
_NOT_THERE = ("open", "input", "eval", "exec", "compile", "__import__", "breakpoint")

SMALL, LARGE = 512, 4096
"""Blocks of the two caches that are compared."""
SLOWER = 3.0
"""How many times the time at SMALL a block may take at LARGE, where there are LARGE / SMALL = 8 times as many."""
_PIECES, _TURNS = 256, 8  # pieces that are timed, each too short to be interrupted often; evictions and hits in each
_ROUNDS = 3  # a round that another process disturbed is made good by the next
_LONG_SECONDS = 1.0  # a run of this length is beyond disturbance, and is cut

BLOCKS = 64
"""Blocks of the cache under which memory is looked at."""
HALF = 8_000
"""Evictions, and then hits, in each of the two halves that are compared."""
MORE, SLACK_BYTES = 1.1, 2_048
"""The second half may need this many times the memory of the first, and this many bytes."""
_RUNS = 3  # what another thread of the process hands out counts too; what a policy keeps grows in each of the runs


class Feed:
    """Tells a policy what a cache of `num_blocks` blocks would that serves prompts of one block each.

    Args:
        policy: has add, remove and evict; stored, hit and released where it wants to know.
    """

    def __init__(self, policy: Any, num_blocks: int) -> None:
        self.policy = policy
        self.num_blocks = num_blocks
        self.stored = getattr(policy, "stored", _ignored)
        self.found = getattr(policy, "hit", _ignored)
        self.released = getattr(policy, "released", _ignored)
        for block in range(num_blocks):
            self._store(block)

    def miss(self) -> None:
        """A new content takes the place of the victim.

        Raises:
            PolicyError: the victim is no block of the cache.
        """
        block = self.policy.evict()
        if type(block) is not int or not 0 <= block < self.num_blocks:
            raise PolicyError(f"evict() named {block!r:.60}, which is no block of the cache: name one that was added.")
        self._store(block)

    def drain(self) -> None:
        """All blocks are evicted, one after another, and stored anew.

        Raises:
            PolicyError: the victims are not each of the blocks once.
        """
        left = set(range(self.num_blocks))
        while left:
            try:
                block = self.policy.evict()
            except Exception as error:
                raise PolicyError(
                    f"evict() raised {type(error).__name__} while {len(left)} of {self.num_blocks} blocks could still "
                    "go: each that was added and not removed since is named in the end."
                ) from None
            if block not in left:
                raise PolicyError(
                    f"Where all {self.num_blocks} blocks go, one after another, evict() named {block!r:.60}, which "
                    "had gone: each is named once."
                )
            left.remove(block)
        for block in range(self.num_blocks):
            self._store(block)

    def hit(self, number: int) -> None:
        """A block is found, held and let go of; the numbers 0, 1, 2, ... go through all of them, in no order."""
        block = number * 2_654_435_761 % self.num_blocks
        self.policy.remove(block)
        self.found([block])
        self.released([block])
        self.policy.add(block)

    def _store(self, block: int) -> None:
        self.stored([block], 0)
        self.released([block])
        self.policy.add(block)


def _ignored(*args: Any) -> None:
    pass


@dataclass(frozen=True)
class TimeGrowth:
    """Time for an eviction and a hit, in microseconds."""

    small_us: float
    large_us: float

    @property
    def ratio(self) -> float:
        return self.large_us / max(self.small_us, 1e-9)

    @property
    def sentence(self) -> str:
        """What is wrong, or "" where nothing is."""
        if self.ratio <= SLOWER:
            return ""
        return (
            f"An eviction and a hit take {self.ratio:.1f} times as long at {LARGE:,} blocks as at {SMALL:,}, and at "
            f"most {SLOWER:g} times is allowed. Look for a loop over all blocks, or for min, sorted or list, "
            "or `in` or remove on a list."
        )


def time_growth(make: Callable[[int], Any]) -> TimeGrowth:
    """How the time for a block grows with the cache: the best of some rounds, at both sizes.

    Args:
        make: the policy for a cache of so many blocks.
    """
    best = {SMALL: float("inf"), LARGE: float("inf")}
    collecting = gc.isenabled()
    gc.disable()
    try:
        # Once more at the small size: where that was disturbed, anything would pass.
        best[SMALL] = _turn_us(Feed(make(SMALL), SMALL))
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            for blocks in best:
                best[blocks] = min(best[blocks], _turn_us(Feed(make(blocks), blocks)))
            if best[LARGE] <= SLOWER * best[SMALL] or time.perf_counter() - start > _LONG_SECONDS:
                break
    finally:
        if collecting:
            gc.enable()
    return TimeGrowth(best[SMALL], best[LARGE])


def _turn_us(feed: Feed) -> float:
    """Microseconds for an eviction and a hit."""
    pieces: list[float] = []
    while len(pieces) < _PIECES and sum(pieces) < _LONG_SECONDS:
        start = time.perf_counter()
        for turn in range(_TURNS):
            feed.miss()
            feed.hit(len(pieces) * _TURNS + turn)
        pieces.append(time.perf_counter() - start)
    return median(pieces) / _TURNS * 1e6


@dataclass(frozen=True)
class MemoryGrowth:
    """Most bytes that were kept in the first and in the second half of a phase.

    Attributes:
        phase: "evictions" or "hits".
    """

    phase: str
    first_bytes: int
    second_bytes: int

    @property
    def sentence(self) -> str:
        """What is wrong, or "" where nothing is."""
        if self.second_bytes <= MORE * self.first_bytes + SLACK_BYTES:
            return ""
        remedy = {
            "evictions": "forget what has been evicted",
            "hits": "what a hit leaves behind, a note or a worthless entry, has to go although nothing is evicted",
        }[self.phase]
        return (
            f"For a cache of {BLOCKS} blocks {self.first_bytes / 1000:,.0f} kB are kept after {HALF:,} {self.phase}, "
            f"and {self.second_bytes / 1000:,.0f} kB after {2 * HALF:,}: {remedy}."
        )


PHASES = ("evictions", "hits")


def memory_growth(make: Callable[[int], Any], phases: Sequence[str] = PHASES) -> MemoryGrowth:
    """What is kept under evictions alone, and then under hits alone: the first phase in which it grows, or the last.

    Memory that grows is looked at again with a fresh policy, since it may be another thread's.

    Args:
        make: as for `time_growth`.
        phases: those of `PHASES` to go through.
    """
    for _ in range(_RUNS):
        growth = _memory_once(make, phases)
        if not growth.sentence:
            break
    return growth


def _memory_once(make: Callable[[int], Any], phases: Sequence[str]) -> MemoryGrowth:
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    base = tracemalloc.get_traced_memory()[0]
    try:
        feed = Feed(make(BLOCKS), BLOCKS)
        for phase in phases:
            most = [0, 0]
            for turn in range(2 * HALF):
                if phase == "hits":
                    feed.hit(turn)
                else:
                    feed.miss()
                if turn % 32 == 0:
                    half = turn // HALF
                    most[half] = max(most[half], tracemalloc.get_traced_memory()[0] - base)
            feed.drain()
            growth = MemoryGrowth(phase, *most)
            if growth.sentence:
                break
        return growth
    finally:
        if not tracing:
            tracemalloc.stop()


def reaches_beyond(text: str, whose: str = "") -> str:
    """What a policy's text uses that the process of a tournament does not have, as a sentence; "" where nothing.

    The sentence comes early and names the line. What holds is the process itself (`labkit.simulate.policy_worker`).

    Args:
        text: Python that can be compiled.
        whose: the cell that the text is from, where it is not the policy's own: "your LRU".
    """
    where = f" of {whose}" if whose else ""
    tree = ast.parse(text)
    imported = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if hidden := _hidden(node, imported):
            line = getattr(node, "lineno", 0)
            return f"Line {line}{where} uses {hidden}, a name of a module's own that leads beyond it: do without."
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        elif isinstance(node, ast.Name) and node.id in _NOT_THERE:
            return f"Line {node.lineno}{where} uses {node.id}, which reaches beyond what a policy is told: do without."
        for name in names:
            if name not in (*MODULES, OWN_PARTS):
                usable = ", ".join(module for module in MODULES if not module.startswith(("_", "labkit")))
                line = getattr(node, "lineno", 0)
                return (
                    f"Line {line}{where} imports {name}, which the process of a tournament does not have: it "
                    f"has {usable} and your own LRU."
                )
    return ""


def _hidden(node: ast.AST, imported: set[str]) -> str:
    """A name with an underscore in front that is taken out of something imported; "" where there is none."""
    if isinstance(node, ast.ImportFrom) and node.module != "__future__":
        return next((alias.name for alias in node.names if alias.name.startswith("_")), "")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
        return f"{node.value.id}.{node.attr}" if node.attr.startswith("_") else ""
    return ""


def names_lru(text: str) -> bool:
    """Whether a policy's text builds on LRU, so that it has to be there."""
    return any(
        (isinstance(node, ast.Name) and node.id == "LRU")
        or (isinstance(node, ast.ImportFrom) and any(alias.name == "LRU" for alias in node.names))
        for node in ast.walk(ast.parse(text))
    )
