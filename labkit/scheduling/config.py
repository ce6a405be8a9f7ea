"""How a scheduler is set up."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.cache.checks import one_of, whole_number
from labkit.errors import SchedulerError
from labkit.scheduling.preemption import VICTIMS
from labkit.scheduling.swap import SwapCost
from labkit.scheduling.waiting import ORDERS

WAYS = ("recompute", "swap")
"""What becomes of what a victim has computed."""


@dataclass(frozen=True)
class SchedulerConfig:
    """The knobs of a scheduler, with vLLM's names for them.

    Attributes:
        token_budget: tokens of a step at most (`--max-num-batched-tokens`).
        seats: requests that run at most (`--max-num-seqs`).
        longest_chunk: tokens of a prompt in one step at most; None for as many as the budget has
            (`--long-prefill-token-threshold`).
        chunked_prefill: whether a prompt may be computed in pieces; if not, it waits for a step with budget for all of
            it.
        queue: whose turn it is, one of `labkit.scheduling.waiting.ORDERS` (`--scheduling-policy`).
        patience: admissions that may pass over the one who has waited longest.
        victim: who gives memory up, one of `labkit.scheduling.preemption.VICTIMS`.
        preemption: "recompute", or "swap": what a victim has computed waits in host memory, where there is room.
        host_blocks: blocks of host memory, as large as those of the device; needed for "swap".
        swap_cost: by which it is decided from how many tokens on a victim is swapped; None: whoever is, is swapped.
        watermark: the share of blocks that stays free for those who run (`--watermark`); 0 for none.
        full_sequence: whether all known tokens must have room before the first chunk starts
            (`--scheduler-reserve-full-isl`).
        reserve_to_max: whether a request starts only if all that run, and it, could grow to their longest.
        latency_target_s: turn away at the door who would wait longer than this; None for nobody.
        most_queued: requests that wait at most, and most_queued_tokens: tokens of their prompts; None for no limit
            (`--max-num-queued-reqs`, `--max-num-queued-tokens`).

    Raises:
        SchedulerError: numbers that cannot be.
    """

    token_budget: int = 2048
    seats: int = 256
    longest_chunk: int | None = None
    chunked_prefill: bool = True
    queue: str = "fcfs"
    patience: int = 64
    victim: str = "last"
    preemption: str = "recompute"
    host_blocks: int = 0
    swap_cost: SwapCost | None = None
    watermark: float = 0.0
    full_sequence: bool = True
    reserve_to_max: bool = False
    latency_target_s: float | None = None
    most_queued: int | None = None
    most_queued_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("token_budget", "seats", "patience"):
            whole_number(getattr(self, name), name, at_least=1, error=SchedulerError)
        for name in ("longest_chunk", "most_queued", "most_queued_tokens"):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), name, at_least=1, error=SchedulerError)
        whole_number(self.host_blocks, "host_blocks", at_least=0, error=SchedulerError)
        if not (isinstance(self.watermark, int | float) and 0 <= self.watermark < 1):
            raise SchedulerError(
                f"The watermark is {self.watermark!r:.60}, but must be a share of all blocks from 0 up to, not "
                "including, 1: 0.01 keeps a hundredth of them free."
            )
        for name, known in (("queue", ORDERS), ("victim", VICTIMS), ("preemption", WAYS)):
            one_of(getattr(self, name), name, known, SchedulerError)
        if (self.preemption == "swap") != bool(self.host_blocks):
            raise SchedulerError(
                f'preemption is "{self.preemption}" and host_blocks {self.host_blocks}, which do not go together: '
                'give "swap" as many as the host has room for, and "recompute" none.'
            )
