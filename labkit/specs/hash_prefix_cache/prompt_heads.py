"""Prompts that begin alike, or would if their first lines did not change: what a volatile head does to the hit rate.

Each request has the same instructions and the same tools, and a question of its own. The ways to write the prompt
differ in what stands in front of the part that all have in common.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from labkit.engine import kv_cache_manager
from labkit.errors import CacheError

INSTRUCTIONS, TOOL, QUESTION, STAMP = 384, 32, 40, 8
"""Tokens of the instructions, of one tool, of a question, and of a date or an id."""

TOOLS = 4
REQUESTS_A_DAY = 100


def _words(rng: random.Random, n: int) -> list[int]:
    return [rng.randrange(100, 49_000) for _ in range(n)]


class _Parts:
    """What requests are written from; `request` counts them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.instructions = _words(self.rng, INSTRUCTIONS)
        self.tools = [_words(self.rng, TOOL) for _ in range(TOOLS)]
        self.days: dict[int, list[int]] = {}

    def date(self, request: int) -> list[int]:
        """The same for all requests of a day."""
        return self.days.setdefault(request // REQUESTS_A_DAY, _words(self.rng, STAMP))

    def tool_list(self, shuffled: bool) -> list[int]:
        order = self.rng.sample(self.tools, TOOLS) if shuffled else self.tools
        return [token for tool in order for token in tool]


HEADS: dict[str, Callable[[_Parts, int], list[int]]] = {
    "nothing volatile": lambda p, i: p.tool_list(False) + p.instructions,
    "a date in front": lambda p, i: p.date(i) + p.tool_list(False) + p.instructions,
    "a request id in front": lambda p, i: _words(p.rng, STAMP) + p.tool_list(False) + p.instructions,
    "tools in any order": lambda p, i: p.tool_list(True) + p.instructions,
    "the request id after the instructions": lambda p, i: p.tool_list(False) + p.instructions + _words(p.rng, STAMP),
}
"""Ways to write the prompt, by what changes from request to request."""


def prompts(head: str, requests: int = 400, seed: int = 7) -> Iterator[list[int]]:
    """Prompts as token ids.

    Raises:
        CacheError: no such head.
    """
    if head not in HEADS:
        raise CacheError(f"There is no head {head!r}: name one of {', '.join(map(repr, HEADS))}.")
    parts = _Parts(seed)
    for request in range(requests):
        yield HEADS[head](parts, request) + _words(parts.rng, QUESTION)


def hit_rate(head: str, num_blocks: int = 512, block_size: int = 16, requests: int = 400, seed: int = 7) -> float:
    """The share of all prompt tokens that come from the cache, one request after the other."""
    manager = kv_cache_manager(num_blocks, block_size)
    for request, prompt in enumerate(prompts(head, requests, seed)):
        if not manager.allocate(request, prompt):
            raise CacheError(f"A prompt of {len(prompt)} tokens has no room in {num_blocks} blocks: give it more.")
        manager.free(request)
    counters = manager.counters
    return counters.hit_tokens / counters.queried_tokens
