"""Prompts as tokens, some of them behind shared system prompts: the workload on which caches are timed.

A trace says how long prompts are and at best which of them begin alike. A cache that finds prefixes by their tokens
needs the tokens, and a benchmark needs them in a form that costs nothing to look at: bytes, four to a token, little
endian (`np.frombuffer(prompt, "<i4")` has the numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.simulate.block_ids import BlockIds
from labkit.simulate.traces import Trace
from labkit.simulate.workload import draw

TOKEN_BYTES = 4


@dataclass(frozen=True)
class TokenWorkload:
    """Requests with their tokens.

    Attributes:
        name, source: as in `Trace`.
        prompts: the tokens of each prompt, four little-endian bytes per token.
        answers: the tokens that each request generates, in the same form.
        arrival_s: float64, shape (n,): seconds since the first request, ascending.
        groups: int64, shape (n,): which system prompt a request stands behind, -1 for none.
    """

    name: str
    source: str
    prompts: tuple[bytes, ...]
    answers: tuple[bytes, ...]
    arrival_s: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.prompts)

    def __repr__(self) -> str:
        return f"TokenWorkload({self.name}: {len(self):,} requests)"

    def trace(self, block_tokens: int) -> Trace:
        """The same requests as a trace with hash_ids, for replays that do without tokens."""
        return Trace(
            name=self.name,
            source=self.source,
            arrival_s=self.arrival_s,
            input_tokens=_lengths(self.prompts),
            output_tokens=_lengths(self.answers),
            hash_ids=ids_of_prompts(self.prompts, block_tokens),
            block_tokens=block_tokens,
        )


def system_prompts(
    num_requests: int = 2000,
    lengths: Trace | None = None,
    num_prompts: int = 20,
    prompt_tokens: int = 512,
    share: float = 0.5,
    vocabulary: int = 50_000,
    seed: int = 0,
) -> TokenWorkload:
    """Requests of which a share stands behind one of a few system prompts; everything else in them is random.

    Args:
        num_requests: how many, 1 or more; no more than `lengths` has.
        lengths: a trace whose first requests say how long the private part of each prompt and each answer is (an Azure
            trace, say); None draws them with `labkit.simulate.workload.draw` and the same seed. Where it says 0 tokens
            of prompt, 1 is taken.
        num_prompts: system prompts, all equally popular.
        prompt_tokens: tokens of each. They come in front of the private part: a request behind one is that much longer.
        share: the probability that a request stands behind one, from 0 to 1.
        vocabulary: token ids are drawn from 0 to vocabulary - 1.
        seed: equal seeds give equal requests, and more requests continue the fewer.

    Raises:
        LabkitError: a number that makes no sense, or a trace with too few requests.
    """
    num_requests, num_prompts, prompt_tokens, vocabulary = (
        whole_number(value, name, at_least=1, error=LabkitError)
        for name, value in (
            ("num_requests", num_requests),
            ("num_prompts", num_prompts),
            ("prompt_tokens", prompt_tokens),
            ("vocabulary", vocabulary),
        )
    )
    seed = whole_number(seed, "seed", error=LabkitError)
    if vocabulary > 2**31:
        raise LabkitError(f"vocabulary is {vocabulary:,}, but a token id has 31 bits: pass at most {2**31:,}.")
    if not (isinstance(share, Real) and 0 <= share <= 1):
        raise LabkitError(f"share is {share!r}, but must be a number from 0 to 1: pass one that is.")
    lengths = draw(num_requests, seed) if lengths is None else lengths.head(num_requests)
    if len(lengths) < num_requests:
        raise LabkitError(
            f"The trace {lengths.name} has {len(lengths):,} requests, but {num_requests:,} are wanted: ask for fewer."
        )
    shared, private, who = np.random.default_rng(seed).spawn(3)

    def tokens(rng: np.random.Generator, count: int) -> bytes:
        return rng.integers(vocabulary, size=count).astype("<i4").tobytes()

    systems = [tokens(shared, prompt_tokens) for _ in range(num_prompts)]
    # Two numbers per request, used or not, so that more requests continue the fewer.
    behind, which = who.random((num_requests, 2)).T
    groups = np.where(behind < share, (which * num_prompts).astype(np.int64), -1)
    prompts, answers = [], []
    for group, inputs, outputs in zip(groups, lengths.input_tokens, lengths.output_tokens, strict=True):
        prompts.append((systems[group] if group >= 0 else b"") + tokens(private, max(1, inputs)))
        answers.append(tokens(private, outputs))
    return TokenWorkload(
        name=f"{num_prompts:,} system prompts of {prompt_tokens:,} tokens",
        source=f"lengths: {lengths.source}; tokens random, seed {seed}",
        prompts=tuple(prompts),
        answers=tuple(answers),
        arrival_s=lengths.arrival_s,
        groups=groups,
    )


def ids_of_prompts(prompts: Sequence[bytes], block_tokens: int) -> BlockIds:
    """Block ids of prompts given as tokens: equal exactly where everything up to the end of the block is equal.

    Args:
        prompts: four bytes per token.
        block_tokens: tokens per block, 1 or more. A part-filled last block has an id too, which equals no full block's.
    """
    size = whole_number(block_tokens, "block_tokens", at_least=1, error=LabkitError) * TOKEN_BYTES
    ids: dict[tuple[int, bytes], int] = {}
    rows = []
    for prompt in prompts:
        before, row = -1, []
        for start in range(0, len(prompt), size):
            before = ids.setdefault((before, prompt[start : start + size]), len(ids))
            row.append(before)
        rows.append(row)
    return BlockIds.of(rows)


def _lengths(texts: Sequence[bytes]) -> np.ndarray:
    return np.fromiter((len(text) // TOKEN_BYTES for text in texts), np.int64, len(texts))
