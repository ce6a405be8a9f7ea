"""A request on its way: its answer so far, and its text as it comes."""

from __future__ import annotations

import time
from dataclasses import replace

from labkit.serving.detokenizer import Detokenizer
from labkit.serving.generation import FinishReason, Generation
from labkit.serving.request import NewToken, Request, sample_names
from labkit.serving.tokenizer import Tokenizer


class Growing:
    """An answer that grows token by token until something ends it.

    Text that a stop string may begin with is held back until it is known that none does: what has been handed out
    never holds a part of one, however tokens cut it.

    Args:
        request: what is asked; of several samples, see `samples`.
        limit: most tokens that the model can read, prompt and answer together.

    Attributes:
        of: name of the request that it answers.
        most: most tokens of the answer.
        others: samples of the same request that are to begin when the prompt is computed.
    """

    def __init__(self, request: Request, tokenizer: Tokenizer, limit: int, of: str = "") -> None:
        self.request = request
        self.of = of or request.name
        self.answer = Generation(request.name, list(request.prompt_ids))
        self.most = min(request.max_new_tokens, limit - len(request.prompt_ids))
        self.others: list[Growing] = []
        self._text = Detokenizer(tokenizer)
        self._held = ""
        self._last = time.perf_counter()

    def take(self, token: int) -> NewToken:
        """Add a token; end the text if it is the last."""
        answer = self.answer
        answer.token_ids.append(token)
        text = self._release(self._text.push(token))
        answer.text += text
        if answer.finish_reason:  # a stop string
            return NewToken(answer, token, text)
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
        rest = self._release(self._text.finish(), last=True)
        self.answer.text += rest
        self.answer.finish_reason = self.answer.finish_reason or reason
        return rest

    def _release(self, text: str, last: bool = False) -> str:
        """What may be handed out, now that `text` has come; ends the answer where a stop string is complete."""
        stops = self.request.stop
        if not stops:
            return text
        text = self._held + text
        # The one that is complete first, as if characters came one by one: how tokens cut a text must not matter.
        found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
        if found:
            self.answer.finish_reason, self._held = "stop", ""
            return text[: min(found)[1]]
        longest = 0 if last else max(map(len, stops)) - 1
        begins = (n for n in range(min(longest, len(text)), 0, -1) if any(s.startswith(text[-n:]) for s in stops))
        cut = len(text) - next(begins, 0)
        self._held = text[cut:]
        return text[:cut]


def samples(request: Request, tokenizer: Tokenizer, limit: int) -> list[Growing]:
    """All the answers that a request asks for. The first brings the prompt into memory, and holds the others until
    then.
    """
    name, key = request.name, request.key or request.name
    first = Growing(request, tokenizer, limit)
    for other in sample_names(request)[1:]:
        one = replace(request, name=other, key=key + other.removeprefix(name), n=1)
        first.others.append(Growing(one, tokenizer, limit, of=name))
    return [first, *first.others]
