"""The attention entry that the model calls, and its arithmetic.

Attention(Q, K, V) = softmax(Q K^T / sqrt(head_dim)) V (Vaswani et al., 2017), with the heads of grouped-query
attention (Ainslie et al., 2023): `q_heads / kv_heads` query heads read the same keys and values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from labkit.attention.plan import hidden_positions

if TYPE_CHECKING:
    from labkit.attention.kv_cache import KVCache
    from labkit.attention.plan import AttentionPlan


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache: KVCache | None = None,
    layer: int = 0,
    plan: AttentionPlan | None = None,
) -> Tensor:
    """Let every new token look at all earlier tokens of its own sequence.

    With a cache, the new K and V are written first and everything is then read back through it, so that a new
    token sees itself by the same way as its past. Without one, the tokens are one sequence from its beginning. Where
    the cache has a way to `decode` or `prefill` in place, they take it.

    Args:
        q: [tokens, q_heads, head_dim], rotary embedding applied.
        k, v: [tokens, kv_heads, head_dim]; k with rotary embedding applied.
        cache: where keys and values live between steps.
        layer: which layer's memory.
        plan: `cache.plan(...)` of this step.

    Returns:
        [tokens, q_heads, head_dim], dtype of q.
    """
    if cache is None or plan is None:
        tokens = q.shape[0]
        return grouped_attention(q[None], k[None], v[None], hidden_positions([tokens], tokens, tokens, q.device))[0]

    cache.write(layer, plan, k, v)
    out = torch.empty_like(q)
    for part in plan.rectangles:
        in_place = (cache.decode if part.num_new == 1 else cache.prefill)(layer, part, q[part.tokens])
        if in_place is not None:
            out[part.tokens] = in_place
            continue
        keys, values = cache.read(layer, part)
        queries = q[part.tokens].unflatten(0, (part.num_seqs, part.num_new))
        out[part.tokens] = grouped_attention(queries, keys, values, part.hidden).flatten(0, 1)
    return out


def grouped_attention(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None) -> Tensor:
    """Attention of a rectangle of queries.

    The query heads that share a KV head are laid side by side as more queries of that one head. K and V are then
    never repeated, which is the point of grouped queries: a decode step reads each key once, not once a head.

    Args:
        q: [seqs, new, q_heads, head_dim].
        k, v: [seqs, context, kv_heads, head_dim].
        hidden: True where a query must not look, bool [seqs, new, context]; None hides nothing.

    Returns:
        [seqs, new, q_heads, head_dim].
    """
    seqs, new, q_heads, head_dim = q.shape
    kv_heads = k.shape[2]
    group = q_heads // kv_heads
    # Query head h reads KV head h // group, so the group is the inner of the two axes.
    packed = q.unflatten(2, (kv_heads, group)).permute(0, 2, 3, 1, 4).reshape(seqs, kv_heads, group * new, head_dim)
    visible = None
    if hidden is not None:
        visible = ~hidden[:, None, None].expand(seqs, 1, group, new, -1).reshape(seqs, 1, group * new, -1)
    out = scaled_dot_product_attention(packed, k.transpose(1, 2), v.transpose(1, 2), attn_mask=visible)
    return out.unflatten(2, (group, new)).permute(0, 3, 1, 2, 4).reshape(seqs, new, q_heads, head_dim)
