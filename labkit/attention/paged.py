"""Decode attention over pages, in place: the references of lesson 10.

What serves the model until a learner's `paged_attention` has passed is `labkit.attention.grouped` over a gathered
copy, which PyTorch does fast. Here nothing is copied and everything can be read. The kernels of later lessons have
these shapes.

Sources: online softmax (Milakov and Gimelshein, 2018), as FlashAttention uses it (Dao et al., 2022); block tables from
PagedAttention (Kwon et al., SOSP 2023, section 4.1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def online_update(m: Tensor, l: Tensor, acc: Tensor, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fold one more tile of scores and values into the running state of softmax(s) @ v.

    Args:
        m: largest score so far, [rows]; -inf before the first tile.
        l: sum of exp(score - m) so far, [rows].
        acc: sum of exp(score - m) * value so far, [rows, dv]. The output is acc / l, divided once, at the end.
        s: scores of the tile, [rows, n], at least one finite in each row.
        v: values of the tile, [n, dv].

    Returns:
        (m, l, acc) after the tile, new tensors.
    """
    new = torch.maximum(m, s.amax(dim=1))
    keep = torch.exp(m - new)
    p = torch.exp(s - new[:, None])
    return new, l * keep + p.sum(dim=1), acc * keep[:, None] + p @ v


def gather_kv(k_cache: Tensor, v_cache: Tensor, block_table: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The keys and values of one sequence, copied out of its pages.

    Args:
        k_cache, v_cache: [num_blocks, block_size, kv_heads, head_dim].
        block_table: block ids in the order of the tokens, int [max_blocks]; what stands beyond the pages of `length`
            tokens is no block id.
        length: tokens of the sequence, 1 or more.

    Returns:
        (k, v), each [length, kv_heads, head_dim]; token i in row i.
    """
    pages = block_table[: -(-length // k_cache.shape[1])]
    return k_cache[pages].flatten(0, 1)[:length], v_cache[pages].flatten(0, 1)[:length]


def paged_attention(q: Tensor, k_cache: Tensor, v_cache: Tensor, block_tables: Tensor, lengths: Tensor) -> Tensor:
    """One query for each sequence over all tokens of that sequence, read from its pages where they lie.

    Args:
        q: [seqs, q_heads, head_dim].
        k_cache, v_cache: [num_blocks, block_size, kv_heads, head_dim]; query head h reads KV head
            h // (q_heads // kv_heads). Slots that hold no token of the sequence may hold anything, NaN too.
        block_tables: int [seqs, max_blocks]; entries beyond the pages of a sequence are no block ids.
        lengths: tokens of each sequence, its newest included, int [seqs], 1 or more.

    Returns:
        softmax(q k / sqrt(head_dim)) v, [seqs, q_heads, head_dim], dtype of q.
    """
    head_dim, (block_size, kv_heads) = q.shape[-1], k_cache.shape[1:3]
    rows = q.unflatten(1, (kv_heads, -1)) / math.sqrt(head_dim)  # [seqs, kv_heads, group, head_dim]
    out = torch.empty_like(rows)
    for i, length in enumerate(lengths.tolist()):
        pages = block_tables[i, : -(-length // block_size)].tolist()
        for h in range(kv_heads):
            m = q.new_full(rows.shape[2:3], -math.inf)
            l, acc = torch.zeros_like(m), torch.zeros_like(rows[i, h])
            for j, block in enumerate(pages):
                n = min(block_size, length - j * block_size)
                k, v = k_cache[block, :n, h], v_cache[block, :n, h]
                m, l, acc = online_update(m, l, acc, rows[i, h] @ k.T, v)
            out[i, h] = acc / l[:, None]
    return out.flatten(1, 2)
