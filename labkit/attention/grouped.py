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
from labkit.attention.states import attend_part, finish

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
    the cache has a way to `decode` or to `prefill` in place, it is taken.

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


def grouped_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    hidden: Tensor | None,
    *,
    scale: float | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention of a rectangle of queries.

    The query heads that share a KV head are laid side by side as more queries of that one head. K and V are then
    never repeated, which is the point of grouped queries: a decode step reads each key once, not once a head.

    Args:
        q: [seqs, new, q_heads, head_dim].
        k, v: [seqs, context, kv_heads, head_dim].
        hidden: True where a query must not look, bool [seqs, new, context]; None hides nothing.
        scale: factor on the scores; head_dim ** -0.5 by default.
        softcap: scores become softcap * tanh(score / softcap).
        sinks: [q_heads], one score per head that takes weight and brings no value.

    Returns:
        [seqs, new, q_heads, head_dim]; zeros for a query from which all is hidden.
    """
    seqs, new, q_heads, head_dim = q.shape
    kv_heads = k.shape[2]
    group = q_heads // kv_heads
    packed, keys, values = pack_groups(q, kv_heads), k.transpose(1, 2), v.transpose(1, 2)
    if hidden is not None:
        hidden = hidden[:, None, None].expand(seqs, 1, group, new, -1).reshape(seqs, 1, group * new, -1)
    if softcap is None and sinks is None:
        visible = None if hidden is None else ~hidden
        out = scaled_dot_product_attention(packed, keys, values, attn_mask=visible, scale=scale)
    else:  # PyTorch's own has neither
        scale = head_dim**-0.5 if scale is None else scale
        state = attend_part(packed, keys, values, hidden, scale=scale, softcap=softcap)
        a_row = None if sinks is None else sinks.view(kv_heads, group, 1).expand(-1, -1, new).flatten(1)
        out = finish(state, a_row).to(q.dtype)
    return unpack_groups(out, new)


def pack_groups(q: Tensor, kv_heads: int) -> Tensor:
    """Query heads of a group together: [seqs, new, q_heads, head_dim] to [seqs, kv_heads, group * new, head_dim]."""
    # Query head h reads KV head h // group, so the group is the inner of the two axes.
    return q.unflatten(2, (kv_heads, -1)).permute(0, 2, 3, 1, 4).flatten(2, 3)


def unpack_groups(out: Tensor, new: int) -> Tensor:
    """The way back: [seqs, kv_heads, group * new, head_dim] to [seqs, new, q_heads, head_dim]."""
    return out.unflatten(2, (-1, new)).permute(0, 3, 1, 2, 4).flatten(2, 3)
