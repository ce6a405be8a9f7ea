"""The language model: Llama and Qwen3 layouts in plain PyTorch.

The model works on one flat axis of tokens. A step may mix a sequence that decodes one token with another that brings
200 tokens of its prompt: to every layer but attention a token is a row like any other, and attention is told by the
plan which rows belong together. Nothing is padded.

Source of the architecture: LLaMA (Touvron et al., 2023), with grouped-query attention; Qwen3 (2025) adds a norm on
each query and key.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.attention.kv_cache import KVCache
from labkit.attention.plan import AttentionPlan
from labkit.serving.config import ModelConfig
from labkit.serving.decoder_layer import DecoderLayer
from labkit.serving.rms_norm import RMSNorm
from labkit.serving.rotary import Rotary


class LanguageModel(nn.Module):
    """Tokens in, logits of the next token out; parameter names below `model.` are those of the checkpoint.

    Args:
        config: the shape of the model. Parameters are left unset: see `labkit.serving.checkpoint.load_model`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        # Tied: the table that turns tokens into vectors is also the one that scores vectors against tokens.
        self.lm_head = (
            None if config.tie_word_embeddings else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        )
        self._rotary: Rotary | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights, and so of everything the model computes."""
        return self.embed_tokens.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embed_tokens.weight.device

    @torch.inference_mode()
    def forward(
        self,
        tokens: Tensor,
        cache: KVCache | None = None,
        plan: AttentionPlan | None = None,
        *,
        last_only: bool = True,
    ) -> Tensor:
        """Run one step.

        Args:
            tokens: int64 [tokens]. With a plan: the new tokens of all its sequences, one sequence after the other.
                Without: one whole sequence from its beginning.
            cache: memory of the past; `plan` must come from it.
            plan: `cache.plan(seqs, num_new)`.
            last_only: give logits for the last token of each sequence only, which is all that going on needs.

        Returns:
            Logits [seqs, vocab_size], or [tokens, vocab_size] if not `last_only`; dtype of the weights.
        """
        if plan is None:
            positions = torch.arange(len(tokens), device=tokens.device)
            last = positions[-1:]
        else:
            positions, last = plan.positions, plan.last
        cos, sin = self.rotary.at(positions)
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, cos, sin, cache, plan)
        x = self.norm(x[last] if last_only else x)
        return x @ self.embed_tokens.weight.T if self.lm_head is None else self.lm_head(x)

    @property
    def rotary(self) -> Rotary:
        """The rotations, made at first use, when dtype and device of the weights are settled."""
        if self._rotary is None or self._rotary.dtype != self.dtype or self._rotary.frequencies.device != self.device:
            self._rotary = Rotary(self.config, self.dtype, self.device)
        return self._rotary
