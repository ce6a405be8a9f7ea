"""The attention of one layer: projections, rotation, and the call into `labkit.attention`."""

from __future__ import annotations

from torch import Tensor, nn

from labkit.attention.grouped import attend
from labkit.attention.kv_cache import KVCache
from labkit.attention.plan import AttentionPlan
from labkit.serving.config import ModelConfig
from labkit.serving.rms_norm import RMSNorm
from labkit.serving.rotary import rotate


class AttentionLayer(nn.Module):
    """Grouped-query attention of one layer; module names are those of the checkpoint.

    Everything about memory happens behind `attend`: this layer does not know whether its past is paged.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.q_heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.head_dim = config.head_dim
        bias = config.attention_bias
        self.q_proj = nn.Linear(config.hidden_size, self.q_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(self.q_heads * self.head_dim, config.hidden_size, bias=bias)
        self.query_key_norm = config.query_key_norm
        if self.query_key_norm:
            self.q_norm = RMSNorm(self.head_dim, config.rms_norm_eps)
            self.k_norm = RMSNorm(self.head_dim, config.rms_norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None, plan: AttentionPlan | None) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]."""
        q, k, v = self.vectors(x)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        return self.o_proj(attend(q, k, v, cache, self.layer, plan).flatten(-2))

    def vectors(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[tokens, hidden] -> queries [tokens, q_heads, d], keys and values [tokens, kv_heads, d], not yet rotated."""
        q = self.q_proj(x).unflatten(-1, (self.q_heads, self.head_dim))
        k = self.k_proj(x).unflatten(-1, (self.kv_heads, self.head_dim))
        v = self.v_proj(x).unflatten(-1, (self.kv_heads, self.head_dim))
        if self.query_key_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        return q, k, v
