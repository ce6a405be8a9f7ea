"""A request on its way: its answer so far, and its text as it comes."""

from __future__ import annotations

import time

from labkit.serving.detokenizer import Detokenizer
from labkit.serving.generation import FinishReason, Generation
from labkit.serving.request import NewToken, Request
from labkit.serving.tokenizer import Tokenizer


class Growing:
    """An answer that grows token by token until something ends it.

    Args:
        limit: most tokens that the model can read, prompt and answer together.
    """

    def __init__(self, request: Request, tokenizer: Tokenizer, limit: int) -> None:
        self.request = request
        self.answer = Generation(request.name, list(request.prompt_ids))
        self._text = Detokenizer(tokenizer)
        self.most = min(request.max_new_tokens, limit - len(request.prompt_ids))
        self._last = time.perf_counter()

    def take(self, token: int) -> NewToken:
        """Add a token; end the text if it is the last."""
        answer = self.answer
        answer.token_ids.append(token)
        text = self._text.push(token)
        answer.text += text
        if token in self.request.stop_ids:
            text += self.end("stop")
        elif len(answer.token_ids) >= self.most:
            text += self.end("length")
        return NewToken(answer, token, text)

    def tick(self) -> None:
        """A token has come: note the seconds since the one before, or since the request came."""
        now = time.perf_counter()
        if self.answer.token_ids:
            self.answer.step_s.append(now - self._last)
        else:
            self.answer.prefill_s = now - self._last
        self._last = now

    def end(self, reason: FinishReason) -> str:
        """The text has ended; returns what of it was held back."""
        rest = self._text.finish()
        self.answer.text += rest
        self.answer.finish_reason = reason
        return rest
