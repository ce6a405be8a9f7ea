"""The feed-forward half of a layer: SwiGLU (Shazeer, 2020)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import silu

from labkit.serving.config import ModelConfig


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x)): one projection decides how much of the other passes."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        """[tokens, hidden] -> [tokens, hidden]."""
        return self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
