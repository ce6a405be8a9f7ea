"""The gate of a server whose model has layers with a window: who is let in, and who may start.

Two questions are asked about a request. At the door: could it ever be served? Before a step: does it fit now? Both need
the same number, what the request will hold, and a server in which they come to different numbers lets in requests that
can never start (vLLM issue 39734, vLLM-Ascend pull request 9543).
"""

from __future__ import annotations

from labkit.cache.block_table import blocks_needed

BLOCK_SIZE = 16
"""Tokens a block. A block here belongs to one layer: its keys and values of 16 tokens."""


class Gate:
    """Decides about requests to a server of `num_blocks` blocks.

    Args:
        num_blocks: blocks of the whole cache.
        full_layers: layers that keep all tokens of a sequence.
        window_layers: layers that keep the last `window` tokens.
        window: tokens, 1 or more.
    """

    def __init__(self, num_blocks: int, full_layers: int, window_layers: int, window: int) -> None:
        self.num_blocks = num_blocks
        self.full_layers = full_layers
        self.window_layers = window_layers
        self.window = window

    def blocks(self, tokens: int) -> int:
        """Blocks that a sequence of `tokens` holds in all layers together."""
        full = self.full_layers * blocks_needed(tokens, BLOCK_SIZE)
        return full + self.window_layers * blocks_needed(min(tokens, self.window), BLOCK_SIZE)

    def accepts(self, tokens: int) -> bool:
        """At the door: could a request of `tokens` ever be served?"""
        return self.blocks(tokens) <= self.num_blocks

    def starts(self, tokens: int) -> bool:
        """On an empty server: may it start now?"""
        return self.blocks(tokens) <= self.num_blocks
