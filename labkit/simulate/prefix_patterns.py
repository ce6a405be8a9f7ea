"""Small workloads whose one property is known beforehand: what each cache policy is good or bad at.

Each is a `Trace` with hash_ids, seeded where anything is random, and small enough to replay in a moment. Equal ids mean
equal prefixes; all blocks are full but where a function says otherwise. Answers are one token long, and requests come
evenly: only their order matters here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real

import numpy as np

from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.simulate.block_ids import BlockIds
from labkit.simulate.trace import Trace

BLOCK_TOKENS = 512
ARRIVALS_PER_S = 4.0


def cyclic_scan(num_prompts: int = 1100, rounds: int = 10, blocks_per_prompt: int = 1) -> Trace:
    """The same prompts over and over, in the same order: a nightly batch job, or a crawler.

    With one block more in the round than the cache holds, LRU has always just thrown out what comes next and finds
    nothing at all, while random eviction finds most of it. Over many rounds of N single blocks through C slots, random
    eviction hits the share h that solves h = exp(-(1 - h) N / C): between two uses of a block there are (1 - h) N
    misses, and it survives each with probability 1 - 1 / C. For 1,100 over 1,000 that is 0.82.

    Args:
        num_prompts: prompts in a round, which share nothing.
        rounds: how often each comes.
        blocks_per_prompt: blocks of each.

    Raises:
        LabkitError: a number below 1, as in all functions here.
    """
    num_prompts, rounds, blocks_per_prompt = _counts(
        num_prompts=num_prompts, rounds=rounds, blocks_per_prompt=blocks_per_prompt
    )
    order = np.tile(np.arange(num_prompts), rounds)
    return _trace(f"cyclic scan of {num_prompts * blocks_per_prompt:,} blocks", _prompts(order, blocks_per_prompt))


def one_time_scan(
    working_set: int = 50, scan: int = 400, warm: int = 500, blocks_per_prompt: int = 8, seed: int = 0
) -> Trace:
    """A warm working set, a scan of prompts that come once, and the working set again.

    Somebody runs an evaluation through the server that others chat with. LRU lets the scan push out everything that
    was in use; a policy that asks for a second use before it trusts a block keeps it.

    Args:
        working_set: prompts that are asked for again and again, each as often as the others, in random order.
        scan: prompts in the scan.
        warm: requests to the working set before the scan, and again as many after it.
        blocks_per_prompt: blocks of each prompt, of either kind.
        seed: of the order.

    Returns:
        warm + scan + warm requests.
    """
    working_set, scan, warm, blocks_per_prompt = _counts(
        working_set=working_set, scan=scan, warm=warm, blocks_per_prompt=blocks_per_prompt
    )
    before, after = _rng(seed).integers(working_set, size=(2, warm))
    order = np.concatenate([before, working_set + np.arange(scan), after])
    return _trace(f"scan of {scan:,} prompts", _prompts(order, blocks_per_prompt), seed)


def zipf(
    num_requests: int = 5000, num_prompts: int = 1000, exponent: float = 1.0, blocks_per_prompt: int = 4, seed: int = 0
) -> Trace:
    """A few popular prompts and many rare ones in random order: number k is asked for in proportion to k**-exponent.

    Nothing depends on what came just before, so how often a prompt was asked for is all there is to know of it: the
    home ground of LFU.

    Args:
        num_requests: how many.
        num_prompts: different prompts, which share nothing.
        exponent: 0 or more; 0 makes all equally popular.
        blocks_per_prompt: blocks of each.
        seed: of the order.
    """
    num_requests, num_prompts, blocks_per_prompt = _counts(
        num_requests=num_requests, num_prompts=num_prompts, blocks_per_prompt=blocks_per_prompt
    )
    if not (isinstance(exponent, Real) and 0 <= exponent < np.inf):
        raise LabkitError(f"exponent is {exponent!r}, but must be a number, 0 or more: pass one that is.")
    weights = np.arange(1, num_prompts + 1, dtype=np.float64) ** -float(exponent)
    shares = np.cumsum(weights) / weights.sum()
    order = np.minimum(np.searchsorted(shares, _rng(seed).random(num_requests), side="right"), num_prompts - 1)
    return _trace(f"Zipf, exponent {exponent:g}", _prompts(order, blocks_per_prompt), seed)


def multi_turn(
    conversations: int = 100,
    turns: int = 6,
    system_blocks: int = 1,
    first_blocks: int = 3,
    added_blocks: int = 2,
    seed: int = 0,
) -> Trace:
    """Conversations that go on at the same time, each prompt the whole of the one before and some blocks more.

    With room for all of them everything but the new blocks is found; with less, each turn finds what the turns of the
    others in between have left.

    Args:
        conversations: how many; the next turn is always of a random one that is not over.
        turns: prompts of each.
        system_blocks: blocks with which all of them begin, 0 or more.
        first_blocks: blocks of the first message.
        added_blocks: blocks by which each later prompt is longer: the answer and the next message.
        seed: of the order.
    """
    conversations, turns, first_blocks, added_blocks = _counts(
        conversations=conversations, turns=turns, first_blocks=first_blocks, added_blocks=added_blocks
    )
    system_blocks = whole_number(system_blocks, "system_blocks", error=LabkitError)
    longest = first_blocks + (turns - 1) * added_blocks
    order = _rng(seed).permutation(np.repeat(np.arange(conversations), turns))
    system = np.arange(system_blocks)
    turn = [0] * conversations
    rows = []
    for who in order.tolist():
        own = system_blocks + who * longest + np.arange(first_blocks + turn[who] * added_blocks)
        rows.append(np.concatenate([system, own]))
        turn[who] += 1
    return _trace(f"{conversations:,} conversations of {turns:,} turns", rows, seed)


def _prompts(order: Iterable[int], blocks: int) -> list[np.ndarray]:
    """For each prompt number the ids of its blocks, which no other prompt has."""
    return [np.arange(prompt * blocks, (prompt + 1) * blocks) for prompt in order]


def _trace(name: str, rows: Sequence[np.ndarray], seed: int | None = None) -> Trace:
    ids = BlockIds.of(rows)
    return Trace(
        name=name,
        source="made to have one property (labkit.simulate.prefix_patterns)"
        + ("" if seed is None else f", seed {seed}"),
        arrival_s=np.arange(len(rows)) / ARRIVALS_PER_S,
        input_tokens=ids.counts * BLOCK_TOKENS,
        output_tokens=np.ones(len(rows), np.int64),
        hash_ids=ids,
        block_tokens=BLOCK_TOKENS,
    )


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(whole_number(seed, "seed", error=LabkitError))


def _counts(**values: int) -> list[int]:
    return [whole_number(value, name, at_least=1, error=LabkitError) for name, value in values.items()]
