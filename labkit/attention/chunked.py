"""Attention of prompts that come in chunks: the references of lesson 14 in PyTorch; the kernel is `kvkernels.prefill`.

A chunk is a run of new tokens of one sequence. Its keys and values are in the pages already, so what came before it and
what is in it are read by the same way, and the rows of a token are the same in whichever chunk it comes.

Sources: chunked prefill from Sarathi (Agrawal et al., 2023); sliding windows as in Mistral 7B (Jiang et al., 2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from labkit.attention.paged import gather_kv


def causal_window_mask(start: int, n: int, window: int | None = None) -> Tensor:
    """Which keys each query of a chunk sees.

    Args:
        start: position of the chunk's first token: tokens of its sequence that came before, 0 or more.
        n: tokens of the chunk, 1 or more.
        window: a token sees this many, itself among them, 1 or more; None sees all that came before, too.

    Returns:
        bool [n, start + n], True where the query of row i, at position start + i, sees the key of column j.
    """
    query = torch.arange(start, start + n)[:, None]
    key = torch.arange(start + n)[None, :]
    seen = key <= query
    return seen if window is None else seen & (key > query - window)


def chunk_prefill(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    starts: Tensor,
    window: int | None = None,
) -> Tensor:
    """Causal attention of the newest tokens of each sequence over its pages.

    Args:
        q: [tokens, q_heads, head_dim], sequence after sequence, without padding.
        k_cache, v_cache: [num_blocks, block_size, kv_heads, head_dim]; the new tokens' keys and values are written
            already. Slots that hold no token of the sequence may hold anything, NaN too.
        block_tables: int [seqs, max_blocks]; entries beyond the pages of a sequence are no block ids.
        lengths: tokens of each sequence, the new ones included, int [seqs].
        starts: int [seqs + 1]; the rows starts[i] to starts[i + 1] - 1 of q are sequence i's, maybe none.
        window: as for `causal_window_mask`.

    Returns:
        [tokens, q_heads, head_dim], dtype of q.
    """
    group = q.shape[1] // k_cache.shape[2]
    out = torch.empty_like(q)
    for i, length in enumerate(lengths.tolist()):
        rows = slice(int(starts[i]), int(starts[i + 1]))
        new = rows.stop - rows.start
        if new == 0:
            continue
        k, v = (x.repeat_interleave(group, dim=1) for x in gather_kv(k_cache, v_cache, block_tables[i], length))
        scores = torch.einsum("qhd,khd->hqk", q[rows], k) / math.sqrt(q.shape[2])
        seen = causal_window_mask(length - new, new, window).to(q.device)
        weights = scores.masked_fill(~seen, -math.inf).softmax(dim=2)
        out[rows] = torch.einsum("hqk,khd->qhd", weights, v)
    return out
