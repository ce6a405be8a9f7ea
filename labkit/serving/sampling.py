"""Choosing the next token from logits.

Chance is keyed by (seed, request, position): the random number for a token depends on nothing else. Whether a request
runs alone or with thirty others, is preempted and computed again, or shares its prompt with another: it draws the
same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import GenerationError


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Args:
        temperature: 0 always takes the likeliest token (greedy); higher flattens the distribution.
        top_k: only the k likeliest tokens may be drawn; 0 allows all.
        top_p: only the smallest set of likeliest tokens with together at least this probability; 1 allows all
            (nucleus sampling: Holtzman et al., 2020).
        seed: another seed, another text.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise GenerationError(f"temperature is {self.temperature}, but must be 0 (greedy) or more: choose 0 to 2.")
        if self.top_k < 0:
            raise GenerationError(f"top_k is {self.top_k}, but must be 0 (all tokens) or more: choose 0 or say 50.")
        if not 0 < self.top_p <= 1:
            raise GenerationError(f"top_p is {self.top_p}, but must lie above 0 and be at most 1: choose say 0.9.")


GREEDY = Sampling()
"""Always the likeliest token."""


def sample(logits: Tensor, sampling: Sequence[Sampling], keys: Sequence[tuple[str, int]]) -> list[int]:
    """Choose one token for every sequence.

    Args:
        logits: [seqs, vocab_size], any floating dtype.
        sampling: how to choose, one per sequence.
        keys: (request, position of the token being chosen), one per sequence.

    Raises:
        GenerationError: a logit is NaN or +infinity. (-infinity is legal: that token is forbidden.)
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))  # PyTorch searches bf16 many times slower
    highest, best = wide.max(dim=-1)
    # The largest logit is NaN if any is, and infinite if nothing finite is left to choose.
    broken = ~torch.isfinite(highest)
    if broken.any():
        names = ", ".join(request for (request, _), bad in zip(keys, broken.tolist(), strict=True) if bad)
        raise GenerationError(
            f"The model's logits for request {names} are not finite, so no token can be chosen: "
            "weights or cached keys and values are damaged; load the model again and check what was changed last."
        )
    return [
        token if how.temperature == 0 else _draw(row, how, uniform(how.seed, request, position))
        for token, row, how, (request, position) in zip(best.tolist(), wide, sampling, keys, strict=True)
    ]


def uniform(seed: int, request: str, position: int) -> float:
    """A number in [0, 1) that looks random and depends on its three arguments only, on every machine alike."""
    digest = hashlib.blake2b(f"{seed}|{position}|{request}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53  # 53 bits: as many as a float holds exactly


def _draw(logits: Tensor, how: Sampling, u: float) -> int:
    """The token at which the running total of probabilities, likeliest first, passes `u`."""
    # fp64, so that the order of a sum over 50,000 probabilities does not decide which token is drawn. Taking off the
    # largest logit first keeps a very low temperature from overflowing.
    wide = logits.double()
    wide = (wide - wide.max()) / how.temperature
    probabilities, tokens = torch.softmax(wide, dim=-1).sort(descending=True, stable=True)
    if how.top_k:
        probabilities = probabilities[: how.top_k]
    total = probabilities.cumsum(0)
    if how.top_p < 1:
        # A token stays if those before it have not reached top_p yet; the first always stays.
        keep = total - probabilities < how.top_p * float(total[-1])
        total = total[: int(keep.sum())]
    index = int(torch.searchsorted(total, u * float(total[-1]), right=True))
    return int(tokens[min(index, len(total) - 1)])
