"""Conversations behind system prompts, and serving them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from labkit.engine import kv_cache_manager
from labkit.errors import LabkitError
from labkit.specs.radix_prefix_cache.chats import chats, serve


def test_equal_seeds_give_equal_prompts():
    assert chats(seed=3) == chats(seed=3) != chats(seed=4)


def test_turns_repeat_what_came_before_and_some_are_sent_twice():
    prompts = chats(conversations=20, systems=2, system_tokens=40)
    assert len({tuple(prompt[:40]) for prompt in prompts}) == 2
    assert all((len(prompt) - 40) % 8 == 0 for prompt in prompts)
    twice = sum(a == b for a, b in pairwise(prompts))
    assert 0 < twice < len(prompts) / 3
    longer = [p for p in prompts if any(len(q) < len(p) and p[: len(q)] == q for q in prompts)]
    assert longer, "a later turn begins with an earlier one"


def test_serve_gives_the_share_of_tokens_that_were_hit():
    manager = kv_cache_manager(64, block_size=4)
    assert serve(manager, [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6]]) == 4 / 10
    assert len(manager) == 0


def test_bad_input_is_named():
    with pytest.raises(LabkitError, match="conversations is 0"):
        chats(conversations=0)
    with pytest.raises(LabkitError, match="does not fit in 2 blocks"):
        serve(kv_cache_manager(2, block_size=4), [[1] * 20])
