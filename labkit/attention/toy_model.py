"""A model of one attention layer, small enough to read, that counts every token it computes.

It has what matters for decoding with a cache: grouped heads (Ainslie et al., 2023), positions that change keys, and a
next token that depends on the whole past. Its weights come from a fixed seed and its text means nothing. Everything is
float64, so that two right ways of computing a sum never disagree about the next token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class ToyModel:
    """One layer of attention over a small vocabulary.

    Args:
        seed: of the weights; the same seed gives the same model everywhere.
        q_heads, kv_heads, head_dim: `q_heads` is a multiple of `kv_heads`.
        vocab_size: tokens are 0 to vocab_size - 1.

    Attributes:
        calls: every call of `project` so far, as (tokens, start).
    """

    def __init__(self, seed: int = 0, q_heads: int = 4, kv_heads: int = 2, head_dim: int = 4, vocab_size: int = 32):
        random = torch.Generator().manual_seed(seed)

        def weights(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=random, dtype=torch.float64)

        width = q_heads * head_dim
        self.vocab_size = vocab_size
        self.calls: list[tuple[list[int], int]] = []
        self._heads = (q_heads, kv_heads, head_dim)
        self._embedding = weights(vocab_size, width)
        self._q = weights(width, q_heads * head_dim) / width**0.5
        self._k = weights(width, kv_heads * head_dim) / width**0.5
        self._v = weights(width, kv_heads * head_dim) / width**0.5
        self._out = weights(q_heads * head_dim, vocab_size)
        self._frequencies = torch.arange(1, width + 1, dtype=torch.float64) / width

    @property
    def num_projected(self) -> int:
        """How many tokens were given to `project` so far, each as often as it was given."""
        return sum(len(tokens) for tokens, _ in self.calls)

    def project(self, tokens: Sequence[int], start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of tokens that stand side by side in the sequence.

        Args:
            tokens: n token ids, at least one.
            start: the position of the first of them in the whole sequence, from 0.

        Returns:
            (q [n, q_heads, head_dim], k [n, kv_heads, head_dim], v [n, kv_heads, head_dim]).

        Raises:
            TypeError, ValueError: not a list of token ids, or not a position.
        """
        if isinstance(tokens, int) or (isinstance(tokens, Tensor) and tokens.ndim == 0):
            raise TypeError(f"tokens is {int(tokens)}; give a list, [{int(tokens)}].")
        ids = [int(t) for t in tokens]
        if not ids or not all(0 <= t < self.vocab_size for t in ids):
            raise ValueError(f"tokens is {ids}; give at least one id, each from 0 to {self.vocab_size - 1}.")
        start = int(start)
        if start < 0:
            raise ValueError(f"start is {start}; positions count from 0.")
        self.calls.append((ids, start))
        q_heads, kv_heads, head_dim = self._heads
        positions = torch.arange(start, start + len(ids), dtype=torch.float64)
        x = self._embedding[ids] + torch.sin(positions[:, None] * self._frequencies)
        return (
            3 * (x @ self._q).view(-1, q_heads, head_dim),
            (x @ self._k).view(-1, kv_heads, head_dim),
            (x @ self._v).view(-1, kv_heads, head_dim),
        )

    def next_token(self, row: Tensor) -> int:
        """The most likely next token.

        Args:
            row: what attention gave for the last token, [q_heads, head_dim].

        Returns:
            A token id.
        """
        return int((row.reshape(-1) @ self._out).argmax())

    def __repr__(self) -> str:
        q_heads, kv_heads, head_dim = self._heads
        return f"ToyModel({q_heads} query heads, {kv_heads} KV heads of {head_dim}, {self.vocab_size} tokens)"
