"""Made-up conversations whose prompts begin alike, with the shape of real ones.

Production traces with lengths only (`labkit.simulate.workload`) say nothing of which prompts share a beginning, and a
prefix cache lives on nothing else. Here requests are drawn, with a seed and without a file, in the manner of the
Mooncake conversation trace, on which every statistic below was measured.

What makes prompts alike in that trace, and so here:

- *A system prompt.* The first 512 tokens are the same in all 12,031 requests.
- *Conversations.* A third of all requests extend an earlier prompt: it comes again with the answer and a new message
  behind it. The longer a conversation has been going on, the likelier it goes on; half of the next turns come within
  two minutes, one in twenty after ten.
- *Branches.* One request in seventeen keeps only the front of an earlier prompt (half of them less than a quarter of
  it) and goes on with a long text of its own: a document or a form asked about in different ways.
- The other three in five share the system prompt and nothing else: many short, some of over a hundred thousand tokens.

Kept of the trace are these kinds, the lengths, and the times between one prompt and the one that extends it, which
are the reuse distances that a cache sees. How popular a block is follows from them: most are asked for once. Not kept:
the trace's clock, which ticks in steps of seconds so that arrivals come in bunches (here new conversations come as a
Poisson process), and any relation between lengths, gaps and answers beyond those named in `ConversationShape`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.simulate.block_ids import BlockIds
from labkit.simulate.trace import Trace

T = TypeVar("T")
Quantiles = tuple[tuple[float, float], ...]
"""Rows (share, value): this share of the cases is at most so large. Shares rise from 0 to 1; lines join the rows."""


@dataclass(frozen=True)
class ConversationShape:
    """How conversations run.

    Attributes:
        name, source: as in `Trace`.
        block_tokens: tokens that one block id stands for.
        system_tokens: tokens of the prompt with which every conversation begins.
        conversations_per_s: how many begin.
        first: quantiles of the tokens of a conversation's first prompt, the system prompt among them.
        goes_on: rows (tokens, probabilities): so likely is the first, second, ... prompt of a conversation to be
            extended by a next turn, where it is not longer than so many tokens (and longer than the row before says);
            the last number holds for all later prompts.
        added: quantiles of the tokens by which a prompt is longer than the one it extends (answer and new message).
        gap_s: quantiles of the seconds between the two.
        branches: rows (tokens, probability): so likely is a prompt that is not extended, and is not longer than so
            many tokens (and longer than the row before says), to be branched from once.
        branch_goes_on: the probability that a branch is itself extended by a next turn.
        kept: quantiles of the share of its blocks that the branch keeps.
        branch_added: quantiles of the tokens of the branch behind what it keeps.
        branch_gap_s: quantiles of the seconds between the two.
        output: quantiles of the tokens of an answer.
        max_prompt_tokens: no prompt is longer; a conversation that would pass it ends.
    """

    name: str
    source: str
    block_tokens: int
    system_tokens: int
    conversations_per_s: float
    first: Quantiles
    goes_on: tuple[tuple[int, tuple[float, ...]], ...]
    added: Quantiles
    gap_s: Quantiles
    branches: tuple[tuple[int, float], ...]
    branch_goes_on: float
    kept: Quantiles
    branch_added: Quantiles
    branch_gap_s: Quantiles
    output: Quantiles
    max_prompt_tokens: int


# Measured so: a request extends the last one that used its deepest block seen before if that block is the last full one
# of that request or the one beside it, and it is deeper than the system prompt; it is a branch if it is less deep. The
# probabilities are over the requests of the first 40 of the trace's 59 minutes, since the next turn of a late one may
# lie behind its end.
MOONCAKE_CONVERSATION = ConversationShape(
    name="conversations (drawn)",
    source=(
        "drawn from statistics of the Mooncake conversation trace "
        "(12,031 requests, github.com/kvcache-ai/Mooncake, FAST'25 release, Apache-2.0)"
    ),
    block_tokens=512,
    system_tokens=512,
    conversations_per_s=2.08,
    first=(
        (0, 891), (0.05, 897), (0.1, 905), (0.15, 943), (0.2, 1_092), (0.25, 1_336), (0.3, 1_757), (0.4, 3_913),
        (0.5, 5_264), (0.6, 7_418), (0.7, 10_771), (0.75, 13_056), (0.8, 15_871), (0.85, 19_437), (0.9, 25_559),
        (0.95, 38_494), (0.98, 67_126), (0.99, 89_868), (0.995, 111_632), (0.999, 121_160), (1, 126_195),
    ),
    goes_on=(
        (2_048, (0.21, 0.50, 0.66)),
        (10_240, (0.36, 0.43, 0.62, 0.65, 0.69, 0.82)),
        (126_195, (0.27, 0.36, 0.50, 0.59, 0.71, 0.79)),
    ),
    added=(
        (0, 0), (0.01, 0), (0.05, 20), (0.1, 64), (0.15, 124), (0.2, 192), (0.25, 260), (0.3, 313), (0.4, 395),
        (0.5, 471), (0.6, 553), (0.7, 684), (0.75, 831), (0.8, 1_290), (0.85, 2_845), (0.9, 4_599), (0.95, 7_339),
        (0.98, 11_877), (0.99, 16_994), (0.995, 22_493), (0.999, 37_730), (1, 91_918),
    ),
    gap_s=(
        (0, 0), (0.01, 12), (0.05, 27), (0.1, 39), (0.15, 51), (0.2, 57), (0.25, 66), (0.3, 75), (0.4, 96), (0.5, 123),
        (0.6, 162), (0.7, 225), (0.75, 267), (0.8, 318), (0.85, 387), (0.9, 474), (0.95, 606), (0.98, 971),
        (0.99, 1_455), (0.995, 1_909), (0.999, 2_668), (1, 3_030),
    ),
    branches=((7_168, 0.015), (14_336, 0.153), (40_960, 0.214), (126_195, 0.073)),
    branch_goes_on=0.16,
    kept=(
        (0, 0.015), (0.05, 0.053), (0.1, 0.068), (0.2, 0.097), (0.3, 0.129), (0.4, 0.167), (0.5, 0.214), (0.6, 0.29),
        (0.7, 0.4), (0.75, 0.452), (0.8, 0.519), (0.85, 0.677), (0.9, 0.833), (0.95, 0.906), (0.99, 0.957), (1, 0.986),
    ),
    branch_added=(
        (0, 10), (0.01, 422), (0.05, 896), (0.1, 1_773), (0.15, 3_780), (0.2, 4_985), (0.3, 7_016), (0.4, 8_542),
        (0.5, 9_567), (0.6, 10_940), (0.7, 13_680), (0.8, 15_906), (0.9, 19_891), (0.95, 26_341), (0.98, 31_247),
        (0.99, 39_348), (0.995, 46_327), (1, 94_968),
    ),
    branch_gap_s=(
        (0, 3), (0.01, 18), (0.05, 36), (0.1, 48), (0.2, 66), (0.3, 81), (0.4, 97), (0.5, 120), (0.6, 153), (0.7, 210),
        (0.8, 313), (0.9, 534), (0.95, 704), (0.98, 1_173), (0.99, 1_792), (1, 2_409),
    ),
    output=(
        (0, 1), (0.01, 3), (0.05, 10), (0.1, 24), (0.15, 46), (0.2, 100), (0.25, 156), (0.3, 213), (0.4, 291),
        (0.5, 350), (0.6, 399), (0.7, 447), (0.8, 504), (0.9, 597), (0.95, 698), (0.98, 892), (0.99, 1_119),
        (0.995, 1_568), (0.999, 2_000), (1, 2_000),
    ),
    max_prompt_tokens=126_195,
)  # fmt: skip


@dataclass
class _Prompt:
    """A request that is due.

    Attributes:
        turn: which prompt of its conversation it is, from 1; a branch is 0, and the prompt that extends it 2.
        blocks: ids of the blocks that it shares with an earlier prompt.
        tokens: its length.
    """

    turn: int
    blocks: list[int]
    tokens: int


def draw_conversations(num_requests: int, seed: int = 0, shape: ConversationShape = MOONCAKE_CONVERSATION) -> Trace:
    """Draw the first `num_requests` requests of conversations that begin at time 0.

    Nothing is cached and nobody is in the middle of a conversation at time 0, as at the beginning of a trace.

    Args:
        num_requests: 1 or more.
        seed: equal seeds give equal requests, and more requests continue the fewer; 0 or more.
        shape: what to draw from.

    Returns:
        A trace with hash_ids: an id stands for `shape.block_tokens` tokens and everything before them. The last block
        of a prompt may be part filled; then only the same prompt has it too.

    Raises:
        LabkitError: a number that makes no sense.
    """
    num_requests = whole_number(num_requests, "num_requests", at_least=1, error=LabkitError)
    rng = np.random.default_rng(whole_number(seed, "seed", error=LabkitError))
    arrivals, firsts, follows, outputs = rng.spawn(4)
    size = shape.block_tokens
    system = list(range(shape.system_tokens // size))
    next_id = len(system)

    due: list[tuple[float, int, _Prompt]] = []  # a heap by time; the number keeps equal times in order
    number = 0
    new_at = float(arrivals.exponential(1 / shape.conversations_per_s))
    times: list[float] = []
    ids: list[list[int]] = []
    inputs: list[int] = []
    while len(times) < num_requests:
        if due and due[0][0] <= new_at:
            now, _, prompt = heapq.heappop(due)
        else:
            now = new_at
            new_at += float(arrivals.exponential(1 / shape.conversations_per_s))
            prompt = _Prompt(1, system, round(_at(shape.first, firsts.random())))
        new_blocks = -(-prompt.tokens // size) - len(prompt.blocks)
        blocks = [*prompt.blocks, *range(next_id, next_id + new_blocks)]
        next_id += new_blocks
        times.append(now)
        ids.append(blocks)
        inputs.append(prompt.tokens)

        # Five numbers per request, used or not: so one request's fate does not shift the numbers of the next.
        goes_on, branches, gap, added, kept = follows.random(5).tolist()
        later = None
        if goes_on < _goes_on(shape, prompt):
            tokens = prompt.tokens + round(_at(shape.added, added))
            # Only full blocks are the next prompt's too: its text goes on in the middle of the last one. Unless
            # nothing is added, and the same prompt comes again.
            again = blocks if tokens == prompt.tokens else blocks[: prompt.tokens // size]
            later = _Prompt(max(prompt.turn, 1) + 1, again, tokens)
            wait = _at(shape.gap_s, gap)
        elif branches < _for_length(shape.branches, prompt.tokens):
            front = blocks[
                : min(max(len(system) + 1, round(_at(shape.kept, kept) * len(blocks))), prompt.tokens // size)
            ]
            later = _Prompt(0, front, len(front) * size + round(_at(shape.branch_added, added)))
            wait = _at(shape.branch_gap_s, gap)
        if later is not None and later.tokens <= shape.max_prompt_tokens:
            number += 1
            heapq.heappush(due, (now + wait, number, later))

    arrival_s = np.array(times)
    answers = np.interp(outputs.random(num_requests), *np.array(shape.output).T)
    return Trace(
        name=shape.name,
        source=f"{shape.source}, seed {seed}",
        arrival_s=arrival_s - arrival_s[0],
        input_tokens=np.array(inputs, np.int64),
        output_tokens=np.rint(answers).astype(np.int64),
        hash_ids=BlockIds.of(ids),
        block_tokens=size,
    )


def _goes_on(shape: ConversationShape, prompt: _Prompt) -> float:
    if prompt.turn == 0:
        return shape.branch_goes_on
    by_turn = _for_length(shape.goes_on, prompt.tokens)
    return by_turn[min(prompt.turn, len(by_turn)) - 1]


def _for_length(rows: Sequence[tuple[int, T]], tokens: int) -> T:
    """What the first row says that speaks of prompts so long; the last speaks of all longer ones."""
    return next((value for most, value in rows if tokens <= most), rows[-1][1])


def _at(quantiles: Quantiles, share: float) -> float:
    """The value below which this share of the cases lies."""
    place = min(bisect_right(quantiles, (share, np.inf)), len(quantiles) - 1)
    (low, before), (high, after) = quantiles[place - 1], quantiles[place]
    return before + (after - before) * (share - low) / (high - low)
