"""Who may start: lesson 17.

A gate looks at numbers of blocks and says yes or no. It moves waiting, it does not remove it: what is not let in waits
outside, where it holds no memory. `needed` counts blocks that must be found; blocks that the prefix cache has for the
request are not among them, nor among `available`.

Sources: vLLM's `--watermark` (PR 44594) and `--scheduler-reserve-full-isl` (PR 37307), TensorRT-LLM's
GUARANTEED_NO_EVICT for reserving to the maximum.
"""

from __future__ import annotations


def can_ever_fit(prompt_tokens: int, max_tokens: int, num_blocks: int, block_size: int) -> bool:
    """Whether an empty memory has room for a request at its longest.

    The last token that it generates is never computed, so it needs no slot.
    """
    return -(-(prompt_tokens + max_tokens - 1) // block_size) <= num_blocks


def watermark_gate(needed: int, available: int, num_blocks: int, watermark: float, running: int) -> bool:
    """Whether enough blocks are left for those who run to grow into.

    Args:
        watermark: the share of all blocks that stays free, rounded down to whole blocks.
        running: requests that run; where none does, nobody grows, and whatever fits may start.
    """
    left = available - needed
    return left >= (int(watermark * num_blocks) if running else 0)


def full_sequence_gate(num_tokens: int, cached: int, available: int, block_size: int) -> bool:
    """Whether all tokens that are known now have room, and not only those of the first chunk.

    Args:
        num_tokens: prompt, and what was generated before a preemption.
        cached: leading tokens that the prefix cache has, whole blocks.
    """
    return -(-num_tokens // block_size) - cached // block_size <= available


def latency_gate(queued_tokens: int, tokens_per_s: float, target_s: float) -> bool:
    """Whether a request that joins behind so many tokens of prompts is likely to begin within the target.

    Args:
        queued_tokens: of prompts that wait, its own included.
        tokens_per_s: how fast the queue moved of late, in tokens of prompts that began; 0 while nobody knows, and then
            nobody is turned away. The speed of prefill would promise too much where the queue waits for memory.
    """
    return not tokens_per_s or queued_tokens / tokens_per_s <= target_s
