"""A request: what somebody asked for, and how far it has come."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable
from enum import StrEnum

from labkit.cache.checks import whole_number
from labkit.cache.tokens import TOKEN_BYTES, token_bytes
from labkit.errors import SchedulerError


class State(StrEnum):
    """Where a request is."""

    WAITING = "waiting"
    RUNNING = "running"
    PREEMPTED = "preempted"  # waits again: it had run, and gave its memory up
    FINISHED = "finished"
    REFUSED = "refused"


class Request:
    """One request and its state. The scheduler changes the state; everybody else reads it.

    Args:
        id: its name; no two that are unfinished share one.
        prompt: token ids, one at least, or their bytes (`labkit.cache.tokens`).
        max_tokens: tokens to generate at most, 1 or more.
        arrival: when it came, in seconds by the engine's clock.
        priority: the lower, the more urgent.
        salt: what else must be equal for a hit in the prefix cache.

    Attributes:
        output: the tokens generated so far.
        computed: leading tokens whose K and V are in memory, or on the host while it is swapped out. The token
            generated last never belongs to them: it is computed in the step that needs it as input.
        most_computed: what `computed` was at its highest. What is computed below it is computed again.
        cached: tokens found in the prefix cache when it was admitted last.
        preemptions: how often it gave its memory up.
        why: why it was refused, "" if it was not.

    Raises:
        SchedulerError: no prompt, or no token to generate.
    """

    __slots__ = (
        "arrival",
        "cached",
        "computed",
        "id",
        "max_tokens",
        "most_computed",
        "output",
        "preemptions",
        "priority",
        "prompt",
        "prompt_tokens",
        "salt",
        "state",
        "why",
    )

    def __init__(
        self,
        id: Hashable,
        prompt: bytes | Iterable[int],
        max_tokens: int,
        *,
        arrival: float = 0.0,
        priority: int = 0,
        salt: bytes = b"",
    ) -> None:
        self.id = id
        self.prompt = token_bytes(prompt)
        self.prompt_tokens = len(self.prompt) // TOKEN_BYTES
        if not self.prompt_tokens:
            raise SchedulerError(f"The prompt of request {id!r:.60} is empty, but must have a token: give it one.")
        self.max_tokens = whole_number(max_tokens, "max_tokens", at_least=1, error=SchedulerError)
        self.arrival, self.priority, self.salt = arrival, priority, salt
        self.state = State.WAITING
        self.output: array[int] = array("I")
        self.computed = self.most_computed = self.cached = self.preemptions = 0
        self.why = ""

    @property
    def num_tokens(self) -> int:
        """Tokens that are known: the prompt, and what was generated."""
        return self.prompt_tokens + len(self.output)

    @property
    def missing(self) -> int:
        """Known tokens that are still to be computed; at 1 the next token comes out."""
        return self.prompt_tokens + len(self.output) - self.computed

    @property
    def decodes(self) -> bool:
        """Whether all is computed but the token that was generated last."""
        return bool(self.output) and self.prompt_tokens + len(self.output) == self.computed + 1

    @property
    def most_slots(self) -> int:
        """Slots that it can come to need. The last token that it generates needs none: nobody computes on."""
        return self.prompt_tokens + self.max_tokens - 1

    def tokens(self, start: int, stop: int) -> bytes:
        """Known tokens `start` to `stop - 1`, as bytes."""
        end = self.prompt_tokens
        if stop <= end:
            return self.prompt[TOKEN_BYTES * start : TOKEN_BYTES * stop]
        generated = self.output[max(0, start - end) : max(0, stop - end)].tobytes()
        return self.prompt[TOKEN_BYTES * start : TOKEN_BYTES * stop] + generated

    def __repr__(self) -> str:
        return (
            f"Request({self.id!r}, {self.state}: {self.computed} of {self.prompt_tokens}+{len(self.output)} tokens "
            f"computed, at most {self.max_tokens} to generate)"
        )
