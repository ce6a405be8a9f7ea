"""Attention in its smallest form: one head, one sequence, no batch; every function a few lines.

softmax(Q K^T / sqrt(d)) V (Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1). These are the references
of lesson 01. What serves a model is `labkit.attention.grouped`; here nothing is fast and everything can be read.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def scores(q: Tensor, K: Tensor) -> Tensor:
    """How well each key answers one query.

    Args:
        q: the query, [d].
        K: the keys, one per row, [n, d], dtype of q.

    Returns:
        [n]: the dot product of q with each key, divided by sqrt(d). The division keeps the spread of the scores the
        same whatever d is (the paper's footnote 4).
    """
    return K @ q / math.sqrt(q.shape[0])


def softmax(s: Tensor) -> Tensor:
    """Weights from scores, along the last axis: positive, and their sum is 1.

    The largest score is subtracted first. That changes no weight, and no exponential can then exceed 1.

    Args:
        s: scores, [..., n]; -inf stands for a key that must not be seen. At least one is finite in every row.

    Returns:
        [..., n].
    """
    e = torch.exp(s - s.max(dim=-1, keepdim=True).values)
    return e / e.sum(dim=-1, keepdim=True)


def attend(q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """One query over n keys: the mixture of the values in the proportions that the scores give.

    Args:
        q: the query, [d].
        K: the keys, [n, d], n at least 1.
        V: the values, [n, dv]; dv may differ from d.

    Returns:
        [dv].
    """
    return softmax(scores(q, K)) @ V


def causal_attend(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """All rows at once: row i is query i over the keys and values 0 .. i.

    Args:
        Q, K: queries and keys, [n, d].
        V: values, [n, dv].

    Returns:
        [n, dv].

    Raises:
        ValueError: not as many queries as keys; which token a query belongs to would be anyone's guess.
    """
    n, d = Q.shape
    if len(K) != n:
        raise ValueError(f"causal_attend wants as many queries as keys; queries: {n}, keys: {len(K)}.")
    s = Q @ K.T / math.sqrt(d)
    future = torch.ones(n, n, dtype=torch.bool, device=Q.device).triu(1)
    return softmax(s.masked_fill(future, -math.inf)) @ V


def last_row_only(
    x: Tensor, K: Tensor, V: Tensor, W_q: Tensor, W_k: Tensor, W_v: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One decode step: the row of one new token, and the keys and values to keep for the next step.

    Args:
        x: the new token's vector, [h].
        K: keys of the n tokens before it, [n, d]; n may be 0.
        V: their values, [n, dv].
        W_q, W_k: [h, d]. W_v: [h, dv].

    Returns:
        (row [dv], K [n + 1, d], V [n + 1, dv]): the new token's key and value are the last rows. The row equals the
        last row of `causal_attend` over all n + 1 tokens.
    """
    K = torch.cat([K, (x @ W_k)[None]])
    V = torch.cat([V, (x @ W_v)[None]])
    return attend(x @ W_q, K, V), K, V


class CachedAttention:
    """Causal attention over a sequence that arrives in pieces, its keys and values kept between them.

    >>> head = CachedAttention()
    >>> rows = head.feed(Q, K, V)    # a whole prompt: [n, dv]
    >>> row = head.feed(q, k, v)     # one token more: [1, dv]
    """

    def __init__(self) -> None:
        self.K: Tensor | None = None
        self.V: Tensor | None = None

    def feed(self, Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
        """The rows of m new tokens; each sees everything fed before and, of the new ones, those up to itself.

        Args:
            Q, K: [m, d]. V: [m, dv].

        Returns:
            [m, dv].
        """
        self.K = K if self.K is None else torch.cat([self.K, K])
        self.V = V if self.V is None else torch.cat([self.V, V])
        m, n = len(Q), len(self.K)
        # New token i stands at place n - m + i of the sequence, so its row of the mask begins n - m keys further on.
        future = torch.ones(m, n, dtype=torch.bool, device=Q.device).triu(n - m + 1)
        s = Q @ self.K.T / math.sqrt(Q.shape[1])
        return softmax(s.masked_fill(future, -math.inf)) @ self.V
