"""One step of attention, worked out once and used by every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rectangle:
    """Sequences that bring the same number of new tokens in this step, so that they can be attended as one tensor.

    A step is ragged: thirty sequences decode one token each while another brings 200 tokens of its prompt. Cut
    into rectangles, the thirty are one call of `scaled_dot_product_attention` and the prompt is another.
    """

    tokens: slice | Tensor
    """Which rows of the step's token axis belong here, `num_seqs * num_new` of them, sequence by sequence."""
    num_seqs: int
    num_new: int
    context: int
    """Length of the padded context: the longest sequence here, rounded up as the cache needs it."""
    where: Tensor
    """What the cache needs to read them, int64: block ids [num_seqs, blocks] or rows [num_seqs]."""
    hidden: Tensor | None
    """True where a query must not look, bool [num_seqs, num_new, context]; None if every query may look at all."""
    lengths: Tensor
    """Tokens of each sequence, the new ones included, int64 [num_seqs]."""

    @cached_property
    def for_kernels(self) -> tuple[Tensor, Tensor, Tensor]:
        """Block tables, lengths and where each sequence's new tokens begin, as kernels read them: int32, made once."""
        starts = torch.arange(self.num_seqs + 1, dtype=torch.int32, device=self.where.device) * self.num_new
        return self.where.int(), self.lengths.int(), starts


@dataclass(frozen=True)
class AttentionPlan:
    """Where the new tokens of a step stand, where their K and V go, and in which rectangles they are attended."""

    positions: Tensor
    """Position of each new token in its own sequence, int64 [tokens]."""
    slots: Tensor
    """Where each new token's K and V are written, int64 [tokens]."""
    last: Tensor
    """Row of each sequence's last new token, int64 [seqs]: the only rows whose logits are needed to go on."""
    fresh: Tensor
    """Blocks that get their first token in this step, int64; empty for a cache without blocks."""
    rectangles: tuple[Rectangle, ...]


def group_by_new(num_new: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Indices of the sequences by how many new tokens they bring: [(num_new, [i, ...]), ...]."""
    groups: dict[int, list[int]] = {}
    for index, n in enumerate(num_new):
        groups.setdefault(n, []).append(index)
    return list(groups.items())


def token_rows(members: Sequence[int], starts: Sequence[int], n: int, device: torch.device) -> slice | Tensor:
    """Rows of the token axis that belong to sequences `members`, `n` each; a slice (no copy) if they are adjacent."""
    if all(b == a + 1 for a, b in pairwise(members)):
        return slice(starts[members[0]], starts[members[0]] + n * len(members))
    rows = [row for member in members for row in range(starts[member], starts[member] + n)]
    return torch.tensor(rows, device=device)


def hidden_positions(lengths: Sequence[int], num_new: int, context: int, device: torch.device) -> Tensor | None:
    """Which of `context` positions each new token must not see.

    A token sees itself and what came before it; padding and slots not yet written lie after the end, so that one
    comparison hides the future and the padding alike.

    Args:
        lengths: tokens of each sequence, the new ones included.

    Returns:
        bool [len(lengths), num_new, context], or None if nothing is hidden.
    """
    if num_new == 1 and all(length == context for length in lengths):
        return None
    first = torch.tensor(lengths, device=device)[:, None, None] - num_new
    query = first + torch.arange(num_new, device=device)[None, :, None]
    return torch.arange(context, device=device)[None, None, :] > query
