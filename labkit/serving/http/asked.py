"""Reading a call: the fields of OpenAI's form that are served, and a sentence for everything else."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from starlette.exceptions import HTTPException

from labkit.errors import GenerationError
from labkit.serving.loaded import LoadedModel
from labkit.serving.request import MOST_ANSWERS, Request, sample_names
from labkit.serving.sampling import Sampling, TokenLogprob

Count = Annotated[int, msgspec.Meta(ge=1)]  # of tokens; 0, which nobody can send, is for nothing said
NO_MATTER = {"user", "metadata", "service_tier", "store", "safety_identifier", "prompt_cache_key"}
"""Fields that never change a text."""


class Common(msgspec.Struct, kw_only=True):
    """What both kinds of body have, with OpenAI's defaults; null is as good as nothing."""

    model: str = ""
    n: Annotated[int, msgspec.Meta(ge=1, le=MOST_ANSWERS)] = 1
    stop: str | Annotated[list[str], msgspec.Meta(max_length=16)] = []
    stream: bool = False
    stream_options: dict[str, Any] = {}
    seed: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: Count = 0
    ignore_eos: bool = False


class Completion(Common, kw_only=True):
    """The body of /v1/completions."""

    prompt: str | list[str | int | list[int]]
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None


class Turn(msgspec.Struct):
    """A message; of what it may say beside `content`, nothing is read."""

    role: Literal["system", "user", "assistant"]
    content: str | list[dict[Literal["type", "text"], str]]

    def message(self) -> dict[str, str]:
        """As a template takes it."""
        parts = [{"text": self.content}] if isinstance(self.content, str) else self.content
        return {"role": self.role, "content": "".join(part.get("text", "") for part in parts)}


class Chat(Common, kw_only=True):
    """The body of /v1/chat/completions."""

    messages: Annotated[list[Turn], msgspec.Meta(min_length=1)]
    max_completion_tokens: Count = 0
    logprobs: bool = False
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0


class Piece(NamedTuple):
    """What a step gave to one text. `end` says why the text has ended, "" if it has not."""

    number: int
    text: str
    logprob: TokenLogprob | None
    end: str


@dataclass(eq=False)
class Asked:
    """A call: a request to the engine for each of its prompts, and what came since it was looked at."""

    id: str
    requests: list[Request]
    chat: bool
    stream: bool
    usage: bool
    came: float = field(default_factory=time.perf_counter)
    news: asyncio.Queue[list[Piece] | Exception] = field(default_factory=asyncio.Queue)

    @property
    def names(self) -> list[str]:
        """Of its texts, by their number."""
        return [name for request in self.requests for name in sample_names(request)]

    async def next(self) -> list[Piece]:
        """What comes next: first [], when all of it is taken, then pieces. An error is raised, and is the last."""
        news = await self.news.get()
        if isinstance(news, Exception):
            raise news
        return news


def read(body: bytes, chat: bool, model: LoadedModel, most_tokens: int) -> Asked:
    """What a body asks for, in `most_tokens` of prompt and answer together.

    Raises:
        LabkitError: it cannot be read, or asks for what is not served. HTTPException: another model is meant.
    """
    kind: type[Common] = Chat if chat else Completion
    try:
        raw = msgspec.json.decode(body, type=dict[str, Any])
        made: Any = msgspec.convert({name: value for name, value in raw.items() if value is not None}, kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise GenerationError(f"The body cannot be read ({error}): send JSON in the form of OpenAI's API.") from None
    for name in raw.keys() - set(kind.__struct_fields__) - NO_MATTER:
        if raw[name]:  # null, false, 0 and what is empty ask for nothing
            raise GenerationError(f"{name!r:.60} is not served here and may change the text: leave it out.")
    if made.model not in ("", model.name):
        raise HTTPException(404, f"There is no model {made.model!r:.60} here: ask for {model.name!r}.")
    if chat:
        most, top = made.max_completion_tokens or made.max_tokens, made.top_logprobs if made.logprobs else None
        prompts: Any = [[turn.message() for turn in made.messages]]
    else:
        most, top, kinds = made.max_tokens or 16, made.logprobs, {type(entry) for entry in made.prompt}
        prompts = [made.prompt] if isinstance(made.prompt, str) or kinds <= {int} else made.prompt
        if len(kinds) > 1:
            raise GenerationError("The prompt mixes texts, token ids and lists of these: send one kind alone.")
    if len(prompts) * made.n > MOST_ANSWERS:
        raise GenerationError(f"{len(prompts)} prompts, {made.n} answers each, are over {MOST_ANSWERS}: ask for fewer.")
    seed = secrets.randbits(63) if made.seed is None else made.seed
    sampling = Sampling(made.temperature, max(0, made.top_k), made.top_p, seed, made.min_p)
    ends = frozenset(() if made.ignore_eos else model.config.eos_token_ids)
    stop = (made.stop,) if isinstance(made.stop, str) else tuple(made.stop)
    id = f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}"
    requests = []
    for i, ids in enumerate(model.prompt_ids(prompt, chat=False) for prompt in prompts):
        limit = most or max(1, most_tokens - len(ids))
        requests.append(Request(f"{id}-{i}", ids, limit, sampling, ends, stop, made.n, top, key=str(i)))
    return Asked(id, requests, chat, made.stream, made.stream_options.get("include_usage") is True)
