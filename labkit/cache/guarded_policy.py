"""A policy that may fail: what it raises when it is told something is kept until nothing is half done.

A policy is somebody else's code, and a cache tells it what happens in the middle of its own bookkeeping. Were an error
to pass through there, a sequence would be half in memory. Nothing depends on how a policy takes what it is told, so
the cache goes on, and the error is raised when no books are open (see `KVCacheManager`). A question (`evict`) is
different: without an answer there is no room, and its error is raised at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from labkit.cache.eviction import EvictionPolicy, checked_policy
from labkit.errors import PolicyError


class GuardedPolicy:
    """Passes everything on to a policy.

    Attributes:
        failure: the error that is still to be raised; None if all was well.
    """

    def __init__(self, policy: EvictionPolicy) -> None:
        self._policy = policy
        self.failure: PolicyError | None = None
        if callable(getattr(policy, "exchange", None)):  # a cache does without it where there is none
            self.exchange = self._exchange

    def stored(self, blocks: Sequence[int], depth: int) -> None:
        """See `labkit.cache.eviction`, also for the methods below."""
        self._tell("stored", self._policy.stored, blocks, depth)

    def hit(self, blocks: Sequence[int]) -> None:
        self._tell("hit", self._policy.hit, blocks)

    def released(self, blocks: Sequence[int]) -> None:
        self._tell("released", self._policy.released, blocks)

    def add(self, block: int) -> None:
        self._tell("add", self._policy.add, block)

    def remove(self, block: int) -> None:
        self._tell("remove", self._policy.remove, block)

    def evict(self) -> int:
        """The victim, or what the policy raises: the first of it, of which the rest may be the consequence."""
        return self._ask(self._policy.evict)

    def raise_failure(self) -> None:
        """Raise what has been kept, once.

        Raises:
            PolicyError: the policy has raised something when it was told what happens.
        """
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def _exchange(self, block: int) -> int:
        return self._ask(self._policy.exchange, block)  # type: ignore[attr-defined]

    def _ask(self, ask: Callable[..., int], *args: Any) -> int:
        try:
            return ask(*args)
        except Exception:
            self.raise_failure()
            raise

    def _tell(self, what: str, tell: Callable[..., Any], *args: Any) -> None:
        try:
            tell(*args)
        except Exception as error:
            if self.failure is not None:
                return  # it follows from the first
            if isinstance(error, PolicyError):
                self.failure = error
                return
            self.failure = PolicyError(
                f"The policy {type(self._policy).__name__} raised {type(error).__name__}: {error!s:.100} in "
                f"{what}({', '.join(f'{arg!r:.40}' for arg in args)}), but may refuse nothing that it is told: mend it."
            )
            self.failure.__cause__ = error


def guarded(policy: object) -> GuardedPolicy:
    """A guard around a policy. Its class has the policy's name, by which the errors of a cache call it.

    Raises:
        PolicyError: it is no policy.
    """
    policy = checked_policy(policy)
    return type(type(policy).__name__, (GuardedPolicy,), {"__doc__": GuardedPolicy.__doc__})(policy)
