"""What came out, in OpenAI's form: whole, as a stream of events, or as an error."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from itertools import accumulate
from typing import Any

from msgspec import json

from labkit.errors import LabkitError
from labkit.serving.http.asked import Asked, Piece
from labkit.serving.loaded import LoadedModel


def error_body(status: int, sentence: str) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    kind = "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": sentence, "type": kind, "param": None, "code": str(status)}}


class Answer:
    """The answer to one call, from the pieces that come."""

    def __init__(self, asked: Asked, model: LoadedModel) -> None:
        self._asked, self._piece = asked, model.tokenizer.piece
        kind = "chat.completion" + ".chunk" * asked.stream if asked.chat else "text_completion"
        self._head = {"id": asked.id, "object": kind, "created": int(time.time()), "model": model.name}
        self._written = [-1] * len(asked.names)  # characters of each text, -1 before it begins
        self._tokens = 0

    async def whole(self) -> bytes:
        """All of it, once it is there."""
        texts: list[list[Piece]] = [[] for _ in self._written]
        async for pieces in self._pieces():
            for piece in pieces:
                texts[piece.number].append(piece)
        return json.encode({**self._head, "choices": [self._choice(one) for one in texts], "usage": self._usage()})

    async def stream(self) -> AsyncIterator[bytes]:
        """Server-sent events: a chunk for each piece, those of one step written together."""
        try:
            async for pieces in self._pieces():
                choices = [self._choice([piece]) for piece in pieces if piece.text or piece.end or piece.logprob]
                yield b"".join(_event({**self._head, "choices": [choice]}) for choice in choices)
            if self._asked.usage:
                yield _event({**self._head, "choices": [], "usage": self._usage()})
        except LabkitError as error:
            yield _event(error_body(503, str(error)))
        yield b"data: [DONE]\n\n"

    async def _pieces(self) -> AsyncIterator[list[Piece]]:
        left = len(self._written)
        while left:
            pieces = await self._asked.next()
            self._tokens += len(pieces)
            left -= sum(bool(piece.end) for piece in pieces)
            yield pieces

    def _choice(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        number, text = pieces[0].number, "".join(piece.text for piece in pieces)
        begins, offset = self._written[number] < 0, max(0, self._written[number])
        *offsets, self._written[number] = accumulate((len(piece.text) for piece in pieces), initial=offset)
        told = self._logprobs(pieces, offsets) if pieces[0].logprob else None
        choice = {"index": number, "logprobs": told, "finish_reason": pieces[-1].end or None}
        if not self._asked.chat:
            return {**choice, "text": text}
        message = {"role": "assistant", "content": text} if begins else {"content": text}
        return {**choice, "delta" if self._asked.stream else "message": message}

    def _logprobs(self, pieces: Sequence[Piece], offsets: list[int]) -> dict[str, Any]:
        given = [piece.logprob for piece in pieces if piece.logprob]
        if self._asked.chat:
            tops = ([self._token(*pair) for pair in one.top] for one in given)
            return {"content": [self._token(*one[:2], top_logprobs=top) for one, top in zip(given, tops, strict=True)]}
        return {
            "tokens": [self._piece(one.token) for one in given],
            "token_logprobs": [one.logprob for one in given],
            "top_logprobs": [{self._piece(token): value for token, value in (*one.top, one[:2])} for one in given],
            "text_offset": offsets,
        }

    def _token(self, token: int, logprob: float, **more: Any) -> dict[str, Any]:
        name = self._piece(token)
        return {"token": name, "logprob": logprob, "bytes": list(name.encode()), **more}

    def _usage(self) -> dict[str, int]:
        prompt = sum(len(request.prompt_ids) for request in self._asked.requests)
        return {"prompt_tokens": prompt, "completion_tokens": self._tokens, "total_tokens": prompt + self._tokens}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.encode(body)
