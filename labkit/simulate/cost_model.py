"""How long a step takes, from first principles.

A step reads all weights once, reads the keys and values of every token that is attended to, and computes. Reading and
computing overlap, so the longer of the two counts (the roofline model; Williams, Waterman and Patterson 2009), and
something is spent on every step whatever it holds:

    seconds = fixed + max( (weights + context * KV bytes per token) / bandwidth,
                           (tokens * flops per token + pairs * flops per pair) / peak )

What is swapped goes over the bus to the host, before or after the computing and not beside it.

A decode of one sequence is one token, as many pairs as its context, and its context to read: nearly all of it is
reading, and the weights are read for everybody at once. That is why batching pays. A prompt is many tokens: computing.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.cache.geometry import ModelShape, kv_bytes_per_token
from labkit.errors import SimulationError
from labkit.scheduling.swap import SwapCost


@dataclass(frozen=True)
class Card:
    """A GPU by its data sheet.

    Attributes:
        flops_per_s: dense bfloat16 operations per second.
        bytes_per_s: bandwidth of its memory.
        memory_bytes: its memory.
        host_bytes_per_s: to the memory of the host, in one direction.
        source: where the figures are from.
        multiprocessors: of the GPU, as the white papers of its architecture count them (NVIDIA: Ampere, Ada, Hopper).
    """

    name: str
    flops_per_s: float
    bytes_per_s: float
    memory_bytes: int
    host_bytes_per_s: float
    source: str
    multiprocessors: int


CARDS = {
    card.name: card
    for card in (
        Card("L4", 121e12, 300e9, 24 * 10**9, 32e9, "NVIDIA L4 data sheet, dense", 58),
        Card("A100", 312e12, 2.039e12, 80 * 10**9, 32e9, "NVIDIA A100 80GB SXM data sheet", 108),
        Card("H100", 989e12, 3.35e12, 80 * 10**9, 64e9, "NVIDIA H100 SXM data sheet, dense", 132),
        Card("H200", 989e12, 4.8e12, 141 * 10**9, 64e9, "NVIDIA H200 SXM data sheet, dense", 132),
    )
}


@dataclass(frozen=True)
class CostModel:
    """Seconds of a step.

    Attributes:
        fixed_s: of every step.
        weights_s: reading the weights.
        context_s: reading the keys and values of one token.
        token_s: computing one token, attention aside.
        pair_s: attention of one token to one other.
        copy_s: copying the keys and values of one token to the host, or back.
        copy_fixed_s: of every such copy of a request, whatever its length.
    """

    fixed_s: float
    weights_s: float
    context_s: float
    token_s: float
    pair_s: float
    copy_s: float = 0.0
    copy_fixed_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < float("inf"):
                raise SimulationError(f"{name} is {value!r:.60}, but must be seconds, 0 or more: give a number.")

    def seconds(self, tokens: int, context: int, pairs: int) -> float:
        """One step.

        Args:
            tokens: computed in it.
            context: tokens whose keys and values are read: those of every sequence once.
            pairs: over all computed tokens, the tokens that each attends to.
        """
        reading = self.weights_s + context * self.context_s
        computing = tokens * self.token_s + pairs * self.pair_s
        return self.fixed_s + max(reading, computing)

    def decodes(
        self, tokens: int, context: int, now: float, until: float, most: int, piece: int = 0, computed: int = 0
    ) -> tuple[float, list[float]]:
        """Steps one after the other in which the same sequences take a token each, and a prompt as many.

        Args:
            tokens: sequences.
            context: tokens that they have in memory together.
            now, until: the first step begins now, and none begins at `until` or later.
            most: steps at most.
            piece: tokens of one prompt that are computed in each step as well.
            computed: tokens that it has in memory before the first.

        Returns:
            When the last of them ends, and the seconds of each: those of `seconds`, which rise with the context.
        """
        fixed, weights, each, pair = self.fixed_s, self.weights_s, self.context_s, self.pair_s
        every = (tokens + piece) * self.token_s
        pairs = context + piece * computed + piece * (piece + 1) // 2 - piece * piece
        context += computed
        # Of the prompt each piece attends to one piece more than the one before.
        more, more_pairs = tokens + piece, tokens + piece * piece
        seconds: list[float] = []
        for _ in range(most):
            if now >= until:
                break
            context += more
            pairs += more_pairs
            reading, computing = weights + context * each, every + pairs * pair
            last = fixed + (reading if reading >= computing else computing)
            now += last
            seconds.append(last)
        return now, seconds

    def copying(self, requests: int, tokens: int) -> float:
        """What is added to a step in which so many requests, with so many tokens, are copied out or back."""
        return requests * self.copy_fixed_s + tokens * self.copy_s

    @property
    def swap_cost(self) -> SwapCost:
        """What `SchedulerConfig.swap_cost` and `break_even` take."""
        return SwapCost(self.copy_fixed_s, self.copy_s, self.token_s, self.pair_s)


def cost_model(
    card: Card, shape: ModelShape, *, fixed_s: float = 0.004, copy_fixed_s: float = 0.001, share: float = 0.6
) -> CostModel:
    """The cost of a model on a card, bfloat16.

    Args:
        fixed_s: what launching kernels, scheduling and sampling take.
        copy_fixed_s: what a copy to the host, or back, takes beside its bytes.
        share: of the data sheet's figures that is reached in practice, for both bandwidths and peak alike.

    Raises:
        SimulationError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise SimulationError(f"share is {share!r:.60}, but must be above 0 and at most 1: 0.6 is usual.")
    bandwidth, peak = card.bytes_per_s * share, card.flops_per_s * share
    weights = shape.weights_bytes / 2  # numbers, of two bytes each
    return CostModel(
        fixed_s=fixed_s,
        weights_s=shape.weights_bytes / bandwidth,
        context_s=kv_bytes_per_token(shape) / bandwidth,
        token_s=2 * weights / peak,
        pair_s=4 * shape.num_layers * shape.num_query_heads * shape.head_dim / peak,
        copy_s=kv_bytes_per_token(shape) / (card.host_bytes_per_s * share),
        copy_fixed_s=copy_fixed_s,
    )
