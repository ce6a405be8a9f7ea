"""The leaking server of lesson 04: every block is held, lost or free, and only forgetting loses any."""

from __future__ import annotations

import pytest

from labkit.cache.block_pool import BlockPool
from labkit.specs.block_pool.leak import a_day, leak_picture


@pytest.mark.parametrize("forget", [0.0, 0.02, 0.2])
def test_what_is_neither_held_nor_free_was_forgotten(forget: float) -> None:
    day = a_day(BlockPool(200), forget=forget)
    assert min(day.lost) >= 0 and (day.lost[-1] > 0) == (forget > 0)
    assert day.lost == sorted(day.lost), "a lost block never comes back"
    assert len(day.served) + len(day.refused) == len(day.held) == 900


def test_the_same_requests_come_whatever_is_forgotten() -> None:
    healthy, leaking = a_day(BlockPool(200)), a_day(BlockPool(200), forget=0.02)
    assert len(leaking.served) < len(healthy.served)


def test_the_picture_says_what_it_shows_and_is_not_blank() -> None:
    picture = leak_picture({"one": a_day(BlockPool(50), steps=50), "two": a_day(BlockPool(50), steps=50, forget=0.3)})
    assert "0 of 50 blocks are lost" in repr(picture)
    assert picture._repr_png_().startswith(b"\x89PNG") and len(picture._repr_png_()) > 5000
