"""Decoding by hand, with and without a cache: the references of lesson 02.

What serves a model is `labkit.attention.grouped` and `labkit.serving.generate`; here nothing is fast and everything
can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from labkit.attention.by_hand import attend

if TYPE_CHECKING:
    from labkit.attention.toy_model import ToyModel


def attend_last(q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """Attention of the last token of a sequence, all heads.

    Args:
        q: the last token's queries, [q_heads, d].
        K: the keys of all n tokens, the last one's included, [n, kv_heads, d]. `q_heads` is a multiple of `kv_heads`:
            neighbouring query heads share a KV head (grouped-query attention, Ainslie et al., 2023).
        V: their values, [n, kv_heads, dv].

    Returns:
        [q_heads, dv].
    """
    group = q.shape[0] // K.shape[1]
    return torch.stack([attend(q[h], K[:, h // group], V[:, h // group]) for h in range(q.shape[0])])


def decode_from_scratch(model: ToyModel, prompt: Sequence[int], num_new: int) -> list[int]:
    """Greedy decoding that computes every token again in every step.

    Args:
        model: gives `project` and `next_token`.
        prompt: token ids, at least one.
        num_new: how many tokens to generate, 0 or more.

    Returns:
        The new tokens.
    """
    tokens = list(prompt)
    for _ in range(num_new):
        q, K, V = model.project(tokens, 0)
        tokens.append(model.next_token(attend_last(q[-1], K, V)))
    return tokens[len(prompt) :]


def decode_cached(model: ToyModel, prompt: Sequence[int], num_new: int) -> list[int]:
    """Greedy decoding that computes the key and value of each token once and keeps them.

    Arguments and answer as for `decode_from_scratch`.
    """
    answer: list[int] = []
    K = V = None
    new, start = list(prompt), 0
    for _ in range(num_new):
        q, k, v = model.project(new, start)
        K = k if K is None else torch.cat([K, k])
        V = v if V is None else torch.cat([V, v])
        start += len(new)
        new = [model.next_token(attend_last(q[-1], K, V))]
        answer += new
    return answer
