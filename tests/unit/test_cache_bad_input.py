"""What policies and the functions of the lessons refuse, in one sentence each."""

from __future__ import annotations

import pytest

from labkit.cache.belady import Belady, belady_victim
from labkit.cache.eviction_policies import GDSF, SLRU
from labkit.cache.hash_prefix_cache import chain_hashes
from labkit.errors import CacheError, PolicyError


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: SLRU(4, "half"), "protected share is 'half'"),
        (lambda: SLRU(4, None), "protected share"),
        (lambda: SLRU(0), "num_blocks"),
        (lambda: GDSF(3), "cost is 3"),
    ],
)
def test_settings_of_policies(make, why):
    with pytest.raises(PolicyError, match=why):
        make()


@pytest.mark.parametrize(
    "future",
    [5, None, [5], [[1, 2], None], [[[1]]], {1: [2]}, (request for request in [[1]])],
    ids=lambda future: f"{future!r:.20}",
)
def test_a_future_that_belady_cannot_know(future):
    with pytest.raises(PolicyError, match=r"future is .* list of requests"):
        Belady(future)


@pytest.mark.parametrize(
    ("cached", "future", "why"),
    [
        ({}, [], "cached is {}, but"),
        (None, [1], "cached is None, but"),
        ([1, 2], [1], r"cached is \[1, 2\], but"),
        ({1: 0}, None, "future is None, but"),
        ({1: 0}, 7, "future is 7, but"),
        ({1: 0}, [[1]], r"future is \[\[1\]\], but"),
    ],
)
def test_no_victim_without_a_cache_and_a_future(cached, future, why):
    with pytest.raises(PolicyError, match=why):
        belady_victim(cached, future)


@pytest.mark.parametrize("page_bytes", [0, -1, 1.5, None])
def test_pages_of_a_chain_have_bytes(page_bytes):
    with pytest.raises(CacheError, match=r"page_bytes is .* whole number, 1 or more"):
        chain_hashes(bytes(8), page_bytes)
