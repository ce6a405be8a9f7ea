"""One layer of the model."""

from __future__ import annotations

from torch import Tensor, nn

from labkit.attention.kv_cache import KVCache
from labkit.attention.plan import AttentionPlan
from labkit.serving.attention_layer import AttentionLayer
from labkit.serving.config import ModelConfig
from labkit.serving.gated_mlp import GatedMLP
from labkit.serving.rms_norm import RMSNorm


class DecoderLayer(nn.Module):
    """Attention, then the feed-forward network, each on a normalised copy and added to what came in."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = AttentionLayer(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = GatedMLP(config)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None, plan: AttentionPlan | None) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, cache, plan)
        return x + self.mlp(self.post_attention_layernorm(x))
