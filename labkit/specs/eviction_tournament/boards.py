"""The traces that lesson 09 shows on its boards, and the function that serves them under every policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.cache.base import EvictionPolicy
from labkit.cache.eviction_policies import POLICIES
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.prefix_patterns import cyclic_scan, multi_turn, one_time_scan, zipf
from labkit.simulate.prefix_workload import draw_conversations
from labkit.simulate.tournament import curves

OPENING = {
    "popular": "a few prompts are popular, most are rare",
    "scan": "a scan of prompts that come once, amid others that come again",
    "chats": "conversations that grow and go on at the same time",
}
"""Of the traces at the beginning, what each is. The ring is not among them: a prediction asks about it first."""
SIZES = [25, 50, 100, 200, 400]
"""Blocks. Everything fits into less than twice the last."""

LARGE = {
    "drawn": "400 drawn requests with the prefixes of a production trace",
    "long scan": "800 prompts that come once, amid 200 that come again",
    "long ring": "900 prompts of four blocks, one after the other, five times",
}
"""Of the traces at the end, what each is. None fits into any of the sizes, and no size shows all policies equal."""
LARGE_SIZES = [800, 1200, 1600, 2400, 3200]

TRACES = {
    "popular": requests_of(zipf(600, 150, seed=1)),
    "scan": requests_of(one_time_scan(12, 60, 100, 4, seed=1)),
    "chats": requests_of(multi_turn(60, seed=1)),
    "ring": requests_of(cyclic_scan(110, 12)),
    "drawn": requests_of(draw_conversations(400, seed=5)),
    "long scan": requests_of(one_time_scan(200, 800, 1000, 4, seed=1)),
    "long ring": requests_of(cyclic_scan(900, 5, 4)),
}
"""Block ids of each request's prompt."""


def every_policy(**more: Callable[[int], EvictionPolicy]) -> Callable[[str, list[int]], dict[str, dict[str, Any]]]:
    """What a `TournamentBoard` asks: these traces under each built-in policy, those given beside them, and Belady's."""
    return curves(TRACES, {**POLICIES, **more, "Belady": None})
