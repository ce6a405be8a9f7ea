"""What came out of generating: the text, its tokens, why it ended and how long each token took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from labkit.serving.sampling import TokenLogprob

FinishReason = Literal["stop", "length", "no_room", "cancelled", ""]
"""Why a text ended: the model or a stop string said so, the limit was reached, the cache had no room for the next token
(of the plain loop alone), or nobody waits for it any more. Empty while it is still growing."""


@dataclass
class Generation:
    """One request and its answer so far."""

    request: str
    """Name of the request, which is also its sequence's name in the cache."""
    prompt_ids: list[int]
    token_ids: list[int] = field(default_factory=list)
    """The tokens generated, the end token included if the model gave one."""
    text: str = ""
    """Their text. Where the room ran out, what there was until then."""
    finish_reason: FinishReason = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    """One a token, where they were asked for."""
    prefill_s: float = 0.0
    """Seconds spent computing the prompt, up to the first token. Of an engine: since the request came."""
    step_s: list[float] = field(default_factory=list)
    """Seconds of each later step, one per token; steps are shared by all sequences of a batch. Of an engine: since the
    token before."""

    @property
    def num_tokens(self) -> int:
        """Prompt and generated tokens together."""
        return len(self.prompt_ids) + len(self.token_ids)

    @property
    def tokens_per_s(self) -> float:
        """Speed of decoding this sequence: tokens after the first, by the seconds they took; 0.0 if there are none."""
        seconds = sum(self.step_s)
        return len(self.step_s) / seconds if seconds else 0.0

    def __str__(self) -> str:
        return self.text
