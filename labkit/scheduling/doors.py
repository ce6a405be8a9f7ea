"""The two places at which a request may be stopped, and what is asked there.

At the front door a request is refused at once, with a reason that its user is told (HTTP 429, or 400 for what can never
fit). Before memory it is only kept waiting. The questions themselves are the gates of `labkit.scheduling.admission`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.scheduling.request import Request

if TYPE_CHECKING:
    from labkit.scheduling.scheduler import Scheduler


def refusal(scheduler: Scheduler, request: Request) -> tuple[str, str]:
    """Why a request is refused at the front door: the reason that is counted, and a sentence. Empty: it is not."""
    config, rules, manager, queue = scheduler.config, scheduler.rules, scheduler.manager, scheduler.waiting
    behind = queue.tokens + request.prompt_tokens
    if not rules.can_ever_fit(request.prompt_tokens, request.max_tokens, manager.num_blocks, manager.block_size):
        have = manager.num_blocks * manager.block_size
        return "never-fits", (
            f"It may come to need {request.most_slots:,} slots, and all of memory has {have:,}: give a shorter prompt, "
            "or a lower max_tokens."
        )
    if not config.chunked_prefill and request.most_slots > config.token_budget:
        return "never-fits", (
            f"It may come to {request.most_slots:,} tokens, which must be computed in one step after a preemption, and "
            f"a step has {config.token_budget:,}: allow chunked prefill, or give a larger budget."
        )
    if config.most_queued is not None and len(queue) >= config.most_queued:
        return "queue-full", f"{len(queue):,} requests wait, which is as many as may: come again later."
    if config.most_queued_tokens is not None and behind > config.most_queued_tokens:
        return "queued-tokens", (
            f"With it {behind:,} tokens of prompts would wait, and {config.most_queued_tokens:,} may: come again later."
        )
    target = config.latency_target_s
    if target is not None and not rules.latency_gate(behind, scheduler.queue_speed.tokens_per_s, target):
        return "too-slow", f"It would not begin within {target:g} s: come again later."
    return "", ""


def may_start(scheduler: Scheduler, request: Request, cached: int, available: int, budget: int) -> bool:
    """Whether the gates let a waiting request into memory. Where nobody runs, whatever fits may start.

    Args:
        cached: leading tokens that the prefix cache has.
        available: blocks that could be had beside those.
        budget: tokens that this step has left.
    """
    config, rules, manager = scheduler.config, scheduler.rules, scheduler.manager
    there = max(cached, request.computed)  # one that was swapped out has computed something
    size, known, running = manager.block_size, request.num_tokens, len(scheduler.running)
    missing, found = known - there, cached // size
    if not config.chunked_prefill and missing > budget:
        return False
    if not running:
        return True
    if config.full_sequence and not rules.full_sequence_gate(known, cached, available, size):
        return False
    now = known if config.full_sequence else there + min(missing, budget, scheduler.longest_chunk or budget)
    if not rules.watermark_gate(-(-now // size) - found, available, manager.num_blocks, config.watermark, running):
        return False
    return not config.reserve_to_max or -(-request.most_slots // size) - found + _promised(scheduler) <= available


def _promised(scheduler: Scheduler) -> int:
    """Blocks that those who run may come to need beyond what they hold."""
    manager = scheduler.manager
    most = sum(-(-request.most_slots // manager.block_size) for request in scheduler.running)
    return most - sum(len(manager.blocks(request.id)) for request in scheduler.running)


class QueueSpeed:
    """How fast the queue moves: tokens of prompts that began, by the second, while anybody waited.

    What is longer ago counts less, by half every `half_life_s`.
    """

    def __init__(self, half_life_s: float = 5.0) -> None:
        self.half_life_s = half_life_s
        self._tokens = self._seconds = 0.0

    def see(self, tokens: int, seconds: float) -> None:
        """For so many seconds somebody waited, and prompts of so many tokens began."""
        fades = 0.5 ** (seconds / self.half_life_s)
        self._tokens, self._seconds = self._tokens * fades + tokens, self._seconds * fades + seconds

    @property
    def tokens_per_s(self) -> float:
        """0 for unknown."""
        return self._tokens / self._seconds if self._seconds else 0.0
