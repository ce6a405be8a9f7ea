"""What a memory for keys and values must be able to do, whichever way it lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from labkit.attention.plan import AttentionPlan, Rectangle


@runtime_checkable
class KVCache(Protocol):
    """Keys and values of many sequences, kept between the steps of a model.

    One step of a model goes: `extend` every sequence by its new tokens (memory is taken here, and only here);
    `plan` the step once; then in every layer `write` the new K and V and `read` all of them. The plan is made
    once because where tokens lie is the same in every layer.

    Law: a refused `extend` changes nothing. What `read` returns at a position that holds a token is exactly what
    was written there; elsewhere it returns finite numbers that the mask hides.
    """

    def lookup(self, prompt: Sequence[int]) -> int:
        """Leading tokens of a prompt that need not be computed if a new sequence begins with it; one is left always."""
        ...

    def extend(self, seq: str, tokens: Sequence[int]) -> bool:
        """Make room for these more tokens of `seq` (a name not seen before is a new sequence); False: no room."""
        ...

    def length(self, seq: str) -> int:
        """Tokens of `seq` that have room; 0 for a sequence that is not here."""
        ...

    def drop(self, seq: str) -> None:
        """Give back all memory of `seq`; nothing happens if it has none."""
        ...

    def plan(self, seqs: Sequence[str], num_new: Sequence[int]) -> AttentionPlan:
        """Prepare a step in which the last `num_new[i]` tokens of `seqs[i]` are computed, for all i at once."""
        ...

    def write(self, layer: int, plan: AttentionPlan, k: Tensor, v: Tensor) -> None:
        """Store the new keys and values of one layer, each [tokens, kv_heads, head_dim] in the plan's order."""
        ...

    def read(self, layer: int, rectangle: Rectangle) -> tuple[Tensor, Tensor]:
        """All keys and all values of the rectangle's sequences, each [seqs, context, kv_heads, head_dim]."""
        ...

    def decode(self, layer: int, rectangle: Rectangle, q: Tensor) -> Tensor | None:
        """Attention of a rectangle with one new token a sequence, without `read`; None where this memory has none.

        q and the answer are [seqs, q_heads, head_dim].
        """
        ...

    def prefill(self, layer: int, rectangle: Rectangle, q: Tensor) -> Tensor | None:
        """The same where each sequence brings several new tokens; q and the answer have a row for each, in order."""
        ...
