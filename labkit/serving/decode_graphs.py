"""The decode step as CUDA graphs: one launch for a whole pass, where launching its kernels takes longer than they do.

A graph repeats the launches that were recorded, on the same memory: sizes are fixed, and what differs from step to step
is copied to where the graph reads. So there is one for each batch size and each length of the block tables, both
rounded up to powers of two, recorded when it is first needed. Rows that are not used have length 0 and slot -1, which
the kernels leave out. vLLM and SGLang do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.attention.paged_kv_cache import PagedKVCache
from labkit.attention.plan import AttentionPlan, Rectangle
from labkit.serving.model import LanguageModel

LEAST_CONTEXT = 512
"""Tokens; shorter block tables are padded to this."""
MOST_BATCH = 512
"""Larger batches keep a GPU busy without."""

Replay = Callable[[], Tensor]


class Recorded(NamedTuple):
    """A graph: where it reads, and what runs it and gives the logits [batch, vocab_size]."""

    tokens: Tensor
    plan: AttentionPlan
    replay: Replay


class DecodeGraphs:
    """Steps in which every sequence brings one token, over a cache that kernels attend.

    Args:
        model, cache: what is recorded.
        record: makes of a call one that repeats its launches; a test may hand in another.
    """

    def __init__(
        self, model: LanguageModel, cache: PagedKVCache, record: Callable[[Callable[[], Tensor]], Replay] | None = None
    ) -> None:
        self.model, self.cache = model, cache
        self._record = record or self._as_graph
        self._recorded: dict[tuple[int, int], Recorded] = {}
        self._pool = None

    def run(self, tokens: Tensor, plan: AttentionPlan) -> Tensor | None:
        """The logits [seqs, vocab_size] of a step; None, and nothing done, if it is no pure decode step.

        They are valid until the next step.
        """
        (first, *others) = plan.rectangles
        n, blocks = first.num_seqs, first.where.shape[1]
        if others or first.num_new > 1 or n > MOST_BATCH:
            return None
        self.cache.wipe(plan.fresh)
        size = _round_up(n), _round_up(max(blocks, LEAST_CONTEXT // self.cache.block_size))
        graph = self._recorded.get(size) or self._new(*size)
        into, where = graph.plan, graph.plan.rectangles[0]
        into.slots.fill_(-1)
        where.lengths.zero_()
        for target, source in (
            (graph.tokens, tokens),
            (into.positions, plan.positions),
            (into.slots, plan.slots),
            (where.lengths, first.lengths),
        ):
            target[:n].copy_(source)
        where.where[:n, :blocks].copy_(first.where)
        return graph.replay()[:n]

    def _new(self, batch: int, blocks: int) -> Recorded:
        """Record a step of which no row is used, which changes no memory of the cache."""
        device = self.cache.k.device

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        rectangle = Rectangle(
            tokens=slice(0, batch),
            num_seqs=batch,
            num_new=1,
            context=blocks * self.cache.block_size,
            # As the kernels read them: `for_kernels` would be a copy, made once.
            where=zeros(batch, blocks, dtype=torch.int32),
            hidden=None,
            lengths=zeros(batch, dtype=torch.int32),
        )
        plan = AttentionPlan(
            positions=zeros(batch),
            slots=zeros(batch) - 1,
            last=torch.arange(batch, device=device),
            fresh=zeros(0),
            rectangles=(rectangle,),
        )
        tokens = zeros(batch)
        made = Recorded(tokens, plan, self._record(lambda: self.model(tokens, self.cache, plan)))
        self._recorded[batch, blocks] = made
        return made

    def _as_graph(self, call: Callable[[], Tensor]) -> Replay:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # what is compiled or allocated at the first call is no part of a graph
            call()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            out = call()
        self._pool = self._pool or graph.pool()  # one step runs at a time, so all of them can share memory

        def replay() -> Tensor:
            graph.replay()
            return out

        return replay


def _round_up(n: int) -> int:
    """The smallest power of two that is n or more."""
    return 1 << (n - 1).bit_length()
