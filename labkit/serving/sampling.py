"""Choosing the next token from logits.

Chance is keyed by (seed, request, position): the random number for a token depends on nothing else. Whether a request
runs alone or with thirty others, is preempted and computed again, or shares its prompt with another: it draws the
same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
        min_p: only tokens with at least this share of the likeliest one's probability; 0 allows all (Nguyen et al.,
            2024).
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise GenerationError(f"temperature is {self.temperature}, but must be 0 (greedy) or more: choose 0 to 2.")
        if self.top_k < 0:
            raise GenerationError(f"top_k is {self.top_k}, but must be 0 (all tokens) or more: choose 0 or say 50.")
        if not 0 < self.top_p <= 1:
            raise GenerationError(f"top_p is {self.top_p}, but must lie above 0 and be at most 1: choose say 0.9.")
        if not 0 <= self.min_p <= 1:
            raise GenerationError(f"min_p is {self.min_p}, but must lie between 0 and 1: choose 0 or say 0.05.")


HEADS = 256, 4096
"""Likeliest tokens that are looked at before all of a vocabulary is sorted."""

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
    tokens = best.tolist()
    drawn = [i for i, how in enumerate(sampling) if how.temperature]
    if drawn:
        # fp64, so that the order of a sum over 50,000 probabilities does not decide which token is drawn. Taking off
        # the largest logit first keeps a very low temperature from overflowing.
        some = wide[drawn].double() - highest[drawn, None].double()
        heat = torch.tensor([sampling[i].temperature for i in drawn], dtype=some.dtype, device=some.device)
        for i, probabilities in zip(drawn, torch.softmax(some / heat[:, None], dim=-1), strict=True):
            tokens[i] = _draw(probabilities, sampling[i], uniform(sampling[i].seed, *keys[i]))
    return tokens


def uniform(seed: int, request: str, position: int) -> float:
    """A number in [0, 1) that looks random and depends on its three arguments only, on every machine alike."""
    digest = hashlib.blake2b(f"{seed}|{position}|{request}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53  # 53 bits: as many as a float holds exactly


def _draw(probabilities: Tensor, how: Sampling, u: float) -> int:
    """The token at which the running total of probabilities, likeliest first, passes `u`."""
    for most in (*HEADS, len(probabilities)):  # a few of the likeliest are nearly always enough, and sorted at once
        if most < min(how.top_k, len(probabilities)):
            continue
        tokens = _likeliest(probabilities, most)
        head = probabilities[tokens]
        kept = len(head)  # of those at hand, the ones that may be drawn
        if how.min_p:
            kept = int((head >= how.min_p * head[0]).sum())
        if how.top_k:
            kept = min(kept, how.top_k)
        # Whether those that may be drawn are all at hand.
        known = kept < len(head) or bool(how.top_k) or len(head) == len(probabilities)
        total = head[:kept].cumsum(0)
        everything = float(total[-1] if known else probabilities.sum())
        if how.top_p < 1:
            # A token stays if those before it have not reached top_p yet; the first always stays.
            stay = int((total - head[:kept] < how.top_p * everything).sum())
            if stay == kept and not known:
                continue  # it is reached further down
            total, known = total[:stay], True
            everything = float(total[-1])
        index = int(torch.searchsorted(total, u * everything, right=True))
        if index < len(total) or known:
            return int(tokens[min(index, len(total) - 1)])
    raise AssertionError("all tokens are at hand")


def _likeliest(probabilities: Tensor, most: int) -> Tensor:
    """The `most` likeliest tokens, likeliest first and equal ones by their ids; with all that equal the last."""
    if most >= len(probabilities):
        return probabilities.argsort(descending=True, stable=True)
    some = (probabilities >= probabilities.topk(most, sorted=False).values.min()).nonzero()[:, 0]
    return some[probabilities[some].argsort(descending=True, stable=True)]


class TokenLogprob(NamedTuple):
    """How likely a token was, by the model's own logits: before temperature and whatever else cuts them.

    Attributes:
        logprob: natural logarithm of its probability.
        top: (token, logprob) of the likeliest tokens, likeliest first, as many as were asked for.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


def logprobs(logits: Tensor, tokens: Sequence[int], most: Sequence[int]) -> list[TokenLogprob]:
    """The log-probabilities of chosen tokens.

    Args:
        logits: [seqs, vocab_size].
        tokens: the one chosen, one a row.
        most: how many of the likeliest are told beside it, one a row.
    """
    all_of_them = torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=-1)
    told = []
    for row, token, n in zip(all_of_them, tokens, most, strict=True):
        best = row.topk(min(n, len(row)))
        top = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        told.append(TokenLogprob(token, float(row[token]), tuple(top)))
    return told
