"""Attention over a part of the keys, as a state that merges with the states of other parts.

What softmax needs of the scores of a part is their maximum, and the sums of the weights and of the weighted values
relative to it. Two such states merge exactly, in any order (Milakov and Gimelshein, 2018; Flash-Decoding, 2023), so a
prefix that requests share can be attended once for all of them (cascade inference, FlashInfer, 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LOWEST = -1e30
"""Below any score of numbers that attention can meet: the maximum of a row that sees nothing."""


class State(NamedTuple):
    """Of rows of queries, [..., rows]: not divided yet."""

    m: Tensor
    """The largest score, [..., rows]."""
    l: Tensor
    """The sum of e^(score - m), [..., rows]; 0 for a row that sees nothing."""
    acc: Tensor
    """The sum of e^(score - m) * value, [..., rows, head_dim]."""


def attend_part(
    q: Tensor, k: Tensor, v: Tensor, hidden: Tensor | None, *, scale: float, softcap: float | None = None
) -> State:
    """The state of queries over some keys.

    Args:
        q: [..., rows, head_dim].
        k, v: [..., keys, head_dim]; numbers everywhere, since 0 * NaN is NaN: what is hidden too.
        hidden: True where a row must not look, bool, broadcastable to [..., rows, keys]; None hides nothing.
        scale: factor on the scores.
        softcap: scores become softcap * tanh(score / softcap) (Gemma 2, 2024, section 2).

    Returns:
        float32, or float64 for queries of float64, whatever the dtype of the keys.
    """
    kind = torch.promote_types(q.dtype, torch.float32)
    score = (q.to(kind) * scale) @ k.to(kind).transpose(-1, -2)
    if softcap is not None:
        score = softcap * torch.tanh(score / softcap)
    if hidden is not None:
        score = score.masked_fill(hidden, -torch.inf)
    m = score.amax(-1).clamp_min(LOWEST) if score.shape[-1] else score.new_full(score.shape[:-1], LOWEST)
    p = torch.exp(score - m[..., None])
    return State(m, p.sum(-1), p @ v.to(kind))


def merge(states: Sequence[State]) -> State:
    """The state over all the keys of the given ones, each of other keys."""
    m = torch.stack([state.m for state in states]).amax(0)
    weights = [torch.exp(state.m - m) for state in states]
    return State(
        m,
        sum((w * state.l for w, state in zip(weights, states, strict=True)), torch.zeros_like(m)),
        sum((w[..., None] * s.acc for w, s in zip(weights, states, strict=True)), torch.zeros_like(states[0].acc)),
    )


def finish(state: State, sinks: Tensor | None = None) -> Tensor:
    """The answer, [..., rows, head_dim]; zeros for a row that sees nothing.

    Args:
        sinks: a score of each row that takes weight and brings no value, broadcastable to [..., rows] (GPT-OSS, 2025).
    """
    if sinks is not None:
        sinks = sinks.to(state.m.dtype)
        state = merge([state, State(sinks.expand_as(state.m), torch.ones_like(state.l), torch.zeros_like(state.acc))])
    return state.acc / torch.where(state.l > 0, state.l, 1.0)[..., None]
