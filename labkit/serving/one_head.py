"""One attention head of a loaded model, taken out so that a learner's own function can be run on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.attention.grouped import attend
from labkit.errors import GenerationError
from labkit.serving.loaded import LoadedModel
from labkit.serving.rotary import rotate

MOST_TOKENS = 16
"""More rows than this do not fit into a table that can be read."""


@dataclass(frozen=True)
class OneHead:
    """What one query head of one layer works on, for a short text.

    Attributes:
        pieces: the text of each token, n of them.
        Q, K: queries and keys, [n, d], float32, turned by their positions.
        V: values, [n, d], float32: those of the KV head that this query head reads.
        rows: [n, d], what the model itself computes in this head.
    """

    pieces: list[str]
    Q: Tensor
    K: Tensor
    V: Tensor
    rows: Tensor


def one_head(loaded: LoadedModel, text: str, layer: int = 0, head: int = 0) -> OneHead:
    """Run `loaded` on `text` up to one layer, and look into one of its query heads.

    Args:
        text: at least one token of text; of a long one the first 16 tokens.
        layer, head: counted from 0.

    Raises:
        GenerationError: no text, or no such layer or head.
    """
    config, model = loaded.config, loaded.model
    for name, value, count in (
        ("layer", layer, config.num_hidden_layers),
        ("head", head, config.num_attention_heads),
    ):
        if not isinstance(value, int) or not 0 <= value < count:
            raise GenerationError(f"{name} is {value!r}, but {loaded.name} has {count}: give 0 to {count - 1}.")
    ids = loaded.prompt_ids(text, chat=False)[:MOST_TOKENS]
    if not ids:
        raise GenerationError("The text has no tokens: write at least one word.")
    with torch.inference_mode():
        cos, sin = model.rotary.at(torch.arange(len(ids), device=model.device))
        x = model.embed_tokens(torch.tensor(ids, device=model.device))
        for below in model.layers[:layer]:
            x = below(x, cos, sin, None, None)
        chosen = model.layers[layer]
        q, k, v = chosen.self_attn.vectors(chosen.input_layernorm(x))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        rows = attend(q, k, v, None, layer, None)[:, head]
    kv = head * config.num_key_value_heads // config.num_attention_heads
    # Cloned outside, since what inference mode makes may not be written into, as a learner's function might.
    Q, K, V, rows = (t.float().clone() for t in (q[:, head], k[:, kv], v[:, kv], rows))
    return OneHead([loaded.tokenizer.piece(i) for i in ids], Q, K, V, rows)
