"""What only lesson 13 shows: a long request and a crowd by how much memory there is, and contexts of one head."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from labkit.cache.geometry import model
from labkit.engine import kv_cache_manager, scheduler
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.simulate.clock import simulate
from labkit.simulate.cost_model import CARDS, cost_model

if TYPE_CHECKING:
    from torch import Tensor

LONG = 131_072
"""Tokens of the long request, its answer included."""
ANSWER = 64


class Served(NamedTuple):
    """Attributes: most requests that ran at once, and tokens that came out by the second."""

    at_once: int
    tokens_per_s: float


def served(blocks: int, who: str) -> Served:
    """The long request alone, or a crowd of 400 chats that come together: an 8B model on an H100, simulated."""
    if who == "long":
        sizes = [(LONG - ANSWER, ANSWER)]
    else:
        draw = random.Random(4)
        sizes = [(draw.randint(2000, 4000), draw.randint(50, 200)) for _ in range(400)]
    coming = [Request(i, np.full(prompt, i, np.uint32).tobytes(), answer) for i, (prompt, answer) in enumerate(sizes)]
    made = scheduler(kv_cache_manager(blocks, 16, prefix_cache=None), SchedulerConfig(seats=256))
    run = simulate(coming, made, cost_model(CARDS["H100"], model("Llama-3.1-8B")))
    # From the first token that came out: what a prompt takes is another lesson's.
    began = min(life.first_s for life in run.finished)
    delivered = sum(answer - 1 for _, answer in sizes)
    return Served(max(moment.running for moment in run.moments), delivered / (run.seconds - began))


def one_head(tokens: int = 1000, rows: int = 4, dv: int = 8) -> tuple[Tensor, Tensor]:
    """Scores [rows, tokens] of the query heads that share a KV head, and values [tokens, dv], float32."""
    import torch

    draw = torch.Generator().manual_seed(13)
    return 3 * torch.randn(rows, tokens, generator=draw), torch.randn(tokens, dv, generator=draw)


def long_and_short(device: str) -> tuple[Tensor, ...]:
    """(q, k_cache, v_cache, block_tables, lengths) of 200 and 40 tokens: 2 KV heads, groups of 2, pages of 16."""
    import torch

    from labkit.specs.paged_attention.referees import numbers, pages

    k, v, tables = pages([200, 40], 16, 2, 32)
    tables = tables.clamp(max=len(k) - 1).int()  # a launcher looks at all entries of a table
    q = numbers(random.Random(5), 2, 4, 32)
    lengths = torch.tensor([200, 40], dtype=torch.int32)
    return tuple(each.float().to(device) if each.is_floating_point() else each.to(device)
                 for each in (q, k, v, tables, lengths))  # fmt: skip
