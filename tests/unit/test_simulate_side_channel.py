"""The timing side channel: it is there without salts, and a salt takes every trace of it away."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.engine import kv_cache_manager
from labkit.errors import CacheError
from labkit.specs.hash_prefix_cache.side_channel import (
    Clock,
    Server,
    auc,
    dictionary,
    measure,
    side_channel_picture,
    steal,
)


def attacked(salts: bool, noise_ms: float, seed: int = 7) -> tuple[list[int], list[int]]:
    words = dictionary(12, 8)
    rng = random.Random(seed)
    secret = [rng.randrange(12) for _ in range(4)]
    server = Server(kv_cache_manager(4096, 8), Clock(noise_ms=noise_ms, seed=seed), salts)
    server.ask("victim", [t for s in secret for t in words[s]] + [1])
    return steal(server, words, 4)[0], secret


def test_a_secret_falls_block_by_block_without_a_salt_and_not_with_one():
    guesses, secret = attacked(salts=False, noise_ms=0.1)
    assert guesses == secret
    exact = [attacked(salts=True, noise_ms=0.1, seed=seed) for seed in range(20)]
    right = sum(g == s for guesses, secret in exact for g, s in zip(guesses, secret, strict=True))
    assert right < 0.25 * 80  # one in twelve by chance


def test_auc_counts_pairs():
    assert auc([1, 2], [3, 4]) == 1.0 and auc([3, 4], [1, 2]) == 0.0
    assert auc([1, 3], [2, 4]) == 0.75 and auc([5, 5], [5]) == 0.5
    with pytest.raises(CacheError, match="missing"):
        auc([], [1])


def test_longer_blocks_tell_more_and_a_salt_tells_nothing():
    aucs = [auc(*measure(size, salts=False)) for size in (1, 4, 16)]
    assert aucs[0] < aucs[1] < aucs[2] and aucs[2] > 0.97
    for size in (1, 4, 16):
        right, wrong = measure(size, salts=True)
        assert abs(auc(right, wrong) - 0.5) < 0.08
        # Without noise the times are equal to the last bit: nothing is left for a better clock to find.
        right, wrong = measure(size, salts=True, trials=5, noise_ms=0.0)
        assert set(right) == set(wrong)


def test_the_picture_says_its_numbers():
    picture = side_channel_picture({"no salt": measure(8, False, 10), "a salt": measure(8, True, 10)})
    assert "no salt, AUC" in picture.says and picture._repr_png_()[:4] == b"\x89PNG"


def test_a_prompt_that_does_not_fit_is_said():
    with pytest.raises(CacheError, match="no room"):
        Server(kv_cache_manager(1, 4), Clock()).ask("a", range(9))


prompts = st.lists(st.integers(0, 2), min_size=1, max_size=9)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("AB"), prompts, st.integers(0, 5)), max_size=14),
    st.sampled_from(["hash", "radix"]),
)
def test_what_one_tenant_does_changes_nothing_for_another(traffic, kind: str):
    """With a salt for each tenant, a tenant's hits are those it would have alone, where memory is not short."""

    def manager():
        return kv_cache_manager(400, 2, prefix_cache=kind, yours=False)

    shared, alone = manager(), {"A": manager(), "B": manager()}
    for i, (tenant, prompt, more) in enumerate(traffic):
        for world in (shared, alone[tenant]):
            assert world.allocate(i, prompt, salt=tenant.encode())
        for _ in range(more):  # what was short grows into full blocks, which must keep their salt
            shared.append(i, 1), alone[tenant].append(i, 1)
        shared.free(i), alone[tenant].free(i)
        for who in "AB":
            hits = [world.lookup([*prompt, 1, 1, 1], salt=who.encode()) for world in (shared, alone[who])]
            assert hits[0] == hits[1]
        assert shared.lookup([*prompt, 1, 1, 1]) == 0  # nobody without a salt ever sees any of it


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: dictionary(2, 0), "block_size is 0"),
        (lambda: dictionary(49_901, 1), "there are 49,900"),
        (lambda: dictionary(-1, 4), "size is -1"),
        (lambda: measure(0, False), "block_size is 0"),
        (lambda: measure(4, False, 0), "trials is 0"),
        (lambda: Clock(ms_per_token=-1), "ms_per_token is -1"),
        (lambda: Clock(noise_ms="loud"), "noise_ms is 'loud'"),
        (lambda: Clock(base_ms=float("nan")), "base_ms is nan"),
    ],
)
def test_numbers_that_make_no_sense(call, why):
    with pytest.raises(CacheError, match=why):
        call()
