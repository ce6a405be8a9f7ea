"""Preemption by swap: what a victim has computed waits in host memory, and is copied back instead of computed again.

The pool copies nothing itself. Its answers are pairs of blocks, which whoever computes a step carries out: out before
anything is written in that step, back before anything is read. Early vLLM swapped, and computes again since; what lies
on the host today is an offload tier below the prefix cache. Source of the idea: PagedAttention (Kwon et al., SOSP 2023,
section 4.5).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from labkit.cache.block_pool import BlockPool
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.errors import SchedulerError, UnknownSequenceError
from labkit.scheduling.request import Request, State

if TYPE_CHECKING:
    from labkit.scheduling.config import SchedulerConfig

Pairs = list[tuple[int, int]]


class SwapCost(NamedTuple):
    """What `break_even` compares, in seconds.

    Attributes:
        fixed_s: of one copy, out or back, whatever its length.
        copy_s: copying keys and values of one token, one way.
        token_s: computing one token, attention aside.
        pair_s: attention of one token to one other.
    """

    fixed_s: float
    copy_s: float
    token_s: float
    pair_s: float


def break_even(fixed_s: float, copy_s: float, token_s: float, pair_s: float, most: int) -> int | None:
    """The fewest tokens from which on swapping is cheaper than computing again.

    The model: n tokens are copied out and back, `fixed_s + n * copy_s` each way; computing them again is
    `n * token_s`, and attention, of each to itself and all before it, `n * (n + 1) / 2 * pair_s`. The second grows
    faster, so a request that is worth swapping stays so when it grows.

    Args:
        fixed_s, copy_s, token_s, pair_s: as in `SwapCost`.
        most: tokens that a request can have at most.

    Returns:
        1 to `most`, or None where swapping is never cheaper.
    """

    def cheaper(n: int) -> bool:
        return 2 * (fixed_s + n * copy_s) < n * token_s + n * (n + 1) / 2 * pair_s

    if most < 1 or not cheaper(most):
        return None
    low, high = 0, most  # cheaper at `high`, not at `low`
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if cheaper(middle) else (middle, high)
    return high


class SwapPool:
    """Blocks in host memory, with ids of their own, and who has which.

    Args:
        num_blocks: host blocks, 0 or more, each as large as one of the device.
    """

    def __init__(self, num_blocks: int) -> None:
        self._pool = BlockPool(num_blocks)
        self._host: dict[Hashable, list[int]] = {}

    @property
    def num_free(self) -> int:
        """Host blocks that hold nothing."""
        return self._pool.num_free

    def swap_out(self, name: Hashable, blocks: Sequence[int]) -> Pairs | None:
        """Host blocks for what these blocks of the device hold.

        Returns:
            Pairs (device block, host block), in order: what is to be copied. None, and nothing changed, where the host
            has fewer blocks free.

        Raises:
            SchedulerError: `name` is swapped out already.
        """
        if name in self._host:
            raise SchedulerError(f"{name!r:.60} is swapped out already: swap it in, or forget it, before.")
        host = self._pool.allocate(len(blocks))
        if host is None:
            return None
        self._host[name] = host
        return list(zip(blocks, host, strict=True))

    def swap_in(self, name: Hashable, blocks: Sequence[int], found: int = 0) -> Pairs:
        """It comes back into these blocks of the device. Its host blocks are free once they have been copied.

        Args:
            blocks: as many as it was swapped out from.
            found: leading blocks of them that hold the content already, because the prefix cache had it.

        Returns:
            Pairs (host block, device block), in order, without those that were found.

        Raises:
            UnknownSequenceError: it is not swapped out. SchedulerError: another number of blocks; nothing has changed.
        """
        host = self._of(name)
        if len(blocks) != len(host):
            raise SchedulerError(f"{name!r:.60} left {len(host)} blocks and comes into {len(blocks)}: give as many.")
        self.forget(name)
        return list(zip(host, blocks, strict=True))[found:]

    def forget(self, name: Hashable) -> None:
        """It does not come back. UnknownSequenceError: it is not swapped out."""
        self._pool.free(self._of(name))
        del self._host[name]

    def _of(self, name: Hashable) -> list[int]:
        host = self._host.get(name)
        if host is None:
            raise UnknownSequenceError(f"{name!r:.60} is not swapped out: swap it out before.")
        return host


class Swapper:
    """What a scheduler swaps, and the copies of the step that is being planned.

    Args:
        rules: gives `SwapPool` and `break_even`.

    Attributes:
        pool: the host blocks; None where nobody is swapped.
        out, back: as in `labkit.scheduling.step.Step`, emptied by `copies`.
    """

    def __init__(self, manager: KVCacheManager, config: SchedulerConfig, rules: Any) -> None:
        self.manager, self.config, self.rules = manager, config, rules
        self.pool: Any = rules.SwapPool(config.host_blocks) if config.preemption == "swap" else None
        self.out: Pairs = []
        self.back: Pairs = []
        self._at_least: int | None = 0  # tokens; None once it is known that swapping never pays
        self._asked = config.swap_cost is None

    def swap_out(self, request: Request) -> bool:
        """Take a request's memory and keep what it has computed. False, and nothing changed: it is computed again,
        since swapping is switched off or does not pay, or the host is full.
        """
        if self.pool is None or not self._pays(request.computed):
            return False
        used = -(-request.computed // self.manager.block_size)
        pairs = self.pool.swap_out(request.id, self.manager.blocks(request.id)[:used])
        if pairs is None:
            return False
        self.out += pairs
        self.manager.preempt(request.id, kept=True)
        request.state = State.PREEMPTED
        request.preemptions += 1
        return True

    def swap_in(self, request: Request, kept: int) -> None:
        """A request that was swapped out has its blocks; what the prefix cache did not have is copied."""
        size = self.manager.block_size
        used = -(-kept // size)
        blocks = self.manager.blocks(request.id)[:used]
        self.back += self.pool.swap_in(request.id, blocks, min(used, request.cached // size))

    def copies(self) -> tuple[Pairs, Pairs]:
        """What was swapped out and back since this was asked last."""
        out, self.out = self.out, []
        back, self.back = self.back, []
        return out, back

    def _pays(self, tokens: int) -> bool:
        if not self._asked:
            most = self.manager.num_blocks * self.manager.block_size
            self._at_least, self._asked = self.rules.break_even(*self.config.swap_cost, most), True  # type: ignore[misc]
        return self._at_least is not None and tokens >= self._at_least
